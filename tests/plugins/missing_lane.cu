#include <gpuqueue/plugin.h>
GQ_SCOPE(warp);
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (gq_rank() == 7)
        return;
    *out->out_len = __shfl_sync(0xffffffffu, in.len, 0);
}
