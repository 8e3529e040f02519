#include <gpuqueue/plugin.h>
#include <cuda/atomic>
#include <cooperative_groups.h>
extern __shared__ uint32_t dynamic[];
__device__ void process_message(const MsgView &in, ResultView *out)
{
    uint32_t lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    child<<<1, 32>>>(in.len);
    nvcuda::wmma::fill_fragment(lane, 0);
    *out->out_len = cuda::ceil_div(in.len, 2) + tex2D<uint32_t>(0, 0, 0);
}
