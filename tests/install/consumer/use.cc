// What a C++ program does with an installed gpuqueue: a pipeline in memory, its queue, a batch, results in place.
#include <cstdio>
#include <gpuqueue/runtime.h>
#include <string>

static bool echo_batch(GpuQueue *q)
{
    const std::string words[] = {"from", "C++", ""};
    EnqueueItem items[3];
    for (size_t i = 0; i < 3; i++)
        items[i] = {words[i].data(), words[i].size()};
    size_t accepted = 0, taken = 0;
    if (q_enqueue_batch(q, items, 3, nullptr, &accepted, 10000) != Q_OK || accepted != 3)
        return false;
    while (taken < 3) {
        QResult result;
        size_t count = 0;
        if (q_peek(q, &result, 1, &count, 60000) != Q_OK || count != 1)
            return false;
        if (std::string(static_cast<const char *>(result.data), result.len) != words[taken])
            return false;
        taken++;
        if (q_release(q, &result, 1) != Q_OK)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    const std::string text =
        "version: 1\nqueue: { capacity: 64, slot_bytes: 64 }\nstages: [{ plugin: " + std::string(argv[1]) + "/echo.cu }]\n";
    gq_open_opts opts{};
    opts.size = sizeof opts;
    opts.path = "use.yaml";
    opts.text = text.c_str();
    gq_pipeline *pipeline = nullptr;
    bool good = gq_open(&opts, &pipeline) == GQ_OK && gq_prepare(pipeline) == GQ_OK && gq_start(pipeline) == GQ_OK &&
                echo_batch(gq_queue(pipeline)) && gq_stop(pipeline, 10000) == GQ_OK;
    if (good)
        std::printf("%s: three echoes\n", gq_backend(pipeline));
    else
        std::fprintf(stderr, "use: %s; %s\n", gq_last_error(), q_last_error());
    gq_close(pipeline);
    return good ? 0 : 1;
}
