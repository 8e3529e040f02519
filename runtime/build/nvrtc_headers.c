/* The standard headers that NVRTC has not: of ISO C++17, [cstdint.syn] and [cstddef.syn], as gcc has them on Linux, but
 * for 64 bits being `long long`, which CUDA's atomics take. The others it needs no words of: it declares them by
 * itself.
 */
#include "build/nvrtc_headers.h"

static const char stdint_text[] = "#pragma once\n"
                                  "typedef signed char int8_t; typedef unsigned char uint8_t;\n"
                                  "typedef short int16_t; typedef unsigned short uint16_t;\n"
                                  "typedef int int32_t; typedef unsigned int uint32_t;\n"
                                  "typedef long long int64_t; typedef unsigned long long uint64_t;\n"
                                  "typedef long long intptr_t; typedef unsigned long long uintptr_t;\n"
                                  "typedef long long intmax_t; typedef unsigned long long uintmax_t;\n"
                                  "typedef int8_t int_least8_t; typedef uint8_t uint_least8_t;\n"
                                  "typedef int16_t int_least16_t; typedef uint16_t uint_least16_t;\n"
                                  "typedef int32_t int_least32_t; typedef uint32_t uint_least32_t;\n"
                                  "typedef int64_t int_least64_t; typedef uint64_t uint_least64_t;\n"
                                  "typedef int8_t int_fast8_t; typedef uint8_t uint_fast8_t;\n"
                                  "typedef int64_t int_fast16_t; typedef uint64_t uint_fast16_t;\n"
                                  "typedef int64_t int_fast32_t; typedef uint64_t uint_fast32_t;\n"
                                  "typedef int64_t int_fast64_t; typedef uint64_t uint_fast64_t;\n"
                                  "#define INT8_MAX 127\n"
                                  "#define INT8_MIN (-INT8_MAX - 1)\n"
                                  "#define UINT8_MAX 255\n"
                                  "#define INT16_MAX 32767\n"
                                  "#define INT16_MIN (-INT16_MAX - 1)\n"
                                  "#define UINT16_MAX 65535\n"
                                  "#define INT32_MAX 2147483647\n"
                                  "#define INT32_MIN (-INT32_MAX - 1)\n"
                                  "#define UINT32_MAX 4294967295u\n"
                                  "#define INT64_MAX 9223372036854775807ll\n"
                                  "#define INT64_MIN (-INT64_MAX - 1)\n"
                                  "#define UINT64_MAX 18446744073709551615ull\n"
                                  "#define INTPTR_MAX INT64_MAX\n"
                                  "#define INTPTR_MIN INT64_MIN\n"
                                  "#define UINTPTR_MAX UINT64_MAX\n"
                                  "#define INTMAX_MAX INT64_MAX\n"
                                  "#define INTMAX_MIN INT64_MIN\n"
                                  "#define UINTMAX_MAX UINT64_MAX\n"
                                  "#define SIZE_MAX 18446744073709551615ul\n"
                                  "#define INT8_C(c) c\n"
                                  "#define UINT8_C(c) c\n"
                                  "#define INT16_C(c) c\n"
                                  "#define UINT16_C(c) c\n"
                                  "#define INT32_C(c) c\n"
                                  "#define UINT32_C(c) c ## u\n"
                                  "#define INT64_C(c) c ## ll\n"
                                  "#define UINT64_C(c) c ## ull\n"
                                  "#define INTMAX_C(c) c ## ll\n"
                                  "#define UINTMAX_C(c) c ## ull\n"
                                  "namespace std {\n"
                                  "using ::int8_t; using ::uint8_t;\n"
                                  "using ::int16_t; using ::uint16_t;\n"
                                  "using ::int32_t; using ::uint32_t;\n"
                                  "using ::int64_t; using ::uint64_t;\n"
                                  "using ::intptr_t; using ::uintptr_t;\n"
                                  "using ::intmax_t; using ::uintmax_t;\n"
                                  "using ::int_least8_t; using ::uint_least8_t;\n"
                                  "using ::int_least16_t; using ::uint_least16_t;\n"
                                  "using ::int_least32_t; using ::uint_least32_t;\n"
                                  "using ::int_least64_t; using ::uint_least64_t;\n"
                                  "using ::int_fast8_t; using ::uint_fast8_t;\n"
                                  "using ::int_fast16_t; using ::uint_fast16_t;\n"
                                  "using ::int_fast32_t; using ::uint_fast32_t;\n"
                                  "using ::int_fast64_t; using ::uint_fast64_t;\n"
                                  "}\n";

static const char stddef_text[] =
    "#pragma once\n"
    "typedef decltype(sizeof(0)) size_t; typedef long ptrdiff_t;\n"
    "#undef offsetof\n"
    "#define offsetof(type, member) __INTADDR__(&((type *)0)->member)\n"
    "namespace std { using ::size_t; using ::ptrdiff_t; typedef decltype(nullptr) nullptr_t; }\n";

static const char empty[] = "#pragma once\n";

const struct gq_nvrtc_header gq_nvrtc_headers[] = {
    {"stdint.h", stdint_text}, {"cstdint", stdint_text}, {"stddef.h", stddef_text},
    {"cstddef", stddef_text},  {"assert.h", empty},      {"cassert", empty},
    {"stdio.h", empty},        {"cstdio", empty},        {NULL, NULL},
};
