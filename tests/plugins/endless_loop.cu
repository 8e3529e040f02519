#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    volatile uint32_t n = in.len;
    while (n < 0xffffffffu)
        n = in.len;
    *out->out_len = n;
}
