#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.msg_id == 3)
        *reinterpret_cast<volatile uint32_t *>(in.len) = 1;
    *out->out_len = 0;
}
