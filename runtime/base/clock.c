#include "base/clock.h"
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t gq_clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t gq_clock_unix_ns(void) { return read_clock(CLOCK_REALTIME); }

uint64_t gq_clock_deadline(uint32_t timeout_ms)
{
    return timeout_ms == GQ_MS_FOREVER ? UINT64_MAX : gq_clock_ns() + (uint64_t)timeout_ms * 1000000u;
}

bool gq_clock_past(uint64_t deadline_ns) { return deadline_ns != UINT64_MAX && gq_clock_ns() >= deadline_ns; }
