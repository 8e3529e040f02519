/* Exactly once from a file to a file: a process that ends before, in the middle of, or behind any of its system calls,
 * and a machine that loses whatever was not made durable, leave files from which another process makes the very same
 * output, and the very same dead letters.
 *
 * The connectors and the order of commits are the pipeline's own; what is between them is left out.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/file.h"
#include "crash_disk.h"
#include "pipeline/dead_letter_read.h"
#include "pipeline/delivery.h"
#include "unit.h"

#define MESSAGES 200u
#define CAPACITY 16u
#define AT_ONCE 4u /* messages that the sink is handed at once */

/* --- a run ----------------------------------------------------------------------------------------------------------
 */

static char folder[64];
static struct gq_conf *conf;
static struct gq_text expected;
static uint64_t expected_letters[MESSAGES]; /* positions */
static uint32_t letter_count;
static bool late; /* the first letter comes when there are records */

static char *in_folder(const char *name)
{
    static char path[2][128];
    static unsigned turn;
    char *out = path[turn++ % 2];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

/* Every seventh message is dropped on its way. */
static bool passes(const uint8_t *bytes, uint32_t len)
{
    return len < 3 || (bytes[len - 1] - '0' + 10 * (bytes[len - 2] - '0')) % 7 != 0;
}

/* Some are dead letters, one of them before there is a record. */
static bool fails(const uint8_t *bytes, uint32_t len)
{
    return len % 11 == 5 && (!late || bytes[len - 3] > '0' || bytes[len - 2] > '1');
}

static gq_status bury(struct gq_delivery *d, uint64_t seq, const uint8_t *bytes, uint32_t len)
{
    const struct gq_dead_letter letter = {.position = d->resumed + seq + 1,
                                          .life = d->life,
                                          .stage_name = "",
                                          .plugin = "",
                                          .digest = "",
                                          .reason = "",
                                          .message = bytes,
                                          .message_len = len};
    return gq_dead_put(d->dead_file, &letter);
}

static gq_status move_some(struct gq_delivery *d, uint64_t *seq, bool *ended)
{
    uint8_t bytes[256];
    uint64_t newest = UINT64_MAX, sum = 0;
    gq_status status = GQ_OK;
    for (uint32_t i = 0, len; i < AT_ONCE && status == GQ_OK; i++, ++*seq) {
        const enum gq_next next = d->source->ops->next(d->source, bytes, sizeof bytes, &len, true);
        if (next == GQ_NEXT_ERROR)
            return gq_error_status();
        *ended = next == GQ_NEXT_END;
        if (*ended)
            break;
        gq_delivery_read(d, *seq);
        if (!passes(bytes, len))
            continue;
        status = fails(bytes, len) ? bury(d, *seq, bytes, len) : d->sink->ops->put(d->sink, bytes, len);
        newest = *seq;
        sum += len;
    }
    if (status != GQ_OK || newest == UINT64_MAX)
        return status;
    status = d->sink->ops->flush(d->sink);
    if (status == GQ_OK)
        status = gq_delivery_written(d, newest, sum);
    return status == GQ_OK && *seq % 3 == 0 ? gq_delivery_commit(d) : status; /* as a sink that waits for more */
}

static gq_status run(void)
{
    struct gq_delivery d;
    struct gq_checkpoint_mark from;
    struct gq_source *source = NULL;
    struct gq_sink *sink = NULL;
    char letters[128];
    struct gq_dead_file dead = {.path = letters, .max_bytes = 1 << 20, .fd = -1};
    uint64_t seq = 0;
    bool ended = false;
    snprintf(letters, sizeof letters, "%s/t.dlq", folder);
    gq_status status = gq_delivery_open(&d, conf, &from);
    dead.life = d.life;
    dead.position = d.resumed;
    if (status == GQ_OK)
        status = gq_dead_open(&dead);
    if (status == GQ_OK)
        status = gq_source_file.open(conf, -1, &source);
    if (status == GQ_OK)
        status = gq_sink_file.open(conf, &(struct gq_sink_run){-1, -1, NULL, NULL}, &sink);
    if (status == GQ_OK)
        status = gq_delivery_begin(&d, &from, source, sink, &dead, CAPACITY);
    while (status == GQ_OK && !ended)
        status = move_some(&d, &seq, &ended);
    if (status == GQ_OK)
        status = gq_delivery_commit(&d);
    if (gq_dead_close(&dead) != GQ_OK)
        status = gq_error_status();
    if (sink && sink->ops->close(sink) != GQ_OK)
        status = gq_error_status();
    if (source)
        source->ops->close(source);
    gq_delivery_close(&d);
    return status;
}

static int run_until(uint32_t last, bool torn, enum loss loss) { return disk_run(folder, last, torn, loss, run); }

static void forget(void)
{
    unlink(in_folder("out.txt"));
    unlink(in_folder("out.txt.checkpoint"));
    unlink(in_folder("out.txt.checkpoint.new"));
    unlink(in_folder("t.dlq"));
}

static void expect_letters(uint32_t call)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    ck_assert_int_eq(gq_dead_reader_open(&r, in_folder("t.dlq")), GQ_OK);
    for (uint32_t i = 0; i < letter_count; i++) {
        ck_assert_msg(gq_dead_read(&r, &letter) == GQ_OK, "an end at call %u left %u letters", call, i);
        ck_assert_msg(letter.position == expected_letters[i], "an end at call %u left letter %u of message %u", call, i,
                      (uint32_t)letter.position);
    }
    ck_assert_msg(gq_dead_read(&r, &letter) == GQ_ERR_NOT_FOUND, "an end at call %u left a letter twice", call);
    gq_dead_reader_close(&r);
}

