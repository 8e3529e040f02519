#include "base/clock.h"
#include <limits.h>
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

int gq_clock_poll_ms(uint64_t deadline_ns)
{
    const uint64_t now = gq_clock_ns();
    if (deadline_ns == UINT64_MAX)
        return -1;
    const uint64_t ms = now < deadline_ns ? (deadline_ns - now + 999999) / 1000000 : 0;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}
