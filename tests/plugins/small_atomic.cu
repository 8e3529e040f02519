#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    uint8_t count = 0;
    atomicAdd(&count, in.len);
    *out->out_len = count;
}
