#include "build/scan.h"
#include "base/assert.h"
#include "base/file.h"
#include "build/caret.h"
#include "build/jail.h"
#include "build/source.h"
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 20
#define PARAMS_MAX 256
#define DEFAULT_TEXT_MAX 200

/* One file on its way through the scan. */
struct walk {
    struct gq_scan *scan;
    const struct gq_scan_file *file;
    struct gq_lexer lexer;
    struct gq_conditions conditions;
    unsigned depth;
    bool external, shared; /* the declaration at hand has `extern`, `__shared__`: in any order, with words between */
    bool defining;         /* the tokens at hand are those of a #define */
};

static void walk_file(struct gq_scan *scan, size_t index, enum gq_scan_target target, unsigned depth);

static void add_problem(struct walk *w, const struct gq_token *at, const char *sentence)
{
    struct gq_scan *scan = w->scan;
    if (scan->problem_count++ >= PROBLEMS_MAX)
        return;
    gq_text_printf(&scan->problems, "%s:%u:%u: error: %s\n", w->file->path, at->line, at->column, sentence);
    gq_caret_add(&scan->problems, w->file->text.data, w->file->text.len, at->line, at->column);
}

/* --- includes ----------------------------------------------------------------------------------------------------- */

static bool already_read(const struct gq_scan *scan, const char *path)
{
    return gq_scan_text(scan, path, strlen(path)) != NULL;
}

static void note_missing(struct gq_scan *scan, const char *path)
{
    if (scan->missing_count >= GQ_SCAN_FILES_MAX)
        return;
    gq_text_add(&scan->missing, path, strlen(path) + 1);
    scan->missing_count++;
}

/* The compiler is kept from files of other folders. This process must not show them in its messages either. */
static bool may_read(const struct gq_scan *scan, const char *path)
{
    char *plugins = gq_path_folder(scan->file[0].path);
    bool may = plugins && gq_jail_is_users(path, plugins);
    free(plugins);
    return may;
}

/* Reads folder/name, once. False if there is no such file. */
static bool follow_in(struct walk *w, const char *folder, const char *name)
{
    struct gq_scan *scan = w->scan;
    char *path = gq_path_join(folder, name);
    bool room = scan->file_count < GQ_SCAN_FILES_MAX && w->depth < GQ_SCAN_DEPTH_MAX;
    bool found = path && (already_read(scan, path) || gq_file_exists(path));
    bool fresh = found && !already_read(scan, path);
    bool readable = fresh && room && may_read(scan, path);
    if (fresh && !readable)
        scan->open_ended = true;
    if (readable) {
        size_t index = scan->file_count;
        struct gq_scan_file *file = &scan->file[index];
        if (gq_file_read(path, GQ_SOURCE_BYTES_MAX, &file->text) == GQ_OK) {
            gq_source_skip_mark(&file->text);
            file->path = path;
            path = NULL;
            scan->file_count++;
            walk_file(scan, index, w->conditions.target, w->depth + 1);
        } else {
            gq_text_finish(&file->text);
            scan->open_ended = true;
        }
    }
    if (path && !found)
        note_missing(scan, path);
    free(path);
    return found;
}

/* A header beside the file that includes it, else beside the plugin. One that is not there, false, is the compiler's to
 * find or to report. */
static bool follow(struct walk *w, const char *name, size_t len, bool quoted)
{
    char *beside = gq_path_folder(w->file->path), *plugins = gq_path_folder(w->scan->file[0].path);
    char *relative = strndup(name, len);
    bool found = false;
    if (beside && plugins && relative)
        found = (quoted && follow_in(w, beside, relative)) || follow_in(w, plugins, relative);
    free(beside);
    free(plugins);
    free(relative);
    return found;
}

static void include_line(struct walk *w)
{
    size_t start = w->lexer.at;
    struct gq_token t = gq_lex_next(&w->lexer);
    if (t.first || t.len == 0)
        return;
    const char *name = t.text + 1, *end = w->lexer.text + w->lexer.len;
    char closing = *t.text == '<' ? '>' : '"';
    const char *close = (*t.text == '<' || *t.text == '"') ? memchr(name, closing, (size_t)(end - name)) : NULL;
    const char *newline = memchr(name, '\n', (size_t)(end - name));
    if (close && (!newline || close < newline)) {
        size_t len = (size_t)(close - name);
        const bool cpu = w->conditions.target == GQ_SCAN_CPU, quoted = closing == '"';
        const bool found = (quoted || !cpu) && follow(w, name, len, quoted); /* a GPU's -I serves both */
        const char *sentence = cpu && !found ? gq_refuse_header(name, len) : NULL;
        if (sentence)
            add_problem(w, &t, sentence);
    } else {
        w->scan->open_ended = true;
    }
    w->lexer.at = start;
    gq_lex_skip_line(&w->lexer);
}

