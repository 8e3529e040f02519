/* Warp operations: every lane gets what the PTX ISA says it gets, for full and partial masks and for groups. */
#include "fiber_support.h"

struct shuffle {
    enum gq_cpu_warp_op op;
    uint32_t mask, arg, width;
    uint32_t got[32];
};

static void shuffle(void *arg)
{
    struct shuffle *s = arg;
    unsigned me = rank();
    s->got[me] = me;
    if (s->mask >> me & 1u)
        s->got[me] = (uint32_t)S->warp_op(s->op, s->mask, 100 + me, s->arg, s->width, NULL, "w.cu", 1);
}

/* The lane that `lane` reads, written down a second time from the table of shfl.sync in the PTX ISA. */
static unsigned source_of(const struct shuffle *s, unsigned lane)
{
    unsigned segment = lane / s->width * s->width;
    switch (s->op) {
    case GQ_CPU_SHFL:
        return segment + s->arg % s->width;
    case GQ_CPU_SHFL_UP:
        return lane >= segment + s->arg ? lane - s->arg : lane;
    case GQ_CPU_SHFL_DOWN:
        return lane + s->arg < segment + s->width ? lane + s->arg : lane;
    default:
        return (lane ^ s->arg) < segment + s->width ? lane ^ s->arg : lane;
    }
}

static void check_shuffle(enum gq_cpu_warp_op op, uint32_t mask, uint32_t arg, uint32_t width)
{
    struct shuffle s = {.op = op, .mask = mask, .arg = arg, .width = width};
    S->run_block(shuffle, &s, 32);
    for (unsigned i = 0; i < 32; i++) {
        unsigned from = source_of(&s, i);
        if (!(mask >> i & 1u))
            ck_assert_uint_eq(s.got[i], i);
        else
            ck_assert_msg(s.got[i] == 100 + (mask >> from & 1u ? from : i), "op %d width %u arg %u lane %u", op, width,
                          arg, i);
    }
}

START_TEST(shuffles_read_the_lane_that_the_isa_names)
{
    const uint32_t masks[] = {FULL, 0x0000ffffu, 0x55555555u, 0x80000001u};
    for (enum gq_cpu_warp_op op = GQ_CPU_SHFL; op <= GQ_CPU_SHFL_XOR; op++)
        for (uint32_t width = 1; width <= 32; width *= 2)
            for (uint32_t arg = 0; arg < 32; arg += 3)
                check_shuffle(op, masks[(arg + width) % 4], arg, width);
}
END_TEST

struct votes {
    uint32_t ballot, any, none, all, some, match_any[32], match_all, unequal;
    int pred, no_pred;
};

static void vote(void *arg)
{
    struct votes *v = arg;
    unsigned me = rank();
    v->ballot = (uint32_t)S->warp_op(GQ_CPU_BALLOT, FULL, me % 4 == 1, 0, 32, NULL, "w.cu", 1);
    v->any = (uint32_t)S->warp_op(GQ_CPU_ANY, FULL, me == 31, 0, 32, NULL, "w.cu", 2);
    v->none = (uint32_t)S->warp_op(GQ_CPU_ANY, FULL, 0, 0, 32, NULL, "w.cu", 3);
    v->all = (uint32_t)S->warp_op(GQ_CPU_ALL, FULL, 1, 0, 32, NULL, "w.cu", 4);
    v->some = (uint32_t)S->warp_op(GQ_CPU_ALL, FULL, me != 3, 0, 32, NULL, "w.cu", 5);
    v->match_any[me] = (uint32_t)S->warp_op(GQ_CPU_MATCH_ANY, FULL, me % 2, 0, 32, NULL, "w.cu", 6);
    v->match_all = (uint32_t)S->warp_op(GQ_CPU_MATCH_ALL, FULL, 7, 0, 32, &v->pred, "w.cu", 7);
    v->unequal = (uint32_t)S->warp_op(GQ_CPU_MATCH_ALL, FULL, me == 0, 0, 32, &v->no_pred, "w.cu", 8);
}

START_TEST(votes_and_matches_count_the_lanes_of_the_mask)
{
    struct votes v = {.no_pred = 1};
    S->run_block(vote, &v, 32);
    ck_assert_uint_eq(v.ballot, 0x22222222u);
    ck_assert_uint_eq(v.any, 1);
    ck_assert_uint_eq(v.none, 0);
    ck_assert_uint_eq(v.all, 1);
    ck_assert_uint_eq(v.some, 0);
    ck_assert_uint_eq(v.match_any[4], 0x55555555u);
    ck_assert_uint_eq(v.match_any[5], 0xaaaaaaaau);
    ck_assert_uint_eq(v.match_all, FULL);
    ck_assert_int_eq(v.pred, 1);
    ck_assert_uint_eq(v.unequal, 0);
    ck_assert_int_eq(v.no_pred, 0);
}
END_TEST

static void reduce(void *arg)
{
    uint32_t *got = arg;
    int32_t value = (int32_t)rank() - 16; /* -16 ... 15 */
    for (enum gq_cpu_warp_op op = GQ_CPU_REDUCE_ADD; op <= GQ_CPU_REDUCE_XOR; op++)
        got[op] = (uint32_t)S->warp_op(op, FULL, (uint32_t)value, 0, 32, NULL, "w.cu", (int)op);
}

START_TEST(reductions_are_those_of_their_name)
{
    uint32_t got[32];
    S->run_block(reduce, got, 32);
    ck_assert_int_eq((int32_t)got[GQ_CPU_REDUCE_ADD], -16);
    ck_assert_int_eq((int32_t)got[GQ_CPU_REDUCE_MIN_S], -16);
    ck_assert_int_eq((int32_t)got[GQ_CPU_REDUCE_MAX_S], 15);
    ck_assert_uint_eq(got[GQ_CPU_REDUCE_MIN_U], 0);
    ck_assert_uint_eq(got[GQ_CPU_REDUCE_MAX_U], FULL);
    ck_assert_uint_eq(got[GQ_CPU_REDUCE_AND], 0);
    ck_assert_uint_eq(got[GQ_CPU_REDUCE_OR], FULL);
    ck_assert_uint_eq(got[GQ_CPU_REDUCE_XOR], 0);
}
END_TEST

/* Even and odd lanes exchange among themselves, a different number of times, in every warp of the block. */
static void halves(void *arg)
{
    uint32_t *sums = arg;
    unsigned me = rank(), rounds = me % 2 ? 5 : 3;
    uint32_t mask = me % 2 ? 0xaaaaaaaau : 0x55555555u, sum = 0;
    for (unsigned i = 0; i < rounds; i++)
        sum += (uint32_t)S->warp_op(GQ_CPU_REDUCE_ADD, mask, 1, 0, 32, NULL, "w.cu", 1);
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "w.cu", 2);
    sums[me] = sum;
}

START_TEST(groups_of_one_warp_exchange_independently)
{
    uint32_t sums[128];
    S->run_block(halves, sums, 128);
    for (unsigned i = 0; i < 128; i++)
        ck_assert_uint_eq(sums[i], i % 2 ? 80 : 48);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fiber_warp");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, shuffles_read_the_lane_that_the_isa_names);
    tcase_add_test(tests, votes_and_matches_count_the_lanes_of_the_mask);
    tcase_add_test(tests, reductions_are_those_of_their_name);
    tcase_add_test(tests, groups_of_one_warp_exchange_independently);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
