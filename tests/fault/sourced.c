/* A source plugin's messages are answered by one code after another, and changes cost no worker: what was made before a
 * change may have been answered by the code before. Memory of the stage lives as long as the worker. */
#include <gpuqueue/swap.h>
#include "pipeline/pipeline.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 60u
#define SWAPS 20

static void keep_note(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "noted: %s\n", text);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2, "the folder of plugins");
    char folder[64], text[1024];
    alarm(ROUND_S);
    REQUIRE(place_make(folder, sizeof folder, "gpuq-sourced"), "a folder");
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 1024, slot_bytes: 64 }\nswap: { rehearse: off }\n"
             "source: { plugin: { path: '%s/counter.cu', count: 1000000000000 } }\n"
             "stages: [{ name: s, plugin: '%s/upper.cu' }]\nsink: { file: { path: '%s/out', join: raw } }\n",
             argv[1], argv[1], folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "sourced", .text = text, .note = keep_note};
    gq_pipeline *p = fault_start(&opts);
    for (int i = 0; i < SWAPS; i++) {
        char plugin[512];
        gq_swap_result result = {.size = sizeof result};
        snprintf(plugin, sizeof plugin, "%s/%s", argv[1], i % 2 ? "upper.cu" : "rot13.cu");
        const gq_swap_opts swap = {.size = sizeof swap, .plugin = plugin};
        usleep(50000);
        REQUIRE(gq_swap(p, "s", &swap, &result) == GQ_OK, "swap %d: %s", i, gq_last_error());
    }
    usleep(50000);
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK, "%s", gq_last_error());
    REQUIRE(stats.restarts == 0 && stats.messages_out > 0, "%" PRIu64 " workers were replaced, %" PRIu64 " results",
            stats.restarts, stats.messages_out);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    REQUIRE(place_remove(folder), "the folder");
    puts("no change cost a worker");
    return 0;
}
