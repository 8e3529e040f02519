/* A pipeline file as the rest of the runtime sees it. */
#include "config/conf.h"
#include <gpuqueue/layout.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "config/schema.h"
#include <stdio.h>
#include "config_support.h"

START_TEST(the_shortest_file_has_every_default)
{
    struct gq_conf *c = parse_good("folder/my file.yaml", "version: 1\n" STAGES);
    ck_assert_str_eq(c->file, "folder/my file.yaml");
    ck_assert_str_eq(c->folder, "folder");
    ck_assert_str_eq(c->name, "my_file");
    ck_assert_int_eq(c->backend, GQ_BACKEND_AUTO);
    ck_assert_uint_eq(c->device, 0);
    ck_assert_int_eq(c->source.kind, GQ_SOURCE_API);
    ck_assert_int_eq(c->sink.kind, GQ_SINK_API);
    ck_assert_uint_eq(c->capacity, 4096);
    ck_assert_uint_eq(c->slot_bytes, 1024);
    ck_assert_int_eq(c->poll, GQ_POLL_ADAPTIVE);
    ck_assert_uint_eq(c->retries, 3);
    ck_assert_ptr_null(c->dead_letter);
    ck_assert_uint_eq(c->cpu_threads, 0);
    ck_assert_uint_eq(c->drain_ms, 10000);
    ck_assert_uint_eq(c->stage_count, 1);
    ck_assert_str_eq(c->stages[0].name, "sh");
    ck_assert_str_eq(c->stages[0].plugin, PLUGIN);
    ck_assert_uint_eq(c->stages[0].plugin_mark.line, 3);
    ck_assert_uint_eq(c->stages[0].plugin_mark.column, 13);
    ck_assert_uint_eq(c->stages[0].blocks, 0);
    gq_conf_destroy(c);
}
END_TEST

START_TEST(generate_has_its_defaults_and_its_values)
{
    struct gq_conf *c = parse_good("t.yaml", "version: 1\nsource: { generate: { count: 7 } }\n" STAGES);
    ck_assert_int_eq(c->source.kind, GQ_SOURCE_GENERATE);
    ck_assert_uint_eq(c->source.count, 7);
    ck_assert_uint_eq(c->source.bytes, 64);
    ck_assert_int_eq(c->source.pattern, GQ_PATTERN_COUNTER);
    ck_assert_uint_eq(c->source.seed, 1);
    ck_assert(c->source.rate_per_s == 0);
    gq_conf_destroy(c);
    c = parse_good(
        "t.yaml",
        "version: 1\nsource: { generate: { count: 0, bytes: 1kB, pattern: random, seed: 0, rate: 0.5/s } }\n" STAGES);
    ck_assert_uint_eq(c->source.bytes, 1000);
    ck_assert_int_eq(c->source.pattern, GQ_PATTERN_RANDOM);
    ck_assert_uint_eq(c->source.seed, 0);
    ck_assert(c->source.rate_per_s == 0.5);
    gq_conf_destroy(c);
}
END_TEST

START_TEST(every_way_of_waiting_has_its_name_and_grids_have_sizes)
{
    static const char *const names[] = {
        [GQ_POLL_ADAPTIVE] = "adaptive", [GQ_POLL_SPIN] = "spin", [GQ_POLL_SLEEP] = "sleep"};
    char text[256];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(text, sizeof text,
                 "version: 1\nsource: { plugin: { path: /bin/sh, count: 1, blocks: 7 } }\nqueue: { poll: %s }\n"
                 "stages: [{ plugin: /bin/sh, blocks: 65536 }]\n",
                 names[i]);
        struct gq_conf *c = parse_good("t.yaml", text);
        ck_assert_uint_eq(c->poll, i);
        ck_assert_uint_eq(c->source.blocks, 7);
        ck_assert_uint_eq(c->stages[0].blocks, 65536);
        gq_conf_destroy(c);
    }
}
END_TEST

