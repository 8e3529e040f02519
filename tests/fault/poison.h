/* poison.h - messages that do something to the worker that serves them, and a plugin for them.
 *
 * A message is a struct poison_message and up to POISON_BYTES_MAX bytes behind it. Its result is the message with the
 * number inverted, each of those bytes b mapped to b * (2 * tag + 1) + tag, modulo 256, and the tag of the code behind
 * them; so a result says which code made it of what.
 */
#ifndef TESTS_FAULT_POISON_H
#define TESTS_FAULT_POISON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "stress/payload.h"
#include "stress/require.h"

#define POISON_SLOT_BYTES 64u
#define POISON_MARKS 14u /* bytes behind the result of a plugin for any backend */
#define POISON_BYTES_MAX (POISON_SLOT_BYTES - 25u - POISON_MARKS)
#define POISON_TAG_BAD 200u /* the code with it ends the worker with every message */

/* What a message does to its worker. */
enum poison {
    POISON_NONE,
    POISON_ONCE,  /* aborts the first time, which a folder remembers */
    POISON_LATER, /* ends well, and whatever the worker serves next aborts */
    POISON_SEGV,  /* from here on it is to blame each time */
    POISON_ABORT,
    POISON_EXIT,
    POISON_KILL,
    POISON_WILD, /* writes to where nothing of its own is */
    POISON_HANG,
    POISON_KINDS
};

static const char *const poison_name[POISON_KINDS] = {
    "none",       "abort, but only once", "harm that shows in the next", "SIGSEGV", "abort", "_exit", "SIGKILL",
    "wild write", "endless loop"};

struct poison_message {
    uint64_t number, kind, once;
};

static inline bool poison_is_guilty(enum poison kind) { return kind >= POISON_SEGV; }

static const char poison_head[] =
    "#include <gpuqueue/plugin.h>\n"
    "#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/stat.h>\n"
    "#include <unistd.h>\n"
    "struct message { uint64_t number, kind, once; };\n"
    "static int rotten;\n"
    "static void suffer(const message &m, const uint8_t *payload)\n{\n"
    "    static const uint8_t constant[4096] = {1};\n"
    "    char path[256];\n"
    "    switch (m.kind) {\n"
    "    case 1:\n"
    "        snprintf(path, sizeof path, \"%s/once-%llx\", FOLDER, (unsigned long long)m.once);\n"
    "        if (mkdir(path, 0700) == 0) abort();\n"
    "        break;\n"
    "    case 2: __atomic_store_n(&rotten, 1, __ATOMIC_SEQ_CST); break;\n"
    "    case 3: *(volatile uint8_t *)8; break;\n"
    "    case 4: abort();\n"
    "    case 5: _exit(5);\n"
    "    case 6: raise(SIGKILL); break;\n"
    "    case 7: *(volatile uint8_t *)(m.once % 2 ? payload : constant) = 0xff; break;\n"
    "    default:\n"
    "        for (volatile int more = 1; more;)\n            continue;\n"
    "    }\n}\n";

static const char poison_process[] = "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                                     "    message m;\n    memcpy(&m, in.payload, sizeof m);\n"
                                     "    if (TAG == BAD || __atomic_load_n(&rotten, __ATOMIC_SEQ_CST)) abort();\n"
                                     "    if (m.kind) suffer(m, in.payload);\n";

/* On a GPU, too. The loop reads what nobody changes: a compiler leaves one over a local out. A variable is called
 * after the tag, for who sees no more of the code than names (tests/fake_cuda). */
static const char poison_anywhere[] =
    "struct message { uint64_t number, kind, once; };\n"
    "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
    "    message m;\n    memcpy(&m, in.payload, sizeof m);\n"
    "    if (m.kind == 3) *(volatile int *)8 = 1;\n"
    "    if (m.kind == 4) __trap();\n"
    "    while (m.kind == 8 && ((const volatile message *)in.payload)->kind == 8)\n        continue;\n";

static const char poison_answer[] = "    m.number = ~m.number;\n    memcpy(out->out, &m, sizeof m);\n"
                                    "    for (uint32_t i = sizeof m; i < in.len; i++)\n"
                                    "        out->out[i] = (uint8_t)(in.payload[i] * (2 * TAG + 1) + TAG);\n"
                                    "    out->out[in.len] = TAG;\n    *out->out_len = in.len + 1;\n";

static inline FILE *poison_create(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file, "%s cannot be written", path);
    return file;
}

/* CODE.cu in the folder: this text, which knows both by these names. */
static inline void poison_write_text(const char *folder, char code, const char *text)
{
    char file_name[16];
    snprintf(file_name, sizeof file_name, "%c.cu", code);
    FILE *file = poison_create(folder, file_name);
    fprintf(file, "#define CODE '%c'\n#define FOLDER \"%s\"\n%s", code, folder, text);
    REQUIRE(fclose(file) == 0, "%s", file_name);
}

/* NAME.cu in the folder, where also is remembered which messages were met once. */
static inline void poison_write_plugin(const char *folder, const char *name, uint32_t tag)
{
    char file_name[64];
    snprintf(file_name, sizeof file_name, "%s.cu", name);
    FILE *file = poison_create(folder, file_name);
    fprintf(file, "/* %s */\n#define FOLDER \"%s\"\n#define TAG %uu\n#define BAD %uu\n%s%s%s}\n", name, folder, tag,
            POISON_TAG_BAD, poison_head, poison_process, poison_answer);
    REQUIRE(fclose(file) == 0, "%s", file_name);
}

