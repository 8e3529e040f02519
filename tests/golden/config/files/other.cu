#include <gpuqueue/plugin.h>

/* The name that a pipeline beside this gives a value to. */
#define PARAMS GQ_PARAM(step, 0)

__device__ void process_message(const MsgView &in, ResultView *out)
{
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
