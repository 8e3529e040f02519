#include "pipeline/handle.h"
#include "base/clock.h"
#include "pipeline/pipeline.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x71756575u

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct GpuQueue *all; /* every handle ever made: they stay reachable */

static pthread_key_t key;                  /* runs thread_ends() when a thread ends */
static _Thread_local struct gq_user *mine; /* this thread's records, the last used first */

static void settle(struct gq_user *user, struct gq_queue *queue)
{
    const uint64_t id = user->owed, seq = gq_id_seq(id);
    user->owed = 0;
    gq_lane_release(gq_queue_lane_of(queue, id), &seq, 1); /* not found: another thread released what was not its own */
    gq_journal_flush(queue->journal);
}

void gq_handle_settle(struct gq_user *user) { settle(user, user->handle->queue); }

/* --- threads that end --------------------------------------------------------------------------------------------- */

static void forget(struct gq_user *user)
{
    struct GpuQueue *h = user->handle;
    pthread_mutex_lock(&h->lock);
    for (struct gq_user **at = &h->users; *at; at = &(*at)->next_of_handle)
        if (*at == user) {
            *at = user->next_of_handle;
            break;
        }
    /* `queue` is NULL once the handle is closed: its lanes are gone, or about to be. */
    if (user->owed && h->queue)
        settle(user, h->queue);
    if (user->lane && h->queue)
        gq_queue_disown_lane(h->queue, user->lane);
    pthread_mutex_unlock(&h->lock);
    free(user);
}

static void thread_ends(void *first)
{
    (void)first;
    while (mine) {
        struct gq_user *user = mine;
        mine = user->next_of_thread;
        forget(user);
    }
}

/* --- fork --------------------------------------------------------------------------------------------------------- */

/* In a forked child, where no other thread lives on: its queues are the parent's, so they are closed here. Its copy of
 * the channel goes too: the worker must see the parent's end. Locks may be held by threads that are gone. */
static void in_child(void)
{
    pthread_mutex_init(&all_lock, NULL);
    for (struct GpuQueue *h = all; h; h = h->next_of_all) {
        pthread_mutex_init(&h->lock, NULL);
        if (h->queue)
            gq_pipeline_forget_children(h->pipeline);
        h->queue = NULL;
        h->closed = 1;
    }
}

/* Once a process, tried again by the next handle when the system refused. */
static gq_status prepare_process(void)
{
    static bool keyed, watches_forks; /* with all_lock */
    int err = 0;
    pthread_mutex_lock(&all_lock);
    if (!keyed)
        keyed = (err = pthread_key_create(&key, thread_ends)) == 0;
    if (keyed && !watches_forks)
        watches_forks = (err = pthread_atfork(NULL, NULL, in_child)) == 0;
    pthread_mutex_unlock(&all_lock);
    return err ? gq_error_errno(GQ_ERR_NO_MEMORY, err, "no records of threads can be kept") : GQ_OK;
}

/* --- handles ------------------------------------------------------------------------------------------------------ */

gq_status gq_handle_create(struct gq_pipeline *p, struct GpuQueue **out)
{
    *out = NULL;
    gq_status status = prepare_process();
    if (status != GQ_OK)
        return status;
    struct GpuQueue *h = calloc(1, sizeof *h);
    *out = h;
    if (!h)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a queue handle");
    pthread_mutex_init(&h->lock, NULL);
    h->magic = MAGIC;
    h->pipeline = p;
    h->queue = p->queue;
    h->can_enqueue = p->conf->source.kind == GQ_SOURCE_API;
    h->can_take = p->conf->sink.kind == GQ_SINK_API;
    pthread_mutex_lock(&all_lock);
    h->next_of_all = all;
    all = h;
    pthread_mutex_unlock(&all_lock);
    return GQ_OK;
}

bool gq_handle_busy(struct GpuQueue *h)
{
    bool busy = false;
    pthread_mutex_lock(&h->lock);
    for (struct gq_user *u = h->users; u; u = u->next_of_handle)
        busy |= __atomic_load_n(&u->busy, __ATOMIC_SEQ_CST) != 0;
    pthread_mutex_unlock(&h->lock);
    return busy;
}

void gq_handle_close(struct GpuQueue *h)
{
    if (!h || __atomic_exchange_n(&h->closed, 1, __ATOMIC_SEQ_CST))
        return;
    while (gq_handle_busy(h)) {
        gq_link_kick(&h->queue->remote->link);
        struct timespec nap = {.tv_nsec = 100000};
        nanosleep(&nap, NULL);
    }
    pthread_mutex_lock(&h->lock);
    for (struct gq_user *u = h->users; u; u = u->next_of_handle)
        if (u->owed)
            settle(u, h->queue);
    h->queue = NULL;
    pthread_mutex_unlock(&h->lock);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct gq_user *new_user(struct GpuQueue *h)
{
    struct gq_user *user = calloc(1, sizeof *user);
    if (!user || pthread_setspecific(key, user) != 0) {
        free(user);
        return NULL;
    }
    user->handle = h;
    pthread_mutex_lock(&h->lock);
    user->next_of_handle = h->users;
    h->users = user;
    pthread_mutex_unlock(&h->lock);
    user->next_of_thread = mine;
    mine = user;
    return user;
}

static struct gq_user *find_user(struct GpuQueue *h)
{
    for (struct gq_user **at = &mine; *at; at = &(*at)->next_of_thread) {
        struct gq_user *user = *at;
        if (user->handle != h)
            continue;
        *at = user->next_of_thread; /* to the front: the next call asks for the same one */
        user->next_of_thread = mine;
        mine = user;
        return user;
    }
    return new_user(h);
}

gq_status gq_handle_check(const struct GpuQueue *h)
{
    if (!h || h->magic != MAGIC)
        return gq_error_set(GQ_ERR_INVALID_ARG, "the queue handle is NULL, or none that q_init or q_open gave");
    if (__atomic_load_n(&h->closed, __ATOMIC_SEQ_CST))
        return gq_error_set(GQ_ERR_SHUTDOWN, "the queue was shut down");
    return GQ_OK;
}

struct gq_user *gq_handle_enter(struct GpuQueue *h, gq_status *status)
{
    *status = gq_handle_check(h);
    if (*status != GQ_OK)
        return NULL;
    struct gq_user *user = mine && mine->handle == h ? mine : find_user(h);
    if (!user) {
        *status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for this thread's record");
        return NULL;
    }
    /* Either the closer sees `busy`, or this thread sees `closed`. */
    __atomic_store_n(&user->busy, 1, __ATOMIC_SEQ_CST);
    *status = gq_handle_check(h);
    if (*status != GQ_OK) {
        gq_handle_leave(user);
        return NULL;
    }
    if (user->owed)
        gq_handle_settle(user);
    return user;
}

gq_status gq_handle_takes_messages(const struct gq_user *user)
{
    if (__atomic_load_n(&user->handle->pipeline->interrupted, __ATOMIC_SEQ_CST))
        return gq_error_set(GQ_ERR_SHUTDOWN, "the pipeline was interrupted: it takes no more messages");
    return GQ_OK;
}

gq_status gq_handle_lane(struct gq_user *user, struct gq_lane **out)
{
    gq_status status = gq_handle_takes_messages(user);
    if (status == GQ_OK && !user->lane) {
        if (!user->handle->can_enqueue)
            return gq_error_set(GQ_ERR_INVALID_ARG,
                                "this pipeline has a source of its own: only `source: { api: {} }` takes messages");
        status = gq_queue_own_lane(user->handle->queue, &user->lane);
    }
    *out = user->lane;
    return status;
}
