/* run.h - a compiler as a child process: jailed, bounded, without our environment, killed with everything it started.
 */
#ifndef GQ_BUILD_RUN_H
#define GQ_BUILD_RUN_H

#include <stdint.h>
#include "base/error.h"
#include "build/jail.h"

struct gq_run {
    const char *const *args; /* args[0] is the program's path */
    struct gq_jail jail;     /* its scratch folder is TMPDIR of the child */
    const char *log;         /* file for its standard output and error */
    uint64_t deadline_ns;
    uint32_t timeout_ms; /* what the deadline was, for the sentence */
    int watch;           /* when this descriptor's other side closes, the child is killed too */
};

/* Runs it to its end. GQ_ERR_UNAVAILABLE when the jail cannot be made. GQ_ERR_TIMEOUT past the deadline,
 * GQ_ERR_SHUTDOWN when `watch` closed; both have killed it. */
gq_status gq_run_compiler(const struct gq_run *run, int *wait_status);

#endif
