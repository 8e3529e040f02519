#include "fake.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_script script = {.devices = 1,
                                    .sms = 4,
                                    .threads = 2048,
                                    .registers = 65536,
                                    .poll = -1,
                                    .launched = -1,
                                    .fault = UINT64_MAX,
                                    .poison = UINT64_MAX,
                                    .every = UINT64_MAX,
                                    .from = UINT64_MAX,
                                    .after = UINT64_MAX,
                                    .hangs = UINT64_MAX};

static void read_fail(char *value)
{
    char *at = strchr(value, ','), *error = at ? strchr(at + 1, ',') : NULL;
    if (!error)
        fake_complain("fail= takes FUNCTION,K,ERROR, not '%s'", value);
    *at = '\0';
    snprintf(script.fail, sizeof script.fail, "%s", value);
    script.fail_at = strtol(at + 1, NULL, 10);
    script.fail_error = (int)strtol(error + 1, NULL, 10);
    script.spares =
        strstr(value, "Free") || strstr(value, "Unload") || strstr(value, "Unregister") || strstr(value, "Destroy");
}

static void read_held(char *value)
{
    char *path = strchr(value, ',');
    if (!path)
        fake_complain("held= takes STEP,PATH, not '%s'", value);
    script.held_step = (uint32_t)strtoul(value, NULL, 10);
    snprintf(script.held, sizeof script.held, "%s", path + 1);
}

static void read_word(char *word)
{
    char *value = strchr(word, '=');
    value = value ? value + 1 : word + strlen(word);
    if (strncmp(word, "devices=", 8) == 0)
        script.devices = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "sms=", 4) == 0)
        script.sms = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "threads=", 8) == 0)
        script.threads = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "registers=", 10) == 0)
        script.registers = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "launched=", 9) == 0)
        script.launched = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "poll=", 5) == 0)
        script.poll = (int)strtol(value, NULL, 10);
    else if (strncmp(word, "fail=", 5) == 0)
        read_fail(value);
    else if (strncmp(word, "count=", 6) == 0)
        snprintf(script.count, sizeof script.count, "%s", value);
    else if (strncmp(word, "xid=", 4) == 0)
        snprintf(script.xid, sizeof script.xid, "%s", value);
    else if (strncmp(word, "scarce=", 7) == 0)
        snprintf(script.scarce, sizeof script.scarce, "%s", value);
    else if (strncmp(word, "report=", 7) == 0)
        script.report_ms = strtol(value, NULL, 10);
    else if (strncmp(word, "still=", 6) == 0)
        script.still_ms = strtol(value, NULL, 10);
    else if (strncmp(word, "idle=", 5) == 0)
        script.idle_ms = strtol(value, NULL, 10);
    else if (strncmp(word, "init=", 5) == 0)
        script.init_ms = strtol(value, NULL, 10);
    else if (strncmp(word, "load=", 5) == 0)
        script.load_ms = strtol(value, NULL, 10);
    else if (strncmp(word, "fault=", 6) == 0)
        script.fault = strtoull(value, NULL, 10);
    else if (strncmp(word, "every=", 6) == 0)
        script.every = strtoull(value, NULL, 10);
    else if (strncmp(word, "after=", 6) == 0)
        script.after = strtoull(value, NULL, 10);
    else if (strncmp(word, "from=", 5) == 0)
        script.from = strtoull(value, NULL, 10);
    else if (strncmp(word, "poison=", 7) == 0)
        script.poison = strtoull(value, NULL, 10);
    else if (strncmp(word, "hangs=", 6) == 0)
        script.hangs = strtoull(value, NULL, 10);
    else if (strncmp(word, "held=", 5) == 0)
        read_held(value);
    else if (strcmp(word, "late") == 0)
        script.late = true;
    else if (strcmp(word, "holds") == 0)
        script.holds = true;
    else if (strcmp(word, "stuck") == 0)
        script.stuck = true;
    else if (strcmp(word, "scrawl") == 0)
        script.scrawl = true;
    else if (strcmp(word, "silent") == 0)
        script.silent = true;
    else if (strcmp(word, "queued") == 0)
        script.queued = true;
    else if (strcmp(word, "ends") == 0)
        script.ends = true;
    else
        fake_complain("GPUQ_FAKE_CUDA: '%s' is no word of a script", word);
}

static void read_script(void)
{
    char text[1024], *rest = NULL;
    const char *env = getenv("GPUQ_FAKE_CUDA");
    snprintf(text, sizeof text, "%s", env ? env : "");
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        read_word(word);
}

const struct fake_script *fake_script(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_script);
    return &script;
}

long fake_grow(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const long size = fd >= 0 && write(fd, ".", 1) == 1 ? (long)lseek(fd, 0, SEEK_CUR) : -1;
    if (fd >= 0)
        close(fd);
    return size;
}

/* The number of this call, from 1, over all processes that share the file. */
static long count_call(const char *path)
{
    const long number = fake_grow(path);
    if (number < 0)
        fake_complain("%s cannot be written", path);
    return number;
}

int fake_scripted(const char *function)
{
    const struct fake_script *s = fake_script();
    if (strcmp(function, s->fail) != 0)
        return 0;
    const long number = count_call(s->count);
    return s->fail_at < 0 || number == s->fail_at ? s->fail_error : 0;
}

_Noreturn void fake_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fake libcuda: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(99);
}
