/* crash_disk.h - a disk that forgets. A process ends before, or in the middle of, one of the calls that change the
 * files of a folder; if the machine lost power, what was not made durable is lost, and so is a rename.
 *
 * A program that uses it is linked with --wrap of the calls in crash_disk.c. One thread at a time may make them.
 */
#ifndef TESTS_UNIT_CRASH_DISK_H
#define TESTS_UNIT_CRASH_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

#define CRASHED 42

/* What a crash leaves of what was written and not made durable. */
enum loss { KEPT, CUT, ZEROED, HALF, LOSSES }; /* KEPT: the process was killed; else the machine lost power */

/* Calls `run` in a process of its own, which ends at its call `last`, counted from 0, on files of `folder`; `torn`:
 * half of it is done. CRASHED: it did; 0: there were not so many, and `run` gave GQ_OK. */
int disk_run(const char *folder, uint32_t last, bool torn, enum loss loss, gq_status (*run)(void));

#endif
