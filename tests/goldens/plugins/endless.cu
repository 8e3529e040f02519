/* endless.cu - the empty message never ends.
 * For tests only. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    volatile uint32_t len = in.len;
    while (len == 0) {
    }
    *out->out_len = 0;
}
