/* rot13.cu - every letter moves by 13 places of the alphabet, all other bytes stay as they are: twice is the message
 * again. One thread a message, for lines of text; rot13.ptx beside it is this file, compiled ahead of time with
 *
 *     nvcc -rdc=true -ptx -arch=sm_80 -Iinclude -o plugins/rot13.ptx plugins/rot13.cu
 *
 * and runs on every GPU from sm_80 on, where there is no NVRTC at work on your source. */
#include <gpuqueue/plugin.h>

__device__ static uint8_t turn(uint8_t c)
{
    const uint8_t letter = (uint8_t)((c | 0x20) - 'a');
    if (letter >= 26)
        return c;
    return (uint8_t)(letter < 13 ? c + 13 : c - 13);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    const uint32_t len = in.len < out->cap ? in.len : out->cap;
    for (uint32_t i = 0; i < len; i++)
        out->out[i] = turn(in.payload[i]);
    *out->out_len = in.len;
}
