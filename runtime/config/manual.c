#include <string.h>
#include "config/schema.h"
#include "config/value.h"

static const char head[] =
    "# The pipeline file\n"
    "\n"
    "One YAML file says where messages come from, which plugins they pass and where results go. This page is made "
    "from\n"
    "the table that checks the files (`gpuq schema --manual`); `gpuq schema` prints the same table as a JSON Schema "
    "for\n"
    "editors, `gpuq lint FILE...` reports every error of a file at once, and `gpuq explain FILE` prints what a file\n"
    "amounts to, defaults included.\n"
    "\n"
    "The shortest file takes messages from a program and gives results back to it:\n"
    "\n"
    "```yaml\n"
    "version: 1\n"
    "stages:\n"
    "  - plugin: upper.cu\n"
    "```\n"
    "\n"
    "## How values are written\n"
    "\n"
    "- **Sizes** are whole numbers of bytes, or carry a unit: `KiB`, `MiB`, `GiB` (1024), `kB`, `MB`, `GB` (1000), "
    "`B`.\n"
    "  **Durations** always carry one: `ms`, `s`, `m`, `h`. **Rates** are a second: `50000/s`.\n"
    "- Whole numbers are decimal without leading zeros, or hexadecimal after `0x`. Booleans are `true` and `false`, "
    "and\n"
    "  nothing else.\n"
    "- `${NAME}` and `${NAME:default}` stand for variables of the environment, in any value, and are put in after the\n"
    "  YAML is parsed, so they cannot change the shape of the file. One that is not set and has no default is an "
    "error.\n"
    "  Inside `{ }` the value needs quotes: `{ capacity: \"${SLOTS:4096}\" }`. `$${` stands for `${` itself.\n"
    "- Relative paths are relative to the file that names them. Files that are read must exist.\n"
    "- A stage has at most 256 parameters. A path and a parameter's text have at most 4095 bytes. A lane has at most 8 "
    "GiB.\n"
    "- The YAML is UTF-8, one document of at most 1 MiB and 16 levels, without anchors, aliases and tags. A key may "
    "stand\n"
    "  only once; an unknown key is an error.\n";

static const char tail[] =
    "\n"
    "## Errors\n"
    "\n"
    "Every error is one line with its place, the key and what was expected; `gpuq lint` and `gpuq run` exit with 78.\n"
    "\n"
    "```\n"
    "pipeline.yaml:7:20: error: queue.capacity: expected a power of two from 2 to 16777216, got '1000': the nearest "
    "are "
    "512 and 1024\n"
    "pipeline.yaml:9:5: error: stages[0].parms: unknown key, did you mean 'params'?\n"
    "```\n";

static void write_default(const struct gq_schema_row *row, struct gq_text *out)
{
    if (row->required)
        gq_text_puts(out, "**required**");
    else if (row->otherwise)
        gq_text_puts(out, row->otherwise);
    else if (row->fallback)
        gq_text_printf(out, "`%s`", row->fallback);
}

static void write_expected(const struct gq_schema_row *row, struct gq_text *out)
{
    struct gq_text expected = {0};
    gq_schema_expected(row, &expected);
    gq_text_puts(out, gq_text_str(&expected));
    out->failed = out->failed || expected.failed;
    gq_text_finish(&expected);
    if (row->example)
        gq_text_printf(out, "; `%s`", row->example);
}

/* The key as it is found in a file from the section's own key on. */
static void write_row(const struct gq_schema_row *row, const char *path, struct gq_text *out)
{
    gq_text_printf(out, "| `%s` | ", path);
    write_expected(row, out);
    gq_text_puts(out, " | ");
    write_default(row, out);
    gq_text_printf(out, " | %s |\n", row->sentence);
}

static void write_table_head(struct gq_text *out)
{
    gq_text_puts(out, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
}

static void write_rows_below(const struct gq_schema_row *section, struct gq_text *out)
{
    size_t skip = strlen(section->path) + (section->type == GQ_SCHEMA_LIST ? 3 : 1);
    for (size_t i = 0; i < gq_schema_count; i++)
        if (&gq_schema_rows[i] > section && strncmp(gq_schema_rows[i].path, section->path, strlen(section->path)) == 0)
            write_row(&gq_schema_rows[i], gq_schema_rows[i].path + skip, out);
}

static void write_section(const struct gq_schema_row *section, struct gq_text *out)
{
    gq_text_printf(out, "\n## %s\n\n`%s` is ", section->path, section->path);
    gq_schema_expected(section, out);
    gq_text_printf(out, ": %s. ", section->sentence);
    if (section->required)
        gq_text_puts(out, "It is required.\n");
    else if (section->fallback)
        gq_text_printf(out, "Without it: `%s: {}`.\n", section->fallback);
    else
        gq_text_puts(out, "It may be left out.\n");
    write_table_head(out);
    write_rows_below(section, out);
}

static bool is_section(const struct gq_schema_row *row)
{
    return row->type == GQ_SCHEMA_MAP || row->type == GQ_SCHEMA_CHOICE || row->type == GQ_SCHEMA_LIST;
}

void gq_conf_manual(struct gq_text *out)
{
    gq_text_puts(out, head);
    gq_text_puts(out, "\n## Keys of the file\n");
    write_table_head(out);
    for (const struct gq_schema_row *row = NULL; (row = gq_schema_next(NULL, row));)
        write_row(row, row->path, out);
    for (const struct gq_schema_row *row = NULL; (row = gq_schema_next(NULL, row));)
        if (is_section(row))
            write_section(row, out);
    gq_text_puts(out, tail);
}
