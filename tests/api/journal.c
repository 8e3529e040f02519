/* A queue with a journal: what an application that died had accepted, and not taken, is run by the next one. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/runtime.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "build/nvrtc.h"
#include "tree.h"
#include "stress/require.h"
#include "unit/unit.h"

#define IDS 64

static char folder[64], path[128];
static uint64_t *ids; /* shared with children */
static int sync_error, syncs;
static pid_t heir = -1; /* 0: another thread forks at the next sync */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    if (heir == 0 && (heir = fork()) == 0) {
        sleep(60);
        _exit(0);
    }
    syncs++;
    errno = sync_error;
    return sync_error ? -1 : __real_fdatasync(fd);
}

static void set_up(void)
{
    strcpy(folder, "/tmp/gpuq-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/queue.journal", folder);
    setenv("GPUQ_JOURNAL", path, 1);
    setenv("GPUQ_BACKEND", "cpu", 0);
    unsetenv("GPUQ_DURABILITY");
    unsetenv("GPUQ_PLUGIN");
    ids = mmap(NULL, IDS * sizeof *ids, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void tear_down(void)
{
    munmap(ids, IDS * sizeof *ids);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* no second file is left */
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static GpuQueue *open_queue(uint32_t capacity, uint32_t slot_bytes)
{
    const QueueConfig cfg = {.capacity = capacity, .slot_bytes = slot_bytes};
    GpuQueue *q = q_init(&cfg);
    REQUIRE(q, "%s", q_last_error());
    return q;
}

static uint64_t put(GpuQueue *q, const char *text)
{
    uint64_t id = 0;
    const QueueStatus status = q_enqueue(q, text, strlen(text), &id, 20000);
    REQUIRE(status == Q_OK, "%d: %s", status, q_last_error());
    return id;
}

/* Asks until the message has ended. */
static QueueStatus fetch(GpuQueue *q, uint64_t id, char text[64])
{
    QueueStatus status;
    size_t len = 0;
    for (double end = now() + 20; now() < end;) {
        len = 63;
        status = q_try_dequeue_result(q, id, text, &len);
        if (status != Q_ERR_NOT_READY)
            break;
    }
    text[status == Q_OK ? len : 0] = '\0';
    return status;
}

static void expect(GpuQueue *q, uint64_t id, const char *text)
{
    char got[64];
    const QueueStatus status = fetch(q, id, got);
    ck_assert_msg(status == Q_OK, "message %llu: %d: %s", (unsigned long long)id, status, q_last_error());
    ck_assert_str_eq(got, text);
}

static uint64_t recovered(GpuQueue *q)
{
    uint64_t count = 77;
    ck_assert_int_eq(q_recovered(q, &count), Q_OK);
    return count;
}

/* An application that is killed at the end of `life`. */
static void die_after(void (*life)(void))
{
    int wait_status;
    const pid_t child = fork();
    if (child == 0) {
        life();
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &wait_status, 0), child);
    ck_assert_msg(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL, "the child ended with %d", wait_status);
}

static void put_ten(void)
{
    char text[16];
    GpuQueue *q = open_queue(16, 64);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "message %d", i);
        ids[i] = put(q, text);
    }
}

START_TEST(what_was_accepted_comes_with_its_id_in_order)
{
    uint64_t done[IDS];
    size_t count = 0, some;
    die_after(put_ten);
    GpuQueue *q = open_queue(16, 64);
    ck_assert_uint_eq(recovered(q), 10);
    for (double end = now() + 20; count < 10 && now() < end; count += some) {
        ck_assert_int_eq(q_wait_completions(q, 20000), Q_OK);
        ck_assert_int_eq(q_poll_completions(q, &done[count], IDS - count, &some), Q_OK);
    }
    ck_assert_uint_eq(count, 10);
    for (int i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof text, "message %d", i);
        ck_assert_uint_eq(done[i], ids[i]);
        expect(q, ids[i], text);
    }
    ck_assert_uint_ne(put(q, "another"), ids[9]);
    q_shutdown(q);
    ck_assert_str_eq(q_last_error(), "");
}
END_TEST

