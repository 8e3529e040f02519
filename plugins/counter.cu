/* counter.cu - a source: message number N is the number N, as decimal text or as little-endian bytes.
 * Messages are made where they are processed, so a GPU reads nothing over the bus, and a run can start at any number.
 *
 * Parameters
 *   text   true: decimal digits; false: the number as a 64-bit little-endian word
 *   bytes  size of a message; 0 takes as many as the number needs (text) or 8. Text gets leading zeros, and loses its
 *          leading digits when it does not fit; binary repeats the word, and is cut when it does not fit. */
#include <gpuqueue/plugin.h>

__device__ static uint32_t decimal_digits(uint64_t number)
{
    uint32_t digits = 1;
    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

__device__ static uint32_t message_bytes(uint64_t index)
{
    const uint32_t asked = GQ_PARAM(bytes, 0);
    if (asked > 0)
        return asked;
    return GQ_PARAM(text, true) ? decimal_digits(index) : 8;
}

__device__ static void write_text(uint64_t index, uint8_t *out, uint32_t len)
{
    for (uint32_t i = len; i > 0; i--) {
        out[i - 1] = (uint8_t)('0' + index % 10);
        index /= 10;
    }
}

__device__ static void write_words(uint64_t index, uint8_t *out, uint32_t len)
{
    const uint32_t whole = len / 8;
    for (uint32_t i = 0; i < whole; i++)
        ((uint64_t *)out)[i] = index;
    for (uint32_t i = whole * 8; i < len; i++)
        out[i] = (uint8_t)(index >> (i % 8 * 8));
}

__device__ void generate_message(uint64_t index, ResultView *out)
{
    const uint32_t len = message_bytes(index);
    *out->out_len = len;
    if (len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */
    if (GQ_PARAM(text, true))
        write_text(index, out->out, len);
    else
        write_words(index, out->out, len);
}
