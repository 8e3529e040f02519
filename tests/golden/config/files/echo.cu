#include <gpuqueue/plugin.h>

/* The names that the pipelines beside this give values to. */
#define PARAMS                                                                                                         \
    GQ_PARAM(a, 0), GQ_PARAM(block, 0), GQ_PARAM(control, 0), GQ_PARAM(empty, 0), GQ_PARAM(escaped, 0),                \
        GQ_PARAM(hex, 0), GQ_PARAM(least, 0), GQ_PARAM(most, 0), GQ_PARAM(number, 0), GQ_PARAM(quoted, 0),             \
        GQ_PARAM(quoted_number, 0), GQ_PARAM(quoted_word, 0), GQ_PARAM(real, 0), GQ_PARAM(text, 0), GQ_PARAM(tiny, 0), \
        GQ_PARAM(unicode, 0), GQ_PARAM(uppercase, 0), GQ_PARAM(y, 0), GQ_PARAM(yes_, 0)

__device__ void process_message(const MsgView &in, ResultView *out)
{
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
