#include <gpuqueue/plugin.h>
GQ_SCOPE(block, 32);
__device__ __noinline__ uint32_t deeper(volatile uint8_t *below, uint32_t level)
{
    volatile uint8_t here[256];
    here[level % 256] = below[0];
    return level < 1000000 ? deeper(here, level + 1) + here[0] : 0;
}
__device__ void process_message(const MsgView &in, ResultView *out)
{
    uint8_t start = static_cast<uint8_t>(in.len);
    gq_sync();
    if (gq_rank() == 1)
        *out->out_len = deeper(&start, 0);
}
