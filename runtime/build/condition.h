/* condition.h - #if lines, as far as a scan can tell: a branch is surely read, surely not, or perhaps. */
#ifndef GQ_BUILD_CONDITION_H
#define GQ_BUILD_CONDITION_H

#include <stdbool.h>
#include "build/lex.h"

/* Whose macros are known: the CPU backend's (GQ_CPU_SHIM is defined, __CUDA_ARCH__ is not) or a CUDA compiler's. */
enum gq_scan_target { GQ_SCAN_CPU, GQ_SCAN_CUDA };

#define GQ_CONDITIONS_MAX 64

struct gq_conditions {
    struct {
        bool outer;   /* the surrounding lines may be read */
        bool settled; /* an earlier branch surely is */
        bool live;    /* this branch may be */
    } level[GQ_CONDITIONS_MAX];
    unsigned depth; /* beyond GQ_CONDITIONS_MAX: counted, and taken as read */
    enum gq_scan_target target;
};

bool gq_condition_live(const struct gq_conditions *c);
/* Takes the line of a directive whose name was just read. False, and nothing read, if it is not about conditions. */
bool gq_condition_directive(struct gq_conditions *c, const struct gq_token *name, struct gq_lexer *lexer);

#endif
