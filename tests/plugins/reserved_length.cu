#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = 0xfffffffeu; }
