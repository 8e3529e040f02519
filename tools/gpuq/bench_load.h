/* bench_load.h - producers that keep lanes full, or send at their own pace, and check every reply. */
#ifndef GPUQ_BENCH_LOAD_H
#define GPUQ_BENCH_LOAD_H

#include "bench.h"

#define BENCH_BATCH 256u     /* messages claimed, or results peeked, at a time */
#define BENCH_FULL_CHECK 64u /* every so many replies one is compared in full, and one timed */
#define BENCH_MESSAGE_MAX 4096u
#define BENCH_BURST 32u            /* messages that are due at the same moment, where there is a pace */
#define BENCH_PACE_A_PRODUCER 25e6 /* messages a second that one thread sends and checks with time to spare */

enum bench_reply {
    BENCH_ECHO,  /* the message */
    BENCH_SUM,   /* 8 bytes: the sum of its words */
    BENCH_SHA256 /* 64 hex digits */
};

struct bench_load {
    GpuQueue *q;
    uint32_t bytes, capacity; /* of a message; of the lane */
    enum bench_reply reply;
    const uint8_t *copied; /* every message is a copy of this one, and every reply is copied out; NULL: made in place */
    uint64_t first_id, sent, taken, wrong;
    uint64_t seen_ns; /* when the last replies were found, before they were compared */
    uint64_t *due_ns; /* of every 64th message in flight: when it began to be made; NULL: nothing is timed */
    struct bench_times *times;
    struct bench_times *gaps; /* atomic; where the time around a change of code goes; NULL: nowhere */
    uint32_t generation;      /* of the last reply */
};

/* With `timed`, memory for the times of messages in flight, to be freed by bench_load_finish(). */
gq_status bench_load_init(struct bench_load *l, GpuQueue *q, uint32_t bytes, uint32_t capacity, enum bench_reply reply,
                          bool timed);
void bench_load_finish(struct bench_load *l);

/* Sends up to `want` messages, at most BENCH_BATCH, as the lane has room; how many. */
uint32_t bench_load_send(struct bench_load *l, uint32_t want, uint64_t now_ns);
/* One burst is due every `gap_ns` from `start_ns` on. Sends up to a batch of what is due; the rest stays due. */
void bench_load_send_due(struct bench_load *l, uint64_t start_ns, double gap_ns, uint64_t now_ns);
/* Takes up to BENCH_BATCH replies and checks them; how many. */
uint32_t bench_load_take(struct bench_load *l, uint32_t timeout_ms);
/* Keeps the lane full for `seconds`; the rate of replies. */
double bench_load_drive(struct bench_load *l, double seconds);
/* Takes what is missing; an error if it does not come, or if any reply was wrong. */
gq_status bench_load_drain(struct bench_load *l);

/* What `count` producers are to do at once, each with a lane of its own. */
struct bench_spec {
    uint32_t count, bytes, capacity;
    enum bench_reply reply;
};
/* Sets the row's rate, the sum of all, and its times. */
gq_status bench_run_producers(GpuQueue *q, const struct bench_spec *spec, double seconds, struct bench_row *row);
/* A row of `test` for each number of producers that bench_producers lists; `spec.count` is set here. */
gq_status bench_each_count(struct bench *b, GpuQueue *q, struct bench_spec spec, const char *test,
                           uint32_t shown_bytes);
/* bench_paced.c: echo of 64 B at `rate`, shared by `producers`; sets the row's rate, times and note. */
gq_status bench_pace(struct bench *b, uint32_t producers, double rate, struct bench_row *row);
/* "gpuqueue, 2 producers" */
void bench_name(struct bench_row *row, const char *who, uint32_t producers);

#endif
