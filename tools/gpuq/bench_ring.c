/* The competitors that need no plugin: a bare ring between two threads, and pipes between two processes. */
#include "bench.h"
#include "bench_message.h"
#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a bare C11 ring: head and tail, nothing else ----------------------------------------------------------------- */

struct ring {
    _Alignas(128) uint64_t tail; /* written by the producer */
    _Alignas(128) uint64_t head; /* written by the consumer */
    uint8_t *slots;
    uint32_t mask, bytes;
};

struct pair {
    struct ring there, back;
    uint32_t batch;
    uint32_t stop;
};

static uint8_t *slot(const struct ring *r, uint64_t seq) { return r->slots + (seq & r->mask) * r->bytes; }

static uint64_t acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

static void release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static void give_way(uint32_t *idle)
{
    if (++*idle < 64)
        gq_cpu_relax();
    else
        sched_yield();
}

static void *echo(void *arg)
{
    struct pair *p = arg;
    uint64_t seq = 0;
    uint32_t idle = 0;
    while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
        uint64_t end = acquire(&p->there.tail);
        if (end - seq > p->batch)
            end = seq + p->batch;
        if (seq == end) {
            give_way(&idle);
            continue;
        }
        idle = 0;
        for (; seq < end; seq++)
            memcpy(slot(&p->back, seq), slot(&p->there, seq), p->there.bytes);
        release(&p->there.head, seq);
        release(&p->back.tail, seq);
    }
    return NULL;
}

/* Puts what fits and takes what came, in batches, copying each message in and out; returns those that came back right.
 */
static uint64_t drive(struct pair *p, double seconds)
{
    uint8_t message[4096] = {1}, got[4096];
    uint64_t wrong = 0, sent = 0, taken = 0, capacity = p->there.mask + 1,
             end_ns = gq_clock_ns() + (uint64_t)(seconds * 1e9);
    uint32_t idle = 0;
    while (gq_clock_ns() < end_ns) {
        uint64_t room = taken + capacity - sent;
        for (uint64_t n = room < p->batch ? room : p->batch; n > 0; n--, sent++) {
            bench_message_number(message, p->there.bytes, sent);
            memcpy(slot(&p->there, sent), message, p->there.bytes);
        }
        release(&p->there.tail, sent);
        uint64_t end = acquire(&p->back.tail);
        if (end == taken && room == 0)
            give_way(&idle);
        for (; taken < end; taken++, idle = 0) {
            memcpy(got, slot(&p->back, taken), p->back.bytes);
            wrong += !bench_message_ends(got, p->back.bytes, taken);
        }
        release(&p->back.head, taken);
    }
    return taken - wrong;
}

double bench_bare_ring(double seconds, uint32_t bytes, uint32_t capacity, uint32_t batch)
{
    struct pair p = {.batch = batch};
    pthread_t thread;
    p.there = p.back = (struct ring){.mask = capacity - 1, .bytes = bytes};
    p.there.slots = calloc(capacity, bytes);
    p.back.slots = calloc(capacity, bytes);
    double rate = 0;
    if (p.there.slots && p.back.slots && pthread_create(&thread, NULL, echo, &p) == 0) {
        uint64_t start = gq_clock_ns(), count = drive(&p, seconds);
        rate = (double)count * 1e9 / (double)(gq_clock_ns() - start);
        __atomic_store_n(&p.stop, 1, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
    }
    free(p.there.slots);
    free(p.back.slots);
    return rate;
}

/* --- two pipes and a child ---------------------------------------------------------------------------------------- */

static _Noreturn void pipe_child(int in, int out, uint32_t bytes)
{
    uint8_t buffer[4096];
    while (read(in, buffer, bytes) == (ssize_t)bytes && write(out, buffer, bytes) == (ssize_t)bytes)
        continue;
    _exit(0);
}

static void ping(int out, int in, uint32_t bytes, double seconds, struct bench_times *times)
{
    uint8_t buffer[4096] = {0};
    uint64_t end = gq_clock_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t now = gq_clock_ns(); now < end;) {
        uint64_t start = now;
        if (write(out, buffer, bytes) != (ssize_t)bytes || read(in, buffer, bytes) != (ssize_t)bytes)
            return;
        now = gq_clock_ns();
        bench_times_add(times, now - start, 1);
    }
}

static gq_status open_pipes(int there[2], int back[2])
{
    if (pipe(there) != 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "pipe");
    if (pipe(back) == 0)
        return GQ_OK;
    gq_status status = gq_error_errno(GQ_ERR_NO_MEMORY, errno, "pipe");
    close(there[0]), close(there[1]);
    return status;
}

static gq_status run_pipes(double seconds, uint32_t bytes, struct bench_times *times)
{
    int there[2], back[2];
    gq_status status = open_pipes(there, back);
    if (status != GQ_OK)
        return status;
    pid_t child = fork();
    if (child == 0) {
        close(there[1]), close(back[0]);
        pipe_child(there[0], back[1], bytes);
    }
    if (child < 0)
        status = gq_error_errno(GQ_ERR_NO_MEMORY, errno, "fork");
    close(there[0]), close(back[1]);
    if (child > 0)
        ping(there[1], back[0], bytes, seconds, times);
    close(there[1]), close(back[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return status;
}

gq_status bench_pipe_round_trips(double seconds, uint32_t bytes, struct bench_row *row)
{
    struct bench_times *times = calloc(1, sizeof *times);
    if (!times)
        return gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
    gq_status status = run_pipes(seconds, bytes, times);
    row->rate_per_s = (double)times->total / seconds;
    bench_row_times(row, times);
    free(times);
    return status;
}
