/* gpuqueue/layout.h - the bytes that the host process, the worker process and the device share.
 *
 * One lane is two shared-memory files of the same number of slots:
 *
 *   ingress (written by the host, sealed against writing by anyone else, read by the worker)
 *     gq_in_head                    GQ_HEAD_BYTES
 *     uint64_t desc[capacity]       one gq_in_desc word a slot
 *     payload[capacity][stride]     stride = slot_bytes rounded up to GQ_STRIDE_ALIGN
 *     express[GQ_EXPRESS_LINES][express_stride]
 *
 *   egress (written by the worker or the device, read by the host; fresh for each worker)
 *     gq_out_head                   GQ_HEAD_BYTES
 *     gq_out_desc desc[capacity]
 *     payload[capacity][stride]
 *     express[GQ_EXPRESS_LINES][express_stride]
 *
 * Message number `seq` of a lane (0, 1, 2, ...) lives in slot `seq & (capacity - 1)` of both files. A slot is reused
 * when the host has released the result of its previous message, so neither side reads a cursor of the other: a
 * descriptor is valid exactly when its stamp is `(uint32_t)(seq + 1)`. The stamp found otherwise is that of a lap
 * before, less than 2^32 messages ago.
 *
 * Express lines are a second, faster way for a small message in a lane that is nearly empty. The host writes such a
 * message into its slot as ever, and once more into express line `seq % GQ_EXPRESS_LINES`: 16-byte units, each with the
 * message's full stamp, `seq + 1`, in it. Whoever reads a unit in one access sees stamp and data of one write, so that
 * one read over the bus finds the message and brings it. That write also permits an answer in the egress line of the
 * same number instead of slot and descriptor; the host permits it only while messages in flight have different lines.
 * Before every multiple of 2^31 there is a lap without express: it writes descriptors anew, for their stamps wrap.
 *
 * A counted lane is a generated one whose results nobody reads: they leave no bytes and no descriptors, and the worker
 * tells in `count` of gq_out_head how many have ended so far. A failed message has its descriptor, and the slot then
 * begins with a unit with the message's full stamp.
 *
 * Every word has one writer; words of different writers never share a 128-byte line. The ordering rules, and the table
 * of acquire and release pairs, are in runtime/device/slot.h and docs/internals/memory-order.md.
 *
 * This file is compiled as C11, as C++17 and by NVRTC; it uses fixed-width types and explicit padding only.
 */
#ifndef GPUQUEUE_LAYOUT_H
#define GPUQUEUE_LAYOUT_H

#include <stdint.h>
#include <gpuqueue/version.h>
#if !defined(__CUDACC_RTC__)
#include <stddef.h>
#endif

#define GQ_LAYOUT_MAGIC 0x31514750u /* "PGQ1", read as a little-endian word */
#define GQ_LINE_BYTES 128u          /* two x86 lines, one GPU L2 line: nothing of two writers within it */
#define GQ_HEAD_BYTES 4096u         /* one page, so that descriptors start on a page */
#define GQ_STRIDE_ALIGN 16u         /* bytes: the widest load of a GPU thread */
#define GQ_LANES_MAX 256u           /* the lane is the top byte of a message id */
#define GQ_CAPACITY_MIN 2u
#define GQ_CAPACITY_MAX (1u << 24)
#define GQ_SLOT_BYTES_MIN 1u
#define GQ_SLOT_BYTES_MAX (16u << 20)
#define GQ_STAGES_MAX 16u
#define GQ_BLOCKS_MAX 1024u
#define GQ_RUNS_MAX GQ_LANES_MAX
#define GQ_BATCH_MAX 64u /* messages that one block of threads may hold at a time */

#define GQ_EXPRESS_LINES 8u
#define GQ_EXPRESS_BYTES_MAX 1024u /* payload of a line */
#define GQ_EXPRESS_HEAD 2u         /* units before the payload: meta, then len; eight payload bytes a unit */

#define GQ_COUNT_OK 0u
#define GQ_COUNT_DROPPED 1u
#define GQ_COUNT_FAILED 2u /* these have a descriptor too */
#define GQ_COUNT_BYTES 3u
#define GQ_COUNTS 4u

/* How a message ended. */
#define GQ_RESULT_OK 0u
#define GQ_RESULT_DROPPED 1u  /* gq_drop(): filtered out, no bytes */
#define GQ_RESULT_FAILED 2u   /* gq_fail(), after every retry: `code` says why, no bytes */
#define GQ_RESULT_OVERFLOW 3u /* the plugin reported more bytes than its buffer holds: `len` is what it reported */
#define GQ_RESULT_FAULTED 4u  /* its worker ended with it each time it was tried: `code` says how, no bytes */