/* --- directives --------------------------------------------------------------------------------------------------- */

/* After a '#' that begins a line. The body of a #define is read on as code is. */
static void directive(struct walk *w)
{
    struct gq_lexer before = w->lexer;
    struct gq_token name = gq_lex_next(&w->lexer);
    if (name.first || name.kind != GQ_TOKEN_WORD) { /* an empty directive */
        w->lexer = before;
        return;
    }
    if (gq_condition_directive(&w->conditions, &name, &w->lexer))
        return;
    bool live = gq_condition_live(&w->conditions);
    if (live && gq_token_is(&name, "include"))
        include_line(w);
    else if (live && gq_token_is(&name, "define")) {
        gq_lex_next(&w->lexer);
        w->defining = true;
    } else {
        const bool includes = gq_token_is(&name, "include_next") || gq_token_is(&name, "import");
        w->scan->open_ended = w->scan->open_ended || (live && includes);
        gq_lex_skip_line(&w->lexer);
    }
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static bool known_param(const struct gq_scan *scan, const struct gq_token *name)
{
    for (size_t i = 0; i < scan->param_count; i++)
        if (gq_token_is(name, scan->params[i].name))
            return true;
    return false;
}

static bool grow_params(struct gq_scan *scan)
{
    if (scan->param_count % 16 != 0)
        return true;
    struct gq_plugin_param *more = realloc(scan->params, (scan->param_count + 16) * sizeof *more);
    if (more)
        scan->params = more;
    return more != NULL;
}

static void add_param(struct walk *w, const struct gq_token *name, const char *text, size_t len)
{
    struct gq_scan *scan = w->scan;
    if (known_param(scan, name) || scan->param_count >= PARAMS_MAX || !grow_params(scan))
        return;
    struct gq_plugin_param p = {.line = name->line, .column = name->column};
    p.name = strndup(name->text, name->len);
    p.default_text = strndup(text, len < DEFAULT_TEXT_MAX ? len : DEFAULT_TEXT_MAX);
    if (p.name && p.default_text)
        scan->params[scan->param_count++] = p;
    else
        free(p.name), free(p.default_text);
}

/* Steps to the parenthesis that closes, and returns the end of the last token before it; NULL if there is none. */
static const char *skip_to_close(struct gq_lexer *lexer)
{
    const char *end = NULL;
    for (unsigned depth = 1;;) {
        struct gq_token t = gq_lex_next(lexer);
        if (t.kind == GQ_TOKEN_END)
            return NULL;
        depth += gq_token_is(&t, "(");
        depth -= gq_token_is(&t, ")");
        if (depth == 0)
            return end;
        end = t.text + t.len;
    }
}

/* After the word GQ_PARAM: (name, default). The lexer stays where it is, so that the default is read as code too. */
static void param(struct walk *w)
{
    struct gq_lexer ahead = w->lexer;
    struct gq_token open = gq_lex_next(&ahead), name = gq_lex_next(&ahead), comma = gq_lex_next(&ahead);
    if (!gq_token_is(&open, "(") || name.kind != GQ_TOKEN_WORD || !gq_token_is(&comma, ","))
        return;
    struct gq_lexer value = ahead;
    const char *start = gq_lex_next(&value).text, *end = skip_to_close(&ahead);
    if (gq_token_is(&name, "PICK") || gq_token_is(&name, "PICK_"))
        add_problem(w, &name, "a parameter cannot have this name, which plugin.h uses; choose another");
    else if (end && end > start)
        add_param(w, &name, start, (size_t)(end - start));
}

/* --- words -------------------------------------------------------------------------------------------------------- */

/* A declaration ends here, or `extern` was that of extern "C". */
static bool ends_declaration(const struct walk *w, const struct gq_token *t)
{
    return gq_token_is(t, ";") || gq_token_is(t, "{") || gq_token_is(t, "}") || t->kind == GQ_TOKEN_STRING ||
           (t->first && (w->defining || gq_token_is(t, "#")));
}

static const char *refuse_shared(struct walk *w, const struct gq_token *t)
{
    const bool external = gq_token_is(t, "extern"), shared = gq_token_is(t, "__shared__");
    const bool both = (external && w->shared) || (shared && w->external);
    w->external = w->external || external;
    w->shared = w->shared || shared;
    return both ? "extern __shared__ needs a launch that gives its size; declare an array of a fixed size: __shared__ "
                  "T name[N]"
                : NULL;
}

static void word(struct walk *w, const struct gq_token *t)
{
    struct gq_scan *scan = w->scan;
    if (gq_token_is(t, "GQ_PARAM"))
        param(w);
    scan->defines_process = scan->defines_process || gq_token_is(t, "process_message");
    scan->defines_generate = scan->defines_generate || gq_token_is(t, "generate_message");
    if (w->conditions.target != GQ_SCAN_CPU)
        return;
    struct gq_lexer ahead = w->lexer;
    struct gq_token next = gq_lex_next(&ahead);
    const char *sentence = gq_refuse_word(t, &next);
    if (!sentence)
        sentence = refuse_shared(w, t);
    if (sentence)
        add_problem(w, t, sentence);
}

/* <<< is no C++: it starts a kernel. */
static void mark(struct walk *w, const struct gq_token *t)
{
    bool launch = w->conditions.target == GQ_SCAN_CPU && gq_token_is(t, "<") && strncmp(t->text, "<<<", 3) == 0;
    if (!launch)
        return;
    add_problem(
        w, t,
        "a plugin cannot start kernels; do the work in process_message, with GQ_SCOPE(block, N) if it needs threads");
    gq_lex_next(&w->lexer);
    gq_lex_next(&w->lexer);
}

static void walk_file(struct gq_scan *scan, size_t index, enum gq_scan_target target, unsigned depth)
{
    struct walk w = {.scan = scan, .file = &scan->file[index], .depth = depth};
    w.conditions.target = target;
    scan->open_ended = scan->open_ended || memmem(gq_text_str(&w.file->text), w.file->text.len, "__has_include", 13);
    gq_lex_start(&w.lexer, w.file->text.data, w.file->text.len);
    for (;;) {
        struct gq_token t = gq_lex_next(&w.lexer);
        if (t.kind == GQ_TOKEN_END)
            return;
        if (ends_declaration(&w, &t))
            w.external = w.shared = false;
        if (t.first)
            w.defining = false;
        if (t.first && gq_token_is(&t, "#"))
            directive(&w);
        else if (gq_condition_live(&w.conditions) && t.kind == GQ_TOKEN_WORD)
            word(&w, &t);
        else if (gq_condition_live(&w.conditions) && t.kind == GQ_TOKEN_MARK)
            mark(&w, &t);
    }
}

/* The CPU backend refuses machine code, and a GPU's is described by itself. */
static gq_status scan_machine(const char *path, enum gq_scan_target target, struct gq_scan *out)
{
    if (target == GQ_SCAN_CPU)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "plugin %s is %s, machine code for a GPU, which the CPU backend cannot run; give the .cu, or "
            "run it on a GPU with --backend cuda",
            path, out->origin == GQ_ORIGIN_PTX ? "PTX" : "a cubin");
    gq_status status = gq_machine_read(path, out->origin, &out->file[0].text, &out->machine);
    out->defines_process = out->machine.process;
    out->defines_generate = out->machine.generate;
    return status;
}

