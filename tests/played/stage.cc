// A stage behind source.cc: it fails every message that is not what the source made.
#define GQ_IMAGE_KIND 0
#define GQ_PACKS 1
#include "played/warp.h"
#include "played/played.h"
#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    const uint64_t index = gq_id_seq(in.msg_id);
    bool right = in.len == played_len(played_by, index);
    for (uint32_t i = 0; i < in.len / 8; i++) {
        right = right && ((const uint64_t *)in.payload)[i] == index * 0x9e3779b97f4a7c15u + i;
        ((uint64_t *)out->out)[i] = ((const uint64_t *)in.payload)[i];
    }
    *out->out_len = in.len;
    if (!right)
        gq_fail(out, PLAYED_CODE_WRONG);
    else if (played_fails_late(played_by, index))
        gq_fail(out, PLAYED_CODE_STAGE);
    else if (played_drops(played_by, index))
        gq_drop(out);
}

#define GQ_ENTRY "played/entry.h"
#include <device/kernel.cu>
