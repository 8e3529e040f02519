/* packets.h - what host and worker say to each other over their socket. Each request has one reply; DIED comes unasked,
 * as the worker's last word. One packet is one struct; descriptors travel beside it in the order named. */
#ifndef GQ_RING_PACKETS_H
#define GQ_RING_PACKETS_H

#include <stdint.h>

#define GQ_PACKET_TEXT 2000

/* What moves between host and device, in GB/s. */
struct gq_bus {
    double copied_in, copied_out; /* by the copy engines */
    double read, written;         /* by the SMs, in the host's memory */
};

enum gq_packet_type {
    GQ_PACKET_SETUP,  /* setup; descriptors: host page, worker page */
    GQ_PACKET_SOURCE, /* image of the source plugin; descriptor: the image */
    GQ_PACKET_STAGE,  /* image of the next stage; descriptor: the image */
    GQ_PACKET_FIT,    /* there are no more images: can they run together? */
    GQ_PACKET_LANE,   /* one more lane, before or after START; descriptors: ingress, egress */
    GQ_PACKET_START,
    GQ_PACKET_STOP,  /* finish what is held, answer, and exit */
    GQ_PACKET_PROBE, /* setup.device: what is it? The reply's `device`, and nothing stays open */
    GQ_PACKET_BUS,   /* setup.device: how fast is the way to it? The reply's `bus`; an error ends the worker */
    GQ_PACKET_REPLY,
    GQ_PACKET_DIED /* text: why; the worker exits with GQ_WORKER_DIED */
};

/* What runs the plugins, in setup.backend. */
enum gq_packet_backend { GQ_PACKET_CPU, GQ_PACKET_CUDA };

#define GQ_WORKER_DIED 86 /* exit code behind a DIED packet */

struct gq_packet {
    uint32_t type;
    int32_t status; /* REPLY: gq_status */
    union {
        struct {
            uint32_t layout_version, backend, device, threads, slot_bytes, retries, capacity;
            uint32_t poll; /* GQ_GRID_ADAPTIVE, ... of device/grid.h */
        } setup;
        struct {
            uint32_t generation, blocks;
            char name[64]; /* of the stage */
        } stage;
        struct {
            uint32_t capacity; /* of this lane: a power of two, at most setup.capacity */
        } lane;
        struct {
            uint32_t arch; /* 90 for sm_90 */
            char name[128];
        } device;                  /* REPLY to PROBE */
        struct gq_bus bus;         /* REPLY to BUS */
        char text[GQ_PACKET_TEXT]; /* REPLY, DIED: a sentence, NUL-terminated */
    };
};

#endif
