/* manual_text.h - the paragraphs of each command's manual, and the words that its completion offers. */
#ifndef GPUQ_MANUAL_TEXT_H
#define GPUQ_MANUAL_TEXT_H

#define TEXT_run                                                                                                       \
    "Reads the pipeline file, builds its plugins, and runs until the source ends. The first Ctrl-C (or SIGTERM) "      \
    "stops "                                                                                                           \
    "reading and drains what is in flight; the second stops at once. Results go where the file says, everything else " \
    "goes to standard error, and a summary ends the run: the backend and why, messages in, out and failed, the rate, " \
    "p50 and p99.\n"                                                                                                   \
    "--backend auto, cpu or cuda wins over $GPUQ_BACKEND, which wins over the file. --threads N sets how many "        \
    "processor threads the CPU backend uses. --json prints the summary as JSON, --quiet none. --no-cache compiles "    \
    "plugins whatever was compiled before.\n"                                                                          \
    "While it runs, gpuq plugins, swap, rollback, use, discard, reload and stats reach it through its control "        \
    "socket: "                                                                                                         \
    "control.socket in the file, by default NAME-PID.sock in the folder gpuqueue of $XDG_RUNTIME_DIR, or in "          \
    "gpuqueue-UID of $TMPDIR, which is /tmp where it is not set. SIGHUP reloads the file. --watch swaps a stage when " \
    "its plugin or a header that it includes "                                                                         \
    "is saved, and reloads when the file is. Each change, refused ones too, is one line on standard error that "       \
    "begins "                                                                                                          \
    "with the word audit.\n"                                                                                           \
    "A file whose source or sink is `api`, or that names none, is for a program: see gpuqueue.h."
#define TEXT_OF_SOCKET                                                                                               \
    "\nWithout --socket PATH the only pipeline of this user that runs with a control socket is meant; when several " \
    "do, "                                                                                                           \
    "they are listed. --json prints the whole answer as one JSON object."
#define TEXT_plugins                                                                                                 \
    "Each version of each stage: its digest, its state, when it was made live last, messages that it served and "    \
    "those "                                                                                                         \
    "that failed, messages that it holds, its 99th percentile of latency, the golden vectors that it passed before " \
    "it "                                                                                                            \
    "went live, and its file." TEXT_OF_SOCKET
#define TEXT_swap                                                                                                      \
    "Builds FILE (by default the live version's file, read again) with the stage's parameters, runs its golden "       \
    "vectors in a spare worker, and makes it live between two messages. Answers when it is live or refused: a "        \
    "refusal "                                                                                                         \
    "names the step, shows the compiler's messages or the golden vector that differed, and leaves "                    \
    "the live version as it was; its exit code is 65, or 64 for a stage that is not there, or 1 when the run was "     \
    "being stopped or its worker ended meanwhile. --rehearse on or off wins over swap.rehearse in the pipeline file. " \
    "FILE must lie in "                                                                                                \
    "or below the pipeline file's folder or the folder of a plugin that it names, or be builtin:NAME.\n"               \
    "--canary 5% first gives it that share of the messages, at most 50%, beside the live version, and watches both. "  \
    "After 10 s, or --canary-for TIME, or when --canary-messages N are its own, it is live for all, or it is rolled "  \
    "back, with exit code 65: if it had no result; if of its results more fail than of the live version's and "        \
    "another 0.1%, or --canary-failures SHARE, which ends it as soon as it has 1000; if its p99 is above 150% of the " \
    "live version's, or --canary-p99 PERCENT, where latency is measured and both have 1000 results. On a CPU one "     \
    "whose messages take the worker so much longer is compared with the p99 from before it. gpuq rollback "            \
    "STAGE ends it at once, the end of the run does too, and other changes wait for it. On a GPU whole lanes are "     \
    "shared out, so one lane is too few." TEXT_OF_SOCKET
#define TEXT_rollback                                                                                                  \
    "Nothing is built or loaded: the version that was live before is still there. A second rollback goes back to "     \
    "where the first one came from. Code that was rolled back by itself, because it crashed or failed as a canary, "   \
    "is "                                                                                                              \
    "passed over; if that was the newest change, the command says so with exit code 1 and changes nothing, and asked " \
    "once more it goes to the version before." TEXT_OF_SOCKET
#define TEXT_use "VERSION is one that gpuq plugins lists as warm. Nothing is built or loaded." TEXT_OF_SOCKET
#define TEXT_discard \
    "Frees what the version holds. One that is live, or has messages in flight, is refused." TEXT_OF_SOCKET
#define TEXT_reload                                                                                                    \
    "Swaps every stage whose plugin or parameters differ from what runs, after all of them were built and rehearsed. " \
    "What cannot change while messages flow, like the source, the sink and the queue, is refused and "                 \
    "named." TEXT_OF_SOCKET
#define TEXT_stats                                                                                                \
    "The counters since the start: messages in, out, failed, dropped, dead and in flight, bytes, and latency of " \
    "messages." TEXT_OF_SOCKET
#define TEXT_lint                                                                                               \
    "Checks the files without running anything and prints every error found as FILE:LINE:COLUMN: error: ..., "  \
    "with the key, what was expected and the nearest known key. Exit code 78 when there is one. --json prints " \
    "an array of the same errors."
#define TEXT_explain                                                                                           \
    "Prints the configuration that `gpuq run` would use, as YAML that loads again: defaults written out, and " \
    "as comments the memory it will allocate."
