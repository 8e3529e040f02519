/* The ring under load, in one process so that ThreadSanitizer sees both sides: the lanes and the link of the host, the
 * blocks of the CPU backend, and an image of our own that echoes, drops and fails by the message's number.
 *
 *   ring [MESSAGES [SEED]]     prints its seed; exits 0 when every message came back once, in order, byte for byte
 */
#include "backend/cpu.h"
#include "base/clock.h"
#include "payload.h"
#include "ring/lane.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOT_BYTES 200u
#define PRODUCERS_MAX 4u

struct variant {
    const char *name;
    uint32_t producers, threads, capacity, batch_max;
    bool consumer_apart; /* results are taken by another thread than the producer */
};

static const struct variant variants[] = {
    {"one producer, one block", 1, 1, 64, 16, false},
    {"one producer, three blocks, smallest ring", 1, 3, 2, 2, true},
    {"three producers, two blocks", 3, 2, 256, 100, false},
    {"four producers, three blocks, consumers apart", 4, 3, 1024, 256, true},
};

static uint64_t failures; /* atomic */

#define REQUIRE(condition, ...)                                             \
    do {                                                                    \
        if (!(condition)) {                                                 \
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);             \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
        }                                                                   \
    } while (0)

/* --- the plugin --------------------------------------------------------------------------------------------------- */

static uint32_t fate_of(uint64_t id)
{
    return id % 17 == 3 ? GQ_RESULT_DROPPED : id % 29 == 5 ? GQ_RESULT_FAILED : GQ_RESULT_OK;
}

static void echo_run(const struct gq_cpu_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        struct gq_cpu_msg *m = &run->msgs[i];
        __atomic_store_n(&run->crumb->current, m->id, __ATOMIC_RELAXED);
        m->status = fate_of(m->id);
        m->out_len = m->status == GQ_RESULT_OK ? m->in_len : 0;
        memcpy(m->out, m->in, m->out_len);
        gq_slot_finish(run->lane, run->first_seq + i, m->out_len,
                       gq_meta(run->generation, 0, m->status, (uint32_t)m->id & 0xffff));
    }
}

static const struct gq_cpu_image echo_image = {
    .magic = GQ_CPU_IMAGE_MAGIC, .plugin_abi = GQ_PLUGIN_ABI, .kind = GQ_IMAGE_STAGE, .threads = 1, .run = echo_run};

static void die(const char *sentence)
{
    fprintf(stderr, "the worker died: %s\n", sentence);
    abort();
}

/* --- one producer and its lane ------------------------------------------------------------------------------------ */

struct side {
    const struct variant *v;
    struct gq_lane *lane;
    uint64_t count, seed;
    uint64_t took;
};

static uint32_t length_of(const struct side *s, uint64_t seq)
{
    return (uint32_t)(payload_mix(s->seed ^ seq) % (SLOT_BYTES + 1));
}

static uint64_t key_of(const struct side *s, uint64_t seq) { return payload_mix(s->seed + 77) ^ (seq << 20); }

/* Publishes a random batch; returns how many. */
static uint32_t produce(struct side *s, uint64_t next, uint64_t *dice)
{
    uint64_t first, wait = payload_dice(dice) % 3 ? gq_clock_ns() + payload_dice(dice) % 300000 : 0;
    uint32_t want = (uint32_t)(payload_dice(dice) % s->v->batch_max) + 1;
    if (want > s->count - next)
        want = (uint32_t)(s->count - next);
    uint32_t got = gq_lane_claim(s->lane, want, wait, &first);
    REQUIRE(!got || first == next, "claimed %" PRIu64 ", expected %" PRIu64, first, next);
    uint32_t len[256];
    for (uint32_t i = 0; i < got; i++) {
        len[i] = length_of(s, next + i);
        payload_fill(gq_lane_slot(s->lane, next + i), len[i], key_of(s, next + i));
    }
    gq_lane_publish(s->lane, len, got, 0);
    if (got)
        gq_link_ring_worker(s->lane->link);
    return got;
}

static void check(struct side *s, const struct gq_lane_result *r)
{
    uint64_t id = gq_slot_id(s->lane->view.lane, r->seq);
    while (s->took < r->seq && fate_of(gq_slot_id(s->lane->view.lane, s->took)) == GQ_RESULT_DROPPED)
        s->took++;
    REQUIRE(r->seq == s->took, "result %" PRIu64 " came, %" PRIu64 " was next", r->seq, s->took);
    REQUIRE(gq_meta_status(r->meta) == fate_of(id), "message %" PRIu64 " ended as %u", id, gq_meta_status(r->meta));
    if (fate_of(id) == GQ_RESULT_FAILED)
        REQUIRE(gq_meta_code(r->meta) == (id & 0xffff), "message %" PRIu64 " has code %u", id, gq_meta_code(r->meta));
    else
        REQUIRE(r->len == length_of(s, r->seq) && payload_is(r->data, r->len, key_of(s, r->seq)),
                "message %" PRIu64 " is torn", id);
    s->took = r->seq + 1;
}

