/* manual.h - what gpuq says of itself: on the terminal, as a manual page, as shell completions, as reference tables.
 * All of it comes from the rows of commands.h, the paragraphs of manual_text.h and GQ_STATUS_LIST. */
#ifndef GPUQ_MANUAL_H
#define GPUQ_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

void gpuq_manual_usage(FILE *out);                   /* the list of commands */
bool gpuq_manual_print(FILE *out, const char *name); /* one command; false if there is none of that name */
void gpuq_manual_roff(FILE *out);                    /* gpuq(1) */
void gpuq_manual_status(FILE *out);                  /* docs/reference/status.md */
void gpuq_completion_bash(FILE *out);                /* tools/completion/gpuq.bash */

#endif
