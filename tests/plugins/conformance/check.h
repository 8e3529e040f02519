// check.h - results of a conformance plugin: the number of checks, then the line of each that failed.
#pragma once
#include <gpuqueue/plugin.h>

struct Checks {
    ResultView *out;
    uint32_t made, failed;
};

__device__ inline void check(Checks &c, bool holds, uint32_t line)
{
    c.made++;
    uint32_t *words = reinterpret_cast<uint32_t *>(c.out->out);
    if (!holds && (c.failed + 2) * 4 <= c.out->cap)
        words[++c.failed] = line;
}

__device__ inline void finish(Checks &c)
{
    *reinterpret_cast<uint32_t *>(c.out->out) = c.made;
    *c.out->out_len = (c.failed + 1) * 4;
}

__device__ inline bool near(double a, double b) { return fabs(a - b) <= 1e-5 * fmax(1.0, fabs(b)); }

#define CHECK(condition) check(c, (condition), __LINE__)
