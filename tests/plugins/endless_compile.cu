#include <gpuqueue/plugin.h>
template <unsigned N, unsigned M> struct Slow {
    static constexpr unsigned value = Slow<N - 1, M>::value + Slow<N - 1, M + (1u << (N % 31))>::value;
};
template <unsigned M> struct Slow<0, M> {
    static constexpr unsigned value = M;
};
__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = Slow<26, 0>::value & 0xfu; }
