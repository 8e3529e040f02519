/* How grids share a device: numbers of an H200, and of devices that are too small. */
#include "backend/cuda_fit.h"
#include <stdlib.h>
#include <string.h>
#include "unit.h"

static const struct gq_fit_device h200 = {132, 2048, 32, 65536, 233472, 1024};

static struct gq_fit_step step(uint32_t threads, uint32_t registers, uint32_t shared, uint32_t asked)
{
    return (struct gq_fit_step){"s", threads, registers, shared, 2048 / threads, asked, 2, 0};
}

static gq_status fit(const struct gq_fit_device *d, struct gq_fit_step *steps, uint32_t count)
{
    uint32_t shared;
    return gq_fit(d, steps, count, &shared);
}

START_TEST(one_grid_takes_what_is_of_use_on_every_sm)
{
    struct gq_fit_step s = step(256, 40, 0, 0);
    ck_assert_int_eq(fit(&h200, &s, 1), GQ_OK);
    ck_assert_uint_eq(s.blocks, 264);
    s.of_use = 100;
    ck_assert_int_eq(fit(&h200, &s, 1), GQ_OK);
    ck_assert_uint_eq(s.blocks, 6 * 132); /* 65536 registers / (256 x 40) */
    s.alone = 3;
    ck_assert_int_eq(fit(&h200, &s, 1), GQ_OK);
    ck_assert_uint_eq(s.blocks, 3 * 132);
}
END_TEST

/* 64 x 32 is a warp's 2048; 72 x 32 is rounded up to 2304, and 16384 / 2304 is 7 warps a quarter, 3 blocks of 8. */
START_TEST(registers_are_counted_by_warps_and_quarters)
{
    struct gq_fit_step s = step(256, 72, 0, 0);
    s.of_use = 100;
    ck_assert_int_eq(fit(&h200, &s, 1), GQ_OK);
    ck_assert_uint_eq(s.blocks, 3 * 132);
    s.threads = 32; /* a warp takes a place in one quarter, and the other three keep theirs free for its block */
    s.alone = 32;
    ck_assert_int_eq(fit(&h200, &s, 1), GQ_OK);
    ck_assert_uint_eq(s.blocks, 7 * 132);
}
END_TEST

START_TEST(grids_share_by_what_is_short)
{
    struct gq_fit_step s[] = {step(256, 40, 100 << 10, 0), step(256, 40, 100 << 10, 0)};
    uint32_t shared = 0;
    ck_assert_int_eq(gq_fit(&h200, s, 2, &shared), GQ_OK);
    ck_assert_uint_eq(s[0].blocks, 132);
    ck_assert_uint_eq(s[1].blocks, 132);
    ck_assert_uint_eq(shared, 2 * (101 << 10));
    struct gq_fit_step big[] = {step(1024, 64, 0, 0), step(1024, 64, 0, 0), step(1024, 64, 0, 0)};
    ck_assert_int_eq(fit(&h200, big, 3), GQ_OK); /* one block an SM, 132 in all */
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(big[i].blocks, 44);
}
END_TEST

START_TEST(who_asks_gets_it_and_the_others_the_rest)
{
    struct gq_fit_step s[] = {step(1024, 32, 0, 0), step(1024, 32, 0, 263)};
    ck_assert_int_eq(fit(&h200, s, 2), GQ_OK);
    ck_assert_uint_eq(s[0].blocks, 1);
    ck_assert_uint_eq(s[1].blocks, 263);
    s[1].asked = 7;
    ck_assert_int_eq(fit(&h200, s, 2), GQ_OK);
    ck_assert_uint_eq(s[0].blocks, 132); /* 257 fit; a whole number for every SM is filled more evenly */
    ck_assert_uint_eq(s[1].blocks, 7);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_with_the_numbers)
{
    struct gq_fit_step s[] = {step(1024, 64, 0, 0), step(256, 128, 4096, 132)};
    s[0].name = "hash";
    s[1].name = "count";
    s[1].alone = 2;
    ck_assert_int_eq(fit(&h200, s, 2), GQ_ERR_PLUGIN);
    ck_assert_str_eq(
        gq_error_text(),
        "the stages' grids do not fit on the device together, 132 SMs of 65536 registers, 2048 threads, 233472 bytes "
        "of shared memory and 32 blocks each: 'hash' needs 1 block of 1024 threads, 64 registers each, 1024 bytes "
        "shared, 2 an SM alone, 'count' asks for 132 blocks of 256 threads, 128 registers each, 5120 bytes shared, 2 "
        "an SM alone; lower `blocks`, or take fewer stages or plugins that need less");
    s[1].asked = 131; /* an SM is left */
    ck_assert_int_eq(fit(&h200, s, 2), GQ_OK);
    s[1].asked = 265; /* more than the driver says there is room for */
    ck_assert_int_eq(fit(&h200, &s[1], 1), GQ_ERR_PLUGIN);
}
END_TEST

