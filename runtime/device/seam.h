/* seam.h - where a plugin's unit and the template meet when each is compiled by itself and a linker joins them.
 *
 * All that crosses is in registers: a MsgView would go through memory, for a call by the ABI passes its address.
 */
#ifndef GQ_DEVICE_SEAM_H
#define GQ_DEVICE_SEAM_H

#include <stdint.h>

/* The plugin's unit: one attempt at one message, by every thread that serves it. In thread scope it returns what the
 * plugin left in *out_len; otherwise `out_len` is shared by the team, and 0.
 *
 * With a cap of GQ_SEAM_MIGRATE it is gq_migrate() that is called, by one thread, with `in`, `in_len`, `id` for the old
 * memory, its size and version, and `out` for the new: a function more would make every image slower to load. */
#define GQ_SEAM_MIGRATE 0xffffffffu
extern "C" __device__ uint32_t gq_seam_call(const uint8_t *in, uint32_t in_len, uint64_t id, uint8_t *out, uint32_t cap,
                                            uint32_t *out_len);

/* The template: the stage's memory, or null. */
extern "C" __device__ void *gq_seam_state(void);

#endif