/* `code` of GQ_RESULT_FAULTED, and `signal` of a crumb: the signal that ended the worker, or one of these. */
#define GQ_FAULT_TIME 0u   /* the plugin did not end within its stage's timeout */
#define GQ_FAULT_EXIT 256u /* and the exit code above it: the plugin ended the process */
#define GQ_FAULT_CUDA 512u /* and the driver's error above it: the device reported a fault */
#define GQ_FAULT_CUDA_MAX (GQ_FAULT_CUDA + 999u)

/* One word of ingress: `len` and `stamp` are written together, with release order, after the payload. */
struct gq_in_desc {
    uint32_t len;   /* bytes, 0 to slot_bytes */
    uint32_t stamp; /* (uint32_t)(seq + 1) */
};

/* One result. `meta` is written before `state`; `state` is written with release order, after meta and payload. */
struct gq_out_desc {
    uint64_t meta;  /* generation << 32 | stage << 24 | status << 16 | code */
    uint64_t state; /* stamp << 32 | len */
};

/* One unit of an express line: written by one 16-byte store, read by one 16-byte load. */
struct gq_unit {
    uint64_t stamp; /* seq + 1; never 0 */
    uint64_t data;
};

/* First page of an ingress file. Written once by the host before the worker sees it, except the line `words`. */
struct gq_in_head {
    uint32_t magic;       /* GQ_LAYOUT_MAGIC */
    uint32_t version;     /* GQ_LAYOUT_VERSION */
    uint32_t lane;        /* 0 to GQ_LANES_MAX - 1 */
    uint32_t capacity;    /* slots, a power of two */
    uint32_t slot_bytes;  /* largest message */
    uint32_t stride;      /* bytes from one payload to the next */
    uint32_t generated;   /* 1: a source plugin makes the messages; there are no descriptors, `limit` says how many */
    uint32_t counted;     /* 1: a generated lane whose results are only counted */
    uint64_t first_index; /* generated lanes: message seq is generate_message(first_index + seq * index_step) */
    uint64_t index_step;
    uint8_t pad0[GQ_LINE_BYTES - 48];
    /* line of the host's live words */
    uint64_t limit; /* generated lanes: messages below this seq may be made and their slots are free */
    uint8_t pad1[GQ_LINE_BYTES - 8];
    uint8_t pad2[GQ_HEAD_BYTES - 2 * GQ_LINE_BYTES];
};

/* First page of an egress file: written by the worker when it takes the lane. */
struct gq_out_head {
    uint32_t magic;   /* GQ_LAYOUT_MAGIC once the worker serves the lane */
    uint32_t version; /* GQ_LAYOUT_VERSION */
    uint8_t pad0[GQ_LINE_BYTES - 8];
    /* counted lanes: `stamp` is the number of messages ended from the first on, the same in all when they belong
     * together; `data` is how many of these ended so, and the sum of their lengths */
    struct gq_unit count[GQ_COUNTS];
    uint8_t pad1[GQ_HEAD_BYTES - GQ_LINE_BYTES - GQ_COUNTS * 16];
};

/* The control file, host side: written by the host, read by the worker. */
struct gq_host_page {
    uint32_t magic;
    uint32_t version;
    uint8_t pad0[GQ_LINE_BYTES - 8];
    uint32_t bell; /* futex: grows when the host wakes sleeping workers */
    uint8_t pad1[GQ_LINE_BYTES - 4];
    uint32_t waiters; /* host threads that sleep until a result comes */
    uint8_t pad2[GQ_LINE_BYTES - 4];
    uint32_t stop; /* 1: blocks finish what they hold and leave */
    uint8_t pad3[GQ_LINE_BYTES - 4];
    uint8_t pad4[GQ_HEAD_BYTES - 4 * GQ_LINE_BYTES];
};

#define GQ_CRUMB_SOURCE 255u /* gq_crumb.stage while a source plugin makes messages; `current` is then its index */

#define GQ_ADDRESS_UNKNOWN UINT64_MAX /* the signal came without one */

