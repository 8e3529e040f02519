#include <gpuqueue/plugin.h>
GQ_STATE(4, 1);
__device__ void process_message(const MsgView &in, ResultView *out)
{
    uint32_t *attempts = static_cast<uint32_t *>(gq_state(4));
    if (++*attempts <= 2)
        return gq_fail(out, 77);
    *out->out_len = in.len;
}
