/* How messages are dealt out to the shares of a step: each message to one share, in order, whatever the block. */
#include "device/grid.h"
#include "unit.h"
#include <stdbool.h>
#include <string.h>

START_TEST(each_message_belongs_to_one_share)
{
    for (uint32_t shift = 0; shift <= GQ_BLOCK_SHIFT_MAX; shift++)
        for (uint64_t from = 0; from < 40 * GQ_SHARES; from++) {
            uint32_t owners = 0;
            for (uint32_t n = 0; n < GQ_SHARES; n++)
                owners += gq_share_first(shift, n, from) == from;
            ck_assert_uint_eq(owners, 1);
        }
}
END_TEST

START_TEST(a_share_goes_from_block_to_block)
{
    const uint64_t start = (1ull << 40) - 5;
    for (uint32_t shift = 0; shift <= GQ_BLOCK_SHIFT_MAX; shift++)
        for (uint32_t n = 0; n < GQ_SHARES; n++) {
            uint64_t seq = gq_share_first(shift, n, start);
            for (uint32_t i = 0; i < 1000; i++) {
                const uint64_t next = gq_share_after(shift, seq + 1);
                ck_assert_uint_eq((next >> shift) % GQ_SHARES, n);
                ck_assert_uint_eq(gq_share_first(shift, n, seq + 1), next);
                seq = next;
            }
        }
}
END_TEST

/* What claim_cuda.h does with these numbers, one step of one warp at a time. */
static struct {
    uint32_t shift;
    uint64_t ready, from, next[GQ_SHARES];
    bool clear; /* the scout has claimed all below `from` that is not below `ready` */
    uint8_t claimed[1 << 16];
} step;

static void claim(uint64_t first, uint64_t count)
{
    for (uint64_t seq = first; seq < first + count; seq++)
        ck_assert_uint_eq(step.claimed[seq]++, 0);
}

static void claim_run(uint32_t n, uint64_t want)
{
    const uint64_t next = step.next[n], block = 1ull << step.shift, rest = block - (next & (block - 1));
    if (step.ready <= next)
        return;
    uint64_t count = step.ready - next < rest ? step.ready - next : rest;
    count = count < want ? count : want;
    claim(next, count);
    step.next[n] = gq_share_after(step.shift, next + count);
}

static void publish(uint64_t ready)
{
    for (uint32_t n = 0; step.clear && n < GQ_SHARES; n++)
        step.next[n] = gq_share_first(step.shift, n, step.from);
    step.clear = false;
    step.ready = step.from = ready;
}

static void keep(uint64_t count)
{
    bool clear = true;
    for (uint32_t n = 0; n < GQ_SHARES; n++)
        clear = clear && (step.clear || step.next[n] >= step.from);
    if (!clear)
        return;
    claim(step.from, count);
    step.clear = true;
    step.from += count;
}

static void start(uint32_t shift)
{
    memset(&step, 0, sizeof step);
    step.shift = shift;
    for (uint32_t n = 0; n < GQ_SHARES; n++)
        step.next[n] = gq_share_first(shift, n, 0);
}

START_TEST(scout_and_warps_claim_each_message_once)
{
    uint32_t dice = 1;
    for (uint32_t shift = 0; shift <= GQ_BLOCK_SHIFT_MAX; shift++) {
        start(shift);
        while (step.from < sizeof step.claimed - 1024) {
            dice = dice * 1664525u + 1013904223u;
            const uint32_t much = 1 + (dice >> 8) % 600, n = (dice >> 20) % GQ_SHARES;
            if (dice >> 29 == 0)
                publish(step.from + much);
            else if (dice >> 29 == 1)
                keep(1 + much % 32);
            else
                claim_run(n, much % 3 ? 32 : UINT64_MAX);
        }
        publish(step.from);
        for (uint32_t i = 0; i < 1u << 16; i++)
            claim_run(i % GQ_SHARES, UINT64_MAX);
        for (uint64_t seq = 0; seq < step.from; seq++)
            ck_assert_uint_eq(step.claimed[seq], 1);
    }
}
END_TEST

START_TEST(a_block_is_never_larger_than_what_lies_near)
{
    ck_assert_uint_eq(gq_block_shift(64), GQ_BLOCK_SHIFT_MAX);
    ck_assert_uint_eq(gq_block_shift(1024), 6);
    ck_assert_uint_eq(gq_block_shift(4096), 4);
    ck_assert_uint_eq(gq_block_shift(GQ_SLOT_BYTES_MAX), 0);
}
END_TEST

static void nothing(void) {}

int main(void)
{
    const TTest *const tests[] = {each_message_belongs_to_one_share, a_share_goes_from_block_to_block,
                                  scout_and_warps_claim_each_message_once, a_block_is_never_larger_than_what_lies_near};
    return unit_run("shares", tests, sizeof tests / sizeof *tests, nothing, nothing);
}
