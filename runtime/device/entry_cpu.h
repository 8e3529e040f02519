/* entry_cpu.h - the CPU backend's end of kernel.cu: gq_cpu_image, and the loop over the messages of one call. */
#ifndef GQ_DEVICE_ENTRY_CPU_H
#define GQ_DEVICE_ENTRY_CPU_H

static_assert(sizeof(gq_state_declared) > 0 && gq_scope::threads <= 1024, "what the plugin declared");

static thread_local gq_cpu_thread gq_cpu_single; /* thread scope: all that a thread knows of itself */

static inline const gq_cpu_thread &gq_cpu_self()
{
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
        return gq_cpu_single;
    else
        return *gq_cpu_now->services->self();
}

[[noreturn]] __attribute__((cold, noinline)) static void gq_cpu_refuse_wait(const char *what, const char *why,
                                                                            const char *file, int line)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s", what, why);
    gq_cpu_die(text, file, line);
}

static inline void gq_cpu_may_wait(const char *what, bool block_wide, const char *file, int line)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
        gq_cpu_refuse_wait(what,
                           "waits for other threads, but one thread serves a message here; "
                           "declare GQ_SCOPE(warp) or GQ_SCOPE(block, N)",
                           file, line);
    if (gq_scope::kind == GQ_SCOPE_WARP && block_wide)
        gq_cpu_refuse_wait(
            what,
            "waits for a block, but a warp serves a message here and the block's other warps serve others; "
            "use gq_sync(), or declare GQ_SCOPE(block, N)",
            file, line);
}

__device__ void gq_sync(const char *file, int line)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_WARP)
        gq_cpu_now->services->warp_op(GQ_CPU_SYNCWARP, 0xffffffffu, 0, 0, 32, nullptr, file, line);
    else if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        gq_cpu_now->services->block_op(GQ_CPU_SYNCTHREADS, 0, file, line);
}

static void *gq_entry_state(void) { return gq_cpu_now->state; }

/* What each thread of a block gets. */
struct gq_cpu_attempt {
    const gq_message *message;
    uint32_t *out_len;
};

static void gq_cpu_block_thread(void *arg)
{
    const gq_cpu_attempt *a = static_cast<const gq_cpu_attempt *>(arg);
    gq_cpu_thread *self = gq_cpu_now->services->self();
    self->block_idx.x = gq_cpu_now->block;
    self->grid_dim.x = gq_cpu_now->blocks;
    gq_call(*a->message, a->out_len);
}

static inline uint32_t gq_cpu_once(const gq_message &m)
{
    uint32_t out_len = 0;
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD) {
        gq_call(m, &out_len);
    } else {
        gq_cpu_attempt attempt = {&m, &out_len};
        gq_cpu_now->services->run_block(gq_cpu_block_thread, &attempt, gq_scope::threads);
    }
    return out_len;
}

static inline void gq_cpu_one(const gq_cpu_run *run, gq_cpu_msg *msg)
{
    gq_store_relaxed_u64(&run->crumb->current, msg->id);
    /* The compiler must not move an inlined plugin's accesses above the crumb: a crash would be blamed on the last
     * message. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    const gq_message m = {msg->in, msg->in_len, msg->id, msg->out, run->out_cap};
    const gq_outcome outcome = gq_serve(m.cap, run->retries, [&m] { return gq_cpu_once(m); });
    msg->out_len = outcome.len;
    msg->status = outcome.status;
    msg->code = outcome.code;
    msg->stage = run->stage;
    msg->tries += outcome.tries;
}

/* The last stage hands each message back as soon as it is served: what a later message does cannot take it away. */
static inline void gq_cpu_finish(const gq_cpu_run *run, uint32_t i)
{
    const gq_cpu_msg *msg = &run->msgs[i];
    const uint32_t stage = msg->status == GQ_RESULT_OK ? run->stage : msg->stage;
    gq_slot_finish(run->lane, run->first_seq + i, msg->out_len,
                   gq_meta(run->generation, stage, msg->status, msg->code));
}

static void gq_cpu_run_messages(const gq_cpu_run *run)
{
    gq_cpu_now = run;
    gq_cpu_single = {{0, 0, 0}, {run->block, 0, 0}, {1, 1, 1}, {run->blocks, 1, 1}};
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->msgs[i].status == GQ_RESULT_OK)
            gq_cpu_one(run, &run->msgs[i]);
        if (run->lane)
            gq_cpu_finish(run, i);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    gq_store_relaxed_u64(&run->crumb->current, 0);
}

static void gq_cpu_migrate(const void *old_state, uint32_t old_bytes, uint32_t old_version, void *state,
                           const gq_cpu_services *services)
{
    gq_cpu_run run = {};
    run.services = services; /* a plugin may trap here too */
    gq_cpu_now = &run;
    gq_cpu_single = {{0, 0, 0}, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}};
    if constexpr (gq_migration::value)
        gq_migrate(old_state, old_bytes, old_version, state);
    gq_cpu_now = nullptr;
}

extern "C" __attribute__((visibility("default"), used)) const gq_cpu_image gq_cpu_image = {
    GQ_CPU_IMAGE_MAGIC,
    GQ_PLUGIN_ABI,
    GQ_IMAGE_KIND,
    gq_scope::kind,
    gq_scope::threads,
    gq_state_declared::bytes,
    gq_state_declared::version,
    sizeof(MsgView),
    sizeof(ResultView),
    gq_migration::value,
    gq_cpu_run_messages,
    gq_migration::value ? gq_cpu_migrate : nullptr,
};

#endif
