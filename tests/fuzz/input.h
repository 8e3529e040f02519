/* input.h - the bytes of an input as a row of choices: zeros when there are no more. */
#ifndef GQ_TESTS_FUZZ_INPUT_H
#define GQ_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *at, *end;
};

static inline bool input_ended(const struct input *in) { return in->at == in->end; }

/* The next `bytes`, at most 8, as a little-endian number. */
static inline uint64_t input_number(struct input *in, size_t bytes)
{
    const size_t left = (size_t)(in->end - in->at), n = left < bytes ? left : bytes;
    uint64_t number = 0;
    if (n)
        memcpy(&number, in->at, n);
    in->at += n;
    return number;
}

static inline uint32_t input_byte(struct input *in) { return (uint32_t)input_number(in, 1); }

/* 0 to `count` - 1, from one byte. */
static inline uint32_t input_choice(struct input *in, uint32_t count) { return input_byte(in) % count; }

/* Small numbers mostly, and any number at all. */
static inline uint64_t input_any(struct input *in)
{
    const uint32_t b = input_byte(in);
    return b < 0xf8 ? b : b < 0xfc ? input_number(in, 4) : b < 0xff ? input_number(in, 8) : UINT64_MAX;
}

#endif
