/* payload.h - bytes that depend on a key alone, so that whoever knows the key can check every one of them. */
#ifndef TESTS_STRESS_PAYLOAD_H
#define TESTS_STRESS_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t payload_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline void payload_fill(uint8_t *to, uint32_t len, uint64_t key)
{
    for (uint32_t at = 0; at < len; at += 8) {
        uint64_t word = payload_mix(key + at);
        memcpy(to + at, &word, len - at < 8 ? len - at : 8);
    }
}

static inline bool payload_is(const uint8_t *bytes, uint32_t len, uint64_t key)
{
    for (uint32_t at = 0; at < len; at += 8) {
        uint64_t word = payload_mix(key + at);
        if (memcmp(bytes + at, &word, len - at < 8 ? len - at : 8) != 0)
            return false;
    }
    return true;
}

/* xorshift64*: the tests' own dice. */
static inline uint64_t payload_dice(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

#endif
