/* packets.h - what host and worker say to each other over their socket. Each request has one reply; DIED comes unasked,
 * as the worker's last word. One packet is one struct; descriptors travel beside it in the order named. */
#ifndef GQ_RING_PACKETS_H
#define GQ_RING_PACKETS_H

#include <gpuqueue/swap.h>
#include <stdint.h>

#define GQ_PACKET_TEXT 2000

/* What moves between host and device, in GB/s. */
struct gq_bus {
    double copied_in, copied_out; /* by the copy engines */
    double read, written;         /* by the SMs, in the host's memory */
};

/* Which of a lane's messages a worker serves. Those before `first` have ended; those before `mixed` have, where the
 * egress file says so, and the rest of these is answered by slot and descriptor, never by express; those from `end` on
 * are none of its business. In a counted lane the worker counts from `first` on, beginning with what the egress file
 * says, and those before `mixed` that have ended there have failed. */
struct gq_lane_range {
    uint64_t first, mixed, end;
};
#define GQ_RANGE_ALL ((struct gq_lane_range){0, 0, UINT64_MAX})

/* How long the parts of a change took. */
struct gq_swap_times {
    uint64_t park_ns;   /* from the word to stop until everything had stopped; 0: nothing had to */
    uint64_t load_ns;   /* of it, none where the image was loaded before anything stopped */
    uint64_t launch_ns; /* until the new code ran */
    uint32_t share;     /* CANARY: of a million messages, how many it really gets */
    gq_swap_step step;  /* the one that it came to; GQ_STEP_DONE, or where it failed */
};

enum gq_packet_type {
    GQ_PACKET_SETUP,  /* setup; descriptors: host page, worker page */
    GQ_PACKET_SOURCE, /* image of the source plugin; descriptor: the image */
    GQ_PACKET_STAGE,  /* image of the next stage; descriptor: the image */
    GQ_PACKET_FIT,    /* there are no more images: can they run together? */
    GQ_PACKET_LANE,   /* one more lane, before or after START; descriptors: ingress, egress */
    GQ_PACKET_START,
    GQ_PACKET_PAUSE,   /* finish what is held; until the next START nothing runs */
    GQ_PACKET_SWAP,    /* another image for a stage; descriptor: the image. The reply's `swap` */
    GQ_PACKET_CANARY,  /* as SWAP, for a share of the messages; USE of this version or of the live one ends it */
    GQ_PACKET_USE,     /* stage.version of a stage, which it has, becomes live. The reply's `swap` */
    GQ_PACKET_DISCARD, /* stage.version of a stage is no longer wanted */
    GQ_PACKET_STOP,    /* finish what is held, answer, and exit */
    GQ_PACKET_PROBE,   /* setup.device: what is it? The reply's `device`, and nothing stays open */
    GQ_PACKET_WARM,    /* setup.device: it is taken, so that SETUP for it takes no time */
    GQ_PACKET_BUS,     /* setup.device: how fast is the way to it? The reply's `bus`; an error ends the worker */
    GQ_PACKET_REPLY,
    GQ_PACKET_DIED /* text: why; the worker exits with GQ_WORKER_DIED */
};

/* What runs the plugins, in setup.backend. */
enum gq_packet_backend { GQ_PACKET_CPU, GQ_PACKET_CUDA };

#define GQ_WORKER_DIED 86 /* exit code behind a DIED packet */

struct gq_packet {
    uint32_t type;
    int32_t status; /* REPLY: gq_status */
    uint32_t step;  /* REPLY to SWAP, CANARY and USE: gq_swap_step, the one that failed */
    uint32_t reserved0;
    union {
        struct {
            uint32_t layout_version, backend, device, threads, slot_bytes, retries, capacity;
            uint32_t poll;    /* GQ_GRID_ADAPTIVE, ... of device/grid.h */
            uint32_t look_ms; /* how often the host looks at crumbs */
            uint32_t journal; /* 1: there is one */
            uint32_t single;  /* 1: one message at a time, whatever `threads` and the images say */
        } setup;
        struct {
            uint32_t generation, blocks;
            uint32_t stage, version; /* SOURCE and STAGE: version 1 of what comes next */
            uint32_t share;          /* CANARY: of a million messages, how many */
            uint32_t fresh;          /* SWAP: 1: the stage's memory is zero again; 0: it is kept, or migrated */
            char name[64];           /* of the stage */
        } stage;
        struct {
            uint32_t capacity; /* of this lane: a power of two, at most setup.capacity */
            uint32_t reserved0;
            struct gq_lane_range range;
        } lane;
        struct {
            uint32_t arch; /* 90 for sm_90 */
            char name[128];
        } device;                  /* REPLY to PROBE */
        struct gq_bus bus;         /* REPLY to BUS */
        struct gq_swap_times swap; /* REPLY to SWAP, CANARY and USE that succeeded */
        char text[GQ_PACKET_TEXT]; /* REPLY, DIED: a sentence, NUL-terminated */
    };
};

#endif
