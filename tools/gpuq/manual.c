#include "manual.h"
#include "commands.h"
#include "manual_text.h"
#include <gpuqueue/status.h>
#include <gpuqueue/version.h>
#include <string.h>

#define NAME_TEXT "small functions over a stream of messages, on a GPU or a CPU"
#define EXIT_CODE_MAX 128

struct entry {
    const char *name, *arguments, *sentence, *text, *words;
};

#define ENTRY_ROW(name, arguments, sentence, ...) {#name, arguments, sentence, TEXT_##name, WORDS_##name},
static const struct entry entries[] = {GPUQ_COMMANDS(ENTRY_ROW)};
#undef ENTRY_ROW
#define ENTRY_COUNT (sizeof entries / sizeof *entries)

struct status_row {
    const char *name;
    int value, exit_code;
    const char *text;
};

#define STATUS_ROW(name, value, exit_code, text) {#name, value, exit_code, text},
static const struct status_row statuses[] = {GQ_STATUS_LIST(STATUS_ROW)};
#undef STATUS_ROW
#define STATUS_COUNT (sizeof statuses / sizeof *statuses)

struct variable {
    const char *name, *text;
};

static const struct variable variables[] = {
    {"GPUQ_BACKEND", "auto, cpu or cuda: wins over the pipeline file and q_init(); --backend wins over it."},
    {"GPUQ_CACHE", "off, or the folder in which compiled plugins are kept."},
    {"GPUQ_CXX", "The C++ compiler of the CPU backend; by default c++, g++ or clang++, the first that is in PATH."},
    {"GPUQ_PLUGIN", "The plugin that q_init() opens: a file, or builtin:NAME; by default builtin:echo."},
    {"GPUQ_JOURNAL", "The journal of a queue that q_init() opens; by default none."},
    {"GPUQ_DURABILITY", "How safe that journal is: fdatasync or memory; by default fdatasync."},
    {"GPUQ_WORKER", "The gpuq-worker program, when it is neither beside gpuq nor in the installed folder."},
};
#define VARIABLE_COUNT (sizeof variables / sizeof *variables)

static const char json_of_errors[] =
    "A command that has --json and fails before it has an answer prints {\"status\", \"exit_code\", \"error\"} in its "
    "place: the name and the number of this list, and the sentence. gpuq run does so on standard error, and "
    "its summary there ends with the same three; lint lists the error among the others.";

void gpuq_manual_usage(FILE *out)
{
    fprintf(out, "gpuq %s - " NAME_TEXT "\n\nusage: gpuq COMMAND [ARGUMENT...]\n\n", GQ_VERSION);
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        fprintf(out, "  %-8s %s\n", entries[i].name, entries[i].sentence);
    fprintf(out, "\n'gpuq help COMMAND' says more; 'gpuq doctor' says what this machine can run.\n");
}

/* Prints text in lines of at most 80 columns; a newline in the text ends a paragraph. */
static void print_wrapped(FILE *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column && column + 1 + word > 80)
            column = 0, fputc('\n', out);
        fprintf(out, "%s%.*s", column ? " " : "", (int)word, text);
        column += (column ? 1 : 0) + word;
        text += word;
        if (*text == '\n')
            column = 0, fputs("\n\n", out);
        if (*text)
            text++;
    }
    fputc('\n', out);
}

static const struct entry *find(const char *name)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

bool gpuq_manual_print(FILE *out, const char *name)
{
    const struct entry *e = find(name);
    if (!e)
        return false;
    fprintf(out, "gpuq %s - %s\n\nusage: gpuq %s%s%s\n\n", e->name, e->sentence, e->name, *e->arguments ? " " : "",
            e->arguments);
    print_wrapped(out, e->text);
    return true;
}

