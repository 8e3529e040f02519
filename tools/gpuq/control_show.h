/* control_show.h - a pipeline's answers, for people. */
#ifndef GPUQ_CONTROL_SHOW_H
#define GPUQ_CONTROL_SHOW_H

#include "control/ask.h"

/* Why a command was refused: the step, the sentence, the log. To standard error. */
void control_show_refusal(const char *command, const struct gq_answer *a);
/* What a command did, to standard output. */
void control_show_change(const char *command, const struct gq_answer *a);
void control_show_versions(const struct gq_answer *a);
void control_show_stats(const struct gq_answer *a);

#endif
