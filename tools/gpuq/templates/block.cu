/* @NAME@.cu - how often each message contains the byte `value`, in decimal.
 * A block of 64 threads serves a message: each looks at every 64th byte, and their counts meet in shared memory.
 *
 * Parameters
 *   value  the byte, 0 to 255 */
#include <gpuqueue/plugin.h>

GQ_SCOPE(block, 64);

__device__ static void write_decimal(uint32_t number, ResultView *out)
{
    uint32_t digits = 1;
    for (uint32_t n = number; n >= 10; n /= 10)
        digits++;
    *out->out_len = digits;
    if (digits > out->cap)
        return; /* reported, not written: the message fails with "overflow" */
    for (uint32_t i = digits; i > 0; i--, number /= 10)
        out->out[i - 1] = (uint8_t)('0' + number % 10);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    __shared__ uint32_t count;
    if (gq_rank() == 0)
        count = 0;
    gq_sync();

    uint32_t mine = 0;
    for (uint32_t i = gq_rank(); i < in.len; i += gq_size())
        mine += in.payload[i] == GQ_PARAM(value, 32);
    atomicAdd(&count, mine);
    gq_sync();

    if (gq_rank() == 0)
        write_decimal(count, out);
}