/* How often the disk is waited for, by q_enqueue alone. */
static int syncs_of_a_put(void)
{
    GpuQueue *q = open_queue(16, 64);
    syncs = 0;
    put(q, "one");
    const int waited = syncs;
    q_shutdown(q);
    return waited;
}

START_TEST(who_says_nothing_has_his_messages_on_the_disk_and_to_himself)
{
    struct stat info;
    const mode_t old = umask(0);
    ck_assert_int_gt(syncs_of_a_put(), 0);
    umask(old);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    setenv("GPUQ_DURABILITY", "memory", 1);
    ck_assert_int_eq(syncs_of_a_put(), 0);
}
END_TEST

static void take_three(void)
{
    QResult results[2];
    size_t count = 0, more = 0;
    char text[64];
    GpuQueue *q = open_queue(16, 64);
    for (int i = 0; i < 6; i++)
        ids[i] = put(q, i % 2 ? "odd" : "even");
    fetch(q, ids[3], text);
    fetch(q, ids[5], text);
    REQUIRE(q_peek(q, results, 1, &count, 20000) == Q_OK, "%s", q_last_error());
    REQUIRE(q_release(q, results, count) == Q_OK, "%s", q_last_error());
    ids[6] = results[0].msg_id;
    REQUIRE(q_peek(q, results, 1, &more, 20000) == Q_OK, "%s", q_last_error()); /* peeked, and not released */
    fetch(q, ids[4], text); /* handed out, and nothing says that it came */
}

