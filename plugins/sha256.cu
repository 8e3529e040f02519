/* sha256.cu - the SHA-256 of each message (FIPS 180-4), as 64 hex digits.
 * One thread hashes one message; the rounds are written out so that the eight state words and the sixteen schedule
 * words stay in registers and rotate by name.
 *
 * Parameters
 *   uppercase  true: digits A to F instead of a to f */
#include <gpuqueue/plugin.h>

static __constant__ const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

__device__ static inline uint32_t turned(uint32_t x, int by) { return x >> by | x << (32 - by); }

__device__ static inline uint32_t bytes_swapped(uint32_t x)
{
    return x >> 24 | (x >> 8 & 0xff00u) | (x << 8 & 0xff0000u) | x << 24;
}

/* One round. The last term is the majority of a, b and c. The caller passes the state words shifted by one name each
 * time instead of moving them. */
#define ROUND(a, b, c, d, e, f, g, h, k, w)                                                                      \
    do {                                                                                                         \
        const uint32_t t = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + (g ^ (e & (f ^ g))) + (k) + (w); \
        d += t;                                                                                                  \
        h = t + (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + (((a ^ b) & (b ^ c)) ^ b);                      \
    } while (0)

/* Schedule word i of the next sixteen takes the place of word i of these. */
__device__ static inline uint32_t next_word(uint32_t w[16], int i)
{
    const uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
    return w[i] +=
           w[(i + 9) & 15] + (turned(x, 7) ^ turned(x, 18) ^ x >> 3) + (turned(y, 17) ^ turned(y, 19) ^ y >> 10);
}

/* Rounds k + i to k + i + 7; word(i) gives the schedule word. All numbers are constants, so nothing is indexed at run
 * time. */
#define EIGHT_ROUNDS(k, word, i)                                                \
    do {                                                                        \
        ROUND(a, b, c, d, e, f, g, h, round_constants[k + i + 0], word(i + 0)); \
        ROUND(h, a, b, c, d, e, f, g, round_constants[k + i + 1], word(i + 1)); \
        ROUND(g, h, a, b, c, d, e, f, round_constants[k + i + 2], word(i + 2)); \
        ROUND(f, g, h, a, b, c, d, e, round_constants[k + i + 3], word(i + 3)); \
        ROUND(e, f, g, h, a, b, c, d, round_constants[k + i + 4], word(i + 4)); \
        ROUND(d, e, f, g, h, a, b, c, round_constants[k + i + 5], word(i + 5)); \
        ROUND(c, d, e, f, g, h, a, b, round_constants[k + i + 6], word(i + 6)); \
        ROUND(b, c, d, e, f, g, h, a, round_constants[k + i + 7], word(i + 7)); \
    } while (0)
#define THIS(i) w[i]
#define NEXT(i) next_word(w, i)

__device__ static inline void add_block(uint32_t state[8], uint32_t w[16])
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    EIGHT_ROUNDS(0, THIS, 0);
    EIGHT_ROUNDS(0, THIS, 8);
    EIGHT_ROUNDS(16, NEXT, 0);
    EIGHT_ROUNDS(16, NEXT, 8);
    EIGHT_ROUNDS(32, NEXT, 0);
    EIGHT_ROUNDS(32, NEXT, 8);
    EIGHT_ROUNDS(48, NEXT, 0);
    EIGHT_ROUNDS(48, NEXT, 8);
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

/* The message's word at byte `at`, or what the padding puts there: the bit 1, then zeros. */
__device__ static inline uint32_t padded_word(const MsgView &in, uint32_t at)
{
    if (at + 4 <= in.len)
        return bytes_swapped(*(const uint32_t *)(in.payload + at));
    if (at > in.len)
        return 0;
    uint32_t word = 0x80;
    for (uint32_t i = in.len - at, shift = 8; i > 0; i--, shift += 8)
        word |= (uint32_t)in.payload[at + i - 1] << shift;
    return word << (24 - 8 * (in.len - at));
}

__device__ static inline void hash(const MsgView &in, uint32_t state[8])
{
    const uint32_t whole = in.len / 64, blocks = (in.len + 8) / 64 + 1;
    uint32_t w[16];
    for (uint32_t block = 0; block < blocks; block++) {
        const uint32_t *words = (const uint32_t *)(in.payload + block * 64);
#pragma unroll
        for (uint32_t i = 0; i < 16; i++)
            w[i] = block < whole ? bytes_swapped(words[i]) : padded_word(in, block * 64 + i * 4);
        if (block == blocks - 1) {
            w[14] = in.len >> 29; /* the length in bits */
            w[15] = in.len << 3;
        }
        add_block(state, w);
    }
}

/* Four hex digits of the low 16 bits, the first in the lowest byte. */
__device__ static inline uint32_t hex_digits(uint32_t v)
{
    const uint32_t nibbles = (v >> 12 & 0xf) | (v & 0xf00) | (v & 0xf0) << 12 | (v & 0xf) << 24;
    const uint32_t letters = (nibbles + 0x06060606u) >> 4 & 0x01010101u;
    return nibbles + 0x30303030u + letters * (GQ_PARAM(uppercase, false) ? 'A' - '9' - 1 : 'a' - '9' - 1);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = 64;
    if (out->cap < 64)
        return; /* reported, not written: the message fails with "overflow" */

    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    hash(in, state);
    uint32_t *digits = (uint32_t *)out->out;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        digits[2 * i] = hex_digits(state[i] >> 16);
        digits[2 * i + 1] = hex_digits(state[i]);
    }
}