static void expect_output(uint32_t call, bool torn, enum loss loss)
{
    struct gq_text out = {0};
    ck_assert_int_eq(run_until(UINT32_MAX, false, KEPT), 0);
    ck_assert_int_eq(gq_file_read(in_folder("out.txt"), 1 << 20, &out), GQ_OK);
    ck_assert_msg(out.len == expected.len && memcmp(gq_text_str(&out), expected.data, out.len) == 0,
                  "an end at call %u (torn: %d, loss: %d) left another output, of %zu bytes and not %zu", call, torn,
                  loss, out.len, expected.len);
    gq_text_finish(&out);
    expect_letters(call);
}

static void make_input(struct gq_text *input)
{
    gq_text_clear(&expected);
    letter_count = 0;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        char line[64];
        const int len = snprintf(line, sizeof line, "%.*s%03u", (int)(i % 20), "....................", i);
        gq_text_printf(input, "%s\n", line);
        if (!passes((const uint8_t *)line, (uint32_t)len))
            continue;
        if (fails((const uint8_t *)line, (uint32_t)len))
            expected_letters[letter_count++] = i + 1;
        else
            gq_text_printf(&expected, "%s\n", line);
    }
}

static void set_up(void)
{
    struct gq_text input = {0}, text = {0}, errors = {0};
    size_t count;
    snprintf(folder, sizeof folder, "/tmp/gpuq-crash-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_input(&input);
    ck_assert_int_eq(gq_file_write_atomic(in_folder("in.txt"), input.data, input.len, 0644), GQ_OK);
    gq_text_printf(&text,
                   "version: 1\nsource: { file: { path: %s } }\nstages: [{ plugin: \"builtin:echo\" }]\n"
                   "sink: { file: { path: %s } }\ndelivery: exactly_once\n",
                   in_folder("in.txt"), in_folder("out.txt"));
    ck_assert_msg(gq_conf_parse("t.yaml", text.data, text.len, &errors, &count, &conf) == GQ_OK, "%s",
                  gq_text_str(&errors));
    gq_text_finish(&input);
    gq_text_finish(&text);
    gq_text_finish(&errors);
}

static void tear_down(void)
{
    forget();
    unlink(in_folder("in.txt"));
    rmdir(folder);
    gq_conf_destroy(conf);
    gq_text_finish(&expected);
}

/* --- tests ----------------------------------------------------------------------------------------------------------
 */

START_TEST(an_end_at_any_call_leaves_what_the_next_run_needs)
{
    uint32_t points = 0, calls = 0;
    for (int kind = 0; kind < 2 * LOSSES; kind++) {
        const bool torn = kind & 1;
        const enum loss loss = (enum loss)(kind / 2);
        uint32_t call = 0;
        int ended = CRASHED;
        for (; ended == CRASHED; call++) {
            forget();
            ended = run_until(call, torn, loss);
            ck_assert_msg(ended == CRASHED || ended == 0, "call %u: exit code %d", call, ended);
            expect_output(call, torn, loss);
        }
        calls = call;
        points += call - 1;
    }
    printf("%u points in %u calls\n", points, calls);
    ck_assert_uint_ge(points, 600);
}
END_TEST

/* Neither the output nor the letters have a name yet that the folder keeps, and each needs its own. */
START_TEST(an_end_at_any_call_leaves_letters_that_came_late)
{
    struct gq_text input = {0};
    late = true;
    make_input(&input);
    gq_text_finish(&input);
    for (int loss = 0; loss < LOSSES; loss++)
        for (uint32_t call = 0; call < 40; call++) {
            forget();
            ck_assert_int_eq(run_until(call, false, (enum loss)loss), CRASHED);
            expect_output(call, false, (enum loss)loss);
        }
}
END_TEST

/* What lay there before the first run is no reason to refuse the next: from the beginning the checkpoint says that it
 * goes. */
START_TEST(an_end_at_any_call_of_a_run_over_an_older_output_is_gone_on_with)
{
    static const char older[] = "another program's\n";
    for (int kind = 0; kind < 2 * LOSSES; kind++) {
        int ended = CRASHED;
        for (uint32_t call = 0; call < 24 && ended == CRASHED; call++) {
            forget();
            ck_assert_int_eq(gq_file_write_atomic(in_folder("out.txt"), older, sizeof older - 1, 0644), GQ_OK);
            ended = run_until(call, kind & 1, (enum loss)(kind / 2));
            ck_assert_int_eq(ended, CRASHED);
            expect_output(call, kind & 1, (enum loss)(kind / 2));
        }
    }
}
END_TEST

/* The run that goes on ends, too, and the one after it. */
START_TEST(ends_in_a_row_are_as_good_as_one)
{
    uint32_t random = 12345, points = 0;
    for (uint32_t round = 0; round < 300; round++) {
        forget();
        for (int in_a_row = 0; in_a_row < 3; in_a_row++) {
            random = random * 1664525u + 1013904223u;
            points += run_until(random >> 8 & 63, random >> 20 & 1, (enum loss)(random >> 24 & 3)) == CRASHED;
        }
        expect_output(round, false, KEPT);
    }
    ck_assert_uint_ge(points, 600);
}
END_TEST

START_TEST(what_lies_beyond_the_record_is_cut)
{
    ck_assert_int_eq(run(), GQ_OK);
    FILE *out = fopen(in_folder("out.txt"), "a");
    ck_assert_ptr_nonnull(out);
    fputs("half a li", out);
    ck_assert_int_eq(fclose(out), 0);
    expect_output(0, false, KEPT);
}
END_TEST

static struct gq_dead_file open_letters(uint32_t life, uint64_t position)
{
    struct gq_dead_file file = {.path = in_folder("t.dlq"), .max_bytes = 1 << 20, .life = life, .position = position};
    ck_assert_int_eq(gq_dead_open(&file), GQ_OK);
    return file;
}

/* By this process so far. */
static uint64_t bytes_read(void)
{
    uint64_t bytes = 0;
    FILE *io = fopen("/proc/self/io", "r");
    ck_assert(io && fscanf(io, "rchar: %" SCNu64, &bytes) == 1 && fclose(io) == 0);
    return bytes;
}

/* Letters of a life that is over, of other runs, and of messages that are done with. */
START_TEST(letters_that_are_not_written_again_stay)
{
    const uint32_t once = letter_count;
    ck_assert_int_eq(run(), GQ_OK);
    unlink(in_folder("out.txt.checkpoint")); /* begins anew */
    ck_assert_int_eq(run_until(20, false, KEPT), CRASHED);
    ck_assert_int_eq(run(), GQ_OK);
    for (uint32_t i = 0; i < once; i++)
        expected_letters[letter_count++] = expected_letters[i];
    expect_letters(20);
    struct gq_dead_file file = open_letters(0, 0);
    struct gq_delivery nobody = {.dead_file = &file}, other = {.dead_file = &file, .life = 1};
    ck_assert_int_eq(bury(&nobody, MESSAGES, (const uint8_t *)"", 0), GQ_OK);
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
    file = open_letters(0, 0);
    ck_assert_int_eq(gq_dead_take_back(&file), GQ_OK);
    ck_assert_int_eq(bury(&other, MESSAGES, (const uint8_t *)"", 0), GQ_OK);
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
    expected_letters[letter_count++] = MESSAGES + 1;
    expected_letters[letter_count++] = MESSAGES + 1;
    expect_letters(0);
    for (uint32_t life = 1; life <= 2; life++) {
        file = open_letters(life, life == 1 ? MESSAGES + 1 : 0);
        ck_assert_int_eq(gq_dead_take_back(&file), GQ_OK);
        ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
        expect_letters(0);
    }
    file = open_letters(1, MESSAGES);
    expect_letters(0); /* nothing is cut before it is known that the run goes on */
    const uint64_t before = bytes_read();
    ck_assert_int_eq(gq_dead_take_back(&file), GQ_OK);
    ck_assert_uint_lt(bytes_read() - before, file.bytes);
    ck_assert_int_eq(bury(&other, 6, (const uint8_t *)"", 0), GQ_OK); /* where it was cut */
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
    expected_letters[letter_count - 1] = 7;
    expect_letters(0);
    letter_count = once;
}
END_TEST

START_TEST(files_that_were_changed_meanwhile_are_refused)
{
    struct gq_text text = {0};
    ck_assert_int_eq(run_until(30, false, KEPT), CRASHED);
    ck_assert_int_eq(truncate(in_folder("out.txt"), 3), 0);
    ck_assert_int_eq(run(), GQ_ERR_DATA);
    ck_assert_ptr_nonnull(
        strstr(gq_error_text(), "out.txt has 3 bytes, and its checkpoint says that an earlier run made "));
    forget();
    ck_assert_int_eq(run(), GQ_OK);
    ck_assert_int_eq(gq_file_read(in_folder("in.txt"), 1 << 20, &text), GQ_OK);
    ck_assert_int_eq(truncate(in_folder("in.txt"), 10), 0);
    ck_assert_int_eq(run(), GQ_ERR_DATA);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "in.txt has 10 bytes, and an earlier run is done with "));
    gq_text_finish(&text);
}
END_TEST

