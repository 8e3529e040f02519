#include "pipeline/reply.h"
#include "base/channel.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNREAD_MAX 64u /* packets; a worker sends one unasked */
#define ARCH_MAX 9999u
#define MILLION 1000000u

/* One packet, without the descriptors that may have come with it: no answer has any. */
static gq_status receive(int channel, uint32_t timeout_ms, struct gq_packet *packet, size_t *len)
{
    int fds[GQ_CHANNEL_FDS_MAX];
    size_t fd_count;
    gq_status status = gq_channel_receive(channel, packet, sizeof *packet, len, fds, &fd_count, timeout_ms);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    return status;
}

/* Text as people may see it: no byte of it moves a cursor. */
static void clean(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *c = text; *c; c++) {
        const size_t control = gq_text_control(c, 2); /* a NUL at least is behind it */
        if (control && *c != '\n' && *c != '\t')
            memset(c, '?', control);
    }
}

static bool is_status(int32_t status)
{
    switch (status) {
#define KNOWN(name, value, exit_code, text) case value:
        GQ_STATUS_LIST(KNOWN)
#undef KNOWN
        return true;
    default:
        return false;
    }
}

static bool is_rate(double x) { return isfinite(x) && x >= 0; }

/* Is it what one who does as asked answers? */
static bool makes_sense(uint32_t asked, const struct gq_packet *r)
{
    if (asked == GQ_PACKET_PROBE)
        return r->device.arch > 0 && r->device.arch <= ARCH_MAX;
    if (asked == GQ_PACKET_BUS)
        return is_rate(r->bus.copied_in) && is_rate(r->bus.copied_out) && is_rate(r->bus.read) &&
               is_rate(r->bus.written);
    return asked != GQ_PACKET_CANARY || r->swap.share <= MILLION;
}

static gq_status refuse(bool *astray)
{
    *astray = true;
    return gq_error_set(GQ_ERR_DEVICE, "the worker's answer is none that a worker gives: a plugin may have written "
                                       "over memory that is not its own");
}

static gq_status read_reply(uint32_t asked, struct gq_packet *reply, bool *astray)
{
    if (reply->status != GQ_OK) {
        clean(reply->text, sizeof reply->text);
        return gq_error_set((gq_status)reply->status, "%s", reply->text);
    }
    if (!makes_sense(asked, reply))
        return refuse(astray);
    if (asked == GQ_PACKET_PROBE)
        clean(reply->device.name, sizeof reply->device.name);
    return GQ_OK;
}

gq_status gq_reply_receive(int channel, uint32_t asked, uint32_t timeout_ms, struct gq_packet *reply, bool *astray)
{
    struct gq_packet packet;
    size_t len;
    *astray = false;
    gq_status status = receive(channel, timeout_ms, &packet, &len);
    if (status == GQ_ERR_INTERNAL) /* longer than any packet */
        return refuse(astray);
    *astray = status != GQ_OK; /* it may still come, when something else is asked */
    if (status != GQ_OK)
        return status;
    if (len == 0)
        return gq_error_set(GQ_ERR_DEVICE, "the worker ended before it answered");
    const bool died = packet.type == GQ_PACKET_DIED;
    if (len != sizeof packet || (!died && (packet.type != GQ_PACKET_REPLY || !is_status(packet.status))))
        return refuse(astray);
    *reply = packet;
    if (!died)
        return read_reply(asked, reply, astray);
    clean(reply->text, sizeof reply->text);
    return gq_error_set(GQ_ERR_DEVICE, "%s", reply->text);
}

void gq_reply_last_word(int channel, char *text, size_t size)
{
    struct gq_packet packet;
    size_t len;
    text[0] = '\0';
    for (unsigned i = 0; i < UNREAD_MAX && receive(channel, 0, &packet, &len) == GQ_OK && len == sizeof packet; i++)
        if (packet.type == GQ_PACKET_DIED) {
            clean(packet.text, sizeof packet.text);
            snprintf(text, size, "%s", packet.text);
        }
}
