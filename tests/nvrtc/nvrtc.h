/* nvrtc.h - the run-time compiler of CUDA, opened when it is there: no toolkit is needed to build these tests. */
#ifndef TEST_NVRTC_H
#define TEST_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

#define NVRTC_SKIP 77

enum nvrtc_output { NVRTC_PTX, NVRTC_CUBIN };

/* Opens the library; on failure prints why and returns false. */
bool nvrtc_open(void);
/* True when this NVRTC makes code for compute capability `arch` (90 for sm_90). */
bool nvrtc_knows(int arch);
/* Compiles `source` with include/, runtime/ and tests/ of the tree `root` on the include path; relocatable if it says
 * GQ_LINKED. Returns the output, NUL-terminated and the caller's, or NULL after printing the compiler's messages.
 * Warnings are errors, and so are spills. */
char *nvrtc_compile(const char *root, const char *name, const char *source, int arch, enum nvrtc_output output,
                    size_t *len);
/* The cubin, and in *ptx the PTX that it was made of. Either may be NULL. */
char *nvrtc_compile_both(const char *root, const char *name, const char *source, int arch, size_t *len, char **ptx);

#endif
