/* client.h - the builder process from outside: one piece of work at a time, killed past its limits. */
#ifndef GQ_BUILD_CLIENT_H
#define GQ_BUILD_CLIENT_H

#include "base/process.h"
#include "base/scratch.h"
#include "build/build.h"
#include "build/wire.h"

#define GQ_TEMPLATES_KEPT 8u

/* A template that was compiled, by its key. */
struct gq_template {
    char key[GQ_DIGEST_HEX];
    struct gq_text cubin;
};

struct gq_builder {
    struct gq_text cache;      /* folder; empty: none */
    char *pins;                /* file; NULL: plugins are not pinned */
    struct gq_scratch headers; /* with pins: folder for the headers of one build, as they were read */
    uint32_t timeout_ms;
    struct gq_process process;
    bool was_killed;       /* while it was asked, by somebody else */
    char place[PATH_MAX];  /* the working folder that the process was started in; empty: not known */
    char jailed[PATH_MAX]; /* the plugin folder that the process is shut into; empty: into none */
    struct gq_template kept[GQ_TEMPLATES_KEPT];
    unsigned next_kept;
};

struct gq_work {
    enum gq_wire_work kind;
    const char *program, *folder; /* as gq_wire_request has them */
    uint32_t arch, suffix, registers;
    const struct gq_text *part[2]; /* the second for a link only */
};

struct gq_made {
    gq_status status; /* GQ_OK: the compiler ran to its end */
    bool compiled;
    char error[GQ_ERROR_TEXT_MAX];
    struct gq_text raw_log, depends, object;
};

/* GQ_OK: the builder answered. gq_made_finish() in every case. */
gq_status gq_client_ask(struct gq_builder *builder, const struct gq_work *work, struct gq_made *out);
void gq_made_finish(struct gq_made *made);

#endif
