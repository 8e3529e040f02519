/* scan.h - reading a plugin's text without compiling it: its parameters, and what the CPU backend cannot run. The
 * headers that it includes from its own folders are read as well, as a compiler would look for them. Branches that the
 * target's macros surely leave out are skipped. */
#ifndef GQ_BUILD_SCAN_H
#define GQ_BUILD_SCAN_H

#include "base/error.h"
#include "base/text.h"
#include "build/build.h"
#include "build/condition.h"
#include "build/machine.h"

#define GQ_SOURCE_BYTES_MAX (1u << 20) /* one file */
#define GQ_SCAN_FILES_MAX 64
#define GQ_SCAN_DEPTH_MAX 16

struct gq_scan_file {
    char *path; /* as diagnostics name it */
    struct gq_text text;
};

struct gq_scan {
    enum gq_origin origin;
    struct gq_machine machine; /* of PTX and cubins, which have nothing else to scan */
    struct gq_plugin_param *params;
    size_t param_count;
    struct gq_scan_file file[GQ_SCAN_FILES_MAX]; /* 0: the plugin */
    size_t file_count;
    struct gq_text missing; /* paths, a NUL after each, where a header would be read from if it were there */
    size_t missing_count;
    struct gq_text problems; /* file:line:column: error: ..., with carets */
    size_t problem_count;
    bool defines_process, defines_generate; /* the words process_message, generate_message occur */
    bool open_ended;                        /* what a compiler reads may depend on files that the text does not name */
};

/* Reads `path`: CUDA source in a regular file of at most GQ_SOURCE_BYTES_MAX, PTX or a cubin. GQ_ERR_PLUGIN with the
 * problems as its text if the target cannot run it; `out` is then filled all the same. gq_scan_finish() in every case.
 */
gq_status gq_scan_plugin(const char *path, enum gq_scan_target target, struct gq_scan *out);
void gq_scan_finish(struct gq_scan *scan);

/* The text of a file that was read, by the name that diagnostics use; NULL if it was not. */
const struct gq_text *gq_scan_text(const struct gq_scan *scan, const char *path, size_t path_len);

/* refuse.c: rows of what a CPU cannot run. Each returns the sentence, or NULL. */
const char *gq_refuse_word(const struct gq_token *word, const struct gq_token *next);
const char *gq_refuse_header(const char *name, size_t len);

#endif