#define TEXT_schema "The schema comes from the same table that checks pipeline files, so an editor and gpuq agree."
#define TEXT_plugin                                                                                                   \
    "check compiles the plugin; errors carry the file's own line and a caret. build does the same and says what it "  \
    "made; -o FILE writes it. inspect prints kind, scope, threads, state and parameters. pin prints the lines that "  \
    "pin it, for plugins.pins of a pipeline file. run feeds one message (--in "                                       \
    "FILE, - for standard input; for a source --index N) and prints the result; --repeat N prints a mean time, "      \
    "--slot-bytes N sets the room. test runs the vectors of the FILE.golden.yaml beside the plugin.\n"                \
    "--param NAME=VALUE, which may be given again, sets a parameter, typed as in a pipeline file; --backend chooses " \
    "the backend; --arch 90, with --backend cuda, compiles for sm_90 without a GPU being there, and inspect then "    \
    "says "                                                                                                           \
    "what a thread and a block take; --no-cache compiles whatever was compiled before; --timeout S is how long one "  \
    "message may take, by "                                                                                           \
    "default 10 s; --json is for inspect and test. Exit code 65 when the plugin does not compile or does not pass."
#define TEXT_new                                                                                                  \
    "Writes the folder NAME with a plugin, its golden vectors, a pipeline, sample input and a README. They pass " \
    "`gpuq plugin test` and `gpuq run` as they are. --block writes a plugin whose messages are each served by a " \
    "block of threads, --source one that makes messages. An existing folder is left alone."
#define TEXT_doctor                                                                                              \
    "Looks at the compiler and its jail, the GPU driver, NVRTC, the system calls and the folders that gpuqueue " \
    "needs. A line "                                                                                             \
    "that is not ok says what follows from it. Exit code 0 when a backend can run, 69 when none can."
#define TEXT_bench                                                                                                    \
    "Every case is run beside simpler ways of doing the same work, in the same run; CASE... chooses among echo, "     \
    "latency, sizes, oneway, paced, stages, source, swap, sha256 and bus. Each reply's id, length, first and last 8 " \
    "bytes "                                                                                                          \
    "are compared, and every 64th reply in full. On a GPU the program gpuq-rivals measures other ways of using it; "  \
    "what cannot be measured here is skipped with its reason. --json prints the figures, null where nothing was "     \
    "measured, --backend chooses cpu or cuda, --seconds is the time for each measurement, --threads the worker "      \
    "threads of the CPU backend."
#define TEXT_cache                                                                                                  \
    "Compiled plugins are kept in $XDG_CACHE_HOME/gpuqueue or ~/.cache/gpuqueue under the digest of everything "    \
    "that reached the compiler. ls lists them, clear removes them; GPUQ_CACHE=off, or =FOLDER, in the environment " \
    "changes where they are kept."
#define TEXT_dlq                                                                                                       \
    "Dead letters are messages that no retry could save; a pipeline appends them to the file on_error.dead_letter, "   \
    "by "                                                                                                              \
    "default NAME.dlq. A LETTER is its number in ls, or its name there, 16 hexadecimal digits, which does not change " \
    "when others are dropped.\n"                                                                                       \
    "ls FILE has a line for each letter. show FILE LETTER says all of one, with its message; --raw writes the "        \
    "message's bytes alone. --json prints either as one JSON object, the message in hexadecimal.\n"                    \
    "replay FILE PIPELINE.yaml [LETTER...] sends the letters, by default all, through the pipeline's stages, and "     \
    "writes results to standard output, joined as the pipeline's sink says: its own sink, which would be emptied, is " \
    "left alone. Letters that pass leave the file when their results are written; those that fail again stay, with "   \
    "the attempts added up, and the exit code is 1. A crash loses none, but results may be written twice. --backend "  \
    "is as for run.\n"                                                                                                 \
    "drop FILE LETTER... takes letters away, drop FILE --all all of them.\n"                                           \
    "With --json replay and drop print an object with the fate of each letter and the counts: drop to standard "       \
    "output, "                                                                                                         \
    "replay to standard error, for results have standard output.\n"                                                    \
    "replay and drop are refused while a pipeline has the file open: it holds a lock from its first letter on, or "    \
    "from its start when the file is there."
#define TEXT_version "One line each: the release, the API version, the layout version and the plugin ABI."
#define TEXT_help                                                                                              \
    "--man prints this manual as a manual page, --completion bash prints completions for the shell, --status " \
    "prints the table of statuses and exit codes."

#define WORDS_run "--backend --threads --no-cache --watch --json --quiet --help"
#define WORDS_plugins "--json --socket --help"
#define WORDS_swap \
    "--rehearse --canary --canary-for --canary-messages --canary-failures --canary-p99 --json --socket --help"
#define WORDS_rollback "--json --socket --help"
#define WORDS_use "--json --socket --help"
#define WORDS_discard "--json --socket --help"
#define WORDS_reload "--json --socket --help"
#define WORDS_stats "--json --socket --help"
#define WORDS_lint "--json --help"
#define WORDS_explain "--help"
#define WORDS_schema "--manual --help"
#define WORDS_plugin                                                                                        \
    "check build inspect pin run test --param --backend --arch --no-cache --timeout --in --repeat --index " \
    "--slot-bytes "                                                                                         \
    "--output "                                                                                             \
    "--json --help"
#define WORDS_new "--block --source --help"
#define WORDS_doctor "--json --help"
#define WORDS_bench \
    "echo latency sizes oneway paced stages source swap sha256 bus --json --backend --seconds --threads --help"
#define WORDS_cache "ls clear --help"
#define WORDS_dlq "ls show replay drop --json --raw --all --backend --help"
#define WORDS_version "--help"
#define WORDS_help "--man --completion --status"

#endif
