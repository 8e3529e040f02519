/* endless.cu - the empty message never ends.
 * For tests only. */
#include <gpuqueue/plugin.h>

/* Outside of the function: a volatile local is a register on a device, and ptxas leaves out a loop over registers. */
static __device__ volatile uint32_t forever = 1;

__device__ void process_message(const MsgView &in, ResultView *out)
{
    while (in.len == 0 && forever) {
    }
    *out->out_len = 0;
}
