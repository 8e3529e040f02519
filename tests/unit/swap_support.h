/* swap_support.h - a CPU backend in the test's own process, with images that differ by a tag, and lanes to it. */
#ifndef GQ_TESTS_SWAP_SUPPORT_H
#define GQ_TESTS_SWAP_SUPPORT_H

#include "backend/cpu.h"
#include "base/clock.h"
#include "build_support.h"
#include "ring/lane.h"
#include <sys/mman.h>

#define SLOT_BYTES 64u
#define CAPACITY 64u
#define LANES_MAX 4u
#define STAGES 2u

/* A message, and what the stages write into it; swap_plugin knows it too. */
struct message {
    uint64_t number; /* its remainder by 8: 5 fails, 6 is dropped; see `fate` */
    uint64_t flag;   /* address of a word in this process: stage 0 waits until it is not 0. 0: it does not */
    uint64_t fate;   /* 1: the remainder counts */
    uint32_t tag[STAGES];
    uint64_t count[STAGES];
};

static const char swap_plugin[] =
    "#include <gpuqueue/plugin.h>\n"
    "struct Message { uint64_t number, flag, fate; uint32_t tag[2]; uint64_t count[2]; };\n"
    "__device__ void process_message(const MsgView &in, ResultView *out)\n"
    "{\n"
    "    const Message *from = (const Message *)in.payload;\n"
    "    Message *to = (Message *)out->out;\n"
    "    const volatile uint32_t *flag = (const volatile uint32_t *)from->flag;\n"
    "    *to = *from;\n"
    "    to->tag[STAGE] = TAG;\n"
    "#ifdef COUNTS\n"
    "    to->count[STAGE] = atomicAdd((unsigned long long *)gq_state(8), 1ull);\n"
    "#endif\n"
    "    while (STAGE == 0 && flag && !*flag)\n"
    "        __nanosleep(1000);\n"
    "    *out->out_len = sizeof *to;\n"
    "    if (from->fate && from->number % 8 == 5)\n"
    "        gq_fail(out, TAG);\n"
    "    if (from->fate && from->number % 8 == 6)\n"
    "        gq_drop(out);\n"
    "}\n";

/* --- images --------------------------------------------------------------------------------------------------------
 */

/* Builds a variant of the plugin: definitions and what else comes before it. The descriptor is the test's. */
static inline int build_variant(struct gq_builder *builder, const char *before)
{
    char text[4096];
    struct gq_image image;
    snprintf(text, sizeof text, "%s\n%s", before, swap_plugin);
    ck_assert_msg(build_stage(builder, write_file("variant.cu", text), &image) == GQ_OK, "%s", gq_error_text());
    const int fd = dup(image.fd);
    ck_assert_int_ge(fd, 0);
    gq_image_finish(&image);
    return fd;
}

/* --- the backend ----------------------------------------------------------------------------------------------------
 */

static struct gq_link link_;
static struct gq_backend *backend;
static struct gq_lane *lane[LANES_MAX];
static uint32_t lanes;
static struct gq_swap_times times;

static inline void writable(void *p, size_t bytes) { ck_assert_int_eq(mprotect(p, bytes, PROT_READ | PROT_WRITE), 0); }

static inline void test_dies(const char *sentence)
{
    fprintf(stderr, "%s", sentence);
    _exit(86);
}

static inline void open_backend(uint32_t threads)
{
    const struct gq_backend_setup setup = {
        .link = &link_, .threads = threads, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES, .die = test_dies};
    lanes = 0;
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    writable(link_.worker, sizeof *link_.worker);
    ck_assert_int_eq(gq_cpu_backend.open(&setup, &backend), GQ_OK);
}

static inline void load_first(int fd)
{
    const struct gq_backend_image image = {.name = "work", .version = 1, .generation = 1};
    ck_assert_msg(gq_cpu_backend.load_stage(backend, fd, &image) == GQ_OK, "%s", gq_error_text());
}

static inline void add_lane(void)
{
    const struct gq_lane_opts opts = {.lane = lanes, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES};
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane[lanes]), GQ_OK);
    writable(lane[lanes]->view.out_head, lane[lanes]->out_bytes);
    ck_assert_int_eq(gq_cpu_backend.add_lane(backend, &lane[lanes]->view, &GQ_RANGE_ALL), GQ_OK);
    lanes++;
}

static inline void start(void) { ck_assert_int_eq(gq_cpu_backend.start(backend), GQ_OK); }
static inline void pause_blocks(void) { ck_assert_int_eq(gq_cpu_backend.pause(backend), GQ_OK); }

/* One stage, one lane, running. */
static inline void open_one(uint32_t threads, int fd)
{
    open_backend(threads);
    load_first(fd);
    add_lane();
    start();
}

static inline void close_backend(void)
{
    gq_link_stop(&link_);
    gq_cpu_backend.stop(backend);
    gq_cpu_backend.close(backend);
    for (uint32_t i = 0; i < lanes; i++)
        gq_lane_destroy(lane[i]);
    gq_link_finish(&link_);
}

/* --- changes --------------------------------------------------------------------------------------------------------
 */

static inline gq_status try_swap(uint32_t stage, int fd, uint32_t version, uint32_t generation, bool fresh)
{
    const struct gq_backend_image image = {
        .name = "work", .stage = stage, .version = version, .generation = generation, .fresh = fresh};
    times = (struct gq_swap_times){0};
    return gq_cpu_backend.swap(backend, fd, &image, &times);
}

