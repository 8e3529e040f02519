/* What a disk does wrong while a letter is written: the letters before it are whole, and nothing follows it. */
#include "bad_disk.h"
#include "unit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pipeline/dead_letter.h"
#include "pipeline/dead_letter_read.h"

static char folder[] = "/tmp/dead-XXXXXX", path[64];
static int rename_error;

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_rename(const char *from, const char *to)
{
    ck_assert(!unsynced); /* a crash leaves all of the old letters, or those that stay */
    errno = rename_error;
    return rename_error ? -1 : __real_rename(from, to);
}

static void set_up(void)
{
    strcpy(folder, "/tmp/dead-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.dlq", folder);
}

static void tear_down(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* no temporary file is left */
}

static gq_status put(struct gq_dead_file *file, uint64_t id)
{
    const struct gq_dead_letter letter = {.id = id,
                                          .kind = GQ_DEAD_FAULT,
                                          .attempts = 2,
                                          .stage_name = "s",
                                          .plugin = "p.cu",
                                          .digest = "d",
                                          .reason = "it killed its worker twice with SIGSEGV",
                                          .message = "bytes",
                                          .message_len = 5};
    return gq_dead_put(file, &letter);
}

static struct gq_dead_file open_file(void)
{
    struct gq_dead_file file = {.path = path, .max_bytes = 1 << 20};
    ck_assert_msg(gq_dead_open(&file) == GQ_OK, "%s", gq_error_text());
    return file;
}

/* The letters are 1 to `count`, and behind them are so many bytes. */
static void expect(uint64_t count, bool torn)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    ck_assert_int_eq(gq_dead_reader_open(&r, path), GQ_OK);
    for (uint64_t i = 1; i <= count; i++) {
        ck_assert_int_eq(gq_dead_read(&r, &letter), GQ_OK);
        ck_assert_uint_eq(letter.id, i);
        ck_assert_str_eq(gq_dead_class_name(letter.kind), "fault");
        ck_assert_str_eq(letter.reason, "it killed its worker twice with SIGSEGV");
    }
    ck_assert_int_eq(gq_dead_read(&r, &letter), GQ_ERR_NOT_FOUND);
    ck_assert(torn == (r.torn_bytes > 0));
    gq_dead_reader_close(&r);
}

START_TEST(a_write_that_fails_leaves_whole_letters_and_ends_the_file)
{
    for (int truncates = 0; truncates < 2; truncates++) {
        struct gq_dead_file file = open_file();
        ck_assert_int_eq(put(&file, 1), GQ_OK);
        write_error = truncates ? EIO : ENOSPC;
        truncate_error = truncates ? EIO : 0;
        written_first = 30;
        ck_assert_int_eq(put(&file, 2), GQ_ERR_IO);
        ck_assert_ptr_nonnull(strstr(gq_error_text(), path));
        ck_assert_ptr_nonnull(strstr(gq_error_text(), strerror(write_error)));
        write_error = truncate_error = 0;
        ck_assert_int_eq(put(&file, 2), GQ_ERR_IO); /* what lies behind is not known */
        ck_assert_uint_eq(file.written, 1);
        ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
        expect(1, truncates);
        file = open_file();
        ck_assert_int_eq(file.torn_bytes > 0, truncates);
        ck_assert_int_eq(put(&file, 2), GQ_OK);
        ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
        expect(2, false);
        unlink(path);
    }
}
END_TEST

START_TEST(letters_that_come_after_the_file_was_removed_have_a_new_one)
{
    struct gq_dead_file file = open_file();
    ck_assert_int_eq(put(&file, 7), GQ_OK);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(put(&file, 1), GQ_OK);
    ck_assert_int_eq(put(&file, 2), GQ_OK);
    ck_assert_uint_eq(file.written, 3);
    expect(2, false);
    struct gq_dead_file other = {.path = path, .max_bytes = 1 << 20};
    ck_assert_int_eq(gq_dead_open(&other), GQ_ERR_IO); /* it is locked, too */
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
}
END_TEST

