/* gpuq explain: what a pipeline file amounts to, as YAML that loads again, and what it will allocate. */
#include "commands.h"
#include <gpuqueue/layout.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "backend/backend.h"
#include "base/error.h"
#include "config/conf.h"

static void print_bytes(const char *what, uint64_t bytes)
{
    printf("#   %-34s %12" PRIu64 " bytes", what, bytes);
    if (bytes >= 1u << 20)
        printf(" (%.1f MiB)", (double)bytes / (1u << 20));
    else if (bytes >= 1u << 10)
        printf(" (%.1f KiB)", (double)bytes / (1u << 10));
    printf("\n");
}

static void print_lane(const struct gq_conf *conf)
{
    struct gq_conf_lane_bytes lane = gq_conf_lane_bytes(conf->capacity, conf->slot_bytes);
    printf("# memory of a lane, shared by host and worker; each producing thread has one, a source has one\n");
    print_bytes("ingress", lane.ingress);
    print_bytes("egress", lane.egress);
    print_bytes("both", lane.ingress + lane.egress);
}

/* Between two stages a batch of results waits in one of two areas of its thread. */
static void print_scratch(const struct gq_conf *conf)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t threads = conf->cpu_threads ? conf->cpu_threads : processors > 0 ? (uint64_t)processors : 1;
    uint64_t stride = ((uint64_t)conf->slot_bytes + GQ_STRIDE_ALIGN - 1) / GQ_STRIDE_ALIGN * GQ_STRIDE_ALIGN;
    bool between = conf->stage_count > 1 || conf->source.kind == GQ_SOURCE_PLUGIN;
    uint64_t scratch = between ? 2 * gq_batch_messages((uint32_t)stride) * stride : 0;
    printf("# memory of the worker on the CPU backend, between stages\n");
    print_bytes("scratch of one thread", scratch);
    printf("#   %-34s %12" PRIu64 "%s\n", "threads", threads,
           conf->cpu_threads ? "" : " (one for each processor of this machine)");
    print_bytes("scratch of all threads", scratch * threads);
    print_bytes("control pages", sizeof(struct gq_host_page) + sizeof(struct gq_worker_page));
}

static int explain(const struct gq_conf *conf)
{
    struct gq_text yaml = {0};
    gq_text_puts(&yaml, "# the effective configuration of ");
    gq_problem_show(&yaml, conf->file, strlen(conf->file));
    gq_text_puts(&yaml, "; relative paths count from the folder of this command\n");
    const char *backend = getenv("GPUQ_BACKEND");
    if (backend && *backend) {
        gq_text_puts(&yaml, "# GPUQ_BACKEND in the environment wins over the backend below: ");
        gq_problem_show(&yaml, backend, strlen(backend));
        gq_text_puts(&yaml, "\n");
    }
    gq_conf_print(conf, &yaml);
    bool failed = yaml.failed;
    if (failed)
        fprintf(stderr, "gpuq explain: %s: out of memory\n", conf->file);
    if (!failed) {
        printf("%s\n", gq_text_str(&yaml));
        print_lane(conf);
        print_scratch(conf);
    }
    gq_text_finish(&yaml);
    return failed ? gq_status_exit_code(GQ_ERR_NO_MEMORY) : 0;
}

int cmd_explain(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "gpuq explain: expected one file; usage: gpuq explain FILE\n");
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    }
    struct gq_text errors = {0};
    struct gq_conf *conf = NULL;
    size_t count;
    gq_status status = gq_conf_load(argv[1], &errors, &count, &conf);
    fputs(gq_text_str(&errors), stderr);
    gq_text_finish(&errors);
    int code = status == GQ_OK ? explain(conf) : gq_status_exit_code(status);
    gq_conf_destroy(conf);
    return code;
}
