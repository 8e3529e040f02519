// What 32 threads of a warp do together.
#include <gpuqueue/plugin.h>
#include "check.h"

GQ_SCOPE(warp);
#define ALL 0xffffffffu

__device__ bool shuffles(uint32_t t)
{
    bool right = __shfl_sync(ALL, t * 2, 5) == 10;
    right &= __shfl_sync(ALL, t, 3, 8) == (t & ~7u) + 3;
    right &= __shfl_up_sync(ALL, t, 1) == (t == 0 ? 0 : t - 1);
    right &= __shfl_down_sync(ALL, t, 4) == (t < 28 ? t + 4 : t);
    right &= __shfl_xor_sync(ALL, t, 1) == (t ^ 1);
    right &= __shfl_down_sync(ALL, t, 1, 16) == (t % 16 < 15 ? t + 1 : t);
    right &= __shfl_sync(ALL, static_cast<double>(t) + 0.5, 2) == 2.5;
    right &= __shfl_sync(ALL, static_cast<float>(t) + 0.5f, 31) == 31.5f;
    right &= __shfl_sync(ALL, static_cast<long long>(t) << 40, 7) == 7ll << 40;
    right &= __shfl_sync(ALL, -static_cast<int>(t), 6) == -6;
    return right;
}

__device__ bool votes(uint32_t t)
{
    bool right = __ballot_sync(ALL, t % 2) == 0xaaaaaaaau;
    right &= __any_sync(ALL, t == 9) && !__any_sync(ALL, 0);
    right &= __all_sync(ALL, 1) && !__all_sync(ALL, t != 9);
    right &= __match_any_sync(ALL, t / 16) == (t < 16 ? 0x0000ffffu : 0xffff0000u);
    int same = -1;
    right &= __match_all_sync(ALL, 7u, &same) == ALL && same == 1;
    right &= __match_all_sync(ALL, t, &same) == 0 && same == 0;
    return right;
}

__device__ bool reductions(uint32_t t)
{
    const int s = static_cast<int>(t) - 16;
    bool right = __reduce_add_sync(ALL, t) == 496 && __reduce_add_sync(ALL, s) == -16;
    right &= __reduce_min_sync(ALL, s) == -16 && __reduce_max_sync(ALL, s) == 15;
    right &= __reduce_min_sync(ALL, t) == 0 && __reduce_max_sync(ALL, t) == 31;
    right &= __reduce_and_sync(ALL, t | 8) == 8 && __reduce_or_sync(ALL, t) == 31 && __reduce_xor_sync(ALL, t) == 0;
    return right;
}

// The halves of the warp do different things.
__device__ bool halves(uint32_t t)
{
    const uint32_t mask = t < 16 ? 0x0000ffffu : 0xffff0000u;
    bool right = true;
    if (t < 16)
        right &= __shfl_xor_sync(mask, t, 8) == (t ^ 8) && __reduce_add_sync(mask, 1u) == 16;
    else
        right &= __ballot_sync(mask, 1) == mask;
    __syncwarp();
    return right;
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    Checks c = {out, 0, 0};
    const uint32_t t = gq_rank();
    unsigned right[5];
    right[0] = __ballot_sync(ALL, shuffles(t));
    right[1] = __ballot_sync(ALL, votes(t));
    right[2] = __ballot_sync(ALL, reductions(t));
    right[3] = __ballot_sync(ALL, halves(t));
    right[4] = __ballot_sync(ALL, gq_size() == 32 && __activemask() == ALL && in.len > 0);
    gq_sync();
    if (t == 0) {
        CHECK(right[0] == ALL);
        CHECK(right[1] == ALL);
        CHECK(right[2] == ALL);
        CHECK(right[3] == ALL);
        CHECK(right[4] == ALL);
        finish(c);
    }
}
