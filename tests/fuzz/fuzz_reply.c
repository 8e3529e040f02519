/* Any packets in place of a worker's answers: each is an answer that a worker gives, or an error with its sentence, and
 * no descriptor that came along stays open. */
#include "fuzz.h"
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/channel.h"
#include "input.h"
#include "pipeline/reply.h"

#define PACKETS_MAX 80u

static bool is_clean(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

/* One packet to the host: mostly of the right length and type, and then what the input has. What finds no room in the
 * socket is left out. */
static void send_packet(int channel, struct input *in)
{
    struct gq_packet packet = {0};
    const uint32_t form = input_byte(in);
    const uint64_t left = (uint64_t)(in->end - in->at), room = sizeof packet.text;
    packet.type = form & 1 ? GQ_PACKET_REPLY : form & 2 ? GQ_PACKET_DIED : (uint32_t)input_any(in);
    packet.status = form & 4 ? GQ_OK : form & 8 ? -(int32_t)input_choice(in, 18) : (int32_t)input_any(in);
    packet.step = (uint32_t)input_any(in);
    const size_t n = (size_t)(left < room ? left : room), used = input_byte(in);
    for (size_t i = 0; i < n && i < used; i++)
        packet.text[i] = (char)input_byte(in);
    if (form & 16)
        memset(packet.text + used, 'x', sizeof packet.text - used); /* and no NUL */
    const size_t len = form & 32 ? 1 + input_number(in, 2) % GQ_CHANNEL_BYTES_MAX : sizeof packet;
    uint8_t bytes[GQ_CHANNEL_BYTES_MAX] = {0};
    memcpy(bytes, &packet, sizeof packet);
    gq_channel_send(channel, bytes, len, &channel, form & 64 ? 1 : 0);
}

static void check_reply(uint32_t asked, gq_status status, const struct gq_packet *reply, bool astray)
{
    gq_assert((status == GQ_OK) == (*gq_error_text() == '\0') || reply->text[0] == '\0');
    gq_assert(!astray || status == GQ_ERR_DEVICE || status == GQ_ERR_TIMEOUT);
    gq_assert(is_clean(gq_error_text()));
    if (status != GQ_OK)
        return;
    gq_assert(reply->type == GQ_PACKET_REPLY && !astray);
    if (asked == GQ_PACKET_PROBE)
        gq_assert(reply->device.arch > 0 && memchr(reply->device.name, 0, sizeof reply->device.name) &&
                  is_clean(reply->device.name));
    if (asked == GQ_PACKET_BUS)
        gq_assert(isfinite(reply->bus.read) && reply->bus.read >= 0 && isfinite(reply->bus.copied_out));
    if (asked == GQ_PACKET_CANARY)
        gq_assert(reply->swap.share <= 1000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, bytes + len};
    int pair[2];
    char word[GQ_PACKET_TEXT];
    int made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
    gq_assert(made == 0);
    const uint32_t asked = input_choice(&in, GQ_PACKET_DIED + 1), answers = input_choice(&in, 4);
    for (uint32_t i = 0; i < PACKETS_MAX && !input_ended(&in); i++)
        send_packet(pair[1], &in);
    close(pair[1]);
    for (uint32_t i = 0; i < answers; i++) {
        struct gq_packet reply = {.type = asked};
        bool astray;
        gq_error_clear();
        const gq_status status = gq_reply_receive(pair[0], asked, 0, &reply, &astray);
        check_reply(asked, status, &reply, astray);
    }
    gq_reply_last_word(pair[0], word, sizeof word);
    gq_assert(is_clean(word));
    close(pair[0]);
    const int next = dup(STDERR_FILENO); /* the lowest that is free */
    gq_assert(next == (pair[0] < pair[1] ? pair[0] : pair[1]));
    close(next);
    return 0;
}
