/* @NAME@.cu - a source: message number N is the text "message N".
 * It is called for the indices first, first + 1, ... and must make the same message whenever it gets the same index. */
#include <gpuqueue/plugin.h>

__device__ void generate_message(uint64_t index, ResultView *out)
{
    const char text[] = "message ";
    const uint32_t text_len = sizeof text - 1;
    uint32_t digits = 1;
    for (uint64_t n = index; n >= 10; n /= 10)
        digits++;

    *out->out_len = text_len + digits;
    if (*out->out_len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */
    for (uint32_t i = 0; i < text_len; i++)
        out->out[i] = text[i];
    for (uint32_t i = text_len + digits; i > text_len; i--, index /= 10)
        out->out[i - 1] = (uint8_t)('0' + index % 10);
}