/* Where the result came from, behind it: the tag once more, as the code's data have it, the multiprocessor, four bytes
 * of the launch's number and eight of the device's clock, in ns. On a CPU these are 0. */
static const char poison_marks[] =
    "#ifdef __CUDA_ARCH__\n"
    "#define SPECIAL(name) asm volatile(\"mov.u64 %0, %%\" name \";\" : \"=l\"(n))\n"
    "#else\n#define SPECIAL(name) (void)0\n#endif\n"
    "__device__ uint64_t launch_number() { uint64_t n = 0; SPECIAL(\"gridid\"); return n; }\n"
    "__device__ uint64_t device_ns() { uint64_t n = 0; SPECIAL(\"globaltimer\"); return n; }\n"
    "__device__ uint32_t processor()\n{\n    uint32_t n = 0;\n"
    "#ifdef __CUDA_ARCH__\n    asm(\"mov.u32 %0, %%smid;\" : \"=r\"(n));\n#endif\n    return n;\n}\n"
    "__device__ void put(uint8_t *to, int bytes, uint64_t n)\n{\n"
    "    for (int i = 0; i < bytes; i++, n >>= 8)\n        to[i] = (uint8_t)n;\n}\n"
    "__device__ void mark(uint8_t *to)\n{\n"
    "    to[0] = (uint8_t)*(volatile int *)&POISON_TAG;\n    to[1] = (uint8_t)processor();\n"
    "    put(to + 2, 4, launch_number());\n    put(to + 6, 8, device_ns());\n}\n";

struct poison_marks {
    uint8_t tag, sm;
    uint32_t launch;
    uint64_t ns;
};

static inline struct poison_marks poison_read_marks(const uint8_t *bytes)
{
    struct poison_marks m = {.tag = bytes[0], .sm = bytes[1]};
    memcpy(&m.launch, bytes + 2, sizeof m.launch);
    memcpy(&m.ns, bytes + 6, sizeof m.ns);
    return m;
}

/* NAME.cu for any backend: of what a message may do it knows POISON_SEGV, POISON_ABORT, which is a trap, and
 * POISON_HANG. */
static inline void poison_write_anywhere(const char *folder, const char *name, uint32_t tag)
{
    char file_name[64];
    snprintf(file_name, sizeof file_name, "%s.cu", name);
    FILE *file = poison_create(folder, file_name);
    fprintf(
        file,
        "/* %s */\n#include <gpuqueue/plugin.h>\n#define TAG %uu\n#define POISON_TAG poison_tag_%u\n"
        "__device__ int POISON_TAG = TAG;\n%s%s%s    mark(out->out + *out->out_len);\n    *out->out_len += %u;\n}\n",
        name, tag, tag, poison_marks, poison_anywhere, poison_answer, POISON_MARKS);
    REQUIRE(fclose(file) == 0, "%s", file_name);
}

/* Golden vectors for it; `wrong` is added to a byte of the answer. */
static inline void poison_write_golden(const char *folder, const char *name, uint32_t tag, uint32_t wrong)
{
    char file_name[64];
    snprintf(file_name, sizeof file_name, "%s.golden.yaml", name);
    FILE *file = poison_create(folder, file_name);
    fprintf(file, "- { name: one, in_hex: \"%048x07\", out_hex: \"ffffffffffffffff%032x%02x%02x\" }\n", 0, 0,
            (7 * (2 * tag + 1) + tag + wrong) & 0xff, tag);
    REQUIRE(fclose(file) == 0, "%s", file_name);
}

/* What follows from a lane and a number in it, so that whoever sees the result knows. */
static inline uint64_t poison_key(uint64_t seed, uint32_t lane, uint64_t number)
{
    return payload_mix(seed ^ ((uint64_t)lane << 56) ^ number * 2654435761u);
}

static inline struct poison_message poison_message_of(uint32_t lane, uint64_t number, enum poison kind)
{
    return (struct poison_message){number, kind, (uint64_t)lane << 56 | number};
}

/* The bytes of a message with so many behind its head, which follow from its key. Returns its length. */
static inline uint32_t poison_fill(uint8_t *to, const struct poison_message *m, uint64_t key)
{
    const uint32_t more = (uint32_t)(payload_mix(key ^ 1) >> 32) % (POISON_BYTES_MAX + 1);
    memcpy(to, m, sizeof *m);
    payload_fill(to + sizeof *m, more, key);
    return (uint32_t)sizeof *m + more;
}

/* What the plugin for any backend with this tag makes of a message; returns the length. */
static inline uint32_t poison_answer_to(const uint8_t *message, uint32_t len, uint32_t tag, uint8_t *to)
{
    struct poison_message m;
    memcpy(&m, message, sizeof m);
    m.number = ~m.number;
    memcpy(to, &m, sizeof m);
    for (uint32_t i = sizeof m; i < len; i++)
        to[i] = (uint8_t)(message[i] * (2 * tag + 1) + tag);
    memset(to + len, 0, 1 + POISON_MARKS);
    to[len] = to[len + 1] = (uint8_t)tag;
    return len + 1 + POISON_MARKS;
}

/* Is that the whole result of it, and of no other? *tag is that of the code which made it. */
static inline bool poison_answers(const uint8_t *bytes, uint32_t len, const struct poison_message *m, uint64_t key,
                                  uint32_t *tag)
{
    uint8_t sent[POISON_SLOT_BYTES], made[POISON_SLOT_BYTES];
    const uint32_t sent_len = poison_fill(sent, m, key);
    *tag = len ? bytes[len - 1] : 0;
    return len + POISON_MARKS == poison_answer_to(sent, sent_len, *tag, made) && memcmp(bytes, made, len) == 0;
}

#endif
