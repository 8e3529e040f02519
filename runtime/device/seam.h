/* seam.h - where a plugin's unit and the template meet when each is compiled by itself and a linker joins them.
 *
 * All that crosses is in registers: a MsgView would go through memory, for a call by the ABI passes its address.
 */
#ifndef GQ_DEVICE_SEAM_H
#define GQ_DEVICE_SEAM_H

#include <stdint.h>

/* The plugin's unit: one attempt at one message, by every thread that serves it. In thread scope it returns what the
 * plugin left in *out_len; otherwise `out_len` is shared by the team, and 0. */
extern "C" __device__ uint32_t gq_seam_call(const uint8_t *in, uint32_t in_len, uint64_t id, uint8_t *out, uint32_t cap,
                                            uint32_t *out_len);

/* The plugin's unit: its gq_migrate(), if it has one. */
extern "C" __device__ void gq_seam_migrate(const void *old_state, uint32_t old_bytes, uint32_t old_version,
                                           void *state);

/* The template: the stage's memory, or null. */
extern "C" __device__ void *gq_seam_state(void);

#endif
