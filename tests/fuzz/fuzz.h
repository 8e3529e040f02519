/* fuzz.h - what libFuzzer and replay.c call. */
#ifndef GQ_TESTS_FUZZ_H
#define GQ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
