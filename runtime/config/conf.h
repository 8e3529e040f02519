/* conf.h - a pipeline file, read and checked: what the rest of the runtime works from. Immutable once made. */
#ifndef GQ_CONFIG_CONF_H
#define GQ_CONFIG_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"
#include "config/problem.h"

/* A plugin that the library brings along, "builtin:echo", in place of a path. */
#define GQ_BUILTIN_PREFIX "builtin:"
const char *gq_builtin_name(const char *plugin); /* "builtin:echo" -> "echo"; NULL: it is a path */
/* What lies beside the output of delivery: exactly_once has its path and this; and behind it, until it has a record: */
#define GQ_CHECKPOINT_SUFFIX ".checkpoint"
#define GQ_CHECKPOINT_NEW_SUFFIX ".new"
/* A journal is written anew to its path and this. */
#define GQ_JOURNAL_NEW_SUFFIX ".new"

enum gq_backend_kind { GQ_BACKEND_AUTO, GQ_BACKEND_CUDA, GQ_BACKEND_CPU };
/* How a side that has nothing to do waits for more. */
enum gq_poll { GQ_POLL_ADAPTIVE, GQ_POLL_SPIN, GQ_POLL_SLEEP };
enum gq_source_kind { GQ_SOURCE_FILE, GQ_SOURCE_STDIN, GQ_SOURCE_GENERATE, GQ_SOURCE_PLUGIN, GQ_SOURCE_API };
enum gq_sink_kind { GQ_SINK_FILE, GQ_SINK_STDOUT, GQ_SINK_NULL, GQ_SINK_API };
enum gq_framing { GQ_FRAME_LINES, GQ_FRAME_LENGTH32, GQ_FRAME_VARINT, GQ_FRAME_FIXED, GQ_FRAME_WHOLE, GQ_FRAME_RAW };
enum gq_pattern { GQ_PATTERN_COUNTER, GQ_PATTERN_RANDOM };
/* How often a message may have an effect on the output when runs are killed and started again. */
enum gq_delivery_kind { GQ_DELIVERY_AT_LEAST_ONCE, GQ_DELIVERY_EXACTLY_ONCE };
/* What becomes of a message that q_enqueue accepted when the application ends before its result is taken. */
enum gq_durability { GQ_DURABILITY_NONE, GQ_DURABILITY_MEMORY, GQ_DURABILITY_FDATASYNC };
/* Which plugins may run; 0 until it is known whether there are pins. */
enum gq_trust { GQ_TRUST_ANY = 1, GQ_TRUST_PINNED };
enum gq_param_type { GQ_PARAM_BOOL, GQ_PARAM_INT, GQ_PARAM_FLOAT, GQ_PARAM_STRING };

struct gq_conf_param {
    char *name; /* a C identifier */
    enum gq_param_type type;
    bool boolean;
    int64_t integer;
    double real;
    char *string;
    struct gq_mark mark;
};

struct gq_conf_stage {
    char *name;   /* unique; by default the plugin's file name without its ending */
    char *plugin; /* path as opened: the file's folder joined with what was written, unless absolute */
    struct gq_mark plugin_mark;
    uint32_t blocks;     /* of its grid on a GPU; 0: as many as are of use and fit */
    uint64_t timeout_ms; /* of one message; 0: none */
    struct gq_conf_param *params;
    size_t param_count;
};

struct gq_conf_source {
    enum gq_source_kind kind;
    char *path; /* file, plugin */
    struct gq_mark path_mark;
    enum gq_framing split; /* file, stdin */
    uint32_t record_bytes; /* GQ_FRAME_FIXED */
    uint64_t count;        /* generate, plugin */
    uint32_t bytes;        /* generate: bytes a message */
    enum gq_pattern pattern;
    uint64_t seed;
    double rate_per_s;            /* generate: 0 is as fast as it goes */
    uint64_t first;               /* plugin: index of the first message */
    uint32_t blocks;              /* plugin: as of a stage */
    uint64_t timeout_ms;          /* plugin: of one index; 0: none */
    struct gq_conf_param *params; /* plugin */
    size_t param_count;
};

struct gq_conf_sink {
    enum gq_sink_kind kind;
    char *path;
    struct gq_mark path_mark;
    enum gq_framing join;
};

struct gq_conf_swap {
    uint32_t rehearse;      /* 1: golden vectors run in a spare worker before code goes live; 0: they do not */
    uint32_t keep_versions; /* of each stage, beside the live one */
    uint64_t budget_ms;     /* for one golden vector, and for loading its code in the spare worker */
};