static inline void swap(uint32_t stage, int fd, uint32_t version, uint32_t generation)
{
    ck_assert_msg(try_swap(stage, fd, version, generation, false) == GQ_OK, "%s", gq_error_text());
    ck_assert_int_eq(times.step, GQ_STEP_DONE);
}

static inline void refuse_swap(uint32_t stage, int fd, uint32_t version, uint32_t generation, const char *sentence)
{
    ck_assert_int_eq(try_swap(stage, fd, version, generation, false), GQ_ERR_PLUGIN);
    ck_assert_str_eq(gq_error_text(), sentence);
}

static inline gq_status try_canary(uint32_t stage, int fd, uint32_t version, uint32_t generation, uint32_t share)
{
    const struct gq_backend_image image = {
        .name = "work", .stage = stage, .version = version, .generation = generation, .share = share};
    times = (struct gq_swap_times){0};
    return gq_cpu_backend.canary(backend, fd, &image, &times);
}

static inline void canary(uint32_t stage, int fd, uint32_t version, uint32_t generation, uint32_t share)
{
    ck_assert_msg(try_canary(stage, fd, version, generation, share) == GQ_OK, "%s", gq_error_text());
    ck_assert_int_eq(times.step, GQ_STEP_DONE);
    ck_assert_uint_eq(times.share, share);
}

static inline gq_status try_use(uint32_t stage, uint32_t version, uint32_t generation)
{
    const struct gq_backend_image image = {
        .name = "work", .stage = stage, .version = version, .generation = generation};
    times = (struct gq_swap_times){0};
    return gq_cpu_backend.use(backend, &image, &times);
}

static inline void use(uint32_t stage, uint32_t version, uint32_t generation)
{
    ck_assert_msg(try_use(stage, version, generation) == GQ_OK, "%s", gq_error_text());
    ck_assert_int_eq(times.step, GQ_STEP_DONE);
}

/* --- messages -------------------------------------------------------------------------------------------------------
 */

static inline void send(struct gq_lane *to, const struct message *m)
{
    uint64_t seq;
    const uint32_t len = sizeof *m;
    ck_assert_uint_eq(gq_lane_claim(to, 1, gq_clock_deadline(20000), &seq), 1);
    memcpy(gq_lane_slot(to, seq), m, sizeof *m);
    gq_lane_publish(to, &len, 1, 0);
    gq_link_ring_worker(to->link);
}

static inline bool lane_ready(void *arg) { return gq_lane_has_results(arg); }

/* The next result of a lane, and its generation; the slot is free again. */
static inline uint32_t receive(struct gq_lane *from, struct message *m)
{
    struct gq_lane_result r;
    const uint64_t deadline = gq_clock_deadline(20000);
    while (gq_lane_take(from, true, &r, 1) == 0) {
        ck_assert_msg(!gq_clock_past(deadline), "no result came");
        gq_link_wait_results(&link_, 1000000, lane_ready, from);
    }
    ck_assert_uint_eq(gq_meta_status(r.meta), GQ_RESULT_OK);
    ck_assert_uint_eq(r.len, sizeof *m);
    memcpy(m, r.data, sizeof *m);
    ck_assert_int_eq(gq_lane_release(from, &r.seq, 1), GQ_OK);
    return gq_meta_generation(r.meta);
}

/* One message through lane 0, served by `generation`. */
static inline struct message ask(uint32_t generation)
{
    struct message m = {.number = 1};
    send(lane[0], &m);
    ck_assert_uint_eq(receive(lane[0], &m), generation);
    return m;
}

/* Does this block hold a run? Then its crumb says more. */
static inline bool holds(uint32_t block)
{
    return __atomic_load_n(&link_.worker->crumb[block].holds, __ATOMIC_ACQUIRE) != 0;
}

/* A message that stage 0 does not let go before *flag is set. Returns when it is being served. */
static inline void send_held(uint32_t *flag)
{
    const struct message held = {.flag = (uint64_t)(uintptr_t)flag};
    const uint64_t deadline = gq_clock_deadline(20000);
    bool served = false;
    send(lane[0], &held);
    while (!served) {
        ck_assert_msg(!gq_clock_past(deadline), "the message was not taken");
        for (uint32_t i = 0; i < link_.worker->threads; i++)
            served |= holds(i);
        usleep(100);
    }
}

static inline void let_go(uint32_t *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }

/* --- what a process has ---------------------------------------------------------------------------------------------
 */

/* Mappings, and among them those of images that can be executed: one an image. */
static inline uint32_t count_maps(uint32_t *images)
{
    char line[1024];
    uint32_t n = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(file);
    *images = 0;
    for (; fgets(line, sizeof line, file); n++)
        *images += strstr(line, "/memfd:") != NULL && strstr(line, "r-xp") != NULL;
    fclose(file);
    return n;
}

static inline uint32_t images_loaded(void)
{
    uint32_t images;
    count_maps(&images);
    return images;
}

/* `build` runs once, in the process that the tests are forked from. */
static inline int swap_suite(const char *name, const TTest *const *tests, size_t count, void (*build)(void))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    tcase_add_unchecked_fixture(tcase, build, NULL);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}

#endif
