/* @NAME@.cu - shifts the letters a to z and A to Z by `shift` places; every other byte stays as it is.
 * One thread serves one message.
 *
 * Parameters
 *   shift  places, 0 to 25 */
#include <gpuqueue/plugin.h>

constexpr int shift = GQ_PARAM(shift, 13);
static_assert(shift >= 0 && shift < 26, "params.shift: 0 to 25");

__device__ static uint8_t shifted(uint8_t c, uint8_t first) { return (uint8_t)(first + (c - first + shift) % 26); }

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = in.len;
    if (in.len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */

    for (uint32_t i = 0; i < in.len; i++) {
        uint8_t c = in.payload[i];
        if (c >= 'a' && c <= 'z')
            c = shifted(c, 'a');
        else if (c >= 'A' && c <= 'Z')
            c = shifted(c, 'A');
        out->out[i] = c;
    }
}
