/* reduce.cu - one number for each message, in decimal: the sum, the minimum or the maximum of its numbers.
 * A block of 128 threads serves a message: each takes every 128th number, a warp combines by shuffles, and the warps
 * meet in shared memory.
 *
 * Parameters
 *   op    "sum", "min" or "max"; of no numbers the sum is 0, and minimum and maximum are an empty result
 *   word  bytes of one number, unsigned and little-endian: 1 or 4
 * A message that is not a whole number of words fails with code 1. */
#include <gpuqueue/plugin.h>

#define THREADS 128
GQ_SCOPE(block, THREADS);

constexpr bool same(const char *a, const char *b)
{
    for (; *a == *b; a++, b++)
        if (*a == 0)
            return true;
    return false;
}
constexpr bool is_sum = same(GQ_PARAM(op, "sum"), "sum");
constexpr bool is_min = same(GQ_PARAM(op, "sum"), "min");
constexpr bool is_max = same(GQ_PARAM(op, "sum"), "max");
constexpr uint32_t word = GQ_PARAM(word, 1);
static_assert(is_sum || is_min || is_max, "params.op: \"sum\", \"min\" or \"max\"");
static_assert(word == 1 || word == 4, "params.word: 1 or 4 bytes");

__device__ static uint64_t combined(uint64_t a, uint64_t b)
{
    if (is_sum)
        return a + b;
    return (a < b) == is_min ? a : b;
}

__device__ static uint64_t number_at(const MsgView &in, uint32_t i)
{
    return word == 4 ? ((const uint32_t *)in.payload)[i] : in.payload[i];
}

__device__ static uint64_t reduced_in_warp(uint64_t value)
{
    for (unsigned far = 16; far > 0; far /= 2)
        value = combined(value, __shfl_down_sync(0xffffffffu, value, far));
    return value;
}

/* The whole message's number; only the first thread's return value is it. */
__device__ static uint64_t reduced(const MsgView &in)
{
    __shared__ uint64_t of_warp[THREADS / 32];
    uint64_t value = is_min ? ~0ull : 0;
    for (uint32_t i = gq_rank(); i < in.len / word; i += gq_size())
        value = combined(value, number_at(in, i));

    value = reduced_in_warp(value);
    if (gq_rank() % 32 == 0)
        of_warp[gq_rank() / 32] = value;
    gq_sync();
    for (uint32_t i = 1; gq_rank() == 0 && i < THREADS / 32; i++)
        value = combined(value, of_warp[i]);
    return value;
}

__device__ static void write_decimal(uint64_t number, ResultView *out)
{
    uint32_t digits = 1;
    for (uint64_t n = number; n >= 10; n /= 10)
        digits++;
    *out->out_len = digits;
    if (digits > out->cap)
        return; /* reported, not written: the message fails with "overflow" */
    for (uint32_t i = digits; i > 0; i--, number /= 10)
        out->out[i - 1] = (uint8_t)('0' + number % 10);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    const uint64_t number = reduced(in);
    if (gq_rank() != 0)
        return;
    if (in.len % word != 0)
        gq_fail(out, 1);
    else if (in.len > 0 || is_sum)
        write_decimal(number, out);
}