START_TEST(what_was_taken_for_good_never_comes_again)
{
    char text[64];
    die_after(take_three);
    ck_assert_uint_eq(ids[6], ids[0]);
    GpuQueue *q = open_queue(16, 64);
    ck_assert_uint_eq(recovered(q), 3);
    ck_assert_int_eq(fetch(q, ids[0], text), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(fetch(q, ids[3], text), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(fetch(q, ids[5], text), Q_ERR_NOT_FOUND);
    expect(q, ids[1], "odd");
    expect(q, ids[2], "even");
    expect(q, ids[4], "even");
    QueueStats stats;
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert_uint_eq(stats.enq_count, 3);
    const uint64_t next = put(q, "next");
    for (int i = 0; i < 6; i++)
        ck_assert_uint_ne(next, ids[i]);
    expect(q, next, "next");
    q_shutdown(q);
    q = open_queue(16, 64);
    ck_assert_uint_eq(recovered(q), 0);
    const uint64_t behind = put(q, "behind");
    ck_assert(behind != next && (behind == next + 1 || behind == ids[5] + 1));
    q_shutdown(q);
}
END_TEST

START_TEST(a_shutdown_leaves_what_nobody_took)
{
    GpuQueue *q = open_queue(16, 64);
    const uint64_t first = put(q, "one"), second = put(q, "two");
    expect(q, first, "one"); /* taken for good by the shutdown */
    q_shutdown(q);
    q = open_queue(16, 64);
    ck_assert_uint_eq(recovered(q), 1);
    expect(q, second, "two");
    q_shutdown(q);
}
END_TEST

START_TEST(messages_of_every_end_are_over_when_they_were_taken)
{
    char text[64];
    if (getenv("GPUQ_LIBCUDA"))
        return; /* the grids of an imaginary driver echo, whatever the plugin is */
    setenv("GPUQ_PLUGIN", tree_fate(), 1);
    GpuQueue *q = open_queue(16, 64);
    const uint64_t dropped = put(q, "drop"), failed = put(q, "fail"), good = put(q, "good"), crashed = put(q, "segv");
    ck_assert_int_eq(fetch(q, crashed, text), Q_ERR_CUDA); /* on the way, other workers take over */
    ck_assert_int_eq(fetch(q, failed, text), Q_ERR_CUDA);
    expect(q, good, "good");
    ck_assert_int_eq(fetch(q, dropped, text), Q_ERR_NOT_FOUND);
    q_shutdown(q);
    q = open_queue(16, 64);
    ck_assert_uint_eq(recovered(q), 0);
    q_shutdown(q);
}
END_TEST

static void put_one_in_place(void)
{
    QClaim claims[8];
    size_t count = 0, done = 0;
    const EnqueueItem items[] = {{"first", 5}, {"", 0}, {"third", 5}};
    GpuQueue *q = open_queue(4, 64);
    REQUIRE(q_claim(q, claims, 8, &count, 0) == Q_OK, "%s", q_last_error());
    REQUIRE(count == 4, "%s", "another number");
    memcpy(claims[0].data, "in place", 8);
    claims[0].len = 8;
    REQUIRE(q_commit(q, claims, 1) == Q_OK, "%s", q_last_error());
    ids[0] = claims[0].msg_id;
    REQUIRE(q_enqueue_batch(q, items, 3, &ids[1], &done, 0) == Q_ERR_INVALID_ARG, "%s",
            q_last_error()); /* claims are held */
    for (int i = 1; i < 4; i++)
        claims[i].len = 0;
    REQUIRE(q_commit(q, &claims[1], 3) == Q_OK, "%s", q_last_error());
    char text[64];
    for (int i = 0; i < 4; i++)
        fetch(q, claims[i].msg_id, text); /* each is taken for good by the next */
    REQUIRE(q_enqueue_batch(q, items, 3, &ids[1], &done, 20000) == Q_OK, "%s", q_last_error());
    REQUIRE(done == 3, "%s", "another number");
}

START_TEST(batches_and_claims_are_kept_too)
{
    char text[64];
    die_after(put_one_in_place);
    GpuQueue *q = open_queue(4, 64);
    ck_assert_uint_eq(recovered(q), 3);
    ck_assert_int_eq(fetch(q, ids[0], text), Q_ERR_NOT_FOUND);
    expect(q, ids[1], "first");
    expect(q, ids[2], "");
    expect(q, ids[3], "third");
    q_shutdown(q);
}
END_TEST

START_TEST(a_journal_has_one_queue)
{
    const QueueConfig cfg = {.capacity = 16, .slot_bytes = 64};
    int wait_status, start[2];
    ck_assert_int_eq(pipe(start), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(read(start[0], &start[1], 1) != 1 || q_init(&cfg) != NULL);
    GpuQueue *q = open_queue(16, 64);
    ck_assert_ptr_null(q_init(&cfg));
    ck_assert_msg(strstr(q_last_error(), "queue.journal: another queue has this journal"), "%s", q_last_error());
    ck_assert_int_eq(write(start[1], "", 1), 1);
    ck_assert_int_eq(waitpid(child, &wait_status, 0), child);
    ck_assert_int_eq(wait_status, 0);
    q_shutdown(q);
    close(start[0]);
    close(start[1]);
}
END_TEST

static void put_two_from_elsewhere(void)
{
    GpuQueue *q;
    REQUIRE(chdir(folder) == 0 && setenv("GPUQ_JOURNAL", "queue.journal", 1) == 0, "%s", folder);
    q = open_queue(16, 64);
    REQUIRE(chdir("/") == 0, "/");
    ids[0] = put(q, "first");
    q_shutdown(q); /* writes it anew */
    REQUIRE(chdir(folder) == 0, "%s", folder);
    q = open_queue(16, 64);
    REQUIRE(recovered(q) == 1, "the first message");
    REQUIRE(chdir("/") == 0, "/");
    ids[1] = put(q, "second");
}

START_TEST(a_journal_stays_where_it_is_while_the_application_changes_its_folder)
{
    die_after(put_two_from_elsewhere);
    GpuQueue *q = open_queue(16, 64);
    ck_assert_int_ne(access("/queue.journal", F_OK), 0);
    expect(q, ids[0], "first");
    expect(q, ids[1], "second");
    q_shutdown(q);
}
END_TEST

static void leave_an_heir(void)
{
    GpuQueue *q = open_queue(16, 64);
    put(q, "one");
    heir = fork();
    if (heir == 0) {
        sleep(60);
        _exit(0);
    }
    REQUIRE(heir > 0, "fork");
    ids[0] = (uint64_t)heir;
}

START_TEST(what_a_forked_child_inherits_does_not_keep_the_journal)
{
    const QueueConfig cfg = {.capacity = 16, .slot_bytes = 64};
    die_after(leave_an_heir);
    GpuQueue *q = q_init(&cfg);
    ck_assert_uint_gt(ids[0], 1);
    kill((pid_t)ids[0], SIGKILL);
    ck_assert_msg(q != NULL, "%s", q_last_error());
    ck_assert_uint_eq(recovered(q), 1);
    q_shutdown(q);
}
END_TEST

/* A queue that ends writes its journal anew, to a file that the child has as well. */
START_TEST(nor_does_what_a_child_inherits_that_is_forked_while_the_queue_ends)
{
    GpuQueue *q = open_queue(16, 64);
    put(q, "one");
    heir = 0;
    q_shutdown(q);
    const QueueConfig cfg = {.capacity = 16, .slot_bytes = 64};
    q = q_init(&cfg);
    ck_assert_int_gt(heir, 0);
    kill(heir, SIGKILL);
    ck_assert_int_eq(waitpid(heir, NULL, 0), heir);
    ck_assert_msg(q != NULL, "%s", q_last_error());
    q_shutdown(q);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_and_stays)
{
    QueueConfig cfg = {.capacity = 8, .slot_bytes = 64};
    die_after(put_ten);
    ck_assert_ptr_null(q_init(&cfg));
    ck_assert_msg(strstr(q_last_error(),
                         "holds 10 messages that an earlier run accepted, and queue.capacity is 8: raise "
                         "it to 16"),
                  "%s", q_last_error());
    cfg = (QueueConfig){.capacity = 16, .slot_bytes = 5};
    ck_assert_ptr_null(q_init(&cfg));
    ck_assert_msg(strstr(q_last_error(), ", which an earlier run accepted, is 9 bytes, and queue.slot_bytes is 5"),
                  "%s", q_last_error());
    GpuQueue *q = open_queue(32, 9);
    ck_assert_uint_eq(recovered(q), 10);
    for (int i = 9; i >= 0; i--) {
        char text[16];
        snprintf(text, sizeof text, "message %d", i);
        expect(q, ids[i], text);
    }
    q_shutdown(q);
}
END_TEST

static void take_note(void *context, const char *sentence) { snprintf(context, 512, "%s", sentence); }

static gq_pipeline *open_pipeline(char note[512])
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(
        text, sizeof text,
        "version: 1\nqueue: { capacity: 16, slot_bytes: 64, journal: %s, durability: \"${GPUQ_DURABILITY:memory}\" }\n"
        "stages: [{ plugin: 'builtin:echo' }]\n",
        path);
    const gq_open_opts opts = {
        .size = sizeof opts, .path = "t.yaml", .text = text, .note = take_note, .note_context = note};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static off_t length(void)
{
    struct stat info;
    REQUIRE(stat(path, &info) == 0, "%s", path);
    return info.st_size;
}

/* In a process of its own: the bound is on every file that it writes. */
static void fill_the_disk(void)
{
    struct rlimit before, limit;
    char bytes[64] = {0}, text[64];
    uint64_t id;
    QueueStats stats;
    GpuQueue *q = open_queue(1024, 64);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const uint64_t first = put(q, "kept");
    limit = before;
    limit.rlim_cur = (rlim_t)length() + 150;
    setrlimit(RLIMIT_FSIZE, &limit);
    ids[0] = put(q, "fits");
    for (int i = 0; i < 3; i++) {
        REQUIRE(q_enqueue(q, bytes, 64, &id, 20000) == Q_ERR_FULL, "there was room");
        REQUIRE(strstr(q_last_error(), "queue.journal: the journal has no room (File too large): nothing was accepted"),
                "another sentence");
    }
    REQUIRE(q_stats(q, &stats) == Q_OK && stats.enq_count == 2, "%d messages", (int)stats.enq_count);
    REQUIRE(fetch(q, first, text) == Q_OK, "the first message"); /* taken without room to say so */
    REQUIRE(q_stats(q, &stats) == Q_OK && stats.deq_count == 1, "%d results", (int)stats.deq_count);
    setrlimit(RLIMIT_FSIZE, &before);
    ids[1] = put(q, "later");
    REQUIRE(ids[1] == first + 2, "an id is given for nothing");
}

START_TEST(a_full_disk_accepts_nothing_and_loses_nothing)
{
    die_after(fill_the_disk);
    GpuQueue *q = open_queue(1024, 64);
    ck_assert_uint_eq(recovered(q), 2);
    expect(q, ids[0], "fits");
    expect(q, ids[1], "later");
    q_shutdown(q);
}
END_TEST

START_TEST(a_disk_that_fails_ends_the_queue_and_not_what_was_accepted)
{
    char note[512] = "", text[64];
    setenv("GPUQ_DURABILITY", "fdatasync", 1);
    gq_pipeline *p = open_pipeline(note);
    ck_assert_int_eq(gq_start(p), GQ_OK);
    GpuQueue *q = gq_queue(p);
    const uint64_t first = put(q, "first"), second = put(q, "second");
    sync_error = EIO;
    ck_assert_int_eq(q_enqueue(q, "third", 5, &ids[0], 1000), Q_ERR_CUDA);
    ck_assert_msg(strstr(q_last_error(), "fdatasync failed (Input/output error)"), "%s", q_last_error());
    sync_error = 0;
    ck_assert_int_eq(q_enqueue(q, "fourth", 6, &ids[0], 1000), Q_ERR_CUDA);
    ck_assert_int_eq(gq_wait(p, 20000), GQ_ERR_IO);
    expect(q, first, "first");
    ck_assert_int_eq(fetch(q, second + 1, text), Q_ERR_NOT_FOUND); /* nothing runs that was not accepted */
    ck_assert_int_eq(gq_stop(p, 0), GQ_ERR_IO);
    ck_assert_msg(strstr(gq_last_error(), "the queue takes no more messages"), "%s", gq_last_error());
    gq_close(p);
    q = open_queue(16, 64);
    expect(q, first, "first"); /* again: that it was taken could not be recorded */
    expect(q, second, "second");
    q_shutdown(q);
}
END_TEST

static void put_one(void)
{
    setenv("GPUQ_DURABILITY", "memory", 1);
    put_ten();
}

START_TEST(a_torn_tail_is_cut_and_said_and_statistics_count)
{
    char note[512] = "";
    gq_stats stats = {.size = sizeof stats};
    die_after(put_one);
    ck_assert_int_eq(truncate(path, length() - 3), 0);
    gq_pipeline *p = open_pipeline(note);
    ck_assert_int_eq(gq_start(p), GQ_OK);
    ck_assert_msg(strstr(note, "queue.journal: the last ") && strstr(note, " bytes were torn"), "%s", note);
    ck_assert_int_eq(gq_get_stats(p, &stats), GQ_OK);
    ck_assert_uint_eq(stats.recovered, 9);
    ck_assert_uint_eq(stats.messages_in, 9);
    ck_assert_int_eq(gq_stop(p, 0), GQ_OK);
    gq_close(p);
}
END_TEST

START_TEST(damage_is_refused_with_its_place)
{
    char note[512] = "", byte = 0;
    die_after(put_one);
    const int file = open(path, O_RDWR);
    ck_assert_int_eq(pread(file, &byte, 1, length() - 100), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(file, &byte, 1, length() - 100), 1);
    close(file);
    gq_pipeline *p = open_pipeline(note);
    ck_assert_int_eq(gq_start(p), GQ_ERR_DATA);
    ck_assert_msg(strstr(gq_last_error(), "queue.journal: the journal is damaged at byte ") &&
                      strstr(gq_last_error(), "give up what follows with truncate -s "),
                  "%s", gq_last_error());
    gq_close(p);
}
END_TEST

/* What is wrong with q_init's environment is said of its variables, not of a text that nobody wrote. */
START_TEST(a_wrong_variable_is_named)
{
    static const struct {
        const char *name, *value, *said;
        uint32_t capacity, slot_bytes;
    } rows[] = {
        {"GPUQ_JOURNAL", ".", "q_init: GPUQ_JOURNAL: '.' is a folder, a file was expected", 16, 64},
        {"GPUQ_PLUGIN", "nope", "q_init: GPUQ_PLUGIN: cannot read 'nope': No such file or directory", 16, 64},
        {"GPUQ_DURABILITY", "foo", "q_init: GPUQ_DURABILITY: expected fdatasync or memory, got 'foo'", 16, 64},
        {"GPUQ_BACKEND", "cpu", "q_init: cfg.capacity: expected a power of two from 2 to 16777216, got '3'", 3, 64},
        {"GPUQ_BACKEND", "cpu", "q_init: cfg: capacity 16777216 with slot_bytes 16777216 takes ", 1 << 24, 1 << 24}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const QueueConfig cfg = {.capacity = rows[i].capacity, .slot_bytes = rows[i].slot_bytes};
        unsetenv("GPUQ_JOURNAL");
        setenv(rows[i].name, rows[i].value, 1);
        ck_assert_ptr_null(q_init(&cfg));
        ck_assert_msg(strncmp(q_last_error(), rows[i].said, strlen(rows[i].said)) == 0, "%s", q_last_error());
        unsetenv(rows[i].name);
    }
    const QueueConfig cfg = {.capacity = 3, .slot_bytes = 64};
    setenv("GPUQ_JOURNAL", ".", 1);
    ck_assert_ptr_null(q_init(&cfg));
    ck_assert_msg(strstr(q_last_error(), "q_init: cfg.capacity: ") &&
                      strstr(q_last_error(), "\nq_init: GPUQ_JOURNAL: "),
                  "%s", q_last_error());
}
END_TEST

int main(void)
{
    const char *backend = getenv("GPUQ_BACKEND");
    if (backend && strcmp(backend, "cuda") == 0 && gq_nvrtc_check() != GQ_OK) {
        printf("skipped: %s\n", gq_error_text());
        return 77;
    }
    const TTest *tests[] = {what_was_accepted_comes_with_its_id_in_order,
                            who_says_nothing_has_his_messages_on_the_disk_and_to_himself,
                            what_was_taken_for_good_never_comes_again,
                            a_shutdown_leaves_what_nobody_took,
                            messages_of_every_end_are_over_when_they_were_taken,
                            batches_and_claims_are_kept_too,
                            a_journal_has_one_queue,
                            a_journal_stays_where_it_is_while_the_application_changes_its_folder,
                            what_a_forked_child_inherits_does_not_keep_the_journal,
                            nor_does_what_a_child_inherits_that_is_forked_while_the_queue_ends,
                            what_does_not_fit_is_refused_and_stays,
                            a_full_disk_accepts_nothing_and_loses_nothing,
                            a_disk_that_fails_ends_the_queue_and_not_what_was_accepted,
                            a_torn_tail_is_cut_and_said_and_statistics_count,
                            damage_is_refused_with_its_place,
                            a_wrong_variable_is_named};
    return unit_run("journal", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
