/* sum.cu - eight bytes for each message: the sum of its 64-bit words. A warp reads a message, 16 bytes a thread at a
 * time, so that nearly all that crosses the bus comes in. Lengths are multiples of 16. */
#include <gpuqueue/plugin.h>

GQ_SCOPE(warp);

__device__ void process_message(const MsgView &in, ResultView *out)
{
    const uint4 *words = (const uint4 *)in.payload;
    uint64_t sum = 0;
    for (uint32_t i = gq_rank(); i < in.len / 16; i += gq_size()) {
        const uint4 v = words[i];
        sum += ((uint64_t)v.y << 32 | v.x) + ((uint64_t)v.w << 32 | v.z);
    }
    for (unsigned far = 16; far > 0; far /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, far);
    if (gq_rank() == 0) {
        *(uint64_t *)out->out = sum;
        *out->out_len = 8;
    }
}
