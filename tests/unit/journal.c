/* A journal by itself: its bytes cut and flipped at every place, a disk that is full or broken, and several threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "bad_disk.h"
#include "journal_support.h"
#include "unit.h"

#define CAPACITY 16u
#define SLOT_BYTES 4096u
#define MESSAGES 5u
#define THREADS 8u
#define EACH 20u

static char folder[64], path[128];
static uint8_t slots[THREADS][CAPACITY * SLOT_BYTES];

static void set_up(void)
{
    snprintf(folder, sizeof folder, "/tmp/gpuq-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/q.journal", folder);
}

static void tear_down(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* no second file is left */
}

static gq_status try_open(enum gq_durability durability, struct gq_journal **out)
{
    const struct gq_journal_opts opts = {path, durability, CAPACITY, SLOT_BYTES, 0};
    return gq_journal_open(&opts, out);
}

static struct gq_journal *open_journal(enum gq_durability durability)
{
    struct gq_journal *j = NULL;
    ck_assert_msg(try_open(durability, &j) == GQ_OK, "%s", gq_error_text());
    return j;
}

/* Message `seq` of a lane is its number's letter, so many times. */
static gq_status put(struct gq_journal *j, uint32_t lane, uint32_t len)
{
    const struct gq_lane_view view = journal_view(slots[lane], lane, CAPACITY, SLOT_BYTES);
    const uint64_t seq = j->lane[lane].next;
    memset(gq_slot_in(&view, seq), 'a' + (int)(seq % 26), len);
    return gq_journal_accept(j, &view, seq, &len, 1);
}

static void expect(struct gq_journal *j, uint64_t seq, uint32_t len)
{
    static uint8_t bytes[SLOT_BYTES];
    uint32_t got;
    bool taken;
    ck_assert_int_eq(gq_journal_read(j, 0, seq, bytes, &got, &taken), GQ_OK);
    ck_assert_uint_eq(got, len);
    for (uint32_t i = 0; i < len; i++)
        ck_assert_int_eq(bytes[i], 'a' + (int)(seq % 26));
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static struct gq_text whole;
static uint64_t ends[MESSAGES + 1]; /* of the sealed part, and of each message */

static void write_file(size_t len)
{
    ck_assert_int_eq(gq_file_write_atomic(path, gq_text_str(&whole), len, 0600), GQ_OK);
}

/* The file of a process that was killed: a part that is sealed, with two messages, and MESSAGES behind it. */
static void make_whole(enum gq_durability durability)
{
    struct gq_journal *j = open_journal(durability);
    ck_assert_int_eq(put(j, 0, 5), GQ_OK);
    ck_assert_int_eq(put(j, 0, 6), GQ_OK);
    ck_assert_int_eq(gq_journal_close(j), GQ_OK);
    j = open_journal(durability);
    ends[0] = j->bytes;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        ck_assert_int_eq(put(j, 0, i), GQ_OK);
        ends[i + 1] = j->bytes;
    }
    ck_assert_int_eq(gq_file_read(path, 1 << 20, &whole), GQ_OK);
    ck_assert_uint_eq(whole.len, ends[MESSAGES]);
    gq_journal_close(j);
}

static uint32_t messages_before(uint64_t end)
{
    uint32_t count = 0;
    while (count < MESSAGES && ends[count + 1] <= end)
        count++;
    return count;
}

static void expect_first(enum gq_durability durability, uint32_t count, uint64_t torn_bytes)
{
    struct gq_journal *j = open_journal(durability);
    ck_assert_uint_eq(j->lane[0].first, 0);
    ck_assert_uint_eq(j->lane[0].next, 2 + count);
    ck_assert_uint_eq(j->torn_bytes, torn_bytes);
    expect(j, 0, 5);
    expect(j, 1, 6);
    for (uint32_t i = 0; i < count; i++)
        expect(j, 2 + i, i);
    ck_assert_int_eq(gq_journal_close(j), GQ_OK);
}

static void expect_refused(enum gq_durability durability, const char *what)
{
    struct gq_journal *j;
    ck_assert_int_eq(try_open(durability, &j), GQ_ERR_DATA);
    ck_assert_ptr_null(j);
    ck_assert_msg(strstr(gq_error_text(), path) && strstr(gq_error_text(), what), "%s", gq_error_text());
}

START_TEST(a_tail_that_is_torn_at_any_byte_is_cut)
{
    for (enum gq_durability d = GQ_DURABILITY_MEMORY; d <= GQ_DURABILITY_FDATASYNC; d++) {
        make_whole(d);
        for (size_t len = 1; len <= whole.len; len++) {
            const uint32_t count = messages_before(len);
            write_file(len);
            if (len < ends[0])
                expect_refused(d, "");
            else
                expect_first(d, count, len - ends[count]);
        }
        write_file(0); /* a journal that was never begun */
        struct gq_journal *j = open_journal(d);
        ck_assert_uint_eq(gq_journal_lanes(j), 0);
        gq_journal_close(j);
        unlink(path);
    }
}
END_TEST

