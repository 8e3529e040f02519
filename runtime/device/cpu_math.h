/* cpu_math.h - CUDA's bit, integer and floating-point intrinsics in plain C++. Results of floating-point functions come
 * from the C library and may differ from a GPU's in the last bits. */
#ifndef GQ_DEVICE_CPU_MATH_H
#define GQ_DEVICE_CPU_MATH_H

/* --- bits ----------------------------------------------------------------------------------------------------------
 */
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
static inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }

static inline unsigned __brev(unsigned x)
{
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(x);
}
static inline unsigned long long __brevll(unsigned long long x)
{
    return static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32 |
           __brev(static_cast<unsigned>(x >> 32));
}

/* Four bytes chosen from the eight of y:x by the low three bits of each nibble of s; its top bit spreads the byte's
 * sign. */
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s)
{
    unsigned long long bytes = static_cast<unsigned long long>(y) << 32 | x;
    unsigned result = 0;
    for (unsigned i = 0; i < 4; i++)
        result |= static_cast<unsigned>(bytes >> ((s >> (4 * i) & 7u) * 8) & 0xffu) << (8 * i);
    return result;
}

static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift)
{
    return static_cast<unsigned>((static_cast<unsigned long long>(hi) << 32 | lo) << (shift & 31u) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift)
{
    return static_cast<unsigned>((static_cast<unsigned long long>(hi) << 32 | lo) >> (shift & 31u));
}
static inline unsigned __funnelshift_lc(unsigned lo, unsigned hi, unsigned shift)
{
    return shift >= 32 ? lo : __funnelshift_l(lo, hi, shift);
}
static inline unsigned __funnelshift_rc(unsigned lo, unsigned hi, unsigned shift)
{
    return shift >= 32 ? hi : __funnelshift_r(lo, hi, shift);
}

/* --- integers ------------------------------------------------------------------------------------------------------
 */
static inline int __mul24(int x, int y)
{
    long long a = static_cast<int>(static_cast<unsigned>(x) << 8) >> 8;
    long long b = static_cast<int>(static_cast<unsigned>(y) << 8) >> 8;
    return static_cast<int>(static_cast<unsigned>(a * b));
}
static inline unsigned __umul24(unsigned x, unsigned y) { return (x & 0xffffffu) * (y & 0xffffffu); }
static inline int __mulhi(int x, int y) { return static_cast<int>(static_cast<long long>(x) * y >> 32); }
static inline unsigned __umulhi(unsigned x, unsigned y)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}
static inline long long __mul64hi(long long x, long long y)
{
    return static_cast<long long>(static_cast<__int128>(x) * y >> 64);
}
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}
static inline unsigned __sad(int x, int y, unsigned z)
{
    return z + static_cast<unsigned>(x < y ? static_cast<long long>(y) - x : static_cast<long long>(x) - y);
}
static inline unsigned __usad(unsigned x, unsigned y, unsigned z) { return z + (x < y ? y - x : x - y); }
static inline int __hadd(int x, int y) { return static_cast<int>((static_cast<long long>(x) + y) >> 1); }
static inline int __rhadd(int x, int y) { return static_cast<int>((static_cast<long long>(x) + y + 1) >> 1); }
static inline unsigned __uhadd(unsigned x, unsigned y)
{
    return static_cast<unsigned>((static_cast<uint64_t>(x) + y) >> 1);
}
static inline unsigned __urhadd(unsigned x, unsigned y)
{
    return static_cast<unsigned>((static_cast<uint64_t>(x) + y + 1) >> 1);
}

/* Four byte products added to c, with wrap-around. */
template <typename Byte, typename A> static inline unsigned gq_cpu_dot4(A a, A b, unsigned c)
{
    for (unsigned i = 0; i < 32; i += 8) {
        int x = static_cast<Byte>(static_cast<unsigned>(a) >> i), y = static_cast<Byte>(static_cast<unsigned>(b) >> i);
        c += static_cast<unsigned>(x * y);
    }
    return c;
}
static inline int __dp4a(int a, int b, int c)
{
    return static_cast<int>(gq_cpu_dot4<signed char>(a, b, static_cast<unsigned>(c)));
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) { return gq_cpu_dot4<unsigned char>(a, b, c); }

/* --- min, max, as CUDA has them in the global namespace --------------------------------------------------------------
 */
