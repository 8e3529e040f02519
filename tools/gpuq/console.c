#include "console.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/text.h"

#define CLEAR "\r\033[K"
#define COLUMNS 80 /* of a terminal that does not say */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool shown; /* a line of progress stands */

/* In one write, so that what other processes write to the same terminal stays outside. */
static void put(const char *text, const char *end, bool progress)
{
    struct gq_text all = {0};
    pthread_mutex_lock(&lock);
    if (shown || progress)
        gq_text_puts(&all, CLEAR);
    gq_text_puts(&all, text);
    gq_text_puts(&all, end);
    fputs(gq_text_str(&all), stderr);
    shown = progress;
    pthread_mutex_unlock(&lock);
    gq_text_finish(&all);
}

void gpuq_console_line(const char *text) { put(text, "\n", false); }

/* One that reaches the terminal's end goes on in the next row, and only that would be cleared. */
void gpuq_console_progress(const char *text)
{
    struct winsize size = {0};
    struct gq_text cut = {0};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    gq_text_add(&cut, text, strnlen(text, (size_t)(known ? size.ws_col : COLUMNS) - 1));
    put(gq_text_str(&cut), "", true);
    gq_text_finish(&cut);
}

void gpuq_console_clear(void) { put("", "", false); }