/* What a machine leaves that lost power: the length is right, and the bytes are zeroes. */
START_TEST(a_tail_of_zeroes_is_cut)
{
    make_whole(GQ_DURABILITY_FDATASYNC);
    memset(whole.data + ends[MESSAGES - 1], 0, (size_t)(ends[MESSAGES] - ends[MESSAGES - 1]));
    write_file(whole.len);
    expect_first(GQ_DURABILITY_FDATASYNC, MESSAGES - 1, ends[MESSAGES] - ends[MESSAGES - 1]);
}
END_TEST

START_TEST(a_flip_of_any_byte_is_damage_or_the_end)
{
    char place[64];
    for (enum gq_durability d = GQ_DURABILITY_MEMORY; d <= GQ_DURABILITY_FDATASYNC; d++) {
        make_whole(d);
        for (size_t at = 0; at < whole.len; at++) {
            const uint32_t count = messages_before(at);
            whole.data[at] ^= 0x10;
            write_file(whole.len);
            whole.data[at] ^= 0x10;
            snprintf(place, sizeof place, "is damaged at byte %u", (unsigned)ends[count]);
            if (at < ends[0])
                expect_refused(d, "");
            else if (at < ends[MESSAGES - 1])
                expect_refused(d, place);
            else
                expect_first(d, MESSAGES - 1, ends[MESSAGES] - ends[MESSAGES - 1]);
        }
        unlink(path);
    }
}
END_TEST

START_TEST(the_sentence_about_damage_says_what_to_do)
{
    char command[300];
    make_whole(GQ_DURABILITY_MEMORY);
    whole.data[ends[1] + 5] ^= 1;
    write_file(whole.len);
    snprintf(command, sizeof command, "give up what follows with truncate -s %u %s", (unsigned)ends[1], path);
    expect_refused(GQ_DURABILITY_MEMORY, command);
    ck_assert_int_eq(truncate(path, (off_t)ends[1]), 0);
    expect_first(GQ_DURABILITY_MEMORY, 1, 0);
    ck_assert_int_eq(gq_file_write_atomic(path, "a text that somebody wrote, no journal", 38, 0600), GQ_OK);
    expect_refused(GQ_DURABILITY_MEMORY, "is no journal: name another");
}
END_TEST

/* A message that looks like a record must not pass for one that says that what was torn before it was safe. */
START_TEST(a_message_that_looks_like_a_record_is_a_message)
{
    const struct gq_journal_record claim = {.kind = GQ_JOURNAL_SEAL, .safe = UINT64_MAX};
    struct gq_text forged = {0}, file = {0};
    struct gq_journal *j = open_journal(GQ_DURABILITY_MEMORY);
    const struct gq_lane_view view = journal_view(slots[0], 0, CAPACITY, SLOT_BYTES);
    ck_assert_int_eq(put(j, 0, 10), GQ_OK);
    const uint64_t begun = j->bytes;
    gq_journal_put(&forged, 12345, begun, &claim);
    const uint32_t len = (uint32_t)forged.len;
    memcpy(gq_slot_in(&view, 1), forged.data, len);
    ck_assert_int_eq(gq_journal_accept(j, &view, 1, &len, 1), GQ_OK);
    ck_assert_int_eq(gq_file_read(path, 16384, &file), GQ_OK);
    gq_journal_close(j);
    file.data[begun] ^= 1;
    ck_assert_int_eq(gq_file_write_atomic(path, file.data, file.len, 0600), GQ_OK);
    j = open_journal(GQ_DURABILITY_MEMORY);
    ck_assert_uint_eq(j->lane[0].next, 1);
    gq_journal_close(j);
    gq_text_finish(&file);
    gq_text_finish(&forged);
}
END_TEST

/* --- disks -------------------------------------------------------------------------------------------------------- */

START_TEST(a_disk_without_room_accepts_nothing_and_goes_on)
{
    struct gq_journal *j = open_journal(GQ_DURABILITY_FDATASYNC);
    ck_assert_int_eq(put(j, 0, 8), GQ_OK);
    gq_journal_take(j, 0, 0, 1);
    for (int i = 0; i < 3; i++) {
        const uint64_t bytes = j->bytes;
        write_error = i == 1 ? EDQUOT : ENOSPC;
        written_first = (size_t)i * 30;
        ck_assert_int_eq(put(j, 0, 8), GQ_ERR_FULL);
        ck_assert_ptr_nonnull(strstr(gq_error_text(), "the journal has no room ("));
        ck_assert_ptr_nonnull(strstr(gq_error_text(), strerror(write_error)));
        gq_journal_flush(j);
        struct stat info;
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_uint_eq((uint64_t)info.st_size, bytes);
        ck_assert_uint_eq(j->lane[0].next, 1);
    }
    write_error = 0;
    ck_assert_int_eq(put(j, 0, 9), GQ_OK);
    ck_assert_int_eq(gq_journal_close(j), GQ_OK);
    j = open_journal(GQ_DURABILITY_FDATASYNC);
    ck_assert(!journal_has(j, 0, 0) && journal_has(j, 0, 1));
    expect(j, 1, 9);
    gq_journal_close(j);
}
END_TEST