/* What one block does now. A line each: blocks never share one. */
struct gq_crumb {
    uint64_t holds;      /* messages of the claimed run, 0: none */
    uint64_t first;      /* id of the first message of the run */
    uint64_t current;    /* id of the message being processed, 0 between messages */
    uint64_t stage;      /* stage of `current` */
    uint64_t done;       /* messages finished by this block: its heartbeat */
    uint64_t retries;    /* further attempts of messages that failed */
    uint32_t signal;     /* signal that ended this block, or GQ_FAULT_CUDA and what did; 0 while it lives */
    uint32_t overflow;   /* 1: the signal came because a thread's stack was full */
    uint64_t address;    /* fault address of that signal, or GQ_ADDRESS_UNKNOWN */
    uint64_t generation; /* of the code that serves the run; 0: not said */
    uint8_t pad0[GQ_LINE_BYTES - 72];
};

/* What a device's teams are inside of, in one access: `stamp` is the id of the first message of a run, 0: of none, and
 * `data` says what it is about. One for each lane: the oldest message that has not ended, and those that its team may
 * hold with it, told by the worker when the lane stands still. In a trial one for each step, told by its team before
 * the plugin meets the run. */
#define GQ_RUN_STAGE(data) ((uint32_t)(data)&0xffu)
#define GQ_RUN_COUNT(data) (((uint32_t)(data) >> 8 & 0xffu) + 1) /* messages, numbered one after another */
#define GQ_RUN_GENERATION(data) ((uint32_t)((data) >> 32))
#define GQ_RUN_DATA(stage, count, generation) \
    ((uint64_t)(generation) << 32 | (uint64_t)((((count)-1u) & 0xffu) << 8 | ((stage)&0xffu)))

/* The control file, worker side: written by the worker, read by the host, fresh for each worker. */
struct gq_worker_page {
    uint32_t magic;
    uint32_t version;
    uint32_t threads; /* worker threads that may sleep, or blocks of a device; set before messages flow */
    uint32_t runs;    /* how many of `run` count: 0, or GQ_RUNS_MAX where messages are served by a device */
    uint8_t pad0[GQ_LINE_BYTES - 16];
    uint32_t sleepers; /* worker threads that sleep on host_page.bell */
    uint32_t occupied; /* worker threads inside messages that take long: they look for no others meanwhile */
    uint8_t pad1[GQ_LINE_BYTES - 8];
    uint32_t bell; /* futex: grows when the worker wakes waiting host threads */
    uint8_t pad2[GQ_LINE_BYTES - 4];
    uint8_t pad3[GQ_HEAD_BYTES - 3 * GQ_LINE_BYTES];
    struct gq_crumb crumb[GQ_BLOCKS_MAX];
    struct gq_unit run[GQ_RUNS_MAX];
};

#if defined(__cplusplus)
#define GQ_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define GQ_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif
GQ_STATIC_ASSERT(sizeof(struct gq_in_desc) == 8, "an ingress descriptor is one word");
GQ_STATIC_ASSERT(sizeof(struct gq_out_desc) == 16, "an egress descriptor is two words");
GQ_STATIC_ASSERT(sizeof(struct gq_unit) == 16, "a unit is one 16-byte access");
GQ_STATIC_ASSERT(sizeof(struct gq_in_head) == GQ_HEAD_BYTES, "ingress head is one page");
GQ_STATIC_ASSERT(sizeof(struct gq_out_head) == GQ_HEAD_BYTES, "egress head is one page");
GQ_STATIC_ASSERT(sizeof(struct gq_host_page) == GQ_HEAD_BYTES, "host page is one page");
GQ_STATIC_ASSERT(sizeof(struct gq_crumb) == GQ_LINE_BYTES, "a crumb is one line");
GQ_STATIC_ASSERT(sizeof(struct gq_worker_page) == GQ_HEAD_BYTES + GQ_BLOCKS_MAX * GQ_LINE_BYTES + GQ_RUNS_MAX * 16,
                 "worker page");
#if !defined(__CUDACC_RTC__)
GQ_STATIC_ASSERT(offsetof(struct gq_in_desc, stamp) == 4, "stamp is the upper half");
GQ_STATIC_ASSERT(offsetof(struct gq_in_head, first_index) == 32, "no hidden padding");
GQ_STATIC_ASSERT(offsetof(struct gq_in_head, limit) == GQ_LINE_BYTES, "limit has its own line");
GQ_STATIC_ASSERT(offsetof(struct gq_host_page, waiters) == 2 * GQ_LINE_BYTES, "bell and waiters apart");
GQ_STATIC_ASSERT(offsetof(struct gq_worker_page, crumb) == GQ_HEAD_BYTES, "crumbs after the head");
#endif

#endif
