/* fall_back.h - code that has not served one message, and ends every worker with the first it meets, makes room for
 * the version before it.
 */
#ifndef GQ_PIPELINE_FALL_BACK_H
#define GQ_PIPELINE_FALL_BACK_H

#include "pipeline/trial.h"

/* The message ends its worker whenever it is tried. Is that rather the fault of the stage's code, which is live and has
 * no good result yet, when the version before it serves the message? Then that version is live again: true, and `said`
 * tells of it. False while somebody is changing the code, too. For the supervisor, while there is no worker. */
bool gq_fall_back(struct gq_trial *trial, const struct gq_suspect *suspect, struct gq_text *said);

#endif
