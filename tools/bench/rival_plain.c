/* A plugin's function in a plain kernel over messages that are in the device's memory already; and a word to a running
 * kernel and back. */
#include "base/clock.h"
#include "base/digest.h"
#include "bench_message.h"
#include "rivals.h"
#include <stdio.h>

/* --- sha256 ------------------------------------------------------------------------------------------------------- */

#define BYTES 1024u
#define MESSAGES 262144u /* two to a thread of the largest devices; 256 MiB */
#define DIGEST 64u
#define THREADS 128u

struct hash {
    struct rival_pages in, out;
    gq_cu_ptr device_in, device_out;
    gq_cu_stream stream;
};

static gq_status take_hash(const struct rival *r, struct hash *h)
{
    gq_status status = rival_pages_take(r, (size_t)MESSAGES * BYTES, &h->in);
    if (status == GQ_OK)
        status = rival_pages_take(r, (size_t)MESSAGES * DIGEST, &h->out);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&h->device_in, h->in.bytes), "cuMemAlloc");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&h->device_out, h->out.bytes), "cuMemAlloc");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.stream_create(&h->stream, GQ_CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    for (uint32_t n = 0; n < MESSAGES && status == GQ_OK; n++)
        bench_message_fill((uint8_t *)h->in.host + (size_t)n * BYTES, BYTES, n, n);
    if (status == GQ_OK)
        status =
            rival_check(r, r->cu.copy_to_device(h->device_in, h->in.host, h->in.bytes, h->stream), "cuMemcpyHtoDAsync");
    return status;
}

static void give_hash(const struct rival *r, struct hash *h)
{
    if (h->stream)
        r->cu.stream_destroy(h->stream);
    if (h->device_out)
        r->cu.mem_free(h->device_out);
    if (h->device_in)
        r->cu.mem_free(h->device_in);
    rival_pages_give(r, &h->out);
    rival_pages_give(r, &h->in);
}

static gq_status hash_once(const struct rival *r, struct hash *h)
{
    uint32_t bytes = BYTES, messages = MESSAGES;
    void *params[] = {&h->device_in, &h->device_out, &bytes, &messages};
    return rival_launch(r, r->sha256, MESSAGES / THREADS, THREADS, h->stream, params);
}

/* Every 64th digest, as the producers of gpuqueue check theirs. */
static gq_status check_hashes(const struct rival *r, struct hash *h)
{
    gq_status status = rival_check(r, r->cu.copy_from_device(h->out.host, h->device_out, h->out.bytes, h->stream),
                                   "cuMemcpyDtoHAsync");
    if (status == GQ_OK)
        status = rival_wait(r, h->stream);
    for (uint32_t n = 0; n < MESSAGES && status == GQ_OK; n += 64) {
        uint8_t digest[32];
        char hex[DIGEST + 1];
        gq_digest_bytes((uint8_t *)h->in.host + (size_t)n * BYTES, BYTES, digest);
        for (uint32_t i = 0; i < sizeof digest; i++)
            snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
        if (memcmp(hex, (char *)h->out.host + (size_t)n * DIGEST, DIGEST) != 0)
            status = gq_error_set(GQ_ERR_INTERNAL, "the plain kernel's digest of message %u is wrong", n);
    }
    return status;
}

static gq_status time_hashes(const struct rival *r, struct hash *h, double *rate)
{
    gq_status status = hash_once(r, h);
    if (status == GQ_OK)
        status = rival_wait(r, h->stream);
    uint64_t start = gq_clock_ns(), end = start + (uint64_t)(r->seconds * 1e9 / 2), count = 0;
    while (status == GQ_OK && (count == 0 || gq_clock_ns() < end)) {
        for (int i = 0; i < 4 && status == GQ_OK; i++, count += MESSAGES)
            status = hash_once(r, h);
        if (status == GQ_OK)
            status = rival_wait(r, h->stream);
    }
    *rate = (double)count * 1e9 / (double)(gq_clock_ns() - start);
    return status == GQ_OK ? check_hashes(r, h) : status;
}

gq_status rival_hash(struct rival *r)
{
    struct hash h = {0};
    double rate;
    gq_status status = take_hash(r, &h);
    if (status == GQ_OK)
        status = time_hashes(r, &h, &rate);
    if (status == GQ_OK)
        rival_row("sha256 1 KiB", "same function, plain kernel, messages in VRAM", rate, NULL, BYTES, "");
    give_hash(r, &h);
    return status;
}

/* --- a word there and back ---------------------------------------------------------------------------------------- */

#define STOP UINT32_MAX
#define ANSWER_AT 256u /* bytes: not in the line of the question */
#define ANSWER_MS 2000u

static gq_status ask(uint32_t *question, const uint32_t *answer, uint32_t word)
{
    uint64_t deadline = gq_clock_deadline(ANSWER_MS);
    __atomic_store_n(question, word, __ATOMIC_RELEASE);
    for (uint32_t turn = 1; __atomic_load_n(answer, __ATOMIC_ACQUIRE) != word; turn++)
        if (turn % 1024 == 0 && gq_clock_past(deadline))
            return gq_error_set(GQ_ERR_TIMEOUT, "the running kernel did not answer within %u ms", ANSWER_MS);
    return GQ_OK;
}

static gq_status ask_often(struct rival *r, uint32_t *question, const uint32_t *answer, struct bench_times *times)
{
    gq_status status = ask(question, answer, 1); /* the kernel is there */
    uint64_t now = gq_clock_ns(), end = now + (uint64_t)(r->seconds * 1e9);
    for (uint32_t word = 2; status == GQ_OK && word < STOP && now < end; word++) {
        uint64_t start = now;
        status = ask(question, answer, word);
        now = gq_clock_ns();
        bench_times_add(times, now - start, 1);
    }
    return status;
}

static gq_status run_flags(struct rival *r, struct rival_pages *page, gq_cu_stream stream, struct bench_times *times)
{
    gq_cu_ptr question = page->device, answer = page->device + ANSWER_AT;
    uint32_t *words = page->host;
    uint64_t limit_ns = (uint64_t)(r->seconds * 1e9) + 2u * ANSWER_MS * 1000000u;
    void *params[] = {&question, &answer, &limit_ns};
    gq_status status = rival_launch(r, r->flag, 1, 1, stream, params);
    if (status != GQ_OK)
        return status;
    status = ask_often(r, words, words + ANSWER_AT / sizeof *words, times);
    __atomic_store_n(words, STOP, __ATOMIC_RELEASE);
    gq_status ended = rival_wait(r, stream);
    return status == GQ_OK ? ended : status;
}

gq_status rival_flags(struct rival *r)
{
    static struct bench_times times;
    struct rival_pages page;
    gq_cu_stream stream = NULL;
    gq_status status = rival_pages_take(r, 4096, &page);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.stream_create(&stream, GQ_CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    if (status == GQ_OK)
        status = run_flags(r, &page, stream, &times);
    if (status == GQ_OK)
        rival_row("round trip 64 B", "a word to a running kernel and back: the floor", (double)times.total / r->seconds,
                  &times, 0, "");
    if (stream)
        r->cu.stream_destroy(stream);
    rival_pages_give(r, &page);
    return status;
}
