/* grep.cu - messages that contain the bytes of `pattern` pass unchanged, all others are dropped.
 * The pattern is a plain string and not an expression, and a compile-time constant, so the search is made for it.
 *
 * Parameters
 *   pattern      what to look for; the empty pattern is in every message
 *   ignore_case  true: ASCII letters match in either case
 *   invert       true: messages that contain the pattern are dropped, all others pass */
#include <gpuqueue/plugin.h>

__device__ static uint8_t folded(uint8_t c)
{
    return GQ_PARAM(ignore_case, false) && c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

__device__ static bool matches_at(const uint8_t *text, const char *pattern, uint32_t pattern_len)
{
    for (uint32_t i = 0; i < pattern_len; i++)
        if (folded(text[i]) != folded((uint8_t)pattern[i]))
            return false;
    return true;
}

__device__ static bool contains_pattern(const MsgView &in)
{
    const char *pattern = GQ_PARAM(pattern, "");
    const uint32_t pattern_len = sizeof(GQ_PARAM(pattern, "")) - 1; /* a literal: zero bytes inside count too */
    for (uint32_t at = 0; at + pattern_len <= in.len; at++)
        if (matches_at(in.payload + at, pattern, pattern_len))
            return true;
    return false;
}

__device__ static void pass(const MsgView &in, ResultView *out)
{
    *out->out_len = in.len;
    if (in.len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */
    for (uint32_t i = 0; i < in.len; i++)
        out->out[i] = in.payload[i];
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (contains_pattern(in) != GQ_PARAM(invert, false))
        pass(in, out);
    else
        gq_drop(out);
}
