#include "base/error.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    gq_status status;
    const char *before, *after; /* of a sentence not put together yet; NULL: `text` is the sentence */
    uint64_t number;
    char text[GQ_ERROR_TEXT_MAX];
} last;

/* One that was cut ends with a line, if half of it or more stays so, or else says that there was more. */
static void end_cut(char text[GQ_ERROR_TEXT_MAX])
{
    static const char more[] = "...";
    char *newline = strrchr(text, '\n');
    size_t end = GQ_ERROR_TEXT_MAX - sizeof more;
    if (newline && newline - text >= GQ_ERROR_TEXT_MAX / 2) {
        *newline = '\0';
        return;
    }
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) /* in the middle of a character of UTF-8 */
        end--;
    memcpy(text + end, more, sizeof more);
}

static void put(gq_status status, const char *format, va_list args)
{
    /* Formatted aside: an argument may be the old sentence itself. */
    char text[GQ_ERROR_TEXT_MAX];
    if (vsnprintf(text, sizeof text, format, args) >= (int)sizeof text)
        end_cut(text);
    memcpy(last.text, text, strlen(text) + 1);
    last.before = NULL;
    last.status = status;
}

/* The sentence, put together if it was only noted. */
static const char *settle(void)
{
    if (last.before && last.after)
        snprintf(last.text, sizeof last.text, "%s%" PRIu64 "%s", last.before, last.number, last.after);
    else if (last.before)
        snprintf(last.text, sizeof last.text, "%s", last.before);
    last.before = NULL;
    return last.text;
}

gq_status gq_error_note(gq_status status, const char *before) { return gq_error_note_number(status, before, 0, NULL); }

gq_status gq_error_note_number(gq_status status, const char *before, uint64_t number, const char *after)
{
    last.status = status;
    last.before = before;
    last.after = after;
    last.number = number;
    return status;
}

gq_status gq_error_set(gq_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(status, format, args);
    va_end(args);
    return status;
}

static void append(const char *separator, const char *text)
{
    const size_t len = strlen(last.text), left = sizeof last.text - len;
    if (snprintf(last.text + len, left, "%s%s", separator, text) >= (int)left)
        end_cut(last.text);
}

gq_status gq_error_errno(gq_status status, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(status, format, args);
    va_end(args);
    append(": ", strerror(err));
    if (err == EFBIG) /* of 100 KiB of shared memory nobody would look for a bound of files */
        append("", " (RLIMIT_FSIZE, see `ulimit -f`, bounds files and shared memory)");
    if (err == EMFILE)
        append("", " (RLIMIT_NOFILE, see `ulimit -n`, bounds the descriptors of a process)");
    return status;
}

gq_status gq_error_prefix(gq_status status, const char *format, ...)
{
    char old[GQ_ERROR_TEXT_MAX];
    snprintf(old, sizeof old, "%s", settle());
    va_list args;
    va_start(args, format);
    put(status, format, args);
    va_end(args);
    append("", old);
    return status;
}

void gq_error_clear(void)
{
    last.status = GQ_OK;
    last.before = NULL;
    last.text[0] = '\0';
}

const char *gq_error_text(void) { return settle(); }
gq_status gq_error_status(void) { return last.status; }

static const struct {
    gq_status status;
    int exit_code;
    const char *name, *text;
} statuses[] = {
#define ROW(name, value, exit_code, text) {name, exit_code, #name, text},
    GQ_STATUS_LIST(ROW)
#undef ROW
};

static size_t find(gq_status status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return i;
    return find(GQ_ERR_INTERNAL);
}

const char *gq_status_name(gq_status status) { return statuses[find(status)].name; }
const char *gq_status_text(gq_status status) { return statuses[find(status)].text; }
int gq_status_exit_code(gq_status status) { return statuses[find(status)].exit_code; }
