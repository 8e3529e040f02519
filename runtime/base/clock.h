/* clock.h - monotonic time and deadlines, and the time of day. */
#ifndef GQ_BASE_CLOCK_H
#define GQ_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define GQ_MS_FOREVER UINT32_MAX

uint64_t gq_clock_ns(void); /* CLOCK_MONOTONIC */
uint64_t gq_clock_unix_ns(void);
/* The time at which `timeout_ms` from now ends; GQ_MS_FOREVER gives UINT64_MAX. */
uint64_t gq_clock_deadline(uint32_t timeout_ms);
bool gq_clock_past(uint64_t deadline_ns);
/* What poll() is told, rounded up: -1 for ever, and at most INT_MAX, so that whoever waits longer asks again. */
int gq_clock_poll_ms(uint64_t deadline_ns);

/* One turn of a spin loop: gives the other hardware thread of this core the pipeline for a moment. */
static inline void gq_cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
