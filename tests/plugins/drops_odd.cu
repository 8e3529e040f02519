#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.msg_id % 2)
        return gq_drop(out);
    *out->out_len = in.len;
}