START_TEST(every_framing_has_its_name)
{
    static const char *const splits[] = {"lines", "length32", "varint", "fixed, record_bytes: 8", "whole"};
    static const char *const joins[] = {"lines", "length32", "varint", "raw"};
    char text[256];
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "version: 1\nsource: { stdin: { split: %s } }\n" STAGES, splits[i]);
        struct gq_conf *c = parse_good("t.yaml", text);
        ck_assert_int_eq(strncmp(gq_framing_name(c->source.split), splits[i], strlen(gq_framing_name(c->source.split))),
                         0);
        ck_assert_uint_eq(c->source.record_bytes, c->source.split == GQ_FRAME_FIXED ? 8 : 0);
        gq_conf_destroy(c);
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "version: 1\nsink: { stdout: { join: %s } }\n" STAGES, joins[i]);
        struct gq_conf *c = parse_good("t.yaml", text);
        ck_assert_str_eq(gq_framing_name(c->sink.join), joins[i]);
        gq_conf_destroy(c);
    }
}
END_TEST

/* The number that a CHOICE stores is the enum that conf.h declares. */
START_TEST(every_source_and_sink_is_the_one_that_was_named)
{
    static const char *const sources[] = {"file: { path: " PLUGIN " }", "stdin:", "generate: { count: 1 }",
                                          "plugin: { path: " PLUGIN ", count: 1 }", "api:"};
    static const char *const sinks[] = {"file: { path: t.out }", "stdout:", "null:", "api:"};
    char text[256];
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "version: 1\nsource:\n  %s\n" STAGES, sources[i]);
        struct gq_conf *c = parse_good("t.yaml", text);
        ck_assert_str_eq(gq_source_name(c->source.kind),
                         gq_schema_key(gq_schema_chosen(gq_schema_find(NULL, "source"), (unsigned)i)));
        ck_assert_uint_eq(c->source.kind, i);
        gq_conf_destroy(c);
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "version: 1\nsink:\n  %s\n" STAGES, sinks[i]);
        struct gq_conf *c = parse_good("t.yaml", text);
        ck_assert_str_eq(gq_sink_name(c->sink.kind),
                         gq_schema_key(gq_schema_chosen(gq_schema_find(NULL, "sink"), (unsigned)i)));
        ck_assert_uint_eq(c->sink.kind, i);
        gq_conf_destroy(c);
    }
}
END_TEST

START_TEST(dead_letters_lie_beside_the_file_unless_the_program_takes_results)
{
    struct gq_conf *c = parse_good("folder/p.yaml", "version: 1\nname: n\nsink: { null: {} }\n" STAGES);
    ck_assert_str_eq(c->dead_letter, "folder/n.dlq");
    gq_conf_destroy(c);
    c = parse_good("./p.yaml", "version: 1\n" STAGES "on_error: { dead_letter: { file: { path: x.dlq } } }\n");
    ck_assert_str_eq(c->dead_letter, "x.dlq");
    ck_assert_uint_eq(c->retries, 3);
    gq_conf_destroy(c);
}
END_TEST

START_TEST(parameters_arrive_with_their_types)
{
    struct gq_conf *c =
        parse_good("t.yaml", "version: 1\n" STAGES "    params: { a: true, b: -5, c: 2.5, d: text, e: \"7\" }\n");
    const struct gq_conf_param *p = c->stages[0].params;
    ck_assert_uint_eq(c->stages[0].param_count, 5);
    ck_assert(p[0].type == GQ_PARAM_BOOL && p[0].boolean);
    ck_assert(p[1].type == GQ_PARAM_INT && p[1].integer == -5);
    ck_assert(p[2].type == GQ_PARAM_FLOAT && p[2].real == 2.5);
    ck_assert_str_eq(p[3].string, "text");
    ck_assert_str_eq(p[4].string, "7");
    ck_assert_str_eq(p[4].name, "e");
    ck_assert_uint_eq(p[4].mark.line, 4);
    gq_conf_destroy(c);
}
END_TEST

START_TEST(every_error_is_reported_in_the_order_of_the_file)
{
    char *errors =
        errors_of("version: 1\nstages:\n  - plugin: " PLUGIN "\n    parms: {}\nqueue: { capacity: 3 }\nbackend: gpu\n");
    const char *first = strstr(errors, "t.yaml:4:5: error: stages[0].parms: unknown key, did you mean 'params'?\n");
    const char *second = strstr(errors, "t.yaml:5:20: error: queue.capacity: ");
    const char *third = strstr(errors, "t.yaml:6:10: error: backend: ");
    ck_assert_ptr_eq(first, errors);
    ck_assert(second > first && third > second);
    free(errors);
}
END_TEST

