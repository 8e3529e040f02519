/* upper.cu - the ASCII letters a to z become A to Z; every other byte stays as it is.
 * The smallest plugin that does something: start reading here. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = in.len;
    if (in.len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */

    for (uint32_t i = 0; i < in.len; i++) {
        const uint8_t c = in.payload[i];
        out->out[i] = c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c;
    }
}
