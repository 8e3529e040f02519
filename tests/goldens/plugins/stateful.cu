/* stateful.cu - each message's result is the number of messages before it, as one digit.
 * For tests only. */
#include <gpuqueue/plugin.h>

GQ_STATE(4, 3);

__device__ void process_message(const MsgView &, ResultView *out)
{
    out->out[0] = (uint8_t)('0' + atomicAdd((unsigned *)gq_state(4), 1u) % 10);
    *out->out_len = 1;
}