START_TEST(letters_that_come_after_the_program_changed_its_folder_go_where_they_were_to_go)
{
    ck_assert_int_eq(chdir(folder), 0);
    struct gq_dead_file file = {.path = "x.dlq", .max_bytes = 1 << 20};
    ck_assert_int_eq(gq_dead_open(&file), GQ_OK);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(put(&file, 1), GQ_OK); /* the first one makes the file */
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
    expect(1, false);
}
END_TEST

START_TEST(a_sync_that_fails_is_not_tried_again)
{
    struct gq_dead_file file = open_file();
    ck_assert_int_eq(put(&file, 1), GQ_OK);
    sync_error = EIO;
    ck_assert_int_eq(gq_dead_sync(&file), GQ_ERR_IO);
    sync_error = 0;
    ck_assert_int_eq(put(&file, 2), GQ_ERR_IO);
    ck_assert_int_eq(gq_dead_sync(&file), GQ_ERR_IO);
    ck_assert_int_eq(gq_dead_close(&file), GQ_ERR_IO);
}
END_TEST

START_TEST(a_letter_keeps_its_life_and_whether_it_has_a_body)
{
    for (uint32_t life = 0; life <= 0x7fffffffu; life = 2 * life + 1)
        for (int bodiless = 0; bodiless < 2; bodiless++) {
            const struct gq_dead_letter letter = {
                .life = life, .bodiless = bodiless, .stage_name = "", .plugin = "", .digest = "", .reason = ""};
            struct gq_dead_file file = open_file();
            struct gq_dead_reader r;
            struct gq_dead_letter read;
            ck_assert_int_eq(gq_dead_put(&file, &letter), GQ_OK);
            ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
            ck_assert_int_eq(gq_dead_reader_open(&r, path), GQ_OK);
            ck_assert_int_eq(gq_dead_read(&r, &read), GQ_OK);
            ck_assert(read.life == life && read.bodiless == bodiless);
            gq_dead_reader_close(&r);
            unlink(path);
        }
}
END_TEST

START_TEST(a_header_that_a_crash_lost_is_written_again)
{
    for (size_t bytes = 0; bytes <= 32; bytes += 8) {
        struct gq_dead_file file = open_file();
        ck_assert_int_eq(put(&file, 1), GQ_OK);
        ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
        ck_assert_int_eq(truncate(path, 0), 0);
        ck_assert_int_eq(truncate(path, (off_t)bytes), 0); /* zeroes */
        file = open_file();
        ck_assert_uint_eq(file.torn_bytes, bytes);
        ck_assert_int_eq(put(&file, 1), GQ_OK);
        ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
        expect(1, false);
    }
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(truncate(path, 40), 0); /* behind a header that was durable there is never nothing but zeroes */
    struct gq_dead_file file = {.path = path, .max_bytes = 1 << 20};
    ck_assert_int_eq(gq_dead_open(&file), GQ_ERR_DATA);
}
END_TEST

static bool keep_all(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context)
{
    (void)letter, (void)name, (void)number, (void)context;
    return true;
}

static bool leave_all(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context)
{
    (void)letter, (void)name, (void)number, (void)context;
    return false;
}

START_TEST(a_rewrite_that_fails_leaves_the_old_file)
{
    int *const errors[] = {&write_error, &sync_error, &rename_error};
    struct gq_dead_file file = open_file();
    ck_assert_int_eq(put(&file, 1), GQ_OK);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        *errors[i] = ENOSPC;
        ck_assert_int_eq(gq_dead_rewrite(&file, keep_all, NULL), GQ_ERR_IO);
        *errors[i] = 0;
        ck_assert_int_eq(strncmp(gq_error_text(), path, strlen(path)), 0);
        ck_assert(gq_error_text()[strlen(path)] == ':'); /* and not the new file's name */
        expect(1, false);
    }
    ck_assert_int_eq(put(&file, 2), GQ_OK);
    expect(2, false);
    ck_assert_int_eq(gq_dead_rewrite(&file, keep_all, NULL), GQ_OK);
    expect(2, false);
    ck_assert_int_eq(put(&file, 3), GQ_OK); /* the lock and the place are the new file's */
    expect(3, false);
    struct gq_dead_file other = {.path = path, .max_bytes = 1 << 20};
    ck_assert_int_eq(gq_dead_open(&other), GQ_ERR_IO);
    ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
}
END_TEST

