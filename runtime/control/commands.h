/* commands.h - what a running pipeline can be told through its control socket, in one table: the server's dispatch, the
 * parser of gpuq, its help, its completions and its manual come from these rows. */
#ifndef GQ_CONTROL_COMMANDS_H
#define GQ_CONTROL_COMMANDS_H

/* What a command takes, as fields of the request (record.h). */
enum {
    GQ_TAKES_STAGE = 1,    /* stage="NAME" */
    GQ_TAKES_FILE = 2,     /* file="PATH", absolute or builtin:NAME; may be left out */
    GQ_TAKES_VERSION = 4,  /* version=N */
    GQ_TAKES_REHEARSE = 8, /* rehearse="on" or "off"; may be left out */
    GQ_TAKES_CANARY = 16,  /* the numbers below; may be left out */
};

/* A change waits for the one before it, and for a canary as long as it is watched: as many as may wait at a time leave
 * room for those that look on, which are answered at once: gpuq waits for no longer than GQ_ANSWER_MS. A rollback is
 * let in, too, for it ends the wait for a canary. */
enum { GQ_LOOKS_ON, GQ_LET_IN, GQ_MAY_WAIT };
#define GQ_ANSWER_MS 10000u

/* The numbers of a canary: their names in a request and in gq_swap_opts, the option of gpuq that sets them, how people
 * write it (tools/gpuq/canary_args.c), the least and the most. What is left out is 0. */
#define GQ_CANARY_FIELDS(X)                                     \
    X(canary_ppm, "canary", SHARE, 1, 500000)                   \
    X(canary_ms, "canary-for", TIME, 100, 86400000)             \
    X(canary_messages, "canary-messages", COUNT, 1, 4294967295) \
    X(canary_failures, "canary-failures", SHARE, 1, 1000000)    \
    X(canary_p99, "canary-p99", PERCENT, 1, 100000)

/* name, arguments as help shows them, one sentence, what it takes, whether it may wait. */
#define GQ_CONTROL_COMMANDS(X)                                                                                        \
    X(plugins, "[--json] [--socket PATH]", "list the versions of each stage of a running pipeline", 0, GQ_LOOKS_ON)   \
    X(swap,                                                                                                           \
      "[--rehearse on|off] [--canary SHARE [--canary-for TIME] [--canary-messages N] [--canary-failures SHARE] "      \
      "[--canary-p99 PERCENT]] [--json] [--socket PATH] STAGE [FILE]",                                                \
      "build a plugin, run its goldens, and make it a running stage's code",                                          \
      GQ_TAKES_STAGE | GQ_TAKES_FILE | GQ_TAKES_REHEARSE | GQ_TAKES_CANARY, GQ_MAY_WAIT)                              \
    X(rollback, "[--json] [--socket PATH] STAGE", "make the version live that was live before", GQ_TAKES_STAGE,       \
      GQ_LET_IN)                                                                                                      \
    X(use, "[--json] [--socket PATH] STAGE VERSION", "make a kept version live", GQ_TAKES_STAGE | GQ_TAKES_VERSION,   \
      GQ_MAY_WAIT)                                                                                                    \
    X(discard, "[--json] [--socket PATH] STAGE VERSION", "give a kept version up", GQ_TAKES_STAGE | GQ_TAKES_VERSION, \
      GQ_MAY_WAIT)                                                                                                    \
    X(reload, "[--json] [--socket PATH]", "read the pipeline file again and swap the stages that differ", 0,          \
      GQ_MAY_WAIT)                                                                                                    \
    X(stats, "[--json] [--socket PATH]", "print the counters of a running pipeline", 0, GQ_LOOKS_ON)

#endif