template <typename A, typename B, typename R = typename std::common_type<A, B>::type>
static constexpr typename std::enable_if<std::is_integral<R>::value, R>::type min(A a, B b)
{
    return static_cast<R>(a) < static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b);
}
template <typename A, typename B, typename R = typename std::common_type<A, B>::type>
static constexpr typename std::enable_if<std::is_integral<R>::value, R>::type max(A a, B b)
{
    return static_cast<R>(a) < static_cast<R>(b) ? static_cast<R>(b) : static_cast<R>(a);
}
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(float a, double b) { return fmin(static_cast<double>(a), b); }
static inline double max(float a, double b) { return fmax(static_cast<double>(a), b); }
static inline double min(double a, float b) { return fmin(a, static_cast<double>(b)); }
static inline double max(double a, float b) { return fmax(a, static_cast<double>(b)); }
static inline unsigned umin(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned umax(unsigned a, unsigned b) { return a < b ? b : a; }

/* --- bits of numbers -------------------------------------------------------------------------------------------------
 */
#define GQ_CPU_CAST(name, to, from)                            \
    static inline to name(from x)                              \
    {                                                          \
        to r;                                                  \
        static_assert(sizeof r == sizeof x, "a cast of bits"); \
        memcpy(&r, &x, sizeof r);                              \
        return r;                                              \
    }
GQ_CPU_CAST(__float_as_int, int, float)
GQ_CPU_CAST(__float_as_uint, unsigned, float)
GQ_CPU_CAST(__int_as_float, float, int)
GQ_CPU_CAST(__uint_as_float, float, unsigned)
GQ_CPU_CAST(__double_as_longlong, long long, double)
GQ_CPU_CAST(__longlong_as_double, double, long long)
#undef GQ_CPU_CAST
static inline int __double2hiint(double x) { return static_cast<int>(__double_as_longlong(x) >> 32); }
static inline int __double2loint(double x) { return static_cast<int>(__double_as_longlong(x)); }
static inline double __hiloint2double(int hi, int lo)
{
    return __longlong_as_double(
        static_cast<long long>(static_cast<uint64_t>(static_cast<unsigned>(hi)) << 32 | static_cast<unsigned>(lo)));
}

/* Conversions saturate, as the GPU's do. NaN becomes what the PTX ISA says of cvt: 0 for 32 bits of a float, else the
 * top bit alone. `x` is already rounded. */
template <typename R, typename F> static inline R gq_cpu_saturate(F x)
{
    const F low = static_cast<F>(std::is_signed<R>::value ? -ldexp(1.0, sizeof(R) * 8 - 1) : 0.0);
    const F high = static_cast<F>(ldexp(1.0, sizeof(R) * 8 - (std::is_signed<R>::value ? 1 : 0)));
    const R top = static_cast<R>(std::is_signed<R>::value ? ~(1ull << (sizeof(R) * 8 - 1)) : ~0ull);
    if (x != x)
        return sizeof(F) == 4 && sizeof(R) == 4 ? 0 : static_cast<R>(1ull << (sizeof(R) * 8 - 1));
    return x < low ? static_cast<R>(low) : x >= high ? top : static_cast<R>(x);
}
#define GQ_CPU_ROUND(from, to, suffix, type, result, round) \
    static inline result __##from##2##to##_##suffix(type x) { return gq_cpu_saturate<result>(round(x)); }
#define GQ_CPU_ROUNDS(from, to, type, result)       \
    GQ_CPU_ROUND(from, to, rn, type, result, rint)  \
    GQ_CPU_ROUND(from, to, rz, type, result, trunc) \
    GQ_CPU_ROUND(from, to, ru, type, result, ceil)  \
    GQ_CPU_ROUND(from, to, rd, type, result, floor)
GQ_CPU_ROUNDS(float, int, float, int)
GQ_CPU_ROUNDS(float, uint, float, unsigned)
GQ_CPU_ROUNDS(float, ll, float, long long)
GQ_CPU_ROUNDS(float, ull, float, unsigned long long)
GQ_CPU_ROUNDS(double, int, double, int)
GQ_CPU_ROUNDS(double, uint, double, unsigned)
GQ_CPU_ROUNDS(double, ll, double, long long)
GQ_CPU_ROUNDS(double, ull, double, unsigned long long)
#undef GQ_CPU_ROUNDS
#undef GQ_CPU_ROUND
static inline float __int2float_rn(int x) { return static_cast<float>(x); }
static inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
static inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
static inline float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
static inline double __int2double_rn(int x) { return x; }
static inline double __uint2double_rn(unsigned x) { return x; }
static inline double __ll2double_rn(long long x) { return static_cast<double>(x); }
static inline double __ull2double_rn(unsigned long long x) { return static_cast<double>(x); }
static inline float __double2float_rn(double x) { return static_cast<float>(x); }

/* --- floating point --------------------------------------------------------------------------------------------------
 */
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
static inline float fdividef(float x, float y) { return x / y; }
static inline float __fdividef(float x, float y) { return x / y; }
/* Macros, because glibc's <math.h> declares functions of these names for itself. */
#define __expf(x) expf(x)
#define __exp10f(x) powf(10.0f, x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __sincosf(x, s, c) sincosf(x, s, c)
static inline float sinpif(float x) { return sinf(3.14159265358979f * x); }
static inline float cospif(float x) { return cosf(3.14159265358979f * x); }
static inline double sinpi(double x) { return sin(3.141592653589793 * x); }
static inline double cospi(double x) { return cos(3.141592653589793 * x); }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; } /* NaN: 0 */
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / sqrt(static_cast<double>(x))); }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __drcp_rn(double x) { return 1.0 / x; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

/* --- loads and stores with a cache hint: on a CPU, loads and stores ----------------------------------------------- */
#define GQ_CPU_LOAD(name) \
    template <typename T> static inline T name(const T *p) { return *p; }
#define GQ_CPU_STORE(name) \
    template <typename T> static inline void name(T *p, T v) { *p = v; }
GQ_CPU_LOAD(__ldg)
GQ_CPU_LOAD(__ldca)
GQ_CPU_LOAD(__ldcg)
GQ_CPU_LOAD(__ldcs)
GQ_CPU_LOAD(__ldlu)
GQ_CPU_LOAD(__ldcv)
GQ_CPU_STORE(__stwb)
GQ_CPU_STORE(__stcg)
GQ_CPU_STORE(__stcs)
GQ_CPU_STORE(__stwt)
#undef GQ_CPU_LOAD
#undef GQ_CPU_STORE

#endif
