/* footprint.h - what a run takes, and whether that has grown. */
#ifndef TESTS_STRESS_FOOTPRINT_H
#define TESTS_STRESS_FOOTPRINT_H

#include <stdint.h>
#include "memory.h"

/* Files, mappings and processes: sums over this process and its children, zombies included. */
struct footprint_left {
    uint32_t files, mappings, children;
};

struct footprint {
    struct memory_sample memory;
    struct footprint_left left;
};

struct footprint_left footprint_left_now(void);
/* `cu` NULL: there is no device to ask. */
struct footprint footprint_now(const struct gq_cu_api *cu);
void footprint_print(const char *when, const struct footprint *f);

/* Is anything more in `end` than in `base`, by more than is noise? `say`: where that is told; NULL: nowhere. */
bool footprint_grew(const struct footprint *base, const struct footprint *end, FILE *say);

#endif