/* Letters with a reason as long as that, one after another. */
static void put_long(struct gq_dead_file *file, int count, size_t reason_len)
{
    char reason[512];
    memset(reason, 'r', reason_len);
    reason[reason_len] = '\0';
    const struct gq_dead_letter letter = {.stage_name = "s", .plugin = "p", .digest = "d", .reason = reason};
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(gq_dead_put(file, &letter), GQ_OK);
}

START_TEST(a_file_that_is_cut_while_somebody_looks_on_is_not_damaged)
{
    for (int read = 0; read < 8; read++)
        for (int written = 0; written < 16; written++) {
            struct gq_dead_file file = open_file();
            struct gq_dead_reader r;
            struct gq_dead_letter letter;
            put_long(&file, 8, 100);
            ck_assert_int_eq(gq_dead_reader_open(&r, path), GQ_OK);
            for (int i = 0; i < read; i++)
                ck_assert_int_eq(gq_dead_read(&r, &letter), GQ_OK);
            ck_assert_int_eq(gq_dead_rewrite(&file, leave_all, NULL), GQ_OK);
            put_long(&file, written, 333);
            gq_status status;
            while ((status = gq_dead_read(&r, &letter)) == GQ_OK)
                continue;
            ck_assert_msg(status != GQ_ERR_DATA, "%d, %d: %s", read, written, gq_error_text());
            if (status == GQ_ERR_IO)
                ck_assert_ptr_nonnull(strstr(gq_error_text(), "was cut while it was read: read it again"));
            ck_assert(status == GQ_ERR_IO || read == 0); /* then all letters are new ones */
            gq_dead_reader_close(&r);
            ck_assert_int_eq(gq_dead_close(&file), GQ_OK);
            unlink(path);
        }
}
END_TEST

/* The letters may be what filled the disk. */
START_TEST(letters_that_all_go_need_no_room)
{
    struct gq_dead_file file = open_file();
    ck_assert_int_eq(put(&file, 1), GQ_OK);
    ck_assert_int_eq(put(&file, 2), GQ_OK);
    write_error = ENOSPC;
    ck_assert_int_eq(gq_dead_rewrite(&file, keep_all, NULL), GQ_ERR_IO);
    ck_assert_ptr_nonnull(
        strstr(gq_error_text(), ": the letters that stay are written to a new file beside it first, "));
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "No space left on device"));
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "make room, or let all of them go with `gpuq dlq drop "));
    truncate_error = EIO;
    ck_assert_int_eq(gq_dead_rewrite(&file, leave_all, NULL), GQ_ERR_IO);
    truncate_error = 0;
    expect(2, false);
    ck_assert_int_eq(gq_dead_rewrite(&file, leave_all, NULL), GQ_OK);
    expect(0, false);
    write_error = 0;
    ck_assert_int_eq(put(&file, 1), GQ_OK); /* behind the header */
    expect(1, false);
    sync_error = EIO;
    ck_assert_int_eq(gq_dead_rewrite(&file, leave_all, NULL), GQ_ERR_IO);
    sync_error = 0;
    ck_assert_int_eq(put(&file, 1), GQ_ERR_IO); /* nobody knows what is on the disk */
    ck_assert_int_eq(gq_dead_close(&file), GQ_ERR_IO);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_write_that_fails_leaves_whole_letters_and_ends_the_file,
                                  letters_that_come_after_the_file_was_removed_have_a_new_one,
                                  letters_that_come_after_the_program_changed_its_folder_go_where_they_were_to_go,
                                  a_sync_that_fails_is_not_tried_again,
                                  a_rewrite_that_fails_leaves_the_old_file,
                                  a_file_that_is_cut_while_somebody_looks_on_is_not_damaged,
                                  letters_that_all_go_need_no_room,
                                  a_letter_keeps_its_life_and_whether_it_has_a_body,
                                  a_header_that_a_crash_lost_is_written_again};
    return unit_run("dead letters", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
