/* gpuq new: a folder with a plugin, its goldens, a pipeline, sample data and a README, which pass their tests at once.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "commands.h"
#include "new_templates.h"
#include "refuse.h"

#define NAME_MAX_BYTES 64

/* One file of the new folder; @NAME@ in its name and its text becomes the plugin's name. */
struct leaf {
    const char *file;
    const char *text;
};

static const struct kind {
    const char *option; /* NULL: without an option */
    struct leaf leaves[8];
} kinds[] = {
    {NULL,
     {{"@NAME@.cu", new_stage_cu},
      {"@NAME@.golden.yaml", new_stage_golden_yaml},
      {"pipeline.yaml", new_stage_pipeline_yaml},
      {"sample.txt", new_stage_sample_txt},
      {"README.md", new_stage_README_md}}},
    {"block",
     {{"@NAME@.cu", new_block_cu},
      {"@NAME@.golden.yaml", new_block_golden_yaml},
      {"pipeline.yaml", new_block_pipeline_yaml},
      {"sample.txt", new_block_sample_txt},
      {"README.md", new_stage_README_md}}},
    {"source",
     {{"@NAME@.cu", new_source_cu},
      {"@NAME@.golden.yaml", new_source_golden_yaml},
      {"pass.cu", new_pass_cu},
      {"pass.golden.yaml", new_pass_golden_yaml},
      {"pipeline.yaml", new_source_pipeline_yaml},
      {"README.md", new_source_README_md}}},
};

/* The name becomes a file's, a folder's, a stage's and part of a YAML file: letters, digits, _ and - serve all four. */
static gq_status check_name(const char *name)
{
    bool good = isalpha((unsigned char)*name) && strlen(name) <= NAME_MAX_BYTES;
    for (const char *c = name; *c; c++)
        good = good && (isalnum((unsigned char)*c) || *c == '_' || *c == '-');
    if (!good)
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "'%s' is no name for a plugin: up to %d letters, digits, _ and -, a letter first", name,
                            NAME_MAX_BYTES);
    return GQ_OK;
}

static void fill(struct gq_text *out, const char *text, const char *name)
{
    static const char blank[] = "@NAME@";
    for (const char *next; (next = strstr(text, blank)); text = next + sizeof blank - 1) {
        gq_text_add(out, text, (size_t)(next - text));
        gq_text_puts(out, name);
    }
    gq_text_puts(out, text);
}

static gq_status write_leaf(const struct leaf *leaf, const char *name)
{
    struct gq_text path = {0}, text = {0};
    gq_text_printf(&path, "%s/", name);
    fill(&path, leaf->file, name);
    fill(&text, leaf->text, name);
    gq_status status = path.failed || text.failed
                           ? gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while %s was written", leaf->file)
                           : gq_file_write_atomic(gq_text_str(&path), gq_text_str(&text), text.len, 0644);
    gq_text_finish(&text);
    gq_text_finish(&path);
    return status;
}

/* Takes a half-written folder away, so that the command can be tried again. Its sentence is kept. */
static void undo(const struct kind *kind, const char *name)
{
    for (const struct leaf *leaf = kind->leaves; leaf->file; leaf++) {
        struct gq_text path = {0};
        gq_text_printf(&path, "%s/", name);
        fill(&path, leaf->file, name);
        if (!path.failed)
            unlink(gq_text_str(&path));
        gq_text_finish(&path);
    }
    rmdir(name);
}

static gq_status write_folder(const struct kind *kind, const char *name)
{
    if (mkdir(name, 0777) != 0)
        return errno == EEXIST ? gq_error_set(GQ_ERR_INVALID_ARG, "'%s' exists already; nothing was changed", name)
                               : gq_error_errno(GQ_ERR_IO, errno, "cannot make the folder '%s'", name);
    gq_status status = GQ_OK;
    for (const struct leaf *leaf = kind->leaves; status == GQ_OK && leaf->file; leaf++)
        status = write_leaf(leaf, name);
    if (status != GQ_OK)
        undo(kind, name);
    return status;
}

static void print_next_steps(const struct kind *kind, const char *name)
{
    for (const struct leaf *leaf = kind->leaves; leaf->file; leaf++) {
        struct gq_text path = {0};
        fill(&path, leaf->file, name);
        printf("%s/%s\n", name, gq_text_str(&path));
        gq_text_finish(&path);
    }
    fflush(stdout);
    fprintf(stderr, "next: cd %s && gpuq plugin test %s.cu && gpuq run pipeline.yaml\n", name, name);
}

static const struct kind *find_kind(int option)
{
    for (size_t i = 1; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].option[0] == option)
            return &kinds[i];
    return NULL;
}

static gq_status parse(int argc, char **argv, const struct kind **kind, const char **name)
{
    static const struct option options[] = {
        {"block", no_argument, NULL, 'b'}, {"source", no_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == '?')
            return gpuq_refuse_option("new", argv);
        if (*kind != kinds && *kind != find_kind(option))
            return gq_error_set(GQ_ERR_INVALID_ARG, "--block and --source exclude each other");
        *kind = find_kind(option);
    }
    if (argc - optind != 1)
        return gq_error_set(GQ_ERR_INVALID_ARG, "write gpuq new [--block | --source] NAME");
    *name = argv[optind];
    if (strcmp(*name, "pass") == 0 && *kind == find_kind('s'))
        return gq_error_set(GQ_ERR_INVALID_ARG, "'pass' is the stage behind a new source; choose another name");
    return check_name(*name);
}

int cmd_new(int argc, char **argv)
{
    const struct kind *kind = kinds;
    const char *name = NULL;
    gq_status status = parse(argc, argv, &kind, &name);
    if (status == GQ_OK)
        status = write_folder(kind, name);
    if (status != GQ_OK)
        return gpuq_report("new", status);
    print_next_steps(kind, name);
    return 0;
}
