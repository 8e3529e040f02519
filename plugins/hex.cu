/* hex.cu - a message as hexadecimal digits, two for each byte. A warp shares a message, so it is for long ones as well;
 * hex.cubin beside it is this file, compiled ahead of time for one architecture with
 *
 *     nvcc -rdc=true -cubin -arch=sm_90 -Iinclude -o plugins/hex.cubin plugins/hex.cu
 *
 * so that nothing is left to compile when a pipeline starts. */
#include <gpuqueue/plugin.h>

GQ_SCOPE(warp);

__device__ static uint8_t digit(uint32_t value) { return (uint8_t)(value < 10 ? '0' + value : 'a' + value - 10); }

__device__ void process_message(const MsgView &in, ResultView *out)
{
    const uint32_t room = out->cap / 2, len = in.len < room ? in.len : room;
    for (uint32_t i = gq_rank(); i < len; i += gq_size()) {
        out->out[2 * i] = digit(in.payload[i] >> 4);
        out->out[2 * i + 1] = digit(in.payload[i] & 15);
    }
    if (gq_rank() == 0)
        *out->out_len = 2 * in.len;
}
