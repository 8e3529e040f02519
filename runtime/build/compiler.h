/* compiler.h - the system's C++ compiler: which one, told apart how, and called with what. */
#ifndef GQ_BUILD_COMPILER_H
#define GQ_BUILD_COMPILER_H

#include <limits.h>
#include <stdbool.h>
#include "base/digest.h"
#include "base/error.h"

#define GQ_COMPILER_ARGS_MAX 64

/* Finds $GPUQ_CXX, else c++, g++ or clang++ in $PATH. GQ_ERR_UNAVAILABLE says what to install. */
gq_status gq_compiler_find(char path[PATH_MAX]);

/* Adds to a digest what makes this compiler's output its own: the program (resolved path, size, time of change), the
 * options, and the processor, for which it compiles (-march=native). */
void gq_compiler_digest(const char *path, struct gq_digest *digest);

/* The command line for the unit in `workshop`/unit.cpp. Strings are the caller's, or constants; the list ends with
 * NULL. */
struct gq_compile {
    const char *compiler;
    bool clang;
    bool syntax_only;
    const char *plugin_folder; /* where #include "..." looks first */
    const char *shim;          /* path of device/cpu.h */
    const char *headers;       /* folder of the embedded headers */
    const char *unit, *object, *depends;
};
void gq_compiler_arguments(const struct gq_compile *compile, const char *args[GQ_COMPILER_ARGS_MAX]);

#endif
