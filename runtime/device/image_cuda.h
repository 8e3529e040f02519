/* image_cuda.h - what a CUDA image says of itself: the end of the unit that holds the plugin's text, or stands for it.
 */
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

#endif
