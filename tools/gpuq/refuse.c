#include "refuse.h"
#include "base/text.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gq_status gpuq_refuse_option(const char *command, char **argv)
{
    const char *word = argv[optind - 1];
    const bool long_one = strncmp(word, "--", 2) == 0;
    if (optopt && long_one && strchr(word, '='))
        return gq_error_set(GQ_ERR_INVALID_ARG, "'%s': this option takes no value; try `gpuq help %s`", word, command);
    if (optopt && long_one)
        return gq_error_set(GQ_ERR_INVALID_ARG, "%s lacks its value; try `gpuq help %s`", word, command);
    if (long_one)
        return gq_error_set(GQ_ERR_INVALID_ARG, "unknown option '%s'; try `gpuq help %s`", word, command);
    return gq_error_set(GQ_ERR_INVALID_ARG, "unknown option '-%c', or it lacks its value; try `gpuq help %s`", optopt,
                        command);
}

bool gpuq_read_threads(const char *text, uint32_t *out)
{
    const size_t len = strspn(text, "0123456789");
    *out = len > 0 && len < 6 && !text[len] ? (uint32_t)strtoul(text, NULL, 10) : 0;
    return *out >= 1 && *out <= 1024;
}

int gpuq_report(const char *command, gq_status status)
{
    const char *text = gq_error_text();
    const size_t len = strlen(text), named = strlen(command);
    if (strncmp(text, command, named) == 0 && text[named] == ' ') /* "plugin x.cu: ..." of `gpuq plugin` */
        fputs("gpuq: ", stderr);
    else if (!strstr(text, ": error:"))
        fprintf(stderr, "gpuq %s: ", command);
    fprintf(stderr, "%s%s", text, len && text[len - 1] == '\n' ? "" : "\n");
    return gq_status_exit_code(status);
}

int gpuq_report_json(FILE *out, const char *open, gq_status status)
{
    struct gq_text error = {0};
    gq_text_json(&error, gq_error_text(), strlen(gq_error_text()));
    fprintf(out, "%s\"status\": \"%s\", \"exit_code\": %d, \"error\": %s}\n", open, gq_status_name(status),
            gq_status_exit_code(status), error.failed ? "\"out of memory for the error\"" : gq_text_str(&error));
    gq_text_finish(&error);
    return gq_status_exit_code(status);
}
