#include "base/digest.h"
#include "base/assert.h"
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

void gq_digest_start(struct gq_digest *d)
{
    d->context = EVP_MD_CTX_new();
    gq_assert(d->context && EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) == 1);
}

void gq_digest_part(struct gq_digest *d, const char *name, const void *bytes, size_t len)
{
    char head[128];
    int n = snprintf(head, sizeof head, "%s %zu\n", name, len);
    gq_assert(n > 0 && (size_t)n < sizeof head);
    gq_assert(EVP_DigestUpdate(d->context, head, (size_t)n) == 1);
    gq_assert(EVP_DigestUpdate(d->context, bytes, len) == 1);
}

void gq_digest_finish(struct gq_digest *d, char hex[GQ_DIGEST_HEX])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    gq_assert(EVP_DigestFinal_ex(d->context, raw, NULL) == 1);
    EVP_MD_CTX_free(d->context);
    d->context = NULL;
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

void gq_digest_bytes(const void *bytes, size_t len, uint8_t digest[32])
{
    gq_assert(EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) == 1);
}
