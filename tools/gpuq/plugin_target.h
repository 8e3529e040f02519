/* plugin_target.h - what an image is built for, and what it takes there. */
#ifndef GPUQ_PLUGIN_TARGET_H
#define GPUQ_PLUGIN_TARGET_H

#include "build/build.h"
#include "build/elf.h"
#include "plugin_args.h"

/* *arch: 0 for the CPU backend, 90 for sm_90: as asked for, or as the GPU of this machine has it. */
gq_status plugin_target_choose(const struct plugin_args *args, uint32_t *arch);
/* "cpu", "cuda (sm_90)". */
void plugin_target_name(uint32_t arch, struct gq_text *out);

struct plugin_usage {
    struct gq_cuda_usage cuda;
    uint32_t spill_stores, spill_loads; /* bytes a thread */
};
/* Of a cubin. */
gq_status plugin_target_usage(const struct gq_image *image, struct plugin_usage *out);

#endif
