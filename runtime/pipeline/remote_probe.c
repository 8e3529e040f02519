/* What is asked about a device, before there is a pipeline or without one. */
#include "pipeline/remote.h"
#include "pipeline/reply.h"
#include <stdio.h>
#include <sys/wait.h>

#define PROBE_MS 30000u /* a driver may take long to start */
#define BUS_MS 5000u    /* a measurement of the bus ends within this, or its process is ended */
#define END_MS 100u     /* from a channel that is closed to a process that has ended */

/* Of a worker that gave no answer: it may have ended, and be none. */
static gq_status explain(gq_status status, struct gq_process *process, uint32_t timeout_ms)
{
    int wait_status = 0;
    struct gq_text why = {0};
    const bool ended = process->pid > 0 && gq_process_wait(process, END_MS, &wait_status);
    if (!ended && status != GQ_ERR_TIMEOUT)
        return status;
    if (ended) {
        gq_process_describe(wait_status, &why);
        gq_text_puts(&why, " before it answered");
    } else {
        gq_text_printf(&why, "did not answer within %u ms", timeout_ms);
    }
    if (!ended || WIFEXITED(wait_status))
        gq_process_doubt(&why);
    status = gq_error_set(GQ_ERR_DEVICE, "the worker %s", gq_text_str(&why));
    gq_text_finish(&why);
    return status;
}

/* One question to a worker of its own. */
static gq_status ask_new(const struct gq_packet *question, struct gq_packet *reply, uint32_t timeout_ms,
                         struct gq_process *process)
{
    bool astray;
    *process = (struct gq_process){.channel = -1};
    gq_status status = gq_remote_start_process("worker", question, process);
    if (status == GQ_OK)
        status = gq_reply_receive(process->channel, question->type, timeout_ms, reply, &astray);
    return status == GQ_OK || reply->type ? status : explain(status, process, timeout_ms);
}

gq_status gq_remote_probe(uint32_t device, uint32_t *arch, char *name, size_t size, struct gq_process *keep)
{
    struct gq_process process;
    struct gq_packet packet = {.type = GQ_PACKET_PROBE}, reply = {0};
    packet.setup.device = device;
    gq_status status = ask_new(&packet, &reply, PROBE_MS, &process);
    if (status == GQ_OK && keep)
        *keep = process;
    else
        gq_process_end(&process, 100);
    if (status != GQ_OK)
        return status;
    *arch = reply.device.arch;
    snprintf(name, size, "%s", reply.device.name);
    return GQ_OK;
}

gq_status gq_remote_measure_bus(uint32_t device, struct gq_bus *out)
{
    struct gq_process process;
    struct gq_packet packet = {.type = GQ_PACKET_BUS}, reply = {0};
    packet.setup.device = device;
    gq_status status = ask_new(&packet, &reply, BUS_MS, &process);
    gq_process_end(&process, 100);
    *out = reply.bus;
    return status;
}
