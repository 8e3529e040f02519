#include "pipeline/remote.h"
#include "pipeline/version.h"
#include "ring/page.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* What a sentence is about. */
struct scene {
    const struct gq_conf *conf;
    struct gq_versions *versions; /* NULL: none but those of conf */
    const struct gq_worker_page *page;
};

#define LISTED_MAX 8 /* blocks that a sentence lists */

/* The file's name is not enough once another version took its place; and what died may be a version before the live
 * one, with a message that came before the change. */
static void describe_version(const struct scene *scene, const struct gq_crumb *c, struct gq_text *out)
{
    struct gq_version_name name;
    if (!scene->versions || c->stage >= scene->versions->stage_count)
        return;
    const uint32_t generation = c->generation ? (uint32_t)c->generation : UINT32_MAX; /* not said: the newest */
    gq_versions_name(scene->versions, (uint32_t)c->stage, generation, &name);
    if (name.number > 1)
        gq_text_printf(out, " (version %u, %s)", name.number, name.plugin);
}

static void describe_block(const struct scene *scene, const struct gq_crumb *c, struct gq_text *out)
{
    const char *what = c->stage == GQ_CRUMB_SOURCE ? "index" : "message";
    gq_text_printf(out, "%s %" PRIu64 " in stage '%s'", what, c->current, gq_conf_stage_name(scene->conf, c->stage));
    describe_version(scene, c, out);
}

/* The ids of a run that were not finished when its block ended. */
static void describe_rest(const struct gq_crumb *c, struct gq_text *out)
{
    uint64_t last = c->first + c->holds - 1;
    uint64_t after = c->stage == GQ_CRUMB_SOURCE ? c->first : c->current + 1;
    if (c->holds <= 1 || after > last)
        return;
    gq_text_printf(out, "; claimed with it and not finished: message%s %" PRIu64, after < last ? "s" : "", after);
    if (after < last)
        gq_text_printf(out, " to %" PRIu64, last);
}

/* The number of the block that a signal ended; GQ_BLOCKS_MAX: there is none. */
static uint32_t find_culprit(const struct gq_worker_page *page, struct gq_crumb *out)
{
    const uint32_t threads = gq_page_threads(page);
    for (uint32_t i = 0; i < threads; i++) {
        *out = gq_page_crumb(page, i);
        if (out->signal && out->signal < GQ_FAULT_EXIT) /* a device's error is no thread's */
            return i;
    }
    return GQ_BLOCKS_MAX;
}

static void describe_address(const struct gq_crumb *c, struct gq_text *out)
{
    if (c->overflow)
        gq_text_puts(out, " because a CUDA thread's stack was full");
    else if (c->address == GQ_ADDRESS_UNKNOWN)
        gq_text_puts(out, " at an address that is not known");
    else
        gq_text_printf(out, " at address 0x%" PRIx64, c->address);
}

static void describe_culprit(const struct scene *scene, const struct gq_crumb *c, bool said, struct gq_text *out)
{
    if (!said && (c->signal == SIGSEGV || c->signal == SIGBUS))
        describe_address(c, out);
    if (!gq_crumb_is_inside(c)) {
        gq_text_puts(out, " in a thread that processed no message");
        return;
    }
    gq_text_puts(out, said ? ": " : " while it processed ");
    describe_block(scene, c, out);
    describe_rest(c, out);
}

static void list_busy(const struct scene *scene, uint32_t culprit, struct gq_text *out)
{
    const uint32_t threads = gq_page_threads(scene->page);
    uint32_t listed = 0, more = 0;
    for (uint32_t i = 0; i < threads; i++) {
        const struct gq_crumb c = gq_page_crumb(scene->page, i);
        if (!gq_crumb_is_inside(&c) || i == culprit)
            continue;
        if (listed == LISTED_MAX) {
            more++;
            continue;
        }
        gq_text_puts(out, listed++                  ? ", "
                          : culprit < GQ_BLOCKS_MAX ? "; lost in other threads: "
                                                    : " while it processed ");
        describe_block(scene, &c, out);
        describe_rest(&c, out);
    }
    if (more)
        gq_text_printf(out, " and %u more", more);
}

void gq_post_mortem(const struct gq_conf *conf, struct gq_versions *versions, const struct gq_worker_page *page,
                    int wait_status, const char *died, struct gq_text *out)
{
    const struct scene scene = {conf, versions, page};
    struct gq_crumb crumb;
    const uint32_t culprit = find_culprit(page, &crumb);
    if (died[0])
        gq_text_printf(out, "%s", died);
    else
        gq_text_puts(out, "the worker ");
    if (!died[0])
        gq_process_describe(wait_status, out);
    if (!died[0] && gq_page_threads(page) == 0 && WIFEXITED(wait_status))
        gq_process_doubt(out);
    if (culprit < GQ_BLOCKS_MAX)
        describe_culprit(&scene, &crumb, died[0] != '\0', out);
    list_busy(&scene, culprit, out);
    if (!died[0] && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL)
        gq_text_puts(out, " (somebody killed it; the kernel does so when memory runs out)");
}
