/* support.h - what the fault tests share: requirements, a queue of their own, its worker process, and what a round
 * leaves. */
#ifndef TESTS_FAULT_SUPPORT_H
#define TESTS_FAULT_SUPPORT_H

#include <ctype.h>
#include <dirent.h>
#include <gpuqueue.h>
#include <gpuqueue/runtime.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include "base/clock.h"
#include "stress/payload.h"
#include "stress/require.h"

static inline bool fault_on_gpu(void)
{
    const char *backend = getenv("GPUQ_BACKEND");
    return backend && strcmp(backend, "cuda") == 0;
}

/* A queue that echoes, in an empty `path` made with mkstemp; its drain is short. */
static inline GpuQueue *fault_open(unsigned capacity, unsigned threads)
{
    char path[] = "/tmp/gpuq-fault-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    fprintf(file,
            "version: 1\ndrain: 300ms\nqueue: { capacity: %u, slot_bytes: 64 }\ncpu: { threads: %u }\n"
            "stages: [{ plugin: 'builtin:echo' }]\n",
            capacity, threads);
    fclose(file);
    GpuQueue *q = q_open(path);
    unlink(path);
    REQUIRE(q, "q_open");
    return q;
}

/* A pipeline that runs. */
static inline gq_pipeline *fault_start(const gq_open_opts *opts)
{
    gq_pipeline *p = NULL;
    REQUIRE(gq_open(opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK && gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

/* Workers that took over so far. */
static inline uint64_t fault_restarts(gq_pipeline *p)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK, "%s", gq_last_error());
    return stats.restarts;
}

static inline int fault_count_open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* The parent of a process; 0 when it is gone or a zombie. */
static inline pid_t fault_parent(const char *pid)
{
    char path[300], line[512];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = '\0';
    const char *after = strrchr(line, ')');
    char state = 'Z';
    int parent = 0;
    if (!after || sscanf(after + 1, " %c %d", &state, &parent) != 2 || state == 'Z')
        return 0;
    return parent;
}

/* A living child of ours: the worker, while a queue is open. 0: none. */
static inline pid_t fault_find_child(void)
{
    pid_t child = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(folder));)
        if (isdigit((unsigned char)entry->d_name[0]) && fault_parent(entry->d_name) == getpid())
            child = (pid_t)strtol(entry->d_name, NULL, 10);
    closedir(folder);
    return child;
}

/* From outside. A sanitizer reports a fault that is none, and its report may never end: where it met the signal it may
 * have held what it needs. */
static inline int fault_kill(pid_t process, int with)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    with = with == SIGTERM ? SIGTERM : SIGKILL;
#endif
    return kill(process, with);
}

/* "worker" or "builder": the argument that a process was started with. */
static inline bool fault_was_started_as(pid_t process, const char *what)
{
    char path[64], words[512] = "";
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process);
    FILE *file = fopen(path, "r");
    const size_t len = file ? fread(words, 1, sizeof words - 1, file) : 0;
    if (file)
        fclose(file);
    const size_t first = strnlen(words, len) + 1;
    return first < len && strcmp(words + first, what) == 0;
}

/* Living children of ours of that kind; returns how many. */
static inline size_t fault_list(const char *what, pid_t *found, size_t max)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    REQUIRE(proc, "/proc");
    for (struct dirent *e; (e = readdir(proc)) && count < max;) {
        const pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && fault_parent(e->d_name) == getpid() && fault_was_started_as(pid, what))
            found[count++] = pid;
    }
    closedir(proc);
    return count;
}

/* One of them, other than `but`; 0: none. */
static inline pid_t fault_find(const char *what, pid_t but)
{
    pid_t found[16];
    const size_t count = fault_list(what, found, sizeof found / sizeof *found);
    for (size_t i = count; i > 0; i--)
        if (found[i - 1] != but)
            return found[i - 1];
    return 0;
}

/* Is this thread stopped? Its state is the letter behind the name, which is in parentheses. */
static inline bool fault_is_stopped(pid_t process, const char *thread)
{
    char path[300], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)process, thread);
    FILE *f = fopen(path, "r");
    if (!f)
        return true; /* it ended */
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    const char *name_end = n ? strrchr(text, ')') : NULL;
    return name_end && strlen(name_end) > 2 && name_end[2] == 'T';
}

/* SIGSTOP takes effect some time after kill() has returned, thread by thread. */
static inline void fault_stop(pid_t worker)
{
    char path[64];
    bool all = false;
    REQUIRE(kill(worker, SIGSTOP) == 0, "kill");
    snprintf(path, sizeof path, "/proc/%d/task", (int)worker);
    while (!all) {
        DIR *threads = opendir(path);
        REQUIRE(threads, "%s", path);
        all = true;
        for (struct dirent *e = readdir(threads); e; e = readdir(threads))
            all = all && (e->d_name[0] == '.' || fault_is_stopped(worker, e->d_name));
        closedir(threads);
    }
}

/* What may come of a call on a queue that may be dead or shut down: codes of trouble have a sentence. */
static inline bool fault_allowed(QueueStatus status)
{
    bool trouble = status == Q_ERR_CUDA || status == Q_ERR_SHUTDOWN;
    if (trouble)
        REQUIRE(q_last_error()[0], "status %d has no sentence", status);
    return trouble || status == Q_OK || status == Q_ERR_FULL || status == Q_ERR_TIMEOUT || status == Q_ERR_NOT_READY ||
           status == Q_ERR_NOT_FOUND;
}

/* One round again and again, each bounded by `round_s`, after which no process and no descriptor may be left. */
static inline void fault_repeat(uint64_t rounds, unsigned round_s, uint64_t *dice, void (*one_round)(uint64_t *dice))
{
    int files = fault_count_open_files();
    for (uint64_t i = 0; i < rounds; i++) {
        alarm(round_s); /* a hang ends in SIGALRM */
        one_round(dice);
        REQUIRE(fault_find_child() == 0, "a process is left after round %" PRIu64, i);
        REQUIRE(fault_count_open_files() == files, "round %" PRIu64 " left files open", i);
    }
}

#endif
