#include "litmus/host.h"
#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define ROLES 3u /* who sends, who receives, and who plays the device */

struct role {
    const struct litmus_host *h;
    uint32_t lane;
    enum litmus_plant plant;
    uint64_t end_ns;
    uint64_t *received; /* atomic: messages of the lane that came back, by which the sender knows free slots */
    struct litmus_count count;
};

static bool is_over(const struct role *r) { return gq_clock_ns() > r->end_ns; }

/* The window of a planted fault. Asleep, so that the reader runs even where processors are few. */
static void open_window(void) { nanosleep(&(struct timespec){.tv_nsec = LITMUS_DELAY_NS}, NULL); }

static void fill(const struct gq_lane_view *v, uint8_t *to, uint64_t seq)
{
    for (uint32_t i = 0; i < LITMUS_WORDS; i++)
        ((uint64_t *)to)[i] = litmus_word(v->lane, seq, i);
}

static uint64_t count_wrong(const struct gq_lane_view *v, const uint8_t *from, uint64_t seq)
{
    uint64_t word[LITMUS_WORDS], wrong = 0;
    memcpy(word, from, sizeof word);
    for (uint32_t i = 0; i < LITMUS_WORDS; i++)
        wrong += word[i] != litmus_word(v->lane, seq, i);
    return wrong;
}

/* --- ring -----------------------------------------------------------------------------------------------------------
 */

static void send_message(const struct gq_lane_view *v, uint64_t seq, enum litmus_plant plant)
{
    if (plant == LITMUS_SUBMIT_EARLY) {
        gq_slot_submit(v, seq, LITMUS_SLOT_BYTES);
        open_window();
        fill(v, gq_slot_in(v, seq), seq);
    } else {
        fill(v, gq_slot_in(v, seq), seq);
        gq_slot_submit(v, seq, LITMUS_SLOT_BYTES);
    }
}

static void *send_ring(void *arg)
{
    struct role *r = arg;
    for (uint64_t seq = 0; !is_over(r);)
        if (seq - __atomic_load_n(r->received, __ATOMIC_ACQUIRE) < LITMUS_CAPACITY)
            send_message(&r->h->lane[r->lane], seq++, r->plant);
        else
            sched_yield();
    return NULL;
}

static void *receive_ring(void *arg)
{
    struct role *r = arg;
    const struct gq_lane_view *v = &r->h->lane[r->lane];
    while (!is_over(r)) {
        uint32_t len;
        uint64_t meta;
        if (!gq_slot_ready(v, r->count.messages, &len, &meta)) {
            sched_yield();
            continue;
        }
        r->count.wrong += len != LITMUS_SLOT_BYTES || meta != gq_meta(1, 0, GQ_RESULT_OK, 0);
        r->count.wrong += count_wrong(v, gq_slot_out(v, r->count.messages), r->count.messages);
        r->count.messages++;
        __atomic_store_n(r->received, r->count.messages, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void give_result(const struct gq_lane_view *v, uint64_t seq, enum litmus_plant plant)
{
    const uint64_t meta = gq_meta(1, 0, GQ_RESULT_OK, 0);
    if (plant == LITMUS_FINISH_EARLY) {
        gq_slot_finish(v, seq, LITMUS_SLOT_BYTES, meta);
        open_window();
        fill(v, gq_slot_out(v, seq), seq);
    } else {
        fill(v, gq_slot_out(v, seq), seq);
        gq_slot_finish(v, seq, LITMUS_SLOT_BYTES, meta);
    }
}

static void *play_ring(void *arg)
{
    struct role *r = arg;
    const struct gq_lane_view *v = &r->h->lane[r->lane];
    while (!is_over(r)) {
        uint32_t len;
        if (!gq_slot_acquire(v, r->count.messages, &len)) {
            sched_yield();
            continue;
        }
        r->count.wrong += count_wrong(v, gq_slot_in(v, r->count.messages), r->count.messages);
        give_result(v, r->count.messages++, r->plant);
    }
    return NULL;
}

/* --- unit -----------------------------------------------------------------------------------------------------------
 */

static void send_line(struct gq_unit *line, uint32_t lane, uint64_t seq, bool split)
{
    for (uint32_t i = 0; i < LITMUS_WORDS && split; i++)
        __atomic_store_n(&line[i].stamp, seq + 1, __ATOMIC_RELAXED);
    if (split)
        open_window();
    for (uint32_t i = 0; i < LITMUS_WORDS; i++)
        gq_store_unit(&line[i], seq + 1, litmus_word(lane, seq, i)); /* as R6 */
}

/* True when the whole line is of message seq; wrong data under the right stamp is counted at once. */
static bool receive_line(const struct gq_unit *line, uint32_t lane, uint64_t seq, uint64_t *wrong)
{
    bool whole = true;
    for (uint32_t i = 0; i < LITMUS_WORDS; i++) {
        uint64_t stamp, data;
        gq_load_unit(&line[i], &stamp, &data); /* as A6 */
        whole = whole && stamp == seq + 1;
        *wrong += stamp == seq + 1 && data != litmus_word(lane, seq, i);
    }
    return whole;
}

/* One message at a time: the answer says that the line was read. */
static void *exchange_lines(void *arg)
{
    struct role *r = arg;
    while (!is_over(r)) {
        send_line(r->h->to_device[r->lane], r->lane, r->count.messages, r->plant == LITMUS_UNIT_SPLIT_HOST);
        while (!receive_line(r->h->to_host[r->lane], r->lane, r->count.messages, &r->count.wrong) && !is_over(r))
            sched_yield();
        r->count.messages++;
    }
    return NULL;
}

static void *play_unit(void *arg)
{
    struct role *r = arg;
    while (!is_over(r)) {
        if (!receive_line(r->h->to_device[r->lane], r->lane, r->count.messages, &r->count.wrong)) {
            sched_yield();
            continue;
        }
        send_line(r->h->to_host[r->lane], r->lane, r->count.messages++, r->plant == LITMUS_UNIT_SPLIT_DEVICE);
    }
    return NULL;
}

/* --- all threads of a row -------------------------------------------------------------------------------------------
 */

struct litmus_count litmus_host_run(const struct litmus_host *h, bool units, enum litmus_plant plant, uint64_t ns,
                                    bool alone)
{
    void *(*const routine[2][ROLES])(void *) = {{send_ring, receive_ring, play_ring},
                                                {NULL, exchange_lines, play_unit}};
    const uint64_t end_ns = gq_clock_ns() + ns;
    struct role roles[LITMUS_LANES][ROLES];
    pthread_t thread[LITMUS_LANES][ROLES];
    uint64_t received[LITMUS_LANES] = {0};
    struct litmus_count sum = {0, 0};
    const uint32_t lanes = alone ? 1 : LITMUS_LANES, last = alone ? ROLES : ROLES - 1;
    for (uint32_t n = 0; n < lanes; n++)
        for (uint32_t k = units ? 1 : 0; k < last; k++) {
            roles[n][k] = (struct role){.h = h, .lane = n, .plant = plant, .end_ns = end_ns, .received = &received[n]};
            pthread_create(&thread[n][k], NULL, routine[units][k], &roles[n][k]);
        }
    for (uint32_t n = 0; n < lanes; n++)
        for (uint32_t k = units ? 1 : 0; k < last; k++) {
            pthread_join(thread[n][k], NULL);
            sum.messages += k == 1 ? roles[n][k].count.messages : 0;
            sum.wrong += roles[n][k].count.wrong;
        }
    return sum;
}
