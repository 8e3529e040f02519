/* gpuqueue/status.h - every status of gpuqueue, in one list.
 *
 * Rows: name, value, exit code of the `gpuq` command, sentence. The enum, gq_status_name(), gq_status_text() and
 * docs/reference/status.md are made from these rows. Values -1 to -7 equal the seed's QueueStatus (gpuqueue.h), so a
 * status travels through both APIs unchanged. Exit codes follow sysexits(3) where it has one.
 */
#ifndef GPUQUEUE_STATUS_H
#define GPUQUEUE_STATUS_H

#define GQ_STATUS_LIST(X)                                                                                     \
    X(GQ_OK, 0, 0, "success")                                                                                 \
    X(GQ_ERR_INVALID_ARG, -1, 64, "an argument or a command line is wrong")                                   \
    X(GQ_ERR_FULL, -2, 1, "the queue is full: take results, or wait")                                         \
    X(GQ_ERR_TIMEOUT, -3, 1, "the time allowed ran out")                                                      \
    X(GQ_ERR_DEVICE, -4, 1, "the worker or its device failed, or a message failed in a plugin")               \
    X(GQ_ERR_SHUTDOWN, -5, 1, "the queue is shut down")                                                       \
    X(GQ_ERR_NOT_READY, -6, 1, "the message is still being processed")                                        \
    X(GQ_ERR_NOT_FOUND, -7, 1, "the id was never issued, was already taken, or its message was dropped")      \
    X(GQ_ERR_CONFIG, -8, 78, "the pipeline file has errors")                                                  \
    X(GQ_ERR_PLUGIN, -9, 65, "a plugin does not compile, does not fit, or does not pass its goldens")         \
    X(GQ_ERR_DATA, -10, 65, "the input data is not framed as the source says")                                \
    X(GQ_ERR_UNAVAILABLE, -11, 69, "something this machine lacks is needed: a device, a compiler, a program") \
    X(GQ_ERR_INTERNAL, -12, 70, "a fault of gpuqueue itself")                                                 \
    X(GQ_ERR_NO_MEMORY, -13, 71, "memory or another resource of the system ran out")                          \
    X(GQ_ERR_IO, -14, 74, "reading or writing failed")

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gq_status {
#define GQ_STATUS_ENUM(name, value, exit_code, text) name = value,
    GQ_STATUS_LIST(GQ_STATUS_ENUM)
#undef GQ_STATUS_ENUM
} gq_status;

#if defined(__GNUC__) && !defined(GQ_API)
#define GQ_API __attribute__((visibility("default")))
#endif

/* The rows above, one by one. A value that is not in the list reads as GQ_ERR_INTERNAL. */
GQ_API const char *gq_status_name(gq_status status); /* "GQ_ERR_FULL" */
GQ_API const char *gq_status_text(gq_status status);
GQ_API int gq_status_exit_code(gq_status status);

#ifdef __cplusplus
}
#endif

#endif
