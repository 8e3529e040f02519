/* What a C program does with an installed gpuqueue: a message in, its result out. */
#include <gpuqueue.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int round_trip(GpuQueue *q, const char *text)
{
    uint64_t id;
    char result[64];
    size_t len = sizeof result;
    if (q_enqueue(q, text, strlen(text), &id, 10000) != Q_OK)
        return 1;
    if (q_wait_completions(q, 60000) != Q_OK)
        return 1;
    if (q_try_dequeue_result(q, id, result, &len) != Q_OK)
        return 1;
    printf("%" PRIu64 ": %.*s\n", id, (int)len, result);
    return len != strlen(text) || memcmp(result, text, len) != 0;
}

int main(void)
{
    QueueConfig config = {.capacity = 64, .slot_bytes = 64};
    GpuQueue *q = q_init(&config);
    int failed = !q || round_trip(q, "from C");
    if (failed)
        fprintf(stderr, "use: %s\n", q_last_error());
    q_shutdown(q);
    return failed;
}
