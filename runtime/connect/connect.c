#include "connect/connect.h"
#include <poll.h>
#include <time.h>

static const struct gq_source_ops *const sources[] = {&gq_source_file, &gq_source_stdin, &gq_source_generate};
static const struct gq_sink_ops *const sinks[] = {&gq_sink_file, &gq_sink_stdout, &gq_sink_null};

const struct gq_source_ops *gq_source_find(enum gq_source_kind kind)
{
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (sources[i]->kind == kind)
            return sources[i];
    return NULL;
}

const struct gq_sink_ops *gq_sink_find(enum gq_sink_kind kind)
{
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++)
        if (sinks[i]->kind == kind)
            return sinks[i];
    return NULL;
}

bool gq_connect_interrupted(int interrupt_fd, uint32_t timeout_ns)
{
    struct pollfd p = {.fd = interrupt_fd, .events = POLLIN};
    return ppoll(&p, 1, &(struct timespec){.tv_nsec = timeout_ns}, NULL) > 0;
}
