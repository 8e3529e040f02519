/* misfit.cu - a plugin whose goldens it does not pass: every way in which a vector can fail.
 * For tests only. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.len == 3)
        *(volatile int *)0 = 1;
    *out->out_len = in.len;
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = i == 20 ? '!' : in.payload[i];
}
