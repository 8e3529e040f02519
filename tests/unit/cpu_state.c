/* What becomes of a stage's memory when its code changes: kept, set aside, migrated while nothing is served, or the
 * change is refused. */
#include "swap_support.h"
#include <pthread.h>
#include <signal.h>

#define PLUGIN "#include <gpuqueue/plugin.h>\n#define STAGE 0\n"
#define COUNTING(bytes, version) PLUGIN "#define COUNTS\nGQ_STATE(" #bytes ", " #version ");\n"
#define MIGRATE \
    "__device__ void gq_migrate(const void *old_state, uint32_t old_bytes, uint32_t old_version, void *state)\n"

static int counting, counting_too, stateless, grown, back, alien, crashes, hangs;

static void build_all(void)
{
    make_test_folder();
    struct gq_builder *builder = test_builder(NULL);
    counting = build_variant(builder, COUNTING(8, 1) "#define TAG 1\n");
    counting_too = build_variant(builder, COUNTING(8, 1) "#define TAG 2\n");
    stateless = build_variant(builder, PLUGIN "#define TAG 3\n");
    grown = build_variant(builder, COUNTING(16, 2) "#define TAG 4\n" MIGRATE "{\n"
                                                   "    uint64_t *now = (uint64_t *)state;\n"
                                                   "    now[0] += *(const uint64_t *)old_state + 1000;\n"
                                                   "    now[1] = old_bytes * 10 + old_version;\n"
                                                   "    if (now[1] != 81) now[0] = 0;\n"
                                                   "}\n");
    back = build_variant(builder, COUNTING(8, 1) "#define TAG 5\n" MIGRATE "{\n"
                                                 "    if (old_bytes == 16 && old_version == 2)\n"
                                                 "        *(uint64_t *)state = *(const uint64_t *)old_state + 500;\n"
                                                 "}\n");
    alien = build_variant(builder, COUNTING(32, 7) "#define TAG 6\n");
    crashes = build_variant(builder, COUNTING(16, 2) "#define TAG 7\n" MIGRATE "{ *(volatile int *)8 = 1; }\n");
    hangs = build_variant(builder, COUNTING(16, 2) "#define TAG 8\n" MIGRATE
                                                   "{ for (volatile int i = 1; i;) __nanosleep(1000000); }\n");
    gq_builder_destroy(builder);
    remove_test_folder();
}

START_TEST(memory_is_kept_when_size_and_version_are_the_same)
{
    open_one(2, counting);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert_uint_eq(ask(1).count[0], i);
    swap(0, counting_too, 2, 2);
    ck_assert_uint_eq(ask(2).count[0], 10);
    use(0, 1, 3);
    ck_assert_uint_eq(ask(3).count[0], 11);
    close_backend();
}
END_TEST

static uintptr_t place_of_memory(void) { return (uintptr_t)((struct gq_cpu_grid *)backend)->stage->state->memory; }

/* A padded counter is one of 64 or 128 bytes, and the compiler moves it by instructions that ask for its alignment. */
START_TEST(memory_begins_on_a_line_of_its_own)
{
    open_one(2, counting);
    ck_assert_uint_eq(place_of_memory() % 128, 0);
    swap(0, grown, 2, 2);
    ck_assert_uint_eq(place_of_memory() % 128, 0);
    swap(0, back, 3, 3);
    ck_assert_uint_eq(place_of_memory() % 128, 0);
    close_backend();
}
END_TEST

START_TEST(a_version_without_memory_leaves_it_for_the_next)
{
    open_one(2, counting);
    ask(1);
    swap(0, stateless, 2, 2);
    ck_assert_uint_eq(ask(2).count[0], 0);
    swap(0, counting_too, 3, 3);
    ck_assert_uint_eq(ask(3).count[0], 1);
    swap(0, stateless, 4, 4);
    refuse_swap(0, alien, 5, 5,
                "the state of stage 'work' is version 1 of 8 bytes, and the new plugin's is version 7 of 32 bytes: it "
                "needs a gq_migrate function");
    use(0, 1, 5);
    ck_assert_uint_eq(ask(5).count[0], 2);
    close_backend();
}
END_TEST