gq_status gq_scan_plugin(const char *path, enum gq_scan_target target, struct gq_scan *out)
{
    memset(out, 0, sizeof *out);
    gq_status status = gq_source_read(path, &out->file[0].text, &out->origin);
    if (status != GQ_OK)
        return status;
    out->file[0].path = strdup(path);
    if (!out->file[0].path)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    out->file_count = 1;
    if (out->origin != GQ_ORIGIN_SOURCE)
        return scan_machine(path, target, out);
    walk_file(out, 0, target, 0);
    if (out->problem_count > PROBLEMS_MAX)
        gq_text_printf(&out->problems, "%s: %zu more errors like these\n", path, out->problem_count - PROBLEMS_MAX);
    return out->problem_count ? gq_error_set(GQ_ERR_PLUGIN, "%s", gq_text_str(&out->problems)) : GQ_OK;
}

void gq_scan_finish(struct gq_scan *scan)
{
    gq_plugin_params_destroy(scan->params, scan->param_count);
    for (size_t i = 0; i < GQ_SCAN_FILES_MAX; i++) {
        free(scan->file[i].path);
        gq_text_finish(&scan->file[i].text);
    }
    gq_text_finish(&scan->missing);
    gq_text_finish(&scan->problems);
    memset(scan, 0, sizeof *scan);
}

const struct gq_text *gq_scan_text(const struct gq_scan *scan, const char *path, size_t len)
{
    for (size_t i = 0; i < scan->file_count; i++)
        if (strlen(scan->file[i].path) == len && memcmp(scan->file[i].path, path, len) == 0)
            return &scan->file[i].text;
    return NULL;
}
