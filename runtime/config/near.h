/* near.h - did you mean? The known word that takes the fewest edits from what was written. */
#ifndef GQ_CONFIG_NEAR_H
#define GQ_CONFIG_NEAR_H

#include <stddef.h>

struct gq_near {
    const char *written, *best; /* best: NULL while nothing is near enough */
    size_t distance;            /* of best; at first, the least that is too far */
};

struct gq_near gq_near_start(const char *written);
void gq_near_offer(struct gq_near *near, const char *known);

#endif
