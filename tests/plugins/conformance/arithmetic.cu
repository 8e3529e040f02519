// Bit, integer and floating-point intrinsics.
#include <gpuqueue/plugin.h>
#include "check.h"

__device__ void bits(Checks &c)
{
    CHECK(__popc(0xf0f0u) == 8 && __popcll(0xffffffffffffffffull) == 64);
    CHECK(__clz(1) == 31 && __clz(0) == 32 && __clz(-1) == 0);
    CHECK(__clzll(1) == 63 && __clzll(0) == 64);
    CHECK(__ffs(0) == 0 && __ffs(8) == 4 && __ffsll(1ll << 40) == 41);
    CHECK(__brev(1u) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u);
    CHECK(__brevll(1ull) == 0x8000000000000000ull);
    CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x3210u) == 0x33221100u);
    CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7531u) == 0x77553311u);
    CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x0123u) == 0x00112233u);
    CHECK(__funnelshift_l(0x89abcdefu, 0x01234567u, 8) == 0x23456789u);
    CHECK(__funnelshift_r(0x89abcdefu, 0x01234567u, 8) == 0x6789abcdu);
    CHECK(__funnelshift_l(1u, 2u, 32) == 2u && __funnelshift_r(1u, 2u, 32) == 1u);
    CHECK(__funnelshift_lc(1u, 2u, 40) == 1u && __funnelshift_rc(1u, 2u, 40) == 2u);
}

__device__ void integers(Checks &c)
{
    CHECK(__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu && __mulhi(-2, 0x40000000) == -1);
    CHECK(__umul64hi(0xffffffffffffffffull, 2ull) == 1ull && __mul64hi(-1ll, 1ll) == -1ll);
    CHECK(__mul24(-3, 5) == -15 && __umul24(0xff000003u, 0xff000005u) == 15u);
    CHECK(__sad(-5, 7, 1u) == 13u && __usad(7u, 5u, 1u) == 3u);
    CHECK(__hadd(3, 4) == 3 && __rhadd(3, 4) == 4 && __hadd(-3, -4) == -4);
    CHECK(__uhadd(0xffffffffu, 0xffffffffu) == 0xffffffffu && __urhadd(1u, 2u) == 2u);
    CHECK(__dp4a(0x01020304, 0x01010101, 5) == 15 && __dp4a(0x000000ff, 0x00000001, 0) == -1);
    CHECK(__dp4a(0x000000ffu, 0x00000001u, 0u) == 255u);
    CHECK(min(3, 4) == 3 && max(3u, 4u) == 4u && min(-1ll, 1ll) == -1ll && max(2.0f, 3.0f) == 3.0f);
    CHECK(umin(3u, 4u) == 3u && umax(3u, 4u) == 4u && abs(-7) == 7);
}

__device__ void conversions(Checks &c)
{
    CHECK(__float_as_int(1.0f) == 0x3f800000 && __int_as_float(0x40000000) == 2.0f);
    CHECK(__float_as_uint(-0.0f) == 0x80000000u && __uint_as_float(0x3f000000u) == 0.5f);
    CHECK(__double_as_longlong(1.0) == 0x3ff0000000000000ll && __longlong_as_double(0x4000000000000000ll) == 2.0);
    CHECK(__double2hiint(1.0) == 0x3ff00000 && __double2loint(1.0) == 0 && __hiloint2double(0x40000000, 0) == 2.0);
    CHECK(__float2int_rn(2.5f) == 2 && __float2int_rn(3.5f) == 4 && __float2int_rz(-2.9f) == -2);
    CHECK(__float2int_ru(2.1f) == 3 && __float2int_rd(-2.1f) == -3 && __float2uint_rn(3.7f) == 4u);
    CHECK(__float2int_rz(1e20f) == 2147483647 && __float2int_rz(-1e20f) == -2147483647 - 1);
    CHECK(__float2uint_rz(-5.0f) == 0u && __float2uint_rz(1e20f) == 0xffffffffu && __double2int_rn(0.5) == 0);
    CHECK(__float2int_rn(__int_as_float(0x7fc00000)) == 0 && __float2uint_rz(__int_as_float(0x7fc00000)) == 0u);
    CHECK(__float2ll_rn(__int_as_float(0x7fc00000)) == -9223372036854775807ll - 1);
    CHECK(__float2ull_rz(__int_as_float(0x7fc00000)) == 0x8000000000000000ull);
    CHECK(__double2int_rn(__hiloint2double(0x7ff80000, 0)) == -2147483647 - 1);
    CHECK(__double2uint_rd(__hiloint2double(0x7ff80000, 0)) == 0x80000000u);
    CHECK(__double2ll_ru(__hiloint2double(0x7ff80000, 0)) == -9223372036854775807ll - 1);
    CHECK(__double2ll_rn(-3.5) == -4ll && __double2ull_rz(3.9) == 3ull && __int2float_rn(7) == 7.0f);
    CHECK(__uint2float_rn(7u) == 7.0f && __int2double_rn(-7) == -7.0 && __double2float_rn(0.5) == 0.5f);
}

