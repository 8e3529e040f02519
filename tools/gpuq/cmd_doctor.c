#include "commands.h"
#include "refuse.h"
#include "doctor.h"
#include <gpuqueue/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/assert.h"
#include "base/error.h"

void doctor_add(struct doctor *d, enum doctor_grade grade, const char *name, const char *follows, const char *format,
                ...)
{
    gq_assert(d->count < DOCTOR_FINDINGS_MAX);
    struct doctor_finding *f = &d->findings[d->count++];
    *f = (struct doctor_finding){.grade = grade, .name = name, .follows = follows};
    va_list args;
    va_start(args, format);
    gq_text_vprintf(&f->text, format, args);
    va_end(args);
}

bool doctor_failed(const struct doctor *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->findings[i].name, name) == 0 && d->findings[i].grade == DOCTOR_FAIL)
            return true;
    return false;
}

static void examine(struct doctor *d)
{
    doctor_add(d, DOCTOR_OK, "version", NULL, "gpuqueue %s, API %d, layout %d, plugin ABI %d", GQ_VERSION,
               GQ_API_VERSION, GQ_LAYOUT_VERSION, GQ_PLUGIN_ABI);
    doctor_check_worker(d);
    doctor_check_compiler(d);
    doctor_check_system(d);
    doctor_check_jail(d);
    doctor_check_machine(d);
    doctor_check_cache(d);
    doctor_check_driver(d);
    doctor_check_nvrtc(d);
    doctor_check_jitlink(d);
    doctor_check_plugins(d);
    doctor_check_bus(d);
}

/* The backend that auto would take, NULL: none. */
static const char *ready_backend(const struct doctor *d)
{
    if (doctor_failed(d, "worker") || doctor_failed(d, "system") || doctor_failed(d, "cache"))
        return NULL;
    if (d->gpus && d->nvrtc)
        return "cuda";
    return doctor_failed(d, "compiler") ? NULL : "cpu";
}

static void print_lines(const struct doctor *d, const char *backend)
{
    static const char *const grades[] = {"ok", "note", "FAIL"};
    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        printf("%-5s %-10s %s\n", grades[f->grade], f->name, gq_text_str(&f->text));
        if (f->follows)
            printf("                 -> %s\n", f->follows);
    }
    if (backend)
        printf("Ready: backend=%s\n", backend);
    else
        printf("Not ready: no backend can run until the lines that say FAIL are mended\n");
}

static void print_json(const struct doctor *d, const char *backend)
{
    static const char *const grades[] = {"ok", "note", "fail"};
    struct gq_text out = {0};
    gq_text_printf(&out, "{\"ready\": %s, \"backend\": ", backend ? "true" : "false");
    if (backend)
        gq_text_json(&out, backend, strlen(backend));
    else
        gq_text_puts(&out, "null");
    gq_text_puts(&out, ", \"findings\": [");
    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = &d->findings[i];
        gq_text_printf(&out, "%s\n  {\"name\": \"%s\", \"grade\": \"%s\", \"text\": ", i ? "," : "", f->name,
                       grades[f->grade]);
        gq_text_json(&out, gq_text_str(&f->text), f->text.len);
        gq_text_puts(&out, ", \"follows\": ");
        if (f->follows)
            gq_text_json(&out, f->follows, strlen(f->follows));
        else
            gq_text_puts(&out, "null");
        gq_text_puts(&out, "}");
    }
    gq_text_puts(&out, "\n]}\n");
    fputs(gq_text_str(&out), stdout);
    gq_text_finish(&out);
}

int cmd_doctor(int argc, char **argv)
{
    bool json = false;
    const char *other = NULL;
    for (int i = argc - 1; i > 0; i--) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            other = argv[i];
    }
    if (other) {
        const gq_status status = gq_error_set(GQ_ERR_INVALID_ARG, "takes --json or nothing, got '%s'", other);
        if (json)
            gpuq_report_json(stdout, "{", status);
        return gpuq_report("doctor", status);
    }
    struct doctor d = {0};
    examine(&d);
    const char *backend = ready_backend(&d);
    (json ? print_json : print_lines)(&d, backend);
    for (size_t i = 0; i < d.count; i++)
        gq_text_finish(&d.findings[i].text);
    return backend ? 0 : gq_status_exit_code(GQ_ERR_UNAVAILABLE);
}