START_TEST(a_checkpoint_belongs_to_one_run_and_one_source)
{
    struct gq_checkpoint *held, *other;
    struct gq_checkpoint_mark from;
    ck_assert_int_eq(run(), GQ_OK);
    ck_assert_int_eq(gq_checkpoint_open(conf, &held, &from), GQ_OK);
    ck_assert_uint_eq(from.records, MESSAGES);
    ck_assert_int_eq(gq_checkpoint_open(conf, &other, &from), GQ_ERR_FULL);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "another run has the checkpoint "));
    gq_checkpoint_close(held);
    conf->source.split = GQ_FRAME_VARINT;
    ck_assert_int_eq(gq_checkpoint_open(conf, &other, &from), GQ_ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "was written for another source, split or join; remove it"));
}
END_TEST

static bool has_new_checkpoint(void) { return access(in_folder("out.txt.checkpoint.new"), F_OK) == 0; }

/* A run that is refused leaves no half-made checkpoint, and one that a killed run left is used or removed by the next.
 */
START_TEST(a_checkpoint_that_was_half_made_does_not_stay)
{
    struct gq_checkpoint *c;
    struct gq_checkpoint_mark from;
    struct rlimit before, little = {.rlim_cur = 100};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    little.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    const gq_status refused = gq_checkpoint_open(conf, &c, &from);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(refused, GQ_ERR_IO);
    ck_assert(!has_new_checkpoint());
    uint32_t killed = 0;
    for (uint32_t call = 0; call < 24; call++) {
        forget();
        ck_assert_int_eq(run_until(call, false, KEPT), CRASHED);
        killed += has_new_checkpoint();
        ck_assert_int_eq(run(), GQ_OK);
        ck_assert(!has_new_checkpoint());
    }
    ck_assert_uint_gt(killed, 0);
    ck_assert_int_eq(gq_file_write_atomic(in_folder("out.txt.checkpoint.new"), "half", 4, 0644), GQ_OK);
    ck_assert_int_eq(run(), GQ_OK);
    ck_assert(!has_new_checkpoint());
}
END_TEST

