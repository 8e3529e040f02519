/* The plugins of a storm, which are written where they are needed: one text, with another tag in each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "place.h"
#include "require.h"
#include "storm.h"

#define PATH_BYTES 512

const char *const storm_flaw_name[STORM_FLAWS] = {"missing",      "does not compile", "another state",
                                                  "wrong golden", "crashes",          "endless"};
const gq_swap_step storm_flaw_step[STORM_FLAWS] = {GQ_STEP_RESOLVE,  GQ_STEP_BUILD,    GQ_STEP_INSPECT,
                                                   GQ_STEP_REHEARSE, GQ_STEP_REHEARSE, GQ_STEP_REHEARSE};

static uint8_t sign_byte(uint8_t byte, uint32_t tag) { return (uint8_t)(byte * (2 * tag + 1) + tag); }

/* The inverse of an odd number modulo 256, by Newton's iteration: each step doubles the bits that are right, from 3. */
static uint8_t inverse(uint32_t odd)
{
    uint32_t x = odd;
    for (int i = 0; i < 3; i++)
        x *= 2 - odd * x;
    return (uint8_t)x;
}

void storm_undo(uint8_t *bytes, uint32_t *len, uint32_t *tag, uint64_t *count)
{
    REQUIRE(*len >= STORM_SIGNATURE, "a result of %u bytes was not signed", *len);
    *len -= STORM_SIGNATURE;
    *tag = bytes[*len];
    *count = 0;
    for (uint32_t i = 0; i < 8; i++)
        *count |= (uint64_t)bytes[*len + 1 + i] << (8 * i);
    const uint8_t factor = inverse(2 * *tag + 1);
    for (uint32_t i = 0; i < *len; i++)
        bytes[i] = (uint8_t)((bytes[i] - *tag) * factor);
}

/* --- files -----------------------------------------------------------------------------------------------------------
 */

static FILE *create(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file, "%s cannot be written", path);
    return file;
}

static void write_plugin(const char *folder, const char *name, uint32_t tag, const char *state, const char *first)
{
    FILE *file = create(folder, name);
    fprintf(file,
            "#include <gpuqueue/plugin.h>\n"
            "%s\n"
            "__device__ void process_message(const MsgView &in, ResultView *out)\n"
            "{\n"
            "    %s\n"
            "    const uint32_t len = in.len;\n"
            "    const uint64_t count = atomicAdd((unsigned long long *)gq_state(8), 1ull);\n"
            "    for (uint32_t i = 0; i < len; i++)\n"
            "        out->out[i] = (uint8_t)(in.payload[i] * %uu + %uu);\n"
            "    out->out[len] = %u;\n"
            "    for (uint32_t i = 0; i < 8; i++)\n"
            "        out->out[len + 1 + i] = (uint8_t)(count >> (8 * i));\n"
            "    *out->out_len = len + 9;\n"
            "}\n",
            state, first, 2 * tag + 1, tag, tag);
    REQUIRE(fclose(file) == 0, "%s cannot be written", name);
}

/* Two vectors, whose counts are 0 and 1; `wrong` is added to a byte of the second. */
static void write_golden(const char *folder, const char *name, uint32_t tag, const char *in, uint8_t wrong)
{
    FILE *file = create(folder, name);
    for (unsigned count = 0; count < 2; count++) {
        fprintf(file, "- { name: vector %u, in: \"%s\", out_hex: \"", count, in);
        for (const char *c = in; *c; c++)
            fprintf(file, "%02x", sign_byte((uint8_t)*c, tag));
        fprintf(file, "%02x%02x00000000000000\" }\n", tag + (count ? wrong : 0u), count);
    }
    REQUIRE(fclose(file) == 0, "%s cannot be written", name);
}

void storm_write_plugins(char *folder, size_t size)
{
    const char *state = "GQ_STATE(8, 1);";
    char name[64];
    REQUIRE(place_make(folder, size, "gpuq-storm"), "%s cannot be made", folder);
    for (uint32_t tag = 0; tag < STORM_TAGS; tag++) {
        snprintf(name, sizeof name, "tag%u.cu", tag);
        write_plugin(folder, name, tag, state, "");
        snprintf(name, sizeof name, "tag%u.golden.yaml", tag);
        write_golden(folder, name, tag, "golden", 0);
    }
    write_plugin(folder, "flaw1.cu", 101, state, "int three = four;");
    write_plugin(folder, "flaw2.cu", 102, "GQ_STATE(16, 2);", "");
    write_plugin(folder, "flaw3.cu", 103, state, "");
    write_golden(folder, "flaw3.golden.yaml", 103, "golden", 1);
    write_plugin(folder, "flaw4.cu", 104, state, "out->out[0] = *(volatile uint8_t *)8;");
    write_golden(folder, "flaw4.golden.yaml", 104, "crash", 0);
    write_plugin(folder, "flaw5.cu", 105, state,
                 "while (*(const volatile uint8_t *)in.payload == 'x')\n        continue;");
    write_golden(folder, "flaw5.golden.yaml", 105, "x", 0);
}

void storm_remove_plugins(const char *folder) { REQUIRE(place_remove(folder), "%s cannot be removed", folder); }

const char *storm_plugin(const char *folder, uint32_t tag)
{
    static _Thread_local char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/tag%u.cu", folder, tag);
    return path;
}

const char *storm_flawed(const char *folder, enum storm_flaw flaw)
{
    static _Thread_local char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/flaw%u.cu", folder, flaw);
    return path;
}