__device__ void floats(Checks &c, float two)
{
    CHECK(near(sqrtf(two), 1.41421356) && near(rsqrtf(4.0f * two), 0.35355339) && near(rsqrt(4.0), 0.5));
    CHECK(near(__expf(two), 7.3890561) && near(__logf(two), 0.69314718) && near(__log2f(two), 1.0));
    CHECK(near(__log10f(100.0f), 2.0) && near(__exp10f(two), 100.0) && near(__powf(two, 10.0f), 1024.0));
    CHECK(near(__sinf(two), 0.90929743) && near(__cosf(two), -0.41614684) && near(__tanf(1.0f), 1.5574077));
    CHECK(near(__fdividef(1.0f, two), 0.5) && near(fdividef(3.0f, two), 1.5));
    float s, k;
    __sincosf(two, &s, &k);
    CHECK(near(s, 0.90929743) && near(k, -0.41614684));
    sincosf(two, &s, &k);
    CHECK(near(s, 0.90929743) && near(k, -0.41614684));
    CHECK(near(sinpif(0.5f), 1.0) && near(cospif(1.0f), -1.0) && near(rcbrtf(8.0f), 0.5));
    CHECK(__saturatef(-1.0f) == 0.0f && __saturatef(0.25f) == 0.25f && __saturatef(two) == 1.0f);
    CHECK(__fmaf_rn(two, 3.0f, 1.0f) == 7.0f && fmaf(two, 3.0f, 1.0f) == 7.0f && fma(2.0, 3.0, 1.0) == 7.0);
    CHECK(__fadd_rn(two, 1.0f) == 3.0f && __fmul_rn(two, 3.0f) == 6.0f && __fsub_rn(two, 3.0f) == -1.0f);
    CHECK(__fdiv_rn(1.0f, two) == 0.5f && __frcp_rn(two) == 0.5f && __fsqrt_rn(4.0f) == 2.0f);
    CHECK(__dadd_rn(1.0, 2.0) == 3.0 && __dmul_rn(2.0, 3.0) == 6.0 && __fma_rn(2.0, 3.0, 1.0) == 7.0);
    CHECK(near(expf(1.0f), 2.71828183) && near(erff(1.0f), 0.84270079) && near(tgammaf(5.0f), 24.0));
    CHECK(near(sinh(1.0), 1.1752012) && near(atan2f(1.0f, 1.0f), 0.78539816) && near(hypotf(3.0f, 4.0f), 5.0));
    CHECK(floorf(-1.5f) == -2.0f && ceilf(1.2f) == 2.0f && truncf(-1.7f) == -1.0f && rintf(2.5f) == 2.0f);
    CHECK(isnan(NAN) && isinf(INFINITY) && signbit(-0.0f) && copysignf(1.0f, -2.0f) == -1.0f);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    Checks c = {out, 0, 0};
    bits(c);
    integers(c);
    conversions(c);
    floats(c, in.len ? 2.0f : 2.0f);
    finish(c);
}
