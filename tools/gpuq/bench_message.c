#include "bench_message.h"

/* Word k of a slot's filling is of_slot + k * STEP: every word differs from its neighbours and from the same word of
 * other slots, and the sum of all has a closed form. */
#define STEP 0xbf58476d1ce4e5b9u

static uint64_t of_slot(uint64_t slot) { return (slot + 1) * 0x9e3779b97f4a7c15u; }

void bench_message_fill(uint8_t *to, uint32_t bytes, uint64_t slot, uint64_t n)
{
    for (uint32_t k = 1; k + 1 < bytes / 8; k++) {
        uint64_t word = of_slot(slot) + k * STEP;
        memcpy(to + (size_t)k * 8, &word, sizeof word);
    }
    bench_message_number(to, bytes, n);
}

bool bench_message_whole(const uint8_t *got, uint32_t bytes, uint64_t slot, uint64_t n)
{
    for (uint32_t k = 1; k + 1 < bytes / 8; k++) {
        uint64_t word;
        memcpy(&word, got + (size_t)k * 8, sizeof word);
        if (word != of_slot(slot) + k * STEP)
            return false;
    }
    return bench_message_ends(got, bytes, n);
}

uint64_t bench_message_sum(uint32_t bytes, uint64_t slot, uint64_t n)
{
    uint64_t inner = bytes / 8 - 2;
    return 2 * n + inner * of_slot(slot) + inner * (inner + 1) / 2 * STEP;
}
