/* Does the device still work for this worker? Asked when NVML told of a fault on the device, which may be anybody's.
 *
 * A device that stopped a context's grids takes nothing more of that context. At about the time at which NVML tells of
 * it the driver starts to look into a trap, and whoever asks it for a stream or an event is kept until it has done so,
 * 0.3 to 0.8 s later: the bell does so all the time, and does not come back, and neither does a change that waits for
 * the grids to leave. A driver that does answer until then would
 * say of an event on a stream of its own that it has not come. While grids of others fault, ours may stand still, too:
 * up to the time at which NVML tells of it, so what counts begins then. */
#include "backend/cuda.h"
#include "base/clock.h"

#define READ_LOOKS 40u /* the same of who reads code */
#define STUCK_LOOKS 6u /* of NVML's thread, 5 ms apart */
#define SILENT_MS 50u  /* an event takes some microseconds */

gq_status gq_cuda_pulse_open(struct gq_cuda *c)
{
    gq_status status = GQ_CU(c, stream_create(&c->pulse.stream, GQ_CU_STREAM_NON_BLOCKING));
    return status == GQ_OK ? GQ_CU(c, event_create(&c->pulse.event, GQ_CU_EVENT_DISABLE_TIMING)) : status;
}

void gq_cuda_pulse_close(struct gq_cuda *c)
{
    if (c->pulse.event)
        c->cu->event_destroy(c->pulse.event);
    if (c->pulse.stream)
        c->cu->stream_destroy(c->pulse.stream);
}

void gq_cuda_pulse_try(struct gq_cuda *c)
{
    const bool tried = c->cu->event_record(c->pulse.event, c->pulse.stream) == GQ_CU_OK;
    c->pulse.is = tried ? GQ_PULSE_TRIED : GQ_PULSE_UNKNOWN; /* the next look meets the error again */
}

void gq_cuda_pulse_wait(struct gq_cuda *c) { c->pulse.deadline = 0; }

static gq_status ask(struct gq_cuda *c, enum gq_pulse_is next)
{
    const uint32_t xids = gq_xid_count(NULL);
    gq_status status = GQ_CU(c, event_record(c->pulse.event, c->pulse.stream));
    if (status == GQ_OK) {
        c->pulse.is = next;
        c->pulse.asked = xids;
        c->pulse.deadline = 0;
    }
    return status;
}

static gq_status lost(struct gq_cuda *c)
{
    uint32_t number = 0;
    gq_xid_count(&number);
    __atomic_store_n(&c->lost, GQ_CU_LAUNCH_FAILED, __ATOMIC_RELEASE);
    return gq_error_set(GQ_ERR_DEVICE, "the device stopped this worker's grids (Xid %u)", number);
}

/* The clock is read before the driver is asked: who was kept waiting in between blames nobody for it. */
static gq_status await(struct gq_cuda *c)
{
    struct gq_cuda_pulse *p = &c->pulse;
    const bool late = p->deadline && gq_clock_past(p->deadline);
    const int error = c->cu->event_query(p->event);
    if (error != GQ_CU_OK && error != GQ_CU_NOT_READY)
        return gq_cu_check(c->cu, error, "event_query(p->event)");
    if (error == GQ_CU_OK) {
        if (p->is == GQ_PULSE_ASKED)
            __atomic_store_n(&p->judged, p->asked, __ATOMIC_RELEASE);
        p->is = GQ_PULSE_KNOWN;
    } else if (p->is == GQ_PULSE_ASKED && late) {
        return lost(c);
    } else if (!p->deadline) {
        p->deadline = gq_clock_deadline(SILENT_MS);
    }
    return GQ_OK;
}

static bool all_are_judged(const struct gq_cuda *c)
{
    return gq_xid_count(NULL) == __atomic_load_n(&c->pulse.judged, __ATOMIC_ACQUIRE);
}

gq_status gq_cuda_pulse_look(struct gq_cuda *c)
{
    switch (c->pulse.is) {
    case GQ_PULSE_UNKNOWN:
        return ask(c, GQ_PULSE_TRIED);
    case GQ_PULSE_KNOWN:
        return all_are_judged(c) ? GQ_OK : ask(c, GQ_PULSE_ASKED);
    default:
        return await(c);
    }
}

gq_status gq_cuda_pulse_await(struct gq_cuda *c)
{
    const uint64_t deadline = gq_clock_deadline(SILENT_MS);
    gq_status status = GQ_OK;
    while (status == GQ_OK && c->pulse.is != GQ_PULSE_KNOWN && !gq_clock_past(deadline))
        status = gq_cuda_pulse_look(c);
    return status;
}

/* Somebody else has `grids`: a change may keep the bell waiting inside of the driver. */
static bool is_changing(struct gq_cuda *c)
{
    if (__atomic_load_n(&c->pulse.locks, __ATOMIC_ACQUIRE))
        return false;
    if (pthread_mutex_trylock(&c->grids) != 0)
        return true;
    pthread_mutex_unlock(&c->grids);
    return false;
}

void gq_cuda_pulse_rest(struct gq_cuda *c) { __atomic_store_n(&c->pulse.judged, gq_xid_count(NULL), __ATOMIC_RELEASE); }

void gq_cuda_enter(struct gq_cuda_caller *caller)
{
    __atomic_store_n(&caller->inside_ns, gq_clock_ns(), __ATOMIC_RELEASE);
}

void gq_cuda_leave(struct gq_cuda_caller *caller) { __atomic_store_n(&caller->inside_ns, 0, __ATOMIC_RELEASE); }

/* In looks, and not by the clock: a process that was stopped for a while is not to blame its device, and neither is a
 * thread that waited for a processor. */
static bool is_stuck(const struct gq_cuda *c, struct gq_cuda_caller *caller, bool excused)
{
    const uint64_t inside = __atomic_load_n(&caller->inside_ns, __ATOMIC_ACQUIRE);
    const bool same = inside && inside == caller->found_ns && !excused && !all_are_judged(c);
    const bool starved = same && gq_thread_is_starved(caller->thread, &caller->ran_ns);
    caller->looks = same ? caller->looks + !starved : 0;
    caller->found_ns = inside;
    return caller->looks > (__atomic_load_n(&caller->reads, __ATOMIC_RELAXED) ? READ_LOOKS : STUCK_LOOKS);
}

/* A change that brings code to the device, or waits for a message, may take its time, and says so by being outside. */
void gq_cuda_pulse_watch(void *cuda)
{
    struct gq_cuda *c = cuda;
    const bool bell = is_stuck(c, &c->pulse.bell, is_changing(c));
    if (is_stuck(c, &c->pulse.change, false) || bell) {
        lost(c);
        gq_cuda_die(c);
    }
}
