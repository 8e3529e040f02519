/* When the output and the record of it are made durable while results keep coming: what a run that is killed has to do
 * again is no more than came since. */
#include "unit.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "pipeline/delivery.h"

#define BOUND_NS UINT64_C(5000000)
#define BOUND_BYTES (UINT64_C(1) << 20)
#define CAPACITY 64u
#define MESSAGE_BYTES 8u

static char folder[64], in_path[80], out_path[80], checkpoint_path[96];
static struct gq_conf conf;
static struct gq_delivery delivery;
static struct gq_dead_file no_letters = {.fd = -1};
static uint64_t read_count, put_bytes, sync_count;

static void tell(const struct gq_source *source, uint64_t *position, uint64_t *records)
{
    (void)source;
    *records = read_count;
    *position = read_count * MESSAGE_BYTES;
}

static gq_status start_source(struct gq_source *source, uint64_t position, uint64_t records)
{
    (void)source;
    ck_assert(position == records * MESSAGE_BYTES);
    read_count = records;
    return GQ_OK;
}

static gq_status start_sink(struct gq_sink *sink, uint64_t bytes)
{
    (void)sink;
    put_bytes = bytes;
    return GQ_OK;
}

static gq_status sync_output(struct gq_sink *sink, uint64_t *bytes)
{
    (void)sink;
    sync_count++;
    *bytes = put_bytes;
    return GQ_OK;
}

static const struct gq_source_ops source_ops = {.tell = tell, .resume = start_source};
static const struct gq_sink_ops sink_ops = {.sync = sync_output, .resume = start_sink};
static struct gq_source source = {&source_ops};
static struct gq_sink sink = {&sink_ops};

static void make_file(const char *path)
{
    const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static struct gq_checkpoint_mark begin(void)
{
    struct gq_checkpoint_mark from;
    ck_assert_msg(gq_delivery_open(&delivery, &conf, &from) == GQ_OK, "%s", gq_error_text());
    gq_status status = gq_delivery_begin(&delivery, &from, &source, &sink, &no_letters, CAPACITY);
    ck_assert_msg(status == GQ_OK, "%s", gq_error_text());
    sync_count = 0;
    return from;
}

static void set_up(void)
{
    strcpy(folder, "/tmp/delivery-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(in_path, sizeof in_path, "%s/in", folder);
    snprintf(out_path, sizeof out_path, "%s/out", folder);
    snprintf(checkpoint_path, sizeof checkpoint_path, "%s.checkpoint", out_path);
    make_file(in_path);
    conf = (struct gq_conf){.delivery = GQ_DELIVERY_EXACTLY_ONCE,
                            .source = {.kind = GQ_SOURCE_FILE, .path = in_path},
                            .sink = {.kind = GQ_SINK_FILE, .path = out_path}};
    begin();
}

static void tear_down(void)
{
    gq_delivery_close(&delivery);
    unlink(in_path);
    unlink(out_path);
    unlink(checkpoint_path);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* The next message, and its result of so many bytes. True: that was committed. */
static bool pass(uint64_t bytes)
{
    const uint64_t before = sync_count, seq = read_count++;
    gq_delivery_read(&delivery, seq);
    put_bytes += bytes;
    ck_assert_msg(gq_delivery_written(&delivery, seq, bytes) == GQ_OK, "%s", gq_error_text());
    return sync_count > before;
}

START_TEST(results_that_keep_coming_are_on_record_after_5_ms)
{
    uint64_t first_before = 0, first_after = 0, commits = 0;
    for (uint64_t end = gq_clock_deadline(300); !gq_clock_past(end);) {
        const uint64_t before = gq_clock_ns();
        const bool committed = pass(1);
        const uint64_t after = gq_clock_ns();
        if (first_after == 0) { /* the 5 ms begin in this call */
            ck_assert(!committed);
            first_before = before, first_after = after;
            continue;
        }
        ck_assert_msg(committed || before < first_after + BOUND_NS, "none after %.3f ms",
                      (double)(before - first_after) / 1e6);
        ck_assert_msg(!committed || after >= first_before + BOUND_NS, "one after %.3f ms",
                      (double)(after - first_before) / 1e6);
        if (committed)
            first_after = 0;
        commits += committed;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    ck_assert_uint_gt(commits, 0);
}
END_TEST

START_TEST(results_of_a_mebibyte_are_on_record_at_once)
{
    uint64_t bytes = 0, most = 0;
    for (uint32_t i = 0; i < 640; i++) {
        bytes = pass(BOUND_BYTES / 16) ? 0 : bytes + BOUND_BYTES / 16;
        most = bytes > most ? bytes : most;
    }
    ck_assert_uint_lt(most, BOUND_BYTES);
    ck_assert_uint_ge(sync_count, 40);
}
END_TEST

START_TEST(what_is_on_record_is_where_the_next_run_begins)
{
    for (uint32_t i = 0; i < 100; i++)
        pass(3);
    ck_assert_int_eq(gq_delivery_commit(&delivery), GQ_OK);
    const uint64_t before = sync_count;
    ck_assert_int_eq(gq_delivery_commit(&delivery), GQ_OK);
    ck_assert_uint_eq(sync_count, before); /* nothing was pending */
    gq_delivery_close(&delivery);
    const int fd = open(out_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, 300), 0);
    close(fd);
    const struct gq_checkpoint_mark from = begin();
    ck_assert_uint_eq(from.records, 100);
    ck_assert_uint_eq(from.position, 100 * MESSAGE_BYTES);
    ck_assert_uint_eq(from.out_bytes, 300);
    ck_assert_uint_eq(delivery.resumed, 100);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {results_that_keep_coming_are_on_record_after_5_ms,
                                  results_of_a_mebibyte_are_on_record_at_once,
                                  what_is_on_record_is_where_the_next_run_begins};
    return unit_run("delivery", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
