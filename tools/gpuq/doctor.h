/* doctor.h - what `gpuq doctor` found. Each check adds its findings; the command prints them. */
#ifndef GPUQ_DOCTOR_H
#define GPUQ_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include "base/text.h"

#define DOCTOR_FINDINGS_MAX 48

enum doctor_grade { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_FAIL };

struct doctor_finding {
    enum doctor_grade grade;
    const char *name;    /* "compiler" */
    const char *follows; /* what follows from it; NULL when nothing does */
    struct gq_text text;
};

struct doctor {
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
    unsigned gpus;         /* that a run could use */
    unsigned device, arch; /* of the first of them: its number; 90 for sm_90 */
    bool nvrtc;            /* a compiler for them */
};

void doctor_add(struct doctor *d, enum doctor_grade grade, const char *name, const char *follows, const char *format,
                ...) __attribute__((format(printf, 5, 6)));
/* True when the check `name` failed. */
bool doctor_failed(const struct doctor *d, const char *name);

/* doctor_host.c: this machine and this installation. */
void doctor_check_worker(struct doctor *d);
void doctor_check_compiler(struct doctor *d);
void doctor_check_system(struct doctor *d);
void doctor_check_jail(struct doctor *d);
void doctor_check_machine(struct doctor *d);
void doctor_check_cache(struct doctor *d);

/* doctor_cuda.c: the GPU's driver and compiler, opened only if they are there. */
void doctor_check_driver(struct doctor *d);
void doctor_check_nvrtc(struct doctor *d);
void doctor_check_jitlink(struct doctor *d);

/* doctor_gpu.c: what the first usable GPU makes of us, after the two checks above. */
void doctor_check_plugins(struct doctor *d);
void doctor_check_bus(struct doctor *d);

#endif
