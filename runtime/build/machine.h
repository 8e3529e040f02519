/* machine.h - what a plugin says that comes as machine code: PTX, or a relocatable cubin. Read from its bytes, which
 * may be anything; nothing of it runs, and no device is needed. */
#ifndef GQ_BUILD_MACHINE_H
#define GQ_BUILD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"
#include "build/build.h"

#define GQ_PROCESS_SYMBOL "_Z15process_messageRK7MsgViewP10ResultView"
/* uint64_t is unsigned long where the system's headers say so, and unsigned long long in NVRTC. */
#define GQ_GENERATE_LONG_SYMBOL "_Z16generate_messagemP10ResultView"
#define GQ_GENERATE_SYMBOL "_Z16generate_messageyP10ResultView"

/* The words of gq_plugin_mark, gq_plugin_scope and gq_plugin_state (gpuqueue/plugin.h). */
#define GQ_MARK_MAGIC 0x4b4d5147u
enum gq_mark_kind { GQ_MARK_ABI, GQ_MARK_SCOPE, GQ_MARK_STATE, GQ_MARK_KINDS };
#define GQ_MARK_WORDS 4u
extern const char *const gq_mark_names[GQ_MARK_KINDS];
extern const uint32_t gq_mark_words[GQ_MARK_KINDS];

struct gq_machine {
    enum gq_origin origin;
    uint32_t arch;     /* 90: made for sm_90 */
    uint32_t suffix;   /* 'a' or 'f' behind it, in PTX; 0: none */
    bool relocatable;  /* PTX always is */
    bool process;      /* defines process_message, */
    bool generate;     /* generate_message, */
    bool index_long;   /* whose index is an unsigned long */
    char similar[128]; /* a function whose name only contains one of them, or a kernel; empty: none */
    bool kernel;       /* `similar` is a kernel */
    bool marked[GQ_MARK_KINDS];
    uint32_t mark[GQ_MARK_KINDS][GQ_MARK_WORDS];
};

/* GQ_ERR_PLUGIN, in one sentence, if the bytes do not hold together. */
gq_status gq_machine_read(const char *path, enum gq_origin origin, const struct gq_text *bytes, struct gq_machine *out);
/* Can it be linked with the template for sm_<arch>? GQ_ERR_PLUGIN: what was found, and the fix. */
gq_status gq_machine_check(const char *path, const struct gq_machine *machine, enum gq_image_kind kind, uint32_t arch);

/* For the readers, ptx.c and elf.c: a function that the file defines for others to call, and a kernel, which nobody
 * can. */
void gq_machine_function(struct gq_machine *machine, const char *name, size_t len);
void gq_machine_kernel(struct gq_machine *machine, const char *name, size_t len);
void gq_ptx_machine(const struct gq_text *text, struct gq_machine *out);
bool gq_elf_machine(const void *bytes, size_t len, struct gq_machine *out);

/* "PTX", "cubin" */
const char *gq_origin_name(enum gq_origin origin);

#endif
