// Indices, shared memory and barriers of a block of 96 threads.
#include <gpuqueue/plugin.h>
#include "check.h"

GQ_SCOPE(block, 96);

__shared__ uint32_t at_file_scope[96];

struct Pair {
    uint32_t a, b;
};

__device__ uint32_t sum_by_tree(uint32_t value)
{
    __shared__ uint32_t part[128];
    part[threadIdx.x] = value;
    if (threadIdx.x < 32)
        part[96 + threadIdx.x] = 0;
    __syncthreads();
    for (unsigned d = 64; d > 0; d /= 2) {
        if (threadIdx.x < d)
            part[threadIdx.x] += part[threadIdx.x + d];
        __syncthreads();
    }
    uint32_t sum = part[0];
    __syncthreads();
    return sum;
}

__device__ uint32_t sum_by_shuffle(uint32_t value)
{
    __shared__ uint32_t warp_sum[3];
    for (int d = 16; d > 0; d /= 2)
        value += __shfl_down_sync(0xffffffffu, value, d);
    if (threadIdx.x % warpSize == 0)
        warp_sum[threadIdx.x / warpSize] = value;
    __syncthreads();
    return warp_sum[0] + warp_sum[1] + warp_sum[2];
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    __shared__ Checks results[96];
    __shared__ Pair pairs[96];
    static __shared__ unsigned counter;
    Checks c = {out, 0, 0};
    const uint32_t t = threadIdx.x;
    uint3 index = threadIdx;
    dim3 size = blockDim;
    bool right = t < 96 && index.y == 0 && index.z == 0 && size.x == 96 && blockDim.y == 1 && blockIdx.x < gridDim.x;
    right = right && gq_rank() == t && gq_size() == 96;
    if (t == 0)
        counter = 0;
    at_file_scope[t] = t * t;
    pairs[t] = Pair{t, t + 1};
    gq_sync();
    right = right && at_file_scope[95 - t] == (95 - t) * (95 - t) && pairs[(t + 1) % 96].a == (t + 1) % 96;
    atomicAdd(&counter, 1);
    right = right && sum_by_tree(t) == 4560 && sum_by_shuffle(t) == 4560;
    right = right && __syncthreads_count(t % 2) == 48;
    int all = __syncthreads_and(t < 96), some = __syncthreads_and(t < 95), any = __syncthreads_or(t == 3),
        none = __syncthreads_or(0);
    right = right && all && !some && any && !none && counter == 96 && in.len > 0;
    int wrong = __syncthreads_count(!right);
    results[t] = c;
    if (t == 0) {
        CHECK(wrong == 0);
        finish(c);
    }
}
