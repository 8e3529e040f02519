/* link.h - the two control pages that a host process and its worker share, and how either side sleeps and wakes the
 * other.
 *
 * Sleeping is Dekker's pattern on both sides: a sleeper announces itself, looks once more, then waits; a publisher
 * publishes, then looks for sleepers. The full fences F1 to F4 make one of the two see the other.
 */
#ifndef GQ_RING_LINK_H
#define GQ_RING_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <gpuqueue/layout.h>
#include "base/error.h"

/* What a host thread that waits for results does before it sleeps, in this order. */
struct gq_link_wait {
    uint32_t looks;   /* one after another */
    uint64_t spin_ns; /* from then on, looking; UINT64_MAX: it never sleeps */
    uint32_t yields;  /* looks between which it gives its turn away */
};

/* Results that a worker has not made, whatever its words say. */
enum gq_foul {
    GQ_FOUL_NONE,
    GQ_FOUL_STALE,   /* by code that had been replaced before the message came */
    GQ_FOUL_SCRAWLED /* words that no worker writes: a plugin wrote over them */
};

struct gq_link {
    struct gq_host_page *host;     /* written by the host process */
    struct gq_worker_page *worker; /* written by the worker process */
    int host_fd, worker_fd;        /* host side: the files behind them; -1 on the worker's side */
    uint32_t dead;                 /* host side, atomic: the worker is reaped; what is not finished never will be */
    struct gq_link_wait wait;      /* host side */
    bool express;                  /* host side: the worker reads express lines; set before lanes are made */
    uint32_t generation;           /* host side, atomic: of the newest change that the worker has answered */
    uint32_t canary;               /* host side, atomic: of the newest canary, or when the newest worker took over, 0:
                                      neither was; in a lane, results of later generations come one generation after
                                      another, others may come mixed */
    uint32_t foul;                 /* host side, atomic: enum gq_foul; there is such a result, handed to nobody */
    uint32_t closing;              /* host side, atomic: nobody may begin to wait, those who wait give up */
};

/* Host: makes both pages. */
gq_status gq_link_create(struct gq_link *link);
/* Worker: maps the pages behind these descriptors, which stay the caller's. */
gq_status gq_link_attach(struct gq_link *link, int host_fd, int worker_fd);
/* Host: a fresh page for another worker, at the same address; the one before is reaped. On failure nothing changed. */
gq_status gq_link_renew(struct gq_link *link);
void gq_link_finish(struct gq_link *link); /* either side; takes a zeroed one */

/* Host: after publishing messages. Wakes a worker thread if some sleep and none looks for messages. */
void gq_link_ring_worker(struct gq_link *link);
/* Host: tells every worker thread to finish what it holds and leave. */
void gq_link_stop(struct gq_link *link);
/* Host: sleeps until results come, at most `timeout_ns`; `ready(arg)` is asked again before sleeping. */
void gq_link_wait_results(struct gq_link *link, uint64_t timeout_ns, bool (*ready)(void *arg), void *arg);
/* Host: lets every thread in gq_link_wait_results look again. */
void gq_link_kick(struct gq_link *link);
static inline bool gq_link_closing(const struct gq_link *link)
{
    return __atomic_load_n(&link->closing, __ATOMIC_ACQUIRE) != 0;
}
static inline bool gq_link_dead(const struct gq_link *link)
{
    return __atomic_load_n(&link->dead, __ATOMIC_ACQUIRE) != 0;
}

/* Worker: after publishing results. Wakes host threads that wait. */
void gq_link_ring_host(struct gq_link *link);
/* Worker: one thread sleeps until the host rings, at most `timeout_ns`; `ready(arg)` is asked again before. */
void gq_link_wait_work(struct gq_link *link, uint64_t timeout_ns, bool (*ready)(void *arg), void *arg);
/* Worker: the calling thread begins messages that take long, and looks for no others until gq_link_leave(). Another is
 * woken if `ready(arg)` says that there is more. */
void gq_link_occupy(struct gq_link *link, bool (*ready)(void *arg), void *arg);
void gq_link_leave(struct gq_link *link);
/* Worker: wakes one more sleeping thread, because there is more to do than the caller can take. */
void gq_link_recruit(struct gq_link *link);

#endif
