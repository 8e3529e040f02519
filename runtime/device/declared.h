/* declared.h - what the plugin in this unit declared: its scope, its memory, and whether it takes over another's. */
#ifndef GQ_DEVICE_DECLARED_H
#define GQ_DEVICE_DECLARED_H

#include <gpuqueue/plugin.h>

typedef decltype(gq_scope_of(0)) gq_scope;
typedef decltype(gq_state_of(0)) gq_state_declared;

template <typename Result> struct gq_migrates {
    enum { value = true };
};
template <> struct gq_migrates<gq_migrate_none> {
    enum { value = false };
};
typedef gq_migrates<decltype(gq_migrate((const void *)0, (uint32_t)0, (uint32_t)0, (void *)0))> gq_migration;

#endif