START_TEST(a_sync_that_fails_stops_it_for_good)
{
    struct gq_journal *j = open_journal(GQ_DURABILITY_FDATASYNC);
    ck_assert_int_eq(put(j, 0, 1), GQ_OK);
    sync_error = EIO;
    ck_assert_int_eq(put(j, 0, 2), GQ_ERR_IO);
    ck_assert_msg(strstr(gq_error_text(), "fdatasync failed (Input/output error)") &&
                      strstr(gq_error_text(), "the queue takes no more messages; start it again"),
                  "%s", gq_error_text());
    sync_error = 0;
    const uint32_t asked = syncs;
    ck_assert_int_eq(put(j, 0, 3), GQ_ERR_IO);
    gq_journal_take(j, 0, 0, 1);
    gq_journal_flush(j);
    gq_journal_close(j);
    ck_assert_uint_eq(syncs, asked); /* it is not asked again */
    j = open_journal(GQ_DURABILITY_FDATASYNC);
    expect(j, 0, 1);
    gq_journal_close(j);
}
END_TEST

START_TEST(a_write_that_fails_otherwise_stops_it_too)
{
    for (int truncates = 0; truncates < 2; truncates++) {
        struct gq_journal *j = open_journal(GQ_DURABILITY_MEMORY);
        write_error = truncates ? ENOSPC : EIO;
        truncate_error = truncates ? EIO : 0;
        written_first = 30;
        ck_assert_int_eq(put(j, 0, 1), GQ_ERR_IO);
        write_error = truncate_error = 0;
        ck_assert_int_eq(put(j, 0, 1), GQ_ERR_IO);
        gq_journal_close(j);
        j = open_journal(GQ_DURABILITY_MEMORY);
        ck_assert_uint_eq(j->lane[0].next, 0);
        gq_journal_close(j);
    }
}
END_TEST

START_TEST(the_file_stays_short)
{
    const struct gq_journal_opts opts = {path, GQ_DURABILITY_MEMORY, CAPACITY, SLOT_BYTES, 10000};
    struct gq_journal *j;
    uint64_t longest = 0;
    struct stat info;
    ck_assert_int_eq(gq_journal_open(&opts, &j), GQ_OK);
    ck_assert_int_eq(chmod(path, 0640), 0);
    for (uint64_t i = 0; i < 5000; i++) {
        ck_assert_int_eq(put(j, 0, 100), GQ_OK);
        if (i >= 8)
            gq_journal_take(j, 0, i - 8, 1);
        longest = j->bytes > longest ? j->bytes : longest;
    }
    ck_assert_uint_le(longest, 10000 + 2 * 2500 + 500);
    ck_assert_int_eq(gq_journal_close(j), GQ_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640); /* its owner's choice */
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------------------------ */

static struct gq_journal *shared;

static void *put_many(void *arg)
{
    const uint32_t lane = (uint32_t)(uintptr_t)arg;
    const struct gq_lane_view view = journal_view(slots[lane], lane, CAPACITY, SLOT_BYTES);
    for (uint64_t i = 0; i < EACH; i++) {
        const uint32_t len = 8;
        memcpy(gq_slot_in(&view, i), "thread!", 8);
        if (gq_journal_accept(shared, &view, i, &len, 1) != GQ_OK)
            abort();
        gq_journal_take(shared, lane, i, 1);
    }
    return NULL;
}

START_TEST(threads_share_a_sync)
{
    pthread_t thread[THREADS];
    shared = open_journal(GQ_DURABILITY_FDATASYNC);
    sync_us = 5000;
    syncs = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, put_many, (void *)i);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    printf("%u messages, %u syncs\n", THREADS * EACH, syncs);
    ck_assert_uint_ge(syncs, EACH);
    ck_assert_uint_le(syncs, THREADS * EACH / 2);
    ck_assert_uint_eq(gq_journal_lanes(shared), 0);
    ck_assert_int_eq(gq_journal_close(shared), GQ_OK);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_tail_that_is_torn_at_any_byte_is_cut,
                                  a_tail_of_zeroes_is_cut,
                                  a_flip_of_any_byte_is_damage_or_the_end,
                                  the_sentence_about_damage_says_what_to_do,
                                  a_message_that_looks_like_a_record_is_a_message,
                                  a_disk_without_room_accepts_nothing_and_goes_on,
                                  a_sync_that_fails_stops_it_for_good,
                                  a_write_that_fails_otherwise_stops_it_too,
                                  the_file_stays_short,
                                  threads_share_a_sync};
    return unit_run("journal", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