static void consume(struct side *s, uint64_t *dice)
{
    struct gq_lane_result results[256];
    uint64_t seqs[256];
    uint32_t n = gq_lane_take(s->lane, true, results, (uint32_t)(payload_dice(dice) % 256) + 1);
    for (uint32_t i = 0; i < n; i++) {
        check(s, &results[i]);
        seqs[i] = results[i].seq;
    }
    if (n)
        REQUIRE(gq_lane_release(s->lane, seqs, n) == GQ_OK, "release of %u", n);
}

static void *produce_all(void *arg)
{
    struct side *s = arg;
    uint64_t dice = s->seed | 1, next = 0;
    while (next < s->count) {
        next += produce(s, next, &dice);
        if (!s->v->consumer_apart)
            consume(s, &dice);
    }
    while (!s->v->consumer_apart && !gq_lane_idle(s->lane))
        consume(s, &dice);
    return NULL;
}

static bool lane_ready(void *lane) { return gq_lane_has_results(lane); }

static void *consume_all(void *arg)
{
    struct side *s = arg;
    uint64_t dice = (s->seed + 9) | 1;
    uint64_t last = s->count;
    while (last > 0 && fate_of(gq_slot_id(s->lane->view.lane, last - 1)) == GQ_RESULT_DROPPED)
        last--;
    while (s->took < last) {
        consume(s, &dice);
        if (payload_dice(&dice) % 4 == 0)
            gq_link_wait_results(s->lane->link, 1000000, lane_ready, s->lane);
    }
    return NULL;
}

/* --- one variant -------------------------------------------------------------------------------------------------- */

static void writable(void *p, size_t bytes)
{
    if (mprotect(p, bytes, PROT_READ | PROT_WRITE) != 0)
        die("mprotect");
}

static struct gq_cpu_grid *start_grid(struct gq_link *link, const struct variant *v)
{
    struct gq_backend *backend;
    struct gq_backend_setup setup = {.link = link,
                                     .threads = v->threads,
                                     .capacity = v->capacity,
                                     .slot_bytes = SLOT_BYTES,
                                     .retries = 0,
                                     .die = die};
    if (gq_cpu_backend.open(&setup, &backend) != GQ_OK)
        die(gq_error_text());
    struct gq_cpu_grid *grid = (struct gq_cpu_grid *)backend;
    struct gq_cpu_version *echo = calloc(1, sizeof *echo);
    const struct gq_backend_image first = {.name = "echo", .version = 1, .generation = 1};
    if (!echo)
        die("out of memory");
    *echo = (struct gq_cpu_version){.image = &echo_image, .number = 1};
    if (gq_cpu_begin(grid, &grid->stage[0], echo, &first) != GQ_OK)
        die(gq_error_text());
    grid->stage_count = 1;
    return grid;
}

static void run_variant(const struct variant *v, uint64_t messages, uint64_t seed)
{
    struct gq_link link;
    struct side side[PRODUCERS_MAX];
    pthread_t producer[PRODUCERS_MAX], consumer[PRODUCERS_MAX];
    uint64_t start = gq_clock_ns();
    if (gq_link_create(&link) != GQ_OK)
        die(gq_error_text());
    writable(link.worker, sizeof *link.worker);
    struct gq_cpu_grid *grid = start_grid(&link, v);
    for (uint32_t i = 0; i < v->producers; i++) {
        struct gq_lane_opts opts = {.lane = i, .capacity = v->capacity, .slot_bytes = SLOT_BYTES};
        side[i] = (struct side){.v = v, .count = messages / v->producers, .seed = payload_mix(seed + i)};
        if (gq_lane_create(&opts, &link, &side[i].lane) != GQ_OK)
            die(gq_error_text());
        writable(side[i].lane->view.out_head, side[i].lane->out_bytes);
        gq_cpu_backend.add_lane((struct gq_backend *)grid, &side[i].lane->view, &GQ_RANGE_ALL);
    }
    gq_cpu_backend.start((struct gq_backend *)grid);
    for (uint32_t i = 0; i < v->producers; i++) {
        pthread_create(&producer[i], NULL, produce_all, &side[i]);
        if (v->consumer_apart)
            pthread_create(&consumer[i], NULL, consume_all, &side[i]);
    }
    for (uint32_t i = 0; i < v->producers; i++) {
        pthread_join(producer[i], NULL);
        if (v->consumer_apart)
            pthread_join(consumer[i], NULL);
    }
    gq_link_stop(&link);
    gq_cpu_backend.stop((struct gq_backend *)grid);
    gq_cpu_backend.close((struct gq_backend *)grid);
    for (uint32_t i = 0; i < v->producers; i++)
        gq_lane_destroy(side[i].lane);
    gq_link_finish(&link);
    printf("%-48s %9" PRIu64 " messages  %6.2f s\n", v->name, messages, (double)(gq_clock_ns() - start) * 1e-9);
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns();
    printf("seed %" PRIu64 "\n", seed);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        run_variant(&variants[i], messages / (sizeof variants / sizeof *variants), seed + i);
    return failures ? 1 : 0;
}
