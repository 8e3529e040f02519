/* fall_back.h - code that has not served one message, and ends every worker with the first it meets, makes room for
 * an earlier version.
 */
#ifndef GQ_PIPELINE_FALL_BACK_H
#define GQ_PIPELINE_FALL_BACK_H

#include "pipeline/trial.h"

enum gq_fall {
    GQ_FALL_NONE,  /* it is the message */
    GQ_FALL_BACK,  /* it was the code: an earlier version is live again, and `said` tells of it */
    GQ_FALL_UNSURE /* it may be the code, and nobody can say before a change that is under way has been made */
};

/* The message ends its worker whenever it is tried. Is that rather the fault of the stage's code, which is live and has
 * no good result yet, when the version before it, or the newest one that has served, serves the message? While a change
 * waits for its turn nobody goes back, and it is the message's if other code cannot serve it either. For the
 * supervisor, while there is no worker. */
enum gq_fall gq_fall_back(struct gq_trial *trial, const struct gq_suspect *suspect, struct gq_text *said);

#endif
