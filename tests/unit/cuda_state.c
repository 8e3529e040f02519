/* The memory of a step's plugin while a change is planned: the change may fail, and then what is live goes on with it.
 * The device's memory is the test's own. */
#include "backend/cuda.h"
#include <stdlib.h>
#include <string.h>
#include "unit.h"

#define BYTES 64u

static uint8_t held[BYTES];

static int mem_alloc(gq_cu_ptr *ptr, size_t bytes)
{
    void *p = malloc(bytes);
    memset(p, 0xa5, bytes);
    *ptr = (gq_cu_ptr)(uintptr_t)p;
    return GQ_CU_OK;
}

static int copy_to_device(gq_cu_ptr to, const void *from, size_t bytes, gq_cu_stream stream)
{
    (void)stream;
    memcpy((void *)(uintptr_t)to, from, bytes);
    return GQ_CU_OK;
}

static int stream_wait(gq_cu_stream stream)
{
    (void)stream;
    return GQ_CU_OK;
}

static const struct gq_cu_api driver = {
    .mem_alloc = mem_alloc, .copy_to_device = copy_to_device, .stream_wait = stream_wait};

/* What the memory is to be under an image with as much of it, in another version. */
static gq_status plan(uint32_t version, bool migrates, bool fresh, struct gq_cuda_state *next, bool *migrate)
{
    static struct gq_cuda cuda = {.cu = &driver};
    struct gq_cuda_step step = {.name = "s", .state = {(gq_cu_ptr)(uintptr_t)held, BYTES, 1}};
    const struct gq_cpu_image info = {.state_bytes = BYTES, .state_version = version, .migrates = migrates};
    memset(held, 7, sizeof held);
    gq_status status = gq_cuda_state_plan(&cuda, &step, &info, fresh, next, migrate);
    for (uint32_t i = 0; i < BYTES; i++)
        ck_assert_uint_eq(held[i], 7);
    return status;
}

static void expect_zeros(const struct gq_cuda_state *next)
{
    uint8_t *p = (uint8_t *)(uintptr_t)next->at;
    ck_assert_ptr_ne(p, held);
    for (uint32_t i = 0; i < BYTES; i++)
        ck_assert_uint_eq(p[i], 0);
    free(p);
}

START_TEST(memory_of_the_same_version_is_taken_over)
{
    struct gq_cuda_state next;
    bool migrate;
    ck_assert_int_eq(plan(1, false, false, &next, &migrate), GQ_OK);
    ck_assert_ptr_eq((void *)(uintptr_t)next.at, held);
    ck_assert(!migrate);
}
END_TEST

START_TEST(fresh_memory_is_other_memory)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct gq_cuda_state next;
        bool migrate;
        ck_assert_int_eq(plan(version, true, true, &next, &migrate), GQ_OK);
        ck_assert(!migrate);
        ck_assert_uint_eq(next.version, version);
        expect_zeros(&next);
    }
}
END_TEST

START_TEST(memory_of_another_version_is_handed_on_or_refused)
{
    struct gq_cuda_state next;
    bool migrate;
    ck_assert_int_eq(plan(2, true, false, &next, &migrate), GQ_OK);
    ck_assert(migrate);
    expect_zeros(&next);
    ck_assert_int_eq(plan(2, false, false, &next, &migrate), GQ_ERR_PLUGIN);
    ck_assert_ptr_eq((void *)(uintptr_t)next.at, held);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {memory_of_the_same_version_is_taken_over, fresh_memory_is_other_memory,
                                  memory_of_another_version_is_handed_on_or_refused};
    return unit_run("cuda_state", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
