/* plugin_args.h - the command line of `gpuq plugin VERB FILE.cu`. */
#ifndef GPUQ_PLUGIN_ARGS_H
#define GPUQ_PLUGIN_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "config/golden.h"

struct plugin_args {
    const char *verb, *file;
    const char *backend;            /* NULL: not given */
    const char *in;                 /* run: the message's file, "-" is standard input */
    const char *out;                /* build: where the image goes */
    struct gq_golden_param *params; /* as a golden file has them */
    size_t param_count;
    uint64_t repeat, index;
    uint32_t slot_bytes; /* 0: not given */
    uint32_t timeout_s;  /* for one message */
    uint32_t arch;       /* 90 for sm_90; 0: not given */
    bool json, no_cache, repeat_given, index_given;
};

/* argv[0] is the verb. GQ_ERR_INVALID_ARG with a sentence; plugin_args_finish() in either case. */
gq_status plugin_args_parse(int argc, char **argv, struct plugin_args *args);
void plugin_args_finish(struct plugin_args *args);

#endif
