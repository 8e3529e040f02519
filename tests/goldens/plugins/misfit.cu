/* misfit.cu - a plugin whose goldens it does not pass: every way in which a vector can fail.
 * For tests only. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.len == 3)
        __trap(); /* a store to nowhere would do on a CPU: a device reports it long after the result */
    *out->out_len = in.len;
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = i == 20 ? '!' : in.payload[i];
}