START_TEST(the_error_record_names_the_first_and_counts_the_rest)
{
    free(errors_of("version: 1\nbackend: gpu\ndevice: x\n" STAGES));
    ck_assert_int_eq(gq_error_status(), GQ_ERR_CONFIG);
    ck_assert_ptr_eq(strstr(gq_error_text(), "t.yaml:2:10: backend: expected auto, cuda or cpu, got 'gpu'"),
                     gq_error_text());
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "1 more"));
}
END_TEST

START_TEST(a_hundred_errors_are_shown_and_the_others_counted)
{
    struct gq_text text = {0};
    for (int i = 0; i < 150; i++)
        gq_text_printf(&text, "k%d: 1\n", i);
    char *errors = errors_of(text.data);
    size_t lines = 0;
    for (const char *p = errors; (p = strchr(p, '\n')); p++)
        lines++;
    ck_assert_uint_eq(lines, GQ_PROBLEMS_MAX + 1);
    ck_assert_ptr_nonnull(strstr(errors, "t.yaml: error: and 52 more errors\n"));
    free(errors);
    gq_text_finish(&text);
}
END_TEST

START_TEST(paths_are_relative_to_the_file_that_names_them)
{
    char folder[] = "/tmp/gpuq-config-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    struct gq_text path = {0}, errors = {0}, plugin = {0};
    gq_text_printf(&path, "%s/p.yaml", folder);
    gq_text_printf(&plugin, "%s/x.cu", folder);
    static const char text[] = "version: 1\nstages: [{ plugin: x.cu }]\nsink: { file: { path: out } }\n";
    ck_assert_int_eq(gq_file_write_atomic(path.data, text, strlen(text), 0600), GQ_OK);
    struct gq_conf *conf;
    size_t count;
    ck_assert_int_eq(gq_conf_load(path.data, &errors, &count, &conf), GQ_ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(errors.data, plugin.data));
    ck_assert_int_eq(gq_file_write_atomic(plugin.data, "", 0, 0600), GQ_OK);
    ck_assert_int_eq(gq_conf_load(path.data, &errors, &count, &conf), GQ_OK);
    ck_assert_str_eq(conf->stages[0].plugin, plugin.data);
    ck_assert_str_eq(conf->folder, folder);
    gq_conf_destroy(conf);
    unlink(path.data);
    unlink(plugin.data);
    rmdir(folder);
    gq_text_finish(&path);
    gq_text_finish(&plugin);
    gq_text_finish(&errors);
}
END_TEST

static struct gq_conf *with_plugins(const char *path, const char *plugins)
{
    char text[256];
    snprintf(text, sizeof text, "version: 1\n" STAGES "plugins: %s\n", plugins);
    return parse_good(path, text);
}

static void trusts(const char *path, const char *plugins, enum gq_trust trust, const char *pins)
{
    struct gq_conf *c = with_plugins(path, plugins);
    ck_assert_int_eq(c->plugin_trust, trust);
    ck_assert_pstr_eq(c->plugin_pins, pins);
    gq_conf_destroy(c);
}

START_TEST(pinned_takes_the_pins_beside_the_file_unless_others_are_named)
{
    char folder[] = "/tmp/gpuq-config-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    struct gq_text path = {0}, pins = {0};
    gq_text_printf(&path, "%s/p.yaml", folder);
    gq_text_printf(&pins, "%s/plugins.sha256", folder);
    ck_assert_int_eq(gq_file_write_atomic(pins.data, "", 0, 0600), GQ_OK);
    trusts(path.data, "{}", GQ_TRUST_ANY, NULL);
    trusts(path.data, "{ trust: any }", GQ_TRUST_ANY, NULL);
    trusts(path.data, "{ trust: pinned }", GQ_TRUST_PINNED, pins.data);
    trusts(path.data, "{ pins: " PLUGIN " }", GQ_TRUST_PINNED, PLUGIN);
    trusts(path.data, "{ trust: pinned, pins: " PLUGIN " }", GQ_TRUST_PINNED, PLUGIN);
    struct gq_conf *any = with_plugins(path.data, "{}"), *pinned = with_plugins(path.data, "{ trust: pinned }");
    struct gq_conf *named = with_plugins(path.data, "{ pins: plugins.sha256 }");
    struct gq_text sections = {0};
    ck_assert(!gq_conf_differ(pinned, named, &sections));
    ck_assert(gq_conf_differ(any, pinned, &sections));
    ck_assert_str_eq(sections.data, "plugins");
    gq_conf_destroy(any);
    gq_conf_destroy(pinned);
    gq_conf_destroy(named);
    unlink(pins.data);
    rmdir(folder);
    gq_text_finish(&path);
    gq_text_finish(&pins);
    gq_text_finish(&sections);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error_of_its_own)
{
    struct gq_text errors = {0};
    struct gq_conf *conf = NULL;
    size_t count = 0;
    ck_assert_int_eq(gq_conf_load("/nowhere/p.yaml", &errors, &count, &conf), GQ_ERR_IO);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(errors.data, "/nowhere/p.yaml: error: No such file or directory\n");
    ck_assert_ptr_null(conf);
    gq_text_clear(&errors);
    ck_assert_int_eq(gq_conf_load("/dev/zero", &errors, &count, &conf), GQ_ERR_IO);
    gq_text_finish(&errors);
    gq_conf_destroy(NULL);
}
END_TEST

