/* canary_args.h - gpuq swap's options of a canary: from what people write, 5% or 30s, to the numbers of a request. */
#ifndef GPUQ_CANARY_ARGS_H
#define GPUQ_CANARY_ARGS_H

#include <getopt.h>
#include "base/error.h"
#include "base/text.h"
#include "control/commands.h"

enum {
#define GPUQ_CANARY_ENUM(field, ...) GPUQ_CANARY_##field,
    GQ_CANARY_FIELDS(GPUQ_CANARY_ENUM)
#undef GPUQ_CANARY_ENUM
        GPUQ_CANARY_COUNT
};

/* Rows of a table of options, whose values begin with CANARY_OPTION. */
#define CANARY_OPTION 256
#define CANARY_OPTION_ROW(field, option, ...) {option, required_argument, NULL, CANARY_OPTION + GPUQ_CANARY_##field},

struct canary_args {
    uint32_t number[GPUQ_CANARY_COUNT]; /* 0: not given */
};

/* `option` is one of those values. GQ_ERR_INVALID_ARG says what it takes. */
gq_status canary_args_take(struct canary_args *args, int option, const char *text);
/* Is there a canary to which the other options belong? */
gq_status canary_args_check(const struct canary_args *args);
void canary_args_write(const struct canary_args *args, struct gq_text *request);

#endif
