/* fake.h - a libcuda.so.1 without a GPU: "device memory" is host memory, and a grid is a thread that plays the ring
 * protocol as echo (or, for a source's image, counts; or as the plugin of tests/fault/poison.h whose tag its image
 * names). What a real driver was measured to do next to a persistent kernel it does too: what loads or frees waits for
 * running grids, here with a deadline, and so does the first launch of a function, for it may need more memory for its
 * stacks than any before; after a fault every call returns the same error. nvml.c is a libnvidia-ml.so.1 that goes with
 * it, and reads the same script.
 *
 * $GPUQ_FAKE_CUDA is a script of words:
 *   devices=N sms=N                how many devices, and multiprocessors of each; 1 and 4 without
 *   threads=N registers=N          what a multiprocessor has; 2048 and 65536 without
 *   launched=N                     how many threads the grids of a run have together, when it stops
 *   poll=N                         what the grids must be told of waiting (GQ_GRID_SPIN, ...)
 *   fail=FUNCTION,K,ERROR          the K-th call of FUNCTION fails, or each (K = -1); `count` counts for all processes
 *   count=PATH                     a file that grows by one byte a call of FUNCTION
 *   fault=N                        the grids of a process fault after N messages
 *   poison=N hangs=N               message number N of a lane, from 0 on, ends its grid by a fault; does not end
 *   every=N                        every N-th message of a lane ends its grid by a fault
 *   from=N                         so does message number N of a lane, and each behind it
 *   after=N                        so does message number N of a lane when it has its result
 *   idle=MS                        the grids of a worker that is not a trial's fault so long after they began
 *   report=MS                      the driver tells of a fault so much later than the device stops; what is put on a
 *                                  stream meanwhile is taken, and never done
 *   scrawl                         before a grid faults, the results in its lanes are written over; not by a trial's
 *   silent                         and who asks about a stream or an event has no answer until then
 *   xid=PATH                       a file that grows by one byte a fault, of which NVML then tells every process
 *   still=MS                       with xid=: for so long after a fault no process's grids go on, and who asks waits
 *   scarce=PATH                    there is no device memory as long as the file PATH is there
 *   init=MS                        NVML takes so long to start
 *   load=MS                        code takes so long to come to the device; events take 20 ms, at the earliest from
 *                                  then on
 *   queued                         events wait until no grid runs, as on streams that share a way to the device
 *   late                           the grids fault as they leave, when every result is out
 *   stuck                          the grids do not look at the stop word
 *   holds                          the grids do not look at an order to leave
 *   held=STEP,PATH                 a block of step STEP is inside of a message as long as the file PATH is there; the
 *                                  file grows by a byte when it is
 *   ends                           the grids end at once, unasked
 */
#ifndef TESTS_FAKE_CUDA_H
#define TESTS_FAKE_CUDA_H

#include <stdbool.h>
#include "backend/cuda_api.h"
#include "device/grid.h"
#include "device/image.h"

#define FAKE_BUS_ID "fffe:%02x:00.0" /* of a device; of none that may be there beside it */

enum {
    FAKE_INVALID_VALUE = 1,
    FAKE_NOT_INITIALIZED = 3,
    FAKE_INVALID_DEVICE = 101,
    FAKE_INVALID_IMAGE = 200,
    FAKE_INVALID_CONTEXT = 201,
    FAKE_NOT_FOUND = 500,
    FAKE_ILLEGAL_ADDRESS = 700,
    FAKE_XID = 43,
    FAKE_LAST_STICKY = 719
};

struct fake_script {
    int devices, sms, threads, registers;
    int poll, launched; /* -1: anything */
    char fail[64];
    long fail_at;
    int fail_error;
    char count[512], xid[512];
    long report_ms, init_ms, load_ms, still_ms, idle_ms;
    uint64_t fault, poison, hangs, every, from, after; /* UINT64_MAX: never */
    bool late, stuck, ends, holds, queued, silent, scrawl;
    uint32_t held_step;
    char held[512];   /* empty: none is held */
    char scarce[512]; /* empty: memory is there */
    bool spares;      /* `fail` is a function that gives something back: what it refused stays alive */
};

/* script.c */
const struct fake_script *fake_script(void);
/* The error that the script wants of this call of `function`, else 0. */
int fake_scripted(const char *function);
/* A byte more in a file of the script. Returns its size, -1: it cannot be written. */
long fake_grow(const char *path);
/* A caller broke a rule that a real driver would punish by silence: says which, and ends the process. */
_Noreturn void fake_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* image.c */
size_t fake_image_bytes(const void *image); /* by its own headers; 0: it is none */
int fake_image_tag(const void *image);      /* struct fake_code's */

/* grid.c */
struct gq_cu_stream_s {
    uint32_t launched, ended; /* atomic: grids; they run one after another */
    uint32_t newest;          /* the launch of the last one */
    bool swallowed;           /* atomic: work that the device will never do */
};
bool fake_stream_busy(const struct gq_cu_stream_s *stream);
struct fake_code {
    uint32_t kind; /* GQ_IMAGE_... */
    int tag;       /* of tests/fault/poison.h; -1: it is none of those plugins */
};
/* `percent`: how its function divides a multiprocessor's memory. Blocks of grids that divide it otherwise start only
 * where none of this one's are. */
int fake_grid_start(gq_cu_stream stream, const struct gq_grid *grid, struct fake_code code, uint32_t blocks,
                    uint32_t threads, int percent);
/* Waits until no grid runs. A real driver would wait for ever: past a deadline this complains. */
void fake_grid_wait_all(const char *function);
uint32_t fake_grid_threads(void); /* of all grids so far */
uint32_t fake_grids(void);        /* that run */
/* Device code faulted: the device stops, and the driver tells of it when the script says. */
void fake_fault(void);
bool fake_stopped(void);
bool fake_stands_still(void); /* for a while, after somebody's fault */
int fake_sticky(void);        /* the error that every call returns once the driver tells of a fault, 0 before */
void fake_set_sticky(int error);
uint64_t fake_now_ms(void);

#endif
