/* image_cuda.h - what a CUDA image says of itself, and how it takes over the memory of another version of its stage.
 * The end of the unit that holds the plugin's text, or stands for it. */
#ifndef GQ_DEVICE_IMAGE_CUDA_H
#define GQ_DEVICE_IMAGE_CUDA_H

#include <device/declared.h>

/* For who loads it: the words of struct gq_cpu_image before `run`, in order. */
extern "C" __device__ __constant__ const uint32_t gq_cuda_image[10] = {0x494d4751u,
                                                                       GQ_PLUGIN_ABI,
                                                                       GQ_IMAGE_KIND,
                                                                       gq_scope::kind,
                                                                       gq_scope::threads,
                                                                       gq_state_declared::bytes,
                                                                       gq_state_declared::version,
                                                                       sizeof(MsgView),
                                                                       sizeof(ResultView),
                                                                       gq_migration::value};

#if !defined(GQ_LINKED)
/* By one thread, while no message is served. */
extern "C" __global__ void gq_migrate_main(const void *old_state, uint32_t old_bytes, uint32_t old_version, void *state)
{
    if constexpr (gq_migration::value)
        gq_migrate(old_state, old_bytes, old_version, state);
}
#endif

#endif
