/* error.h - the error rule, written once.
 *
 * A function that can fail returns a gq_status and, when it fails, has left one whole sentence in this thread's error
 * record: what failed, where (file:line:column, stage, message id), what was expected, what to try. Callers pass the
 * status on; only tools print. A caller that knows more of the place wraps the sentence with gq_error_prefix().
 */
#ifndef GQ_BASE_ERROR_H
#define GQ_BASE_ERROR_H

#include <gpuqueue/status.h>
#include <stdint.h>

#define GQ_ERROR_TEXT_MAX 2048

/* Records the sentence and returns `status`. */
gq_status gq_error_set(gq_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* The same with ": " and strerror(err) at the end. */
gq_status gq_error_errno(gq_status status, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* As gq_error_set() for what callers poll for: no more than notes its parts. The sentence is `before`, or `before`,
 * `number` and `after`, put together when somebody asks for it. Both stay the caller's; they are literals. */
gq_status gq_error_note(gq_status status, const char *before);
gq_status gq_error_note_number(gq_status status, const char *before, uint64_t number, const char *after);
/* Puts text in front of the recorded sentence; returns `status`. */
gq_status gq_error_prefix(gq_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

void gq_error_clear(void);
/* This thread's last sentence and status; "" and GQ_OK if none. The pointer is valid until the thread's next error. */
const char *gq_error_text(void);
gq_status gq_error_status(void);

/* gq_status_name(), gq_status_text() and gq_status_exit_code() of gpuqueue/status.h are defined here too. */

#endif
