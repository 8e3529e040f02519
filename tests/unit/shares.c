/* How messages are dealt out to the shares of a step: each message to one share, in order, whatever the block. */
#include "device/grid.h"
#include "unit.h"

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
                                  a_block_is_never_larger_than_what_lies_near};
    return unit_run("shares", tests, sizeof tests / sizeof *tests, nothing, nothing);
}