START_TEST(a_lane_takes_what_the_layout_says)
{
    struct gq_conf_lane_bytes lane = gq_conf_lane_bytes(8, 17); /* stride 32 */
    ck_assert_uint_eq(lane.ingress, GQ_HEAD_BYTES + 8 * 8 + 8 * 32);
    ck_assert_uint_eq(lane.egress, GQ_HEAD_BYTES + 8 * 16 + 8 * 32);
    lane = gq_conf_lane_bytes(GQ_CAPACITY_MAX, GQ_SLOT_BYTES_MAX);
    ck_assert_uint_gt(lane.ingress, (uint64_t)1 << 48);
}
END_TEST

/* What a default is written as must be a value of its own row, and every row a sentence. */
START_TEST(every_row_of_the_table_is_whole)
{
    for (size_t i = 0; i < gq_schema_count; i++) {
        const struct gq_schema_row *row = &gq_schema_rows[i];
        struct gq_text expected = {0};
        gq_schema_expected(row, &expected);
        ck_assert_msg(row->sentence && expected.len > 0, "%s", row->path);
        ck_assert_msg(!(row->required && row->fallback), "%s", row->path);
        ck_assert_msg(row->width <= 8 && row->min <= row->max, "%s", row->path);
        ck_assert_msg(row->width == 0 || row->width == 8 || row->max <= UINT32_MAX, "%s", row->path);
        ck_assert_msg(strlen(row->sentence) < 120 && row->sentence[strlen(row->sentence) - 1] != '.', "%s", row->path);
        gq_text_finish(&expected);
    }
}
END_TEST

START_TEST(what_is_printed_loads_again)
{
    struct gq_conf *c = parse_good(
        "t.yaml", "version: 1\nsource: { plugin: { path: " PLUGIN ", count: 3, first: 9, params: { a: 1 } } }\n" STAGES
                  "    params: { s: \"$${x} \\n\", f: 1e300 }\nsink: { file: { path: t.out, join: raw } }\n");
    struct gq_text once = {0}, twice = {0};
    gq_conf_print(c, &once);
    struct gq_conf *again = parse_good("t.yaml", once.data);
    gq_conf_print(again, &twice);
    ck_assert_str_eq(once.data, twice.data);
    ck_assert_str_eq(again->stages[0].params[0].string, "${x} \n");
    ck_assert_uint_eq(again->source.first, 9);
    gq_text_finish(&once);
    gq_text_finish(&twice);
    gq_conf_destroy(c);
    gq_conf_destroy(again);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_shortest_file_has_every_default,
                                  generate_has_its_defaults_and_its_values,
                                  every_way_of_waiting_has_its_name_and_grids_have_sizes,
                                  every_framing_has_its_name,
                                  every_source_and_sink_is_the_one_that_was_named,
                                  dead_letters_lie_beside_the_file_unless_the_program_takes_results,
                                  parameters_arrive_with_their_types,
                                  every_error_is_reported_in_the_order_of_the_file,
                                  the_error_record_names_the_first_and_counts_the_rest,
                                  a_hundred_errors_are_shown_and_the_others_counted,
                                  paths_are_relative_to_the_file_that_names_them,
                                  pinned_takes_the_pins_beside_the_file_unless_others_are_named,
                                  a_file_that_cannot_be_read_is_an_error_of_its_own,
                                  a_lane_takes_what_the_layout_says,
                                  every_row_of_the_table_is_whole,
                                  what_is_printed_loads_again};
    return RUN_CASES("config_conf", tests);
}
