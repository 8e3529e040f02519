/* process.h - child processes of our own: found, started, told apart, ended. */
#ifndef GQ_BASE_PROCESS_H
#define GQ_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/text.h"

/* Where the program `name` of this installation is: $GPUQ_WORKER for gpuq-worker, beside the running program, beside
 * the library, or in the installed libexec folder. GQ_ERR_UNAVAILABLE names the places looked at. */
gq_status gq_process_find(const char *name, struct gq_text *path);

struct gq_process {
    pid_t pid;   /* 0: none */
    int channel; /* our end of a SOCK_SEQPACKET pair, -1: none; the child's end is its descriptor 3 */
};

/* Starts `path` with a built environment (PATH, HOME, LANG, TMPDIR, XDG_CACHE_HOME, GPUQ_*, what CUDA and sanitizers
 * need, and nothing else of ours), standard input from /dev/null, all signals at their defaults and unblocked, in a
 * process group of its own so that a terminal's Ctrl-C reaches only us. The child ends itself when the channel closes,
 * so it never outlives us. (PR_SET_PDEATHSIG would not do: it follows the thread that called, which an application may
 * end at any time.) */
gq_status gq_process_start(const char *path, char *const argv[], struct gq_process *out);

/* Waits at most `timeout_ms` for the child to end: true, and its wait status, when it has. */
bool gq_process_wait(struct gq_process *p, uint32_t timeout_ms, int *wait_status);
/* Closes the channel, waits `grace_ms`, then kills; the child is reaped when this returns. Takes an empty one. */
void gq_process_end(struct gq_process *p, uint32_t grace_ms);
/* "exited with code 3", "was killed by SIGSEGV (segmentation fault)". */
void gq_process_describe(int wait_status, struct gq_text *out);
/* Of a process that never did anything: that $GPUQ_WORKER, where it is set, may name another program. */
void gq_process_doubt(struct gq_text *out);
const char *gq_signal_name(int signal); /* "SIGSEGV" */

#endif