struct gq_conf {
    char *file;   /* path the text came from, as given; "<text>" for text in memory */
    char *folder; /* what relative paths are relative to; "." at least */
    char *name;   /* by default the file's name without its ending */
    enum gq_backend_kind backend;
    uint32_t device;
    struct gq_conf_source source;
    uint32_t capacity; /* slots of each lane */
    uint32_t slot_bytes;
    enum gq_poll poll;
    enum gq_durability durability;
    char *journal; /* path; NULL: durability is none */
    struct gq_mark journal_mark;
    struct gq_conf_stage *stages;
    size_t stage_count;
    struct gq_conf_sink sink;
    enum gq_delivery_kind delivery;
    uint32_t retries;
    bool own_letters;  /* the file says where failed messages go; else that follows from name and sink */
    char *dead_letter; /* path; NULL: failed messages go to the caller (sink api) */
    struct gq_mark dead_letter_mark;
    uint64_t dead_bytes;  /* of its file, at most */
    uint32_t cpu_threads; /* cpu.threads; 0: one for each processor */
    uint32_t spare;       /* spare: a worker waits for the one that serves to die, where a start takes long */
    uint64_t drain_ms;    /* drain: how long a stop waits for messages in flight */
    struct gq_conf_swap swap;
    enum gq_trust plugin_trust;
    char *plugin_pins;    /* path; NULL: plugin_trust is any */
    char *control_socket; /* control.socket: a path, or the word "off"; NULL: the program that runs it chooses */
};

/* The name of a stage as a worker numbers them, which may say anything: "source" for GQ_CRUMB_SOURCE where there is a
 * source plugin, "?" for a number that is no stage's. */
const char *gq_conf_stage_name(const struct gq_conf *conf, uint64_t stage);
/* No control socket: the file says so. */
bool gq_conf_control_off(const struct gq_conf *conf);

/* Adds a problem, at the key that names it, where the run writes a file that a plugin's build reads; `what` is that
 * file in the sentence. Files that the pipeline file names were checked with it. */
void gq_conf_check_read(const struct gq_conf *conf, const char *path, const char *what, struct gq_problems *out);

/* Reads and checks a pipeline file, or `text` (of `len` bytes) as if it were the file `path`. On failure every error
 * found is appended to `errors`, one `file:line:column: error: ...` a line, and the status is GQ_ERR_CONFIG (GQ_ERR_IO
 * when the file cannot be read). `*count` is how many. `*out` is NULL on failure; gq_conf_destroy() takes NULL. */
gq_status gq_conf_load(const char *path, struct gq_text *errors, size_t *count, struct gq_conf **out);
gq_status gq_conf_parse(const char *path, const char *text, size_t len, struct gq_text *errors, size_t *count,
                        struct gq_conf **out);
/* The same, with the errors as a list: `problems` starts as {0} and is the caller's to finish. */
gq_status gq_conf_load_list(const char *path, struct gq_problems *problems, struct gq_conf **out);
gq_status gq_conf_parse_list(const char *path, const char *text, size_t len, struct gq_problems *problems,
                             struct gq_conf **out);
void gq_conf_destroy(struct gq_conf *conf);

/* The same names, types and values in the same order? */
bool gq_conf_params_same(const struct gq_conf_param *a, size_t a_count, const struct gq_conf_param *b, size_t b_count);
void gq_conf_params_destroy(struct gq_conf_param *params, size_t count);
/* Appends the sections of the file in which they differ, "source, queue", `stages` and `swap` left out. False: none. */
bool gq_conf_differ(const struct gq_conf *a, const struct gq_conf *b, struct gq_text *sections);

/* Bytes of shared memory that one lane's ingress and egress take. */
struct gq_conf_lane_bytes {
    uint64_t ingress, egress;
};
struct gq_conf_lane_bytes gq_conf_lane_bytes(uint32_t capacity, uint32_t slot_bytes);

/* `gpuq schema`: JSON Schema (draft 2020-12) of the same table that checks files. */
void gq_conf_schema(struct gq_text *out);
/* docs/reference/configuration.md, from the same table. */
void gq_conf_manual(struct gq_text *out);
/* `gpuq explain`: the effective configuration as YAML that loads again, defaults written out. */
void gq_conf_print(const struct gq_conf *conf, struct gq_text *out);

const char *gq_backend_name(enum gq_backend_kind kind);
const char *gq_source_name(enum gq_source_kind kind);
const char *gq_sink_name(enum gq_sink_kind kind);
const char *gq_durability_name(enum gq_durability durability);
const char *gq_framing_name(enum gq_framing framing);

#endif