/* 256 threads of 126 registers and 256 of 131 do not fit on one SM. A first grid of a block on every SM would leave the
 * second none for ever, whatever the sum of blocks. */
START_TEST(the_first_grid_does_not_spread_over_what_the_next_one_needs)
{
    struct gq_fit_step s[] = {step(256, 126, 10240, 0), step(256, 131, 10240, 0)};
    s[0].alone = s[0].of_use = 2;
    s[1].alone = 1;
    s[1].of_use = 2;
    ck_assert_int_eq(fit(&h200, s, 2), GQ_OK);
    ck_assert_uint_ge(s[0].blocks, 60);
    ck_assert_uint_ge(s[1].blocks, 60);
    ck_assert_uint_le(s[0].blocks + s[1].blocks, 132);
    s[1].asked = 100;
    ck_assert_int_eq(fit(&h200, s, 2), GQ_OK);
    ck_assert_uint_le(s[0].blocks, 32);
}
END_TEST

/* Blocks of the first and the third go together on one SM, and the second's does not go beside either. */
START_TEST(whether_grids_fit_is_said_of_the_order_in_which_they_are_launched)
{
    const struct gq_fit_device two = {2, 2048, 32, 65536, 233472, 1024};
    struct gq_fit_step s[] = {step(256, 126, 10240, 0), step(256, 131, 10240, 0), step(256, 126, 10240, 0)};
    s[0].blocks = s[1].blocks = s[2].blocks = 1;
    ck_assert(gq_fits(&two, s, 3, 2 * 11264));
    ck_assert(!gq_fits(&two, s, 3, 2 * 11264 - 1));
    const struct gq_fit_step last[] = {s[0], s[2], s[1]};
    ck_assert(!gq_fits(&two, last, 3, 233472));
}
END_TEST

START_TEST(every_kind_of_room_can_be_the_one_that_is_missing)
{
    struct gq_fit_step s[] = {step(256, 32, 2048, 1), step(256, 32, 2048, 1)};
    struct gq_fit_device d = {1, 512, 2, 2 * 256 * 32, 2 * 3072, 1024};
    ck_assert_int_eq(fit(&d, s, 2), GQ_OK);
    int *const need[] = {&d.threads, &d.blocks, &d.registers, &d.shared_bytes};
    for (size_t i = 0; i < 4; i++) {
        const int enough = *need[i];
        *need[i] = i == 2 ? enough - 1024 : enough - 1;
        ck_assert_int_eq(fit(&d, s, 2), GQ_ERR_PLUGIN);
        *need[i] = enough;
    }
}
END_TEST

/* Whatever the numbers: what is given is at least one block, at most what was asked for, and fits in sum. */
START_TEST(no_sm_is_ever_overfull)
{
    srandom(1);
    for (int round = 0; round < 2000; round++) {
        struct gq_fit_device d = {1 + (int)(random() % 9), 2048, 32, 65536, 102400, 1024};
        struct gq_fit_step s[4];
        uint64_t threads = 0;
        for (int i = 0; i < 4; i++) {
            s[i] = step(32u << (random() % 6), 16 + (uint32_t)(random() % 200), (uint32_t)(random() % 49152),
                        random() % 3 ? 0 : 1 + (uint32_t)(random() % 8));
            s[i].alone = 1 + (uint32_t)(random() % 32);
            s[i].of_use = 1 + (uint32_t)(random() % 32);
        }
        if (fit(&d, s, 4) != GQ_OK)
            continue;
        for (int i = 0; i < 4; i++) {
            ck_assert_uint_ge(s[i].blocks, 1);
            ck_assert(s[i].asked ? s[i].blocks == s[i].asked : s[i].blocks <= s[i].of_use * (uint32_t)d.sms);
            ck_assert_uint_le(s[i].blocks, s[i].alone * (uint32_t)d.sms);
            threads += (uint64_t)s[i].blocks * s[i].threads;
        }
        ck_assert_uint_le(threads, 2048u * (uint64_t)d.sms);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {one_grid_takes_what_is_of_use_on_every_sm,
                                  registers_are_counted_by_warps_and_quarters,
                                  grids_share_by_what_is_short,
                                  who_asks_gets_it_and_the_others_the_rest,
                                  what_does_not_fit_is_refused_with_the_numbers,
                                  the_first_grid_does_not_spread_over_what_the_next_one_needs,
                                  whether_grids_fit_is_said_of_the_order_in_which_they_are_launched,
                                  every_kind_of_room_can_be_the_one_that_is_missing,
                                  no_sm_is_ever_overfull};
    return unit_run("cuda_fit", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