START_TEST(a_stage_that_never_had_memory_begins_with_zeroes)
{
    open_one(1, stateless);
    swap(0, alien, 2, 2);
    ck_assert_uint_eq(ask(2).count[0], 0);
    ck_assert_uint_eq(ask(2).count[0], 1);
    close_backend();
}
END_TEST

START_TEST(fresh_memory_is_zero_and_a_run_under_way_keeps_the_old)
{
    uint32_t flag = 0;
    struct message m;
    open_one(2, counting);
    ask(1);
    send_held(&flag);
    ck_assert_int_eq(try_swap(0, counting_too, 2, 2, true), GQ_OK);
    let_go(&flag);
    ck_assert_uint_eq(receive(lane[0], &m), 1);
    ck_assert_uint_eq(m.count[0], 1);
    ck_assert_uint_eq(ask(2).count[0], 0);
    ck_assert_int_eq(try_swap(0, alien, 3, 3, true), GQ_OK); /* nothing to migrate */
    ck_assert_uint_eq(times.park_ns, 0);
    ck_assert_uint_eq(ask(3).count[0], 0);
    close_backend();
}
END_TEST

START_TEST(a_plugin_without_migration_is_refused_and_the_old_one_serves)
{
    const char sentence[] =
        "the state of stage 'work' is version 1 of 8 bytes, and the new plugin's is version 7 of 32 bytes: it needs a "
        "gq_migrate function";
    open_one(2, counting);
    ask(1);
    refuse_swap(0, alien, 2, 2, sentence);
    ck_assert_int_eq(times.step, GQ_STEP_INSPECT);
    ck_assert_uint_eq(ask(1).count[0], 1);
    ck_assert_uint_eq(images_loaded(), 1);
    ck_assert_int_eq(try_use(0, 2, 2), GQ_ERR_NOT_FOUND);
    close_backend();
}
END_TEST

START_TEST(memory_is_migrated_there_and_back)
{
    open_one(2, counting);
    for (uint32_t i = 0; i < 5; i++)
        ask(1);
    swap(0, grown, 2, 2);
    ck_assert_uint_eq(ask(2).count[0], 1005);
    ck_assert_int_eq(try_use(0, 1, 3), GQ_ERR_PLUGIN); /* version 1 does not know the new memory */
    ck_assert_int_eq(times.step, GQ_STEP_INSPECT);
    ck_assert_uint_eq(ask(2).count[0], 1006);
    swap(0, back, 3, 3);
    ck_assert_uint_eq(ask(3).count[0], 1507);
    use(0, 1, 4); /* and now it does */
    ck_assert_uint_eq(ask(4).count[0], 1508);
    use(0, 2, 5);
    ck_assert_uint_eq(ask(5).count[0], 2509);
    pause_blocks();
    use(0, 3, 6);
    const struct gq_cpu_stage *stage = ((struct gq_cpu_grid *)backend)->stage;
    ck_assert(stage->states == stage->state && !stage->states->next); /* what was migrated from is freed */
    start();
    ck_assert_uint_eq(ask(6).count[0], 3010);
    close_backend();
}
END_TEST

/* --- under way ------------------------------------------------------------------------------------------------------
 */

static uint32_t held_flag;

static void *let_go_later(void *arg)
{
    usleep(30000);
    let_go(&held_flag);
    return arg;
}

START_TEST(a_migration_waits_for_the_message_at_hand)
{
    pthread_t thread;
    struct message m = {.number = 1};
    open_one(2, counting);
    send_held(&held_flag);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go_later, NULL), 0);
    swap(0, grown, 2, 2);
    pthread_join(thread, NULL);
    ck_assert_uint_ge(times.park_ns, 1000000);
    ck_assert_uint_eq(receive(lane[0], &m), 1);
    ck_assert_uint_eq(m.count[0], 0);
    ck_assert_uint_eq(ask(2).count[0], 1001); /* it counted before its bytes were taken over */
    close_backend();
}
END_TEST