static void expect_damage(void)
{
    struct gq_checkpoint *c;
    struct gq_checkpoint_mark from;
    ck_assert_int_eq(gq_checkpoint_open(conf, &c, &from), GQ_ERR_DATA);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "out.txt.checkpoint has no whole record: it is damaged, or "));
}

START_TEST(whatever_lies_in_the_checkpoint_is_a_record_or_none)
{
    struct gq_checkpoint *c;
    struct gq_checkpoint_mark from;
    struct gq_text good = {0};
    ck_assert_int_eq(run(), GQ_OK);
    ck_assert_int_eq(gq_file_read(in_folder("out.txt.checkpoint"), 1 << 20, &good), GQ_OK);
    for (size_t at = 0; at < good.len; at += at % 4096 < 128 ? 1 : 512) {
        good.data[at] ^= 0x40;
        ck_assert_int_eq(gq_file_write_atomic(in_folder("out.txt.checkpoint"), good.data, good.len, 0644), GQ_OK);
        good.data[at] ^= 0x40;
        ck_assert_int_eq(gq_checkpoint_open(conf, &c, &from), GQ_OK);
        ck_assert_uint_le(from.records, MESSAGES);
        ck_assert_uint_ge(from.records, MESSAGES - 2 * AT_ONCE - 8); /* one of the two is whole */
        gq_checkpoint_close(c);
    }
    good.data[100] ^= 1;
    good.data[4096 + 100] ^= 1; /* neither of the two */
    ck_assert_int_eq(gq_file_write_atomic(in_folder("out.txt.checkpoint"), good.data, good.len, 0644), GQ_OK);
    expect_damage();
    ck_assert_int_eq(truncate(in_folder("out.txt.checkpoint"), 7), 0);
    expect_damage();
    static const off_t without[] = {0, 7, 4096, 4096 + 7, 4096 + 112}; /* zeroes */
    for (size_t i = 0; i < 2 * sizeof without / sizeof *without; i++) {
        ck_assert_int_eq(truncate(in_folder("out.txt.checkpoint"), 0), 0);
        ck_assert_int_eq(truncate(in_folder("out.txt.checkpoint"), without[i / 2]), 0);
        if (i % 2 == 0) {
            expect_damage(); /* there is an output */
            continue;
        }
        ck_assert_int_eq(rename(in_folder("out.txt"), in_folder("away.txt")), 0);
        ck_assert_int_eq(gq_checkpoint_open(conf, &c, &from), GQ_OK);
        ck_assert_uint_eq(from.records + from.position + from.out_bytes, 0); /* none: it begins anew */
        gq_checkpoint_close(c);
        ck_assert_int_eq(rename(in_folder("away.txt"), in_folder("out.txt")), 0);
    }
    gq_text_finish(&good);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_end_at_any_call_leaves_what_the_next_run_needs,
                                  an_end_at_any_call_leaves_letters_that_came_late,
                                  an_end_at_any_call_of_a_run_over_an_older_output_is_gone_on_with,
                                  ends_in_a_row_are_as_good_as_one,
                                  what_lies_beyond_the_record_is_cut,
                                  letters_that_are_not_written_again_stay,
                                  files_that_were_changed_meanwhile_are_refused,
                                  a_checkpoint_belongs_to_one_run_and_one_source,
                                  a_checkpoint_that_was_half_made_does_not_stay,
                                  whatever_lies_in_the_checkpoint_is_a_record_or_none};
    return unit_run("crash points", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
