/* refuse.h - what commands say of a command line, or of an error, before they end. */
#ifndef GPUQ_REFUSE_H
#define GPUQ_REFUSE_H

#include <stdio.h>
#include "base/error.h"

/* Of an option that getopt_long() returned '?' or ':' for, with opterr 0: why it is not taken. */
gq_status gpuq_refuse_option(const char *command, char **argv);
/* Prints the last error; one that has a place in a file stands by itself, as editors read it. The exit code. */
int gpuq_report(const char *command, gq_status status);
/* Prints the last error as --json does: what `open` begins, such as "{", ended by its status, exit code and sentence.
 * The exit code. */
int gpuq_report_json(FILE *out, const char *open, gq_status status);

#endif