START_TEST(a_migration_that_must_wait_too_long_is_refused)
{
    struct message m = {.number = 1};
    open_one(2, counting);
    send_held(&held_flag);
    send(lane[0], &m);
    refuse_swap(0, grown, 2, 2,
                "the state of stage 'work' cannot be migrated: messages were not done after 5 s, and none may be "
                "under way meanwhile");
    ck_assert_int_eq(times.step, GQ_STEP_PARK);
    let_go(&held_flag);
    ck_assert_uint_eq(receive(lane[0], &m), 1);
    ck_assert_uint_eq(receive(lane[0], &m), 1);
    swap(0, grown, 2, 2);
    ck_assert_uint_eq(ask(2).count[0], 1002);
    close_backend();
}
END_TEST

static uint32_t counting_ends;

static void *count_on(void *arg)
{
    struct gq_lane *own = arg;
    struct message m = {.number = 1};
    uint64_t served = 0;
    while (!__atomic_load_n(&counting_ends, __ATOMIC_ACQUIRE)) {
        send(own, &m);
        receive(own, &m);
        served++;
    }
    return (void *)(uintptr_t)served;
}

START_TEST(no_count_is_lost_by_migrations_under_load)
{
    pthread_t thread[2];
    uint64_t served = 0;
    open_backend(3);
    load_first(counting);
    for (uint32_t i = 0; i < 3; i++)
        add_lane();
    start();
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_on, lane[i + 1]), 0);
    swap(0, grown, 2, 2);
    swap(0, back, 3, 3);
    uint32_t g = 4;
    for (; g < 104; g++) {
        use(0, g % 2 ? 3 : 2, g);
        usleep(500);
    }
    __atomic_store_n(&counting_ends, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < 2; i++) {
        void *count;
        pthread_join(thread[i], &count);
        served += (uint64_t)(uintptr_t)count;
    }
    ck_assert_uint_eq(ask(103).count[0], served + 51 * 1500);
    close_backend();
}
END_TEST

/* --- a migration that goes wrong ends the worker
 * ------------------------------------------------------------------------ */

static int child_migrates(int fd, char *sentence, size_t size)
{
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        open_one(2, counting);
        ask(1);
        try_swap(0, fd, 2, 2, false);
        _exit(0);
    }
    close(ends[1]);
    const ssize_t n = read(ends[0], sentence, size - 1);
    sentence[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(a_migration_that_crashes_ends_the_worker_by_its_signal)
{
    char sentence[256];
    const int status = child_migrates(crashes, sentence, sizeof sentence);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "wait status %#x, %s", (unsigned)status,
                  sentence);
}
END_TEST

START_TEST(a_migration_that_hangs_ends_the_worker_with_a_sentence)
{
    char sentence[256];
    const int status = child_migrates(hangs, sentence, sizeof sentence);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 86, "wait status %#x", (unsigned)status);
    ck_assert_str_eq(sentence, "gq_migrate did not end within 5 s");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {memory_is_kept_when_size_and_version_are_the_same,
                                  memory_begins_on_a_line_of_its_own,
                                  a_version_without_memory_leaves_it_for_the_next,
                                  a_stage_that_never_had_memory_begins_with_zeroes,
                                  fresh_memory_is_zero_and_a_run_under_way_keeps_the_old,
                                  a_plugin_without_migration_is_refused_and_the_old_one_serves,
                                  memory_is_migrated_there_and_back,
                                  a_migration_waits_for_the_message_at_hand,
                                  a_migration_that_must_wait_too_long_is_refused,
                                  no_count_is_lost_by_migrations_under_load,
                                  a_migration_that_crashes_ends_the_worker_by_its_signal,
                                  a_migration_that_hangs_ends_the_worker_with_a_sentence};
    return swap_suite("cpu state", tests, sizeof tests / sizeof *tests, build_all);
}
