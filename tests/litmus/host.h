/* host.h - the host's side of a litmus row: threads that send messages and check what comes back, until time is over.
 */
#ifndef TESTS_LITMUS_HOST_H
#define TESTS_LITMUS_HOST_H

#include "litmus/litmus.h"
#include <stdbool.h>

/* The memory of all lanes as the host sees it. */
struct litmus_host {
    struct gq_lane_view lane[LITMUS_LANES];
    struct gq_unit *to_device[LITMUS_LANES], *to_host[LITMUS_LANES];
};

/* Runs the threads of `ring` or `unit` for `ns`; with `alone`, a thread of the host plays the device as well. Returns
 * what was received and how many words of it were wrong. */
struct litmus_count litmus_host_run(const struct litmus_host *h, bool units, enum litmus_plant plant, uint64_t ns,
                                    bool alone);

#endif
