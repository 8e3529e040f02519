/* kernel.cu - what one message meets, the same on every backend. It follows the plugin's text in one translation unit;
 * the entry (entry_cpu.h, ...) that it ends with feeds it messages.
 *
 * The unit defines before this file: GQ_IMAGE_KIND (0 stage, 1 source) and GQ_ENTRY (the entry's header).
 * An entry defines: static __device__ void *gq_entry_state(void), the stage's memory or null.
 *
 * With GQ_LINKED there is no plugin in the unit: it is compiled by itself (plugin_unit.h), and a linker joins the two.
 */
#include <gpuqueue/plugin.h>
#include <gpuqueue/layout.h>
#include <device/declared.h>
#include <device/port.h>
#if defined(GQ_LINKED)
#include <device/seam.h>
#endif

enum {
    GQ_SCOPE_THREAD = GQ_SCOPE_KIND_thread,
    GQ_SCOPE_WARP = GQ_SCOPE_KIND_warp,
    GQ_SCOPE_BLOCK = GQ_SCOPE_KIND_block
};

static __device__ void *gq_entry_state(void);

__device__ uint32_t gq_rank(void)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
        return 0;
    else
        return threadIdx.x % gq_scope::threads;
}

__device__ uint32_t gq_size(void) { return gq_scope::threads; }

__device__ void *gq_state(uint32_t bytes)
{
    return gq_state_declared::bytes > 0 && bytes <= gq_state_declared::bytes ? gq_entry_state() : nullptr;
}

#if defined(GQ_LINKED)
extern "C" __device__ void *gq_seam_state(void) { return gq_entry_state(); }
#endif

/* What a plugin's *out_len means. */
struct gq_outcome {
    uint32_t status, code, len;
    uint32_t tries; /* attempts beyond the first */
};

static __device__ __forceinline__ gq_outcome gq_outcome_of(uint32_t raw, uint32_t cap)
{
    if (raw <= cap)
        return gq_outcome{GQ_RESULT_OK, 0, raw, 0};
    if (raw == GQ_LEN_DROPPED)
        return gq_outcome{GQ_RESULT_DROPPED, 0, 0, 0};
    if ((raw & 0xffff0000u) == GQ_LEN_FAILED)
        return gq_outcome{GQ_RESULT_FAILED, raw & 0xffffu, 0, 0};
    return gq_outcome{GQ_RESULT_OVERFLOW, 0, raw, 0};
}

/* One message: where its bytes are, and where the result's go. */
struct gq_message {
    const uint8_t *in;
    uint32_t in_len;
    uint64_t id; /* a source's index */
    uint8_t *out;
    uint32_t cap;
};

/* Every thread that serves the message calls this once an attempt; *out_len is 0 and shared by them. */
static __device__ __forceinline__ void gq_call(const gq_message &m, uint32_t *out_len)
{
#if defined(GQ_LINKED)
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
        *out_len = gq_seam_call(m.in, m.in_len, m.id, m.out, m.cap, nullptr);
    else
        gq_seam_call(m.in, m.in_len, m.id, m.out, m.cap, out_len);
#else
    ResultView result = {m.out, m.cap, out_len};
#if GQ_IMAGE_KIND == 0
    const MsgView view = {m.in, m.in_len, m.id};
    process_message(view, &result);
#else
    generate_message(m.id, &result);
#endif
#endif
}

/* Attempts until one does not fail, 1 + retries at most. attempt() runs gq_call() in all threads and returns *out_len.
 */
template <typename Attempt>
static __device__ __forceinline__ gq_outcome gq_serve(uint32_t cap, uint32_t retries, Attempt attempt)
{
    /* One place calls the plugin: it is inlined once. */
    gq_outcome outcome = {GQ_RESULT_FAILED, 0, 0, 0};
    for (uint32_t tries = 0; outcome.status == GQ_RESULT_FAILED && tries <= retries; tries++) {
        outcome = gq_outcome_of(attempt(), cap);
        outcome.tries = tries;
    }
    return outcome;
}

#include GQ_ENTRY
