/* swap_support.h - pipelines whose stages are swapped, in a folder of the test's own. */
#ifndef TESTS_API_SWAP_SUPPORT_H
#define TESTS_API_SWAP_SUPPORT_H

#include <check.h>
#include <gpuqueue/swap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "stress/place.h"

static char folder[64]; /* of one test */
static gq_swap_result result;

static inline void make_folder(void) { ck_assert(place_make(folder, sizeof folder, "gpuq-swap")); }

static inline void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* Valid until four calls later. */
static inline const char *in_folder(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static inline const char *write_text(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* A plugin that answers with the message and one letter more, which tells its versions apart. */
static inline const char *write_tagger(const char *name, char tag)
{
    char text[512];
    snprintf(text, sizeof text,
             "#include <gpuqueue/plugin.h>\n"
             "__device__ void process_message(const MsgView &in, ResultView *out)\n"
             "{\n"
             "    for (uint32_t i = 0; i < in.len; i++)\n"
             "        out->out[i] = in.payload[i];\n"
             "    out->out[in.len] = GQ_PARAM(tag, %d);\n"
             "    *out->out_len = in.len + 1;\n"
             "}\n",
             tag);
    return write_text(name, text);
}

/* --- pipelines ---------------------------------------------------------------------------------------------------- */

static void (*note_to)(void *context, const char *sentence); /* of pipelines that are opened from here on */

static inline gq_pipeline *opened(const char *text, bool from_file)
{
    gq_pipeline *p = NULL;
    gq_open_opts opts = {
        .size = sizeof opts, .path = in_folder("swap.yaml"), .text = from_file ? NULL : text, .note = note_to};
    if (from_file)
        write_text("swap.yaml", text);
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

#define HEAD "version: 1\nbackend: cpu\nqueue: { capacity: 64, slot_bytes: 64 }\ncpu: { threads: 2 }\n"

/* One stage, `s`, with the plugin v1.cu; `more` are further sections. */
static inline gq_pipeline *started(const char *more)
{
    char text[1024];
    snprintf(text, sizeof text, HEAD "stages: [{ name: s, plugin: v1.cu }]\n%s", more);
    gq_pipeline *p = opened(text, false);
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static inline void finish(gq_pipeline *p)
{
    ck_assert_msg(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static inline gq_status swap_to(gq_pipeline *p, const char *stage, const char *plugin)
{
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin};
    memset(&result, 0x5a, sizeof result);
    result.size = sizeof result;
    return gq_swap(p, stage, &opts, &result);
}

#define must(call) ck_assert_msg((call) == GQ_OK, "%s: %s\n%s", #call, gq_last_error(), result.log)

/* What the pipeline makes of "x" now: its letters are what the stages appended, and who answered. */
static inline const char *answer(gq_pipeline *p, uint32_t *generation)
{
    static char text[65];
    QResult r;
    size_t count;
    ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 10000), Q_OK);
    ck_assert_msg(q_peek(gq_queue(p), &r, 1, &count, 20000) == Q_OK, "%s", q_last_error());
    ck_assert_uint_eq(r.status, Q_RESULT_OK);
    snprintf(text, sizeof text, "%.*s", (int)r.len, (const char *)r.data);
    if (generation)
        *generation = r.generation;
    ck_assert_int_eq(q_release(gq_queue(p), &r, 1), Q_OK);
    return text;
}

static inline void expect_answer(gq_pipeline *p, const char *text, uint32_t generation)
{
    uint32_t got;
    ck_assert_str_eq(answer(p, &got), text);
    ck_assert_uint_eq(got, generation);
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

static inline gq_version_info info_of(gq_pipeline *p, const char *stage, uint32_t version)
{
    static gq_version_info all[128];
    size_t count;
    ck_assert_int_eq(gq_versions(p, all, 128, &count), GQ_OK);
    for (size_t i = 0; i < count; i++)
        if (all[i].version == version && strcmp(all[i].stage, stage) == 0)
            return all[i];
    ck_abort_msg("stage %s has no version %u", stage, version);
    return all[0];
}

static inline void expect_state(gq_pipeline *p, const char *stage, uint32_t version, gq_version_state state)
{
    const gq_version_info info = info_of(p, stage, version);
    ck_assert_msg(info.state == state, "version %u is %s", version, gq_version_state_name(info.state));
}

#endif
