/* assert.h - for our own bugs, always on. Everybody else's mistakes get a gq_status. */
#ifndef GQ_BASE_ASSERT_H
#define GQ_BASE_ASSERT_H

#define gq_assert(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : gq_assert_failed(#condition, __FILE__, __LINE__, __func__))

_Noreturn void gq_assert_failed(const char *condition, const char *file, int line, const char *function);

#endif
