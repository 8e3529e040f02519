#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = in.len;
    out->out[0] = fooo;
}
