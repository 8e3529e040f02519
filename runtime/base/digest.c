/* The functions that libcrypto calls deprecated: those that it offers instead allocate, and an application that is out
 * of memory wants a sentence, not an end. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"
#include "base/assert.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct gq_digest) && _Alignof(SHA256_CTX) <= 8, "the state has room");

static SHA256_CTX *state_of(struct gq_digest *d) { return (SHA256_CTX *)(void *)d->state; }

void gq_digest_start(struct gq_digest *d) { gq_assert(SHA256_Init(state_of(d)) == 1); }

void gq_digest_part(struct gq_digest *d, const char *name, const void *bytes, size_t len)
{
    char head[128];
    int n = snprintf(head, sizeof head, "%s %zu\n", name, len);
    gq_assert(n > 0 && (size_t)n < sizeof head);
    gq_assert(SHA256_Update(state_of(d), head, (size_t)n) == 1);
    gq_assert(SHA256_Update(state_of(d), bytes, len) == 1);
}

void gq_digest_finish(struct gq_digest *d, char hex[GQ_DIGEST_HEX])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    gq_assert(SHA256_Final(raw, state_of(d)) == 1);
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

void gq_digest_bytes(const void *bytes, size_t len, uint8_t digest[32])
{
    SHA256_CTX state;
    gq_assert(SHA256_Init(&state) == 1 && SHA256_Update(&state, bytes, len) == 1 && SHA256_Final(digest, &state) == 1);
}
