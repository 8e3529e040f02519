/* soak.cu - echoes; a first byte of 0xd0 drops the message, one of 0xf0 fails it.
 * For tests only. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.len && in.payload[0] == 0xd0)
        return gq_drop(out);
    if (in.len && in.payload[0] == 0xf0)
        return gq_fail(out, 240);
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
