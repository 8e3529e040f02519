/* cpu_assert.h - a plugin's <assert.h> and <cassert>: a failed assert ends the worker with the user's file and line. As
 * the standard asks, there is no include guard: NDEBUG counts as it is at each inclusion. */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) \
    (static_cast<bool>(condition) ? (void)0 : gq_cpu_die("assert(" #condition ") failed", __FILE__, __LINE__))
#endif
#if !defined(__cplusplus) || !defined(GQ_CPU_SHIM)
#error "this assert.h belongs to the CPU backend's shim"
#endif
