/* echo.cu - every message comes out as it went in.
 * One thread copies a message sixteen bytes at a time, which is the widest load and store that a GPU thread has, and
 * four at once: a store could change what the next load reads, as far as the compiler knows, so each would wait for the
 * other. */
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = in.len;
    if (in.len > out->cap)
        return; /* reported, not written: the message fails with "overflow" */

    const uint4 *from = (const uint4 *)in.payload;
    uint4 *to = (uint4 *)out->out;
    const uint32_t wide = in.len / 16;
    uint32_t done = 0;
    for (; done + 4 <= wide; done += 4) {
        const uint4 a = from[done], b = from[done + 1], c = from[done + 2], d = from[done + 3];
        to[done] = a;
        to[done + 1] = b;
        to[done + 2] = c;
        to[done + 3] = d;
    }
    for (; done < wide; done++)
        to[done] = from[done];
    for (uint32_t i = wide * 16; i < in.len; i++)
        out->out[i] = in.payload[i];
}
