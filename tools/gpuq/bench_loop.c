/* The same compiled function in a plain loop: what the messages cost when nothing moves them. */
#include "bench.h"
#include "backend/cpu.h"
#include "backend/fiber.h"
#include "base/clock.h"
#include "base/mem.h"
#include "build/build.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 64u

struct loop {
    const struct gq_cpu_image *image;
    void *state;
    uint32_t bytes, index, threads;
    uint64_t end_ns, count;
    pthread_t thread;
};

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    struct gq_crumb crumb = {0};
    struct gq_cpu_msg msgs[MESSAGES];
    uint8_t *in = gq_mem_lines((size_t)MESSAGES * l->bytes), *out = gq_mem_lines((size_t)MESSAGES * l->bytes);
    struct gq_cpu_run run = {.msgs = msgs,
                             .count = MESSAGES,
                             .generation = 1,
                             .out_cap = l->bytes,
                             .block = l->index,
                             .blocks = l->threads,
                             .crumb = &crumb,
                             .state = l->state,
                             .services = &gq_fiber_services};
    while (in && out && gq_clock_ns() < l->end_ns) {
        for (uint32_t i = 0; i < MESSAGES; i++) {
            msgs[i] = (struct gq_cpu_msg){.in = in + (size_t)i * l->bytes,
                                          .out = out + (size_t)i * l->bytes,
                                          .id = l->count + i,
                                          .in_len = l->bytes};
            memcpy(in + (size_t)i * l->bytes, &msgs[i].id, sizeof msgs[i].id);
        }
        l->image->run(&run);
        l->count += MESSAGES;
    }
    free(in);
    free(out);
    return NULL;
}

static double run_loops(const struct gq_cpu_image *image, void *state, double seconds, uint32_t bytes, uint32_t threads)
{
    struct loop *loops = calloc(threads, sizeof *loops);
    uint64_t start = gq_clock_ns(), count = 0;
    uint32_t started = 0;
    for (; loops && started < threads; started++) {
        loops[started] = (struct loop){.image = image,
                                       .state = state,
                                       .bytes = bytes,
                                       .index = started,
                                       .threads = threads,
                                       .end_ns = start + (uint64_t)(seconds * 1e9)};
        if (pthread_create(&loops[started].thread, NULL, loop_main, &loops[started]) != 0)
            break;
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(loops[i].thread, NULL);
        count += loops[i].count;
    }
    free(loops);
    return (double)count * 1e9 / (double)(gq_clock_ns() - start);
}

gq_status bench_plain_loop(const char *plugin, double seconds, uint32_t bytes, uint32_t threads, double *rate)
{
    struct gq_builder *builder = NULL;
    struct gq_builder_opts opts = {0};
    struct gq_build_request request = {.path = plugin, .kind = GQ_IMAGE_STAGE};
    struct gq_image image = {.fd = -1};
    struct gq_cpu_version *loaded = NULL;
    void *state = NULL;
    gq_status status = gq_builder_create(&opts, &builder);
    if (status == GQ_OK)
        status = gq_build(builder, &request, &image);
    if (status == GQ_OK)
        status = gq_cpu_load(image.fd, GQ_IMAGE_STAGE, 1, &loaded);
    if (status == GQ_OK && loaded->image->state_bytes && !(state = calloc(1, loaded->image->state_bytes)))
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u bytes of plugin state", image.info.state_bytes);
    if (status == GQ_OK)
        *rate = run_loops(loaded->image, state, seconds, bytes, threads);
    free(state);
    gq_cpu_unload(loaded);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return status;
}
