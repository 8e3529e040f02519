/* bench_message.h - what the messages of a benchmark hold, and how a reply is told from a wrong one.
 *
 * Message n of a producer begins and ends with the word n; between them lie words that depend on its slot, which is
 * n modulo the lane's capacity. So a slot is filled once, in the first lap, and later only its two ends are written: a
 * benchmark of big messages that copied them whole would measure memcpy.
 */
#ifndef GPUQ_BENCH_MESSAGE_H
#define GPUQ_BENCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline void bench_message_number(uint8_t *to, uint32_t bytes, uint64_t n)
{
    memcpy(to, &n, sizeof n);
    memcpy(to + bytes - sizeof n, &n, sizeof n);
}

static inline bool bench_message_ends(const uint8_t *got, uint32_t bytes, uint64_t n)
{
    uint64_t first, last;
    memcpy(&first, got, sizeof first);
    memcpy(&last, got + bytes - sizeof last, sizeof last);
    return first == n && last == n;
}

/* All of message n; `bytes` is a multiple of 8, at least 16. */
void bench_message_fill(uint8_t *to, uint32_t bytes, uint64_t slot, uint64_t n);
bool bench_message_whole(const uint8_t *got, uint32_t bytes, uint64_t slot, uint64_t n);
/* The sum of its 64-bit words, as tools/bench/sum.cu makes it. */
uint64_t bench_message_sum(uint32_t bytes, uint64_t slot, uint64_t n);

#endif
