#include <gpuqueue/plugin.h>
#include <assert.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    assert(in.len > 1000);
    *out->out_len = 0;
}