/* roff reads '-' as a hyphen, '\' as an escape and a '.' or a quote that begins a line as a request. */
static void roff_text(FILE *out, const char *text)
{
    for (bool line_start = true; *text; text++) {
        if (*text == '\n')
            fputs("\n.PP\n", out);
        else if (*text == '-' || *text == '\\')
            fprintf(out, "\\%s", *text == '-' ? "-" : "e");
        else if (line_start && (*text == '.' || *text == '\''))
            fprintf(out, "\\&%c", *text);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
    fputc('\n', out);
}

static void roff_commands(FILE *out)
{
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        fprintf(out, ".SS gpuq %s%s", entries[i].name, *entries[i].arguments ? " " : "");
        roff_text(out, entries[i].arguments);
        roff_text(out, entries[i].sentence);
        fputs(".PP\n", out);
        roff_text(out, entries[i].text);
    }
}

static const char of_signals[] =
    "the signal of number N ended it: the second Ctrl-C (130) or SIGTERM (143) of a run, or the first while its "
    "plugins "
    "are still being compiled, when nothing has been read; a shell says the same of any other signal that kills";

static void roff_exit_codes(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
    roff_text(out, json_of_errors);
    for (int code = 0; code < EXIT_CODE_MAX; code++) {
        const char *separator = "";
        for (size_t i = 0; i < STATUS_COUNT; i++) {
            if (statuses[i].exit_code != code)
                continue;
            if (!*separator)
                fprintf(out, ".TP\n.B %d\n", code);
            fputs(separator, out);
            roff_text(out, statuses[i].text);
            separator = ".br\n";
        }
    }
    fputs(".TP\n.B 128 + N\n", out);
    roff_text(out, of_signals);
}

static void roff_variables(FILE *out)
{
    fputs(".SH ENVIRONMENT\n", out);
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        fprintf(out, ".TP\n.B %s\n", variables[i].name);
        roff_text(out, variables[i].text);
    }
}

void gpuq_manual_roff(FILE *out)
{
    fprintf(out, ".\\\" Made by `gpuq help --man`; edit tools/gpuq/manual_text.h instead.\n");
    fprintf(out, ".TH GPUQ 1 \"\" \"gpuqueue %s\" \"User Commands\"\n.SH NAME\ngpuq \\- ", GQ_VERSION);
    roff_text(out, NAME_TEXT);
    fputs(".SH SYNOPSIS\n.B gpuq\n.I COMMAND\n.RI [ ARGUMENT ...]\n.SH DESCRIPTION\n", out);
    roff_text(out,
              "gpuq runs pipelines of plugins, small CUDA functions named process_message, over a stream of messages: "
              "on a GPU, or "
              "on the processor when there is none. Data goes to standard output, everything else to standard error.");
    roff_commands(out);
    roff_exit_codes(out);
    roff_variables(out);
}

void gpuq_manual_status(FILE *out)
{
    fputs("# Statuses and exit codes\n\n"
          "Made by `gpuq help --status` from `include/gpuqueue/status.h`; edit that file instead. A function of the "
          "library returns\n"
          "the value, a command of `gpuq` the exit code.\n\n"
          "| status | value | exit code | meaning |\n|---|--:|--:|---|\n",
          out);
    for (size_t i = 0; i < STATUS_COUNT; i++)
        fprintf(out, "| `%s` | %d | %d | %s |\n", statuses[i].name, statuses[i].value, statuses[i].exit_code,
                statuses[i].text);
    fprintf(out, "| | | 128 + N | %s |\n", of_signals);
}

void gpuq_completion_bash(FILE *out)
{
    fputs("# bash completion for gpuq; made by `gpuq help --completion bash`; edit tools/gpuq/manual_text.h instead.\n"
          "_gpuq()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} words=\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n       "
          " words=\"",
          out);
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        fprintf(out, "%s%s", i ? " " : "", entries[i].name);
    fputs("\"\n    else\n        case ${COMP_WORDS[1]} in\n", out);
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        fprintf(out, "        %s) words=\"%s\" ;;\n", entries[i].name, entries[i].words);
    fputs("        esac\n    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
          "}\n"
          "complete -o default -F _gpuq gpuq\n",
          out);
}
