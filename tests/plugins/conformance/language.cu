// Keywords, vector types, atomics, loads with hints, state, parameters, printf, assert, time: all in thread scope.
#include <gpuqueue/plugin.h>
#include "check.h"

GQ_STATE(256, 3);

__constant__ uint32_t table[4] = {1, 2, 4, 8};
static __device__ const int offsets[2] = {-1, 1};

template <typename T> __host__ __device__ __forceinline__ T twice(T x) { return x + x; }
__device__ __noinline__ int thrice(int x) { return 3 * x; }
static __device__ inline __forceinline__ void copy4(uint8_t *__restrict__ to, const uint8_t *__restrict__ from)
{
    for (int i = 0; i < 4; i++)
        to[i] = from[i];
}
struct __align__(16) Wide { float x; };

__device__ void types(Checks &c)
{
    CHECK(sizeof(float4) == 16 && alignof(float4) == 16 && sizeof(int3) == 12 && alignof(int3) == 4);
    CHECK(sizeof(uchar4) == 4 && alignof(uchar4) == 4 && alignof(short2) == 4 && alignof(double2) == 16);
    CHECK(alignof(uint2) == 8 && sizeof(ulonglong2) == 16 && alignof(longlong2) == 16 && sizeof(char3) == 3);
    CHECK(alignof(Wide) == 16);
    float4 v = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
    CHECK(v.x + v.y + v.z + v.w == 10.0f);
    uchar4 u = make_uchar4(1, 2, 3, 255);
    CHECK(u.w == 255 && make_int2(-1, 2).x == -1 && make_ulonglong2(1, 2).y == 2 && make_short1(3).x == 3);
    dim3 d(4, 5);
    CHECK(d.x == 4 && d.y == 5 && d.z == 1);
    CHECK(twice(2.5f) == 5.0f && thrice(7) == 21 && table[3] == 8 && offsets[0] == -1);
    CHECK(warpSize == 32);
}

__device__ void integers32(Checks &c)
{
    int i = 5;
    unsigned u = 5;
    CHECK(atomicAdd(&i, 3) == 5 && i == 8 && atomicSub(&i, 10) == 8 && i == -2);
    CHECK(atomicMin(&i, -7) == -2 && i == -7 && atomicMax(&i, 9) == -7 && i == 9);
    CHECK(atomicExch(&i, 1) == 9 && i == 1 && atomicCAS(&i, 1, 4) == 1 && i == 4 && atomicCAS(&i, 1, 9) == 4 && i == 4);
    CHECK(atomicAnd(&u, 4) == 5 && u == 4 && atomicOr(&u, 3) == 4 && u == 7 && atomicXor(&u, 2) == 7 && u == 5);
    CHECK(atomicInc(&u, 6) == 5 && u == 6 && atomicInc(&u, 6) == 6 && u == 0);
    CHECK(atomicDec(&u, 9) == 0 && u == 9 && atomicDec(&u, 9) == 9 && u == 8 && atomicDec(&u, 3) == 8 && u == 3);
    CHECK(atomicAdd_block(&u, 1) == 3 && atomicAdd_system(&u, 1) == 4 && u == 5);
    CHECK(atomicMin(&u, 0xffffffffu) == 5 && u == 5);
}

__device__ void atomics(Checks &c)
{
    unsigned long long l = 1ull << 40;
    float f = 1.5f;
    double d = 0.25;
    CHECK(atomicAdd(&l, 1ull) == 1ull << 40 && l == (1ull << 40) + 1 && atomicMax(&l, 1ull << 50) != l);
    CHECK(atomicExch(&l, 5ull) == 1ull << 50 && atomicCAS(&l, 5ull, 6ull) == 5 && l == 6 && atomicAnd(&l, 2ull) == 6 &&
          l == 2);
    CHECK(atomicAdd(&f, 2.0f) == 1.5f && f == 3.5f && atomicExch(&f, 1.0f) == 3.5f && f == 1.0f);
    CHECK(atomicAdd(&d, 0.5) == 0.25 && d == 0.75);
    integers32(c);
    __threadfence();
    __threadfence_block();
    __threadfence_system();
    CHECK(__ldg(&table[1]) == 2 && __ldcg(&table[2]) == 4);
}

__device__ void services(Checks &c, const MsgView &in)
{
    long long before = clock64();
    __nanosleep(1000);
    CHECK(clock64() > before);
    CHECK(gq_rank() == 0 && gq_size() == 1);
    CHECK(gq_state(257) == nullptr);
    uint32_t *count = static_cast<uint32_t *>(gq_state(4));
    CHECK(count != nullptr && count == gq_state(256));
    atomicAdd(count, 1u);
    CHECK(*count == static_cast<uint32_t>(in.msg_id)); // ids are 1, 2, 3 ...
    CHECK(GQ_PARAM(absent, 41) + 1 == 42);
    uint8_t four[4] = {0, 0, 0, 0};
    copy4(four, in.payload);
    CHECK(four[0] == in.payload[0] && four[3] == in.payload[3]);
    __builtin_assume(in.len > 0);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    Checks c = {out, 0, 0};
    types(c);
    atomics(c);
    services(c, in);
    gq_sync(); // one thread meets itself
    finish(c);
}
