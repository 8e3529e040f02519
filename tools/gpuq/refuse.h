/* refuse.h - what commands say of a command line, or of an error, before they end. */
#ifndef GPUQ_REFUSE_H
#define GPUQ_REFUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/error.h"

/* Of an option that getopt_long() returned '?' or ':' for, with opterr 0: why it is not taken. */
gq_status gpuq_refuse_option(const char *command, char **argv);
/* What --threads takes: a whole number from 1 to 1024, in digits alone. */
bool gpuq_read_threads(const char *text, uint32_t *out);
/* Prints the last error; one that has a place in a file stands by itself, as editors read it. The exit code. */
int gpuq_report(const char *command, gq_status status);
/* Prints the last error as --json does: what `open` begins, such as "{", ended by its status, exit code and sentence.
 * The exit code. */
int gpuq_report_json(FILE *out, const char *open, gq_status status);

#endif
