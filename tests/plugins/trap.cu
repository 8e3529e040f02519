#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.len)
        __trap();
    *out->out_len = 0;
}
