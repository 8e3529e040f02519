#include "console.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/text.h"

#define CLEAR "\r\033[K"

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

void gpuq_console_progress(const char *text) { put(text, "", true); }

void gpuq_console_clear(void) { put("", "", false); }
