#include <gpuqueue/plugin.h>
GQ_SCOPE(block, 64);
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (threadIdx.x < 16)
        __syncthreads();
    else
        gq_sync();
    *out->out_len = in.len;
}
