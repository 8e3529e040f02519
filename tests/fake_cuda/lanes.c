/* lanes PIPELINE - threads come and go while the grids run: each gets a lane of its own, and its messages back, in
 * order. Before that the device has no memory for a while, and whoever asks for a lane is refused. */
#include <gpuqueue.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 24
#define MESSAGES 400
#define REFUSED 300 /* more lanes than there may be */
#define PAGES 2     /* that a worker shows its device before it has a lane */
#define SKIP 77

static GpuQueue *queue;

static int round_trip(const void *bytes, size_t len, uint64_t *id)
{
    char got[64];
    size_t got_len = sizeof got;
    if (q_enqueue(queue, bytes, len, id, 10000) != Q_OK)
        return printf("enqueue: %s\n", q_last_error()), 0;
    QueueStatus status;
    do
        status = q_try_dequeue_result(queue, *id, got, &got_len);
    while (status == Q_ERR_NOT_READY);
    if (status == Q_OK && got_len == len && memcmp(got, bytes, len) == 0)
        return 1;
    return printf("message %llu: status %d, %zu bytes: %s\n", (unsigned long long)*id, (int)status, got_len,
                  q_last_error()),
           0;
}

static void *work(void *arg)
{
    uint64_t id = 0, last = 0;
    for (int i = 0; i < MESSAGES; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "thread %d message %d", *(int *)arg, i);
        if (!round_trip(text, (size_t)len, &id))
            return "a message did not come back as it went";
        if (id <= last)
            return "ids do not grow";
        last = id;
    }
    return NULL;
}

static int be_refused(const char *scarce)
{
    FILE *file = fopen(scarce, "w");
    if (!file || fclose(file) != 0)
        return printf("%s cannot be written\n", scarce), 0;
    for (int i = 0; i < REFUSED; i++)
        if (q_enqueue(queue, "m", 1, NULL, 0) == Q_OK || !strstr(q_last_error(), "CUDA_ERROR_OUT_OF_MEMORY"))
            return printf("a lane without memory: %s\n", q_last_error()), 0;
    return unlink(scarce) == 0;
}

/* Its memory cannot be given back beside the grids. */
static int be_half_made(void)
{
    if (q_enqueue(queue, "m", 1, NULL, 0) == Q_OK || !strstr(q_last_error(), "cuMemHostGetDevicePointer"))
        return printf("a lane that the device does not see: %s\n", q_last_error()), 0;
    return 1;
}

int main(int argc, char **argv)
{
    char scarce[64], count[80], script[256];
    snprintf(scarce, sizeof scarce, "/tmp/gpuq-lanes-%ld", (long)getpid());
    snprintf(count, sizeof count, "%s-calls", scarce);
    snprintf(script, sizeof script, "scarce=%s fail=cuMemHostGetDevicePointer_v2,%d,999 count=%s", scarce, PAGES + 1,
             count);
    setenv("GPUQ_FAKE_CUDA", script, 1);
    pthread_t thread[THREADS];
    int number[THREADS], failed = 0;
    queue = argc == 2 ? q_open(argv[1]) : NULL;
    if (!queue)
        return printf("q_open: %s\n", q_last_error()), strstr(q_last_error(), "NVRTC") ? SKIP : 1;
    if (!be_refused(scarce) || !be_half_made())
        return 1;
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        if (pthread_create(&thread[i], NULL, work, &number[i]) != 0)
            return printf("no thread %d\n", i), 1;
    }
    for (int i = 0; i < THREADS; i++) {
        void *why = NULL;
        pthread_join(thread[i], &why);
        failed += why != NULL;
        if (why)
            printf("thread %d: %s\n", i, (const char *)why);
    }
    q_shutdown(queue);
    failed += unlink(count) != 0;
    return failed != 0;
}
