/* swap.h - what gpuqueue/swap.h promises, without its checks of arguments. One change at a time: the others wait. */
#ifndef GQ_PIPELINE_SWAP_H
#define GQ_PIPELINE_SWAP_H

#include <gpuqueue/swap.h>

struct gq_pipeline;

/* `result` is whole: as large as this release knows it. */
gq_status gq_pipeline_swap(struct gq_pipeline *p, const char *stage, const gq_swap_opts *opts, gq_swap_result *result);
gq_status gq_pipeline_rollback(struct gq_pipeline *p, const char *stage, gq_swap_result *result);
gq_status gq_pipeline_use(struct gq_pipeline *p, const char *stage, uint32_t version, gq_swap_result *result);
gq_status gq_pipeline_discard(struct gq_pipeline *p, const char *stage, uint32_t version);
gq_status gq_pipeline_reload(struct gq_pipeline *p, uint32_t *changed, gq_swap_result *result);
void gq_pipeline_versions(struct gq_pipeline *p, gq_version_info *out, size_t max, size_t *count);

/* Starts the spare worker, in a thread of its own, so that the first swap need not wait for it. Does nothing unless
 * plugins are rehearsed. Between gq_start and gq_stop. */
void gq_pipeline_warm_spare(struct gq_pipeline *p);

/* Waits for the change under way, refuses all others, and ends the processes that only changes need. */
void gq_pipeline_end_changes(struct gq_pipeline *p);

/* For swap.c and reload.c: lets the caller in as the only one, if the pipeline has code that runs; `call` is for the
 * sentence. */
gq_status gq_pipeline_begin_change(struct gq_pipeline *p, const char *call);
/* The same for a change that builds, which may take long: GQ_ERR_SHUTDOWN once the pipeline was interrupted. */
gq_status gq_pipeline_begin_build(struct gq_pipeline *p, const char *call);
void gq_pipeline_end_change(struct gq_pipeline *p);

#endif
