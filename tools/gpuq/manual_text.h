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
    "A file whose source or sink is `api`, or that names none, is for a program: see gpuqueue.h."
#define TEXT_lint                                                                                               \
    "Checks the files without running anything and prints every error found as FILE:LINE:COLUMN: error: ..., "  \
    "with the key, what was expected and the nearest known key. Exit code 78 when there is one. --json prints " \
    "an array of the same errors."
#define TEXT_explain                                                                                           \
    "Prints the configuration that `gpuq run` would use, as YAML that loads again: defaults written out, and " \
    "as comments the memory it will allocate."
#define TEXT_schema "The schema comes from the same table that checks pipeline files, so an editor and gpuq agree."
#define TEXT_plugin                                                                                                    \
    "check compiles the plugin; errors carry the file's own line and a caret. build does the same and says what it "   \
    "made; -o FILE writes it. inspect prints kind, scope, threads, state and parameters. run feeds one message (--in " \
    "FILE, - for standard input; for a source --index N) and prints the result; --repeat N prints a mean time, "       \
    "--slot-bytes N sets the room. test runs the vectors of the FILE.golden.yaml beside the plugin.\n"                 \
    "--param NAME=VALUE, which may be given again, sets a parameter, typed as in a pipeline file; --backend chooses "  \
    "the backend; --arch 90, with --backend cuda, compiles for sm_90 without a GPU being there, and inspect then "     \
    "says "                                                                                                            \
    "what a thread and a block take; --no-cache compiles whatever was compiled before; --timeout S is how long one "   \
    "message may take, by "                                                                                            \
    "default 10 s; --json is for inspect and test. Exit code 65 when the plugin does not compile or does not pass."
#define TEXT_new                                                                                                  \
    "Writes the folder NAME with a plugin, its golden vectors, a pipeline, sample input and a README. They pass " \
    "`gpuq plugin test` and `gpuq run` as they are. --block writes a plugin whose messages are each served by a " \
    "block of threads, --source one that makes messages. An existing folder is left alone."
#define TEXT_doctor                                                                                               \
    "Looks at the compiler, the GPU driver, NVRTC, the system calls and the folders that gpuqueue needs. A line " \
    "that is not ok says what follows from it. Exit code 0 when a backend can run, 69 when none can."
#define TEXT_bench                                                                                                    \
    "Every case is run beside simpler ways of doing the same work, in the same run; CASE... chooses among echo, "     \
    "latency, sizes, oneway, paced, stages, source, sha256 and bus. Each reply's id, length, first and last 8 bytes " \
    "are compared, and every 64th reply in full. On a GPU the program gpuq-rivals measures other ways of using it; "  \
    "what cannot be measured here is skipped with its reason. --json prints the figures, null where nothing was "     \
    "measured, --backend chooses cpu or cuda, --seconds is the time for each measurement, --threads the worker "      \
    "threads of the CPU backend."
#define TEXT_cache                                                                                                  \
    "Compiled plugins are kept in $XDG_CACHE_HOME/gpuqueue or ~/.cache/gpuqueue under the digest of everything "    \
    "that reached the compiler. ls lists them, clear removes them; GPUQ_CACHE=off, or =FOLDER, in the environment " \
    "changes where they are kept."
#define TEXT_version "One line each: the release, the API version, the layout version and the plugin ABI."
#define TEXT_help                                                                                              \
    "--man prints this manual as a manual page, --completion bash prints completions for the shell, --status " \
    "prints the table of statuses and exit codes."

#define WORDS_run "--backend --threads --json --help"
#define WORDS_lint "--json --help"
#define WORDS_explain "--help"
#define WORDS_schema "--manual --help"
#define WORDS_plugin                                                                                                 \
    "check build inspect run test --param --backend --arch --no-cache --timeout --in --repeat --index --slot-bytes " \
    "--output "                                                                                                      \
    "--json --help"
#define WORDS_new "--block --source --help"
#define WORDS_doctor "--json --help"
#define WORDS_bench \
    "echo latency sizes oneway paced stages source sha256 bus --json --backend --seconds --threads --help"
#define WORDS_cache "ls clear --help"
#define WORDS_version "--help"
#define WORDS_help "--man --completion --status"

#endif
