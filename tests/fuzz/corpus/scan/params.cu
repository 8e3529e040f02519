#include <gpuqueue/plugin.h>
static_assert(GQ_PARAM(count, 3) >= 0, "a parameter is a compile-time constant");
__device__ void process_message(const MsgView &, ResultView *out)
{
    const char *text = GQ_PARAM(text, "none");
    uint32_t n = 0;
    while (text[n] && n < 64) {
        out->out[n] = static_cast<uint8_t>(text[n]);
        n++;
    }
    out->out[n++] = GQ_PARAM(flag, false) ? 'y' : 'n';
    out->out[n++] = static_cast<uint8_t>('0' + GQ_PARAM(count, 3));
    out->out[n++] = static_cast<uint8_t>('0' + static_cast<int>(GQ_PARAM(scale, 1.5) * 2));
    out->out[n++] = GQ_PARAM(lowest, 0) < 0 ? '-' : '+';
    *out->out_len = n;
}
