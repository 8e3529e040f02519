#include "pumps.h"
#include <gpuqueue.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BATCH 16
#define WAIT_MS 40000 /* longer than any message is held */
#define FLOW_MS 10000

struct pump pumps[PUMPS];
static GpuQueue *queue;
static uint32_t over;     /* atomic */
static const char *wrong; /* atomic */
static bool may_fall;
static uint32_t at_most = UINT32_MAX; /* atomic */

void pumps_set_wrong(const char *what)
{
    const char *none = NULL;
    __atomic_compare_exchange_n(&wrong, &none, what, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

const char *pumps_wrong(void) { return __atomic_load_n(&wrong, __ATOMIC_ACQUIRE); }
void pumps_may_fall(void) { may_fall = true; }
void pumps_expect_at_most(uint32_t generation) { __atomic_store_n(&at_most, generation, __ATOMIC_RELEASE); }

static void check(struct pump *p, const QResult *r, uint64_t number)
{
    uint64_t got = 0;
    if (r->generation > __atomic_load_n(&at_most, __ATOMIC_ACQUIRE))
        pumps_set_wrong("a result is of a generation that was refused");
    else if (r->generation < p->newest && !may_fall)
        pumps_set_wrong("a result is of an older generation");
    else if (r->status != Q_RESULT_OK || r->len != sizeof got)
        pumps_set_wrong("a result is not that of a message");
    else
        memcpy(&got, r->data, sizeof got);
    if (!pumps_wrong() && got != number)
        pumps_set_wrong("a result is that of another message");
    __atomic_store_n(&p->newest, r->generation, __ATOMIC_RELEASE);
}

static bool pump_batch(struct pump *p)
{
    const uint64_t first = p->sent;
    for (uint64_t i = 0; i < BATCH; i++)
        if (q_enqueue(queue, &(uint64_t){first + i}, sizeof first, NULL, WAIT_MS) != Q_OK)
            return false;
    for (uint64_t taken = 0; taken < BATCH;) {
        QResult results[BATCH];
        size_t count = 0;
        if (q_peek(queue, results, BATCH, &count, WAIT_MS) != Q_OK)
            return false;
        for (size_t i = 0; i < count; i++)
            check(p, &results[i], first + taken + i);
        q_release(queue, results, count);
        taken += count;
    }
    __atomic_store_n(&p->sent, first + BATCH, __ATOMIC_RELEASE);
    return true;
}

static void *run_pump(void *arg)
{
    struct pump *p = arg;
    bool dead = false;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE) && !pumps_wrong() && !dead)
        dead = !pump_batch(p);
    if (dead)
        fprintf(stderr, "the pump: %s\n", q_last_error());
    __atomic_store_n(&p->dead, dead, __ATOMIC_RELEASE);
    return NULL;
}

bool pumps_start(GpuQueue *q)
{
    queue = q;
    for (int i = 0; i < PUMPS; i++)
        if (pthread_create(&pumps[i].thread, NULL, run_pump, &pumps[i]) != 0)
            return false;
    return true;
}

void pumps_stop(void)
{
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < PUMPS; i++)
        pthread_join(pumps[i].thread, NULL);
}

bool pumps_close(gq_pipeline *p)
{
    const gq_status stopped = gq_stop(p, 5000);
    printf("%llu messages, stopped: %s\n", (unsigned long long)(pumps[0].sent + pumps[1].sent),
           stopped == GQ_OK ? "well" : gq_last_error());
    gq_close(p);
    if (pumps_wrong())
        printf("WRONG: %s\n", pumps_wrong());
    return stopped == GQ_OK;
}

int pumps_flowing(int least)
{
    uint64_t before[PUMPS];
    int flowing = 0, dead = 0;
    for (int i = 0; i < PUMPS; i++)
        before[i] = __atomic_load_n(&pumps[i].sent, __ATOMIC_ACQUIRE);
    for (int ms = 0; ms < FLOW_MS && flowing < least && flowing + dead < PUMPS && !pumps_wrong(); ms++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        flowing = dead = 0;
        for (int i = 0; i < PUMPS; i++) {
            flowing += __atomic_load_n(&pumps[i].sent, __ATOMIC_ACQUIRE) > before[i] + 2 * BATCH;
            dead += __atomic_load_n(&pumps[i].dead, __ATOMIC_ACQUIRE) != 0;
        }
    }
    return flowing;
}

void pumps_tell(const char *what, gq_status status, const gq_swap_result *r)
{
    printf("%-28s %s at %s, live %u, generation %u%s%s\n", what, gq_status_name(status), gq_swap_step_name(r->step),
           r->live, r->generation, status == GQ_OK ? "" : ": ", status == GQ_OK ? "" : gq_last_error());
    if (status != GQ_OK && gq_last_error()[0] == '\0')
        pumps_set_wrong("a refusal has no sentence");
}

gq_status pumps_change(gq_pipeline *p, const char *what, const char *stage, const char *plugin, uint32_t version,
                       gq_swap_result *result)
{
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin};
    *result = (gq_swap_result){.size = sizeof *result};
    const gq_status status = plugin                  ? gq_swap(p, stage, &opts, result)
                             : version == UINT32_MAX ? gq_rollback(p, stage, result)
                                                     : gq_use(p, stage, version, result);
    pumps_tell(what, status, result);
    return status;
}

int pumps_open(const char *text, gq_pipeline **out)
{
    const gq_open_opts opts = {.size = sizeof opts, .path = "pumps", .text = text};
    if (gq_open(&opts, out) == GQ_OK && gq_prepare(*out) == GQ_OK && gq_start(*out) == GQ_OK)
        return 0;
    printf("not started: %s\n", gq_last_error());
    const int code = strstr(gq_last_error(), "NVRTC") ? SKIP : gq_last_error()[0] ? 3 : 1;
    gq_close(*out);
    return code;
}
