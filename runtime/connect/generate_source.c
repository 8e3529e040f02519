/* Source `generate`: numbered or random messages, at a rate or as fast as they are taken. */
#include "connect/connect.h"
#include "base/clock.h"
#include <stdlib.h>
#include <string.h>

#define WAIT_NS 500000000u             /* at a time */
#define LONGEST_NS ((uint64_t)1 << 62) /* a century and more */

struct generate {
    struct gq_source base;
    int interrupt_fd;
    uint64_t count, made, seed, start_ns;
    uint32_t bytes;
    enum gq_pattern pattern;
    double rate_per_s;
    uint32_t unchecked; /* messages since the interrupt was looked at */
};

/* splitmix64 (Steele, Lea, Flood 2014): word k of message n depends on seed, n and k alone, so a run can start
 * anywhere. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void put_random(const struct generate *g, uint8_t *to)
{
    uint64_t state = mix(g->seed ^ mix(g->made));
    for (uint32_t at = 0; at < g->bytes; at += 8) {
        uint64_t word = mix(state + at);
        memcpy(to + at, &word, g->bytes - at < 8 ? g->bytes - at : 8);
    }
}

/* The number as a little-endian word, repeated; a shorter message gets its low bytes. */
static void put_counter(const struct generate *g, uint8_t *to)
{
    for (uint32_t at = 0; at < g->bytes; at += 8)
        memcpy(to + at, &g->made, g->bytes - at < 8 ? g->bytes - at : 8);
}

/* Message n is due at n / rate. True when it is; waits for that if it may. */
static bool due(struct generate *g, bool may_wait, bool *interrupted)
{
    *interrupted = false;
    if (g->rate_per_s <= 0)
        return true;
    if (g->start_ns == 0)
        g->start_ns = gq_clock_ns();
    const double after_ns = (double)g->made * 1e9 / g->rate_per_s;
    const uint64_t at = g->start_ns + (after_ns < (double)LONGEST_NS ? (uint64_t)after_ns : LONGEST_NS);
    /* The clock is read once a turn: a second reading may be past `at`, and the difference then has no end. */
    for (uint64_t now; (now = gq_clock_ns()) < at;) {
        if (!may_wait)
            return false;
        *interrupted = gq_connect_interrupted(g->interrupt_fd, (uint32_t)(at - now < WAIT_NS ? at - now : WAIT_NS));
        if (*interrupted)
            return false;
    }
    return true;
}

static enum gq_next generate_next(struct gq_source *source, uint8_t *to, uint32_t cap, uint32_t *len, bool may_wait)
{
    struct generate *g = (struct generate *)source;
    bool interrupted;
    (void)cap; /* checked with the configuration */
    if (g->made == g->count || (++g->unchecked % 256 == 0 && gq_connect_interrupted(g->interrupt_fd, 0)))
        return GQ_NEXT_END;
    if (!due(g, may_wait, &interrupted))
        return interrupted ? GQ_NEXT_END : GQ_NEXT_WAIT;
    if (g->pattern == GQ_PATTERN_RANDOM)
        put_random(g, to);
    else
        put_counter(g, to);
    g->made++;
    *len = g->bytes;
    return GQ_NEXT_MESSAGE;
}

static void generate_close(struct gq_source *source) { free(source); }

static gq_status generate_open(const struct gq_conf *conf, int interrupt_fd, struct gq_source **out)
{
    struct generate *g = calloc(1, sizeof *g);
    if (!g)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the source");
    g->base.ops = &gq_source_generate;
    g->interrupt_fd = interrupt_fd;
    g->count = conf->source.count;
    g->bytes = conf->source.bytes;
    g->pattern = conf->source.pattern;
    g->seed = conf->source.seed;
    g->rate_per_s = conf->source.rate_per_s;
    *out = &g->base;
    return GQ_OK;
}

const struct gq_source_ops gq_source_generate = {
    .kind = GQ_SOURCE_GENERATE, .open = generate_open, .next = generate_next, .close = generate_close};
