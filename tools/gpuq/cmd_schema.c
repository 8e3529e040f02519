/* gpuq schema: the table of pipeline files, as a JSON Schema or as the reference page. */
#include "commands.h"
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "config/conf.h"

int cmd_schema(int argc, char **argv)
{
    bool manual = argc == 2 && strcmp(argv[1], "--manual") == 0;
    if (argc > 1 && !manual) {
        fprintf(stderr, "gpuq schema: takes no argument but --manual, got '%s'\n", argv[argc - 1]);
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    }
    struct gq_text text = {0};
    if (manual)
        gq_conf_manual(&text);
    else
        gq_conf_schema(&text);
    bool failed = text.failed;
    fputs(gq_text_str(&text), stdout);
    gq_text_finish(&text);
    return failed ? gq_status_exit_code(GQ_ERR_NO_MEMORY) : 0;
}
