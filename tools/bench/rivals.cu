/* rivals.cu - the kernels of gpuq-rivals. They are compiled behind the text of plugins/sha256.cu, whose process_message
 * one of them calls. Each ends by itself: its work is finite, and what waits, or crosses the bus, watches the clock. */

static __device__ uint64_t rival_clock_ns()
{
    uint64_t ns;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
    return ns;
}

/* --- what batches run: the bytes of all messages, coalesced ------------------------------------------------------- */

extern "C" __global__ void rival_echo(const uint4 *from, uint4 *to, uint32_t words)
{
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < words; i += gridDim.x * blockDim.x)
        to[i] = from[i];
}

/* --- the bus, from the multiprocessors ---------------------------------------------------------------------------- */

/* Four words of 16 bytes a thread in flight. `from` or `to`, or both, lie in the host's memory; `read`
 * and `write` say which of them are touched. */
extern "C" __global__ void rival_touch(const uint4 *from, uint4 *to, uint64_t words, uint32_t read, uint32_t write,
                                       uint64_t limit_ns)
{
    const uint64_t step = (uint64_t)gridDim.x * blockDim.x, end_ns = rival_clock_ns() + limit_ns;
    uint4 v[4] = {};
    uint32_t sum = 0;
    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < words && rival_clock_ns() < end_ns;
         i += 4 * step) {
        uint64_t at[4]; /* the last word again for those beyond it: a branch would let each load wait for the other */
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            at[k] = i + k * step < words ? i + k * step : words - 1;
        if (read) {
#pragma unroll
            for (uint32_t k = 0; k < 4; k++)
                asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(v[k].x), "=r"(v[k].y), "=r"(v[k].z), "=r"(v[k].w)
                             : "l"(from + at[k])
                             : "memory");
        }
#pragma unroll
        for (uint32_t k = 0; k < 4; k++) {
            sum += v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
            if (write)
                to[at[k]] = v[k];
        }
    }
    if (!write && sum == 0x9e3779b9u) /* nearly never; but the loads must not be thought useless */
        to[0].x = sum;
}

/* --- a word there, a word back ------------------------------------------------------------------------------------ */

#define RIVAL_STOP 0xffffffffu

/* Answers each new word of the host with the same word, until it is RIVAL_STOP or the time is over. */
extern "C" __global__ void rival_flag(const uint32_t *ask, uint32_t *answer, uint64_t limit_ns)
{
    const uint64_t end_ns = rival_clock_ns() + limit_ns;
    for (uint32_t last = 0, turn = 1; last != RIVAL_STOP; turn++) {
        uint32_t word;
        asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(word) : "l"(ask) : "memory");
        if (word != last)
            asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(answer), "r"(word) : "memory");
        last = word;
        if (turn % 64 == 0 && rival_clock_ns() > end_ns)
            return;
    }
}

/* --- the plugin's own function, one thread a message -------------------------------------------------------------- */

extern "C" __global__ void rival_sha256(const uint8_t *from, uint8_t *to, uint32_t bytes, uint32_t messages)
{
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < messages; i += gridDim.x * blockDim.x) {
        uint32_t len = 0;
        const MsgView in = {from + (uint64_t)i * bytes, bytes, i};
        ResultView out = {to + (uint64_t)i * 64, 64, &len};
        process_message(in, &out);
    }
}
