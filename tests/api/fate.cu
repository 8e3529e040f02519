// TEST ONLY: the message says what becomes of it: drop, fail, segv, hang, slow (a second on a CPU); anything else is echoed.
#include <gpuqueue/plugin.h>

static __device__ bool is(const MsgView &in, const char *word)
{
    for (uint32_t i = 0; i < 4; i++)
        if (in.len < 4 || in.payload[i] != (uint8_t)word[i])
            return false;
    return true;
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (is(in, "drop"))
        return gq_drop(out);
    if (is(in, "fail"))
        return gq_fail(out, 42);
    if (is(in, "segv"))
        out->out[0] = *(volatile uint8_t *)8;
    for (volatile int forever = 1; forever && is(in, "hang");)
        continue;
    for (long long end = is(in, "slow") ? clock64() + 1000000000 : 0; clock64() < end;)
        continue;
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
