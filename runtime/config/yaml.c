#include "config/yaml.h"
#include "base/assert.h"
#include "config/yaml_text.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* One reading: libyaml's events on one side, the open sequences and mappings on the other. */
struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    struct gq_problems *problems;
    struct gq_yaml *root;
    struct gq_yaml *open[GQ_YAML_DEPTH_MAX];
    unsigned depth, events;
    char *key; /* waits for its value */
    struct gq_mark key_mark;
    bool ended, broken, no_memory;
};

static struct gq_mark mark_of(yaml_mark_t m) { return (struct gq_mark){(unsigned)m.line + 1, (unsigned)m.column + 1}; }

static bool wants_key(const struct reader *r)
{
    return r->depth > 0 && r->open[r->depth - 1]->kind == GQ_YAML_MAPPING && !r->key;
}

/* Ends the reading with a problem: what is open stays incomplete. */
static void break_off(struct reader *r, struct gq_mark mark, const char *sentence)
{
    struct gq_text path = {0};
    if (r->depth)
        gq_yaml_path(r->open[r->depth - 1], &path);
    gq_problem_add(r->problems, mark, gq_text_str(&path), "%s", sentence);
    gq_text_finish(&path);
    r->broken = true;
}

static bool append(struct gq_yaml *parent, struct gq_yaml *node)
{
    if ((parent->count & (parent->count - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        size_t cap = parent->count ? parent->count * 2 : 1;
        struct gq_yaml **items = realloc(parent->items, cap * sizeof *items);
        if (!items)
            return false;
        parent->items = items;
    }
    node->parent = parent;
    node->index = parent->count;
    parent->items[parent->count++] = node;
    return true;
}

/* A new node in its place in the tree, under the key that waits. NULL: out of memory. */
static struct gq_yaml *place(struct reader *r, enum gq_yaml_kind kind, yaml_mark_t start)
{
    struct gq_yaml *node = calloc(1, sizeof *node);
    if (!node || (r->depth && !append(r->open[r->depth - 1], node))) {
        free(node);
        r->no_memory = true;
        return NULL;
    }
    node->kind = kind;
    node->mark = mark_of(start);
    node->key = r->key;
    node->key_mark = r->key ? r->key_mark : node->mark;
    r->key = NULL;
    if (!r->depth)
        r->root = node;
    return node;
}

static void refuse_decoration(struct reader *r, struct gq_yaml *node, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        gq_yaml_problem(r->problems, node, false,
                        "anchors ('&%.20s') are not supported: write the value out where it is used",
                        (const char *)anchor);
    if (tag)
        gq_yaml_problem(r->problems, node, false, "tags ('!') are not supported: leave it out, or quote the value");
    node->bad = anchor || tag;
}

static void take_key(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct gq_mark mark = mark_of(event->start_mark);
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        break_off(r, mark, "a key may have no anchor and no tag");
        return;
    }
    if (memchr(text, '\0', len)) {
        break_off(r, mark, "a key may not hold a NUL byte");
        return;
    }
    r->key = strdup(text);
    r->key_mark = mark;
    r->no_memory = !r->key;
}

static void take_scalar(struct reader *r, const yaml_event_t *event)
{
    if (wants_key(r)) {
        take_key(r, event);
        return;
    }
    struct gq_yaml *node = place(r, GQ_YAML_SCALAR, event->start_mark);
    if (!node)
        return;
    node->len = event->data.scalar.length;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = malloc(node->len + 1);
    if (!node->text) {
        r->no_memory = true;
        return;
    }
    memcpy(node->text, event->data.scalar.value, node->len);
    node->text[node->len] = '\0';
    refuse_decoration(r, node, event->data.scalar.anchor, event->data.scalar.tag);
}

static void take_alias(struct reader *r, const yaml_event_t *event)
{
    if (wants_key(r)) {
        break_off(r, mark_of(event->start_mark), "aliases ('*') are not supported: write the key out");
        return;
    }
    struct gq_yaml *node = place(r, GQ_YAML_SCALAR, event->start_mark);
    if (!node)
        return;
    gq_yaml_problem(r->problems, node, false, "aliases ('*%.20s') are not supported: write the value out, or quote it",
                    (const char *)event->data.alias.anchor);
    node->bad = true;
    node->text = strdup("");
    r->no_memory = !node->text;
}

static void open_node(struct reader *r, enum gq_yaml_kind kind, const yaml_event_t *event, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    if (wants_key(r)) {
        break_off(r, mark_of(event->start_mark), "a key is a word, not a list or a mapping: quote text in brackets");
        return;
    }
    if (r->depth == GQ_YAML_DEPTH_MAX) {
        break_off(r, mark_of(event->start_mark), "nested too deeply: 16 levels are allowed");
        return;
    }
    struct gq_yaml *node = place(r, kind, event->start_mark);
    if (!node)
        return;
    refuse_decoration(r, node, anchor, tag);
    r->open[r->depth++] = node;
}

static int by_key(const void *a, const void *b)
{
    const struct gq_yaml *x = *(struct gq_yaml *const *)a, *y = *(struct gq_yaml *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Sorted aside, so that a mapping of 25,000 keys costs no more than it should. */
static void refuse_duplicates(struct reader *r, const struct gq_yaml *mapping)
{
    struct gq_yaml **sorted = calloc(mapping->count + 1, sizeof *sorted);
    if (!sorted) {
        r->no_memory = true;
        return;
    }
    if (mapping->count)
        memcpy(sorted, mapping->items, mapping->count * sizeof *sorted);
    qsort(sorted, mapping->count, sizeof *sorted, by_key);
    for (size_t i = 1, first = 0; i < mapping->count; i++) {
        if (strcmp(sorted[first]->key, sorted[i]->key) != 0) {
            first = i;
            continue;
        }
        sorted[i]->bad = true;
        gq_yaml_problem(r->problems, sorted[i], true, "duplicate key, first given at line %u, column %u",
                        sorted[first]->key_mark.line, sorted[first]->key_mark.column);
    }
    free(sorted);
}

static void close_node(struct reader *r)
{
    gq_assert(r->depth > 0 && !r->key);
    const struct gq_yaml *node = r->open[--r->depth];
    if (node->kind == GQ_YAML_MAPPING)
        refuse_duplicates(r, node);
}

static void start_document(struct reader *r, const yaml_event_t *event)
{
    if (r->root)
        break_off(r, mark_of(event->start_mark), "a second document starts here: a file holds one");
    else if (event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
        break_off(r, mark_of(event->start_mark), "tags are not supported: leave the %TAG directive out");
}

static void take_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        take_scalar(r, event);
        break;
    case YAML_ALIAS_EVENT:
        take_alias(r, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_node(r, GQ_YAML_SEQUENCE, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        open_node(r, GQ_YAML_MAPPING, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_node(r);
        break;
    case YAML_DOCUMENT_START_EVENT:
        start_document(r, event);
        break;
    case YAML_STREAM_END_EVENT:
        r->ended = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    if (++r->events > GQ_YAML_EVENTS_MAX && !r->broken)
        break_off(r, mark_of(event->start_mark), "the file has too many values: 50000 events are allowed");
}

static void report_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        r->no_memory = true;
        return;
    }
    struct gq_mark mark = mark_of(p->problem_mark);
    struct gq_mark context = p->context ? mark_of(p->context_mark) : (struct gq_mark){0};
    bool says_nothing =
        (context.line == 1 && context.column == 1) || (context.line == mark.line && context.column == mark.column);
    if (says_nothing)
        context.line = 0;
    struct gq_text sentence = {0};
    gq_yaml_explain(&sentence, p->problem ? p->problem : "not YAML", gq_yaml_byte_at(r->text, r->len, mark), context);
    break_off(r, mark, gq_text_str(&sentence));
    gq_text_finish(&sentence);
}

/* What is still open lacks items; its keys so far are checked all the same. */
static void cut_open(struct reader *r)
{
    free(r->key);
    r->key = NULL;
    const struct gq_yaml *inner = r->depth ? r->open[r->depth - 1] : NULL;
    if (inner && inner->count && inner->items[inner->count - 1]->kind == GQ_YAML_SCALAR)
        inner->items[inner->count - 1]->bad = true; /* it may have swallowed what should have ended it */
    while (r->depth > 0) {
        r->open[r->depth - 1]->cut = true;
        close_node(r);
    }
    if (r->root)
        r->root->cut = true;
}

static void read_events(struct reader *r)
{
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->len);
    while (!r->ended && !r->broken && !r->no_memory) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) {
            report_syntax(r);
            break;
        }
        take_event(r, &event);
        yaml_event_delete(&event);
    }
    if (!r->ended)
        cut_open(r);
}

static bool check_text(const char **text, size_t *len, struct gq_problems *problems)
{
    if (*len >= 2 && (memcmp(*text, "\xff\xfe", 2) == 0 || memcmp(*text, "\xfe\xff", 2) == 0)) {
        gq_problem_add(problems, (struct gq_mark){1, 1}, "", "the file is UTF-16: save it as UTF-8");
        return false;
    }
    if (*len >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark is harmless, and no column */
        *text += 3;
        *len -= 3;
    }
    if (*len > GQ_YAML_BYTES_MAX) {
        gq_problem_add(problems, (struct gq_mark){0}, "", "the file is %zu bytes long, %u are allowed", *len,
                       GQ_YAML_BYTES_MAX);
        return false;
    }
    return gq_yaml_check_bytes(*text, *len, problems);
}

gq_status gq_yaml_read(const char *text, size_t len, struct gq_problems *problems, struct gq_yaml **root)
{
    gq_assert(text && problems && root);
    *root = NULL;
    size_t before = problems->count;
    if (!check_text(&text, &len, problems))
        return gq_error_set(GQ_ERR_CONFIG, "the text has errors");
    struct reader r = {.text = text, .len = len, .problems = problems};
    if (yaml_parser_initialize(&r.parser)) {
        read_events(&r);
        yaml_parser_delete(&r.parser);
    } else {
        r.no_memory = true;
    }
    *root = r.root;
    if (r.no_memory || problems->failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory while reading YAML");
    return problems->count == before ? GQ_OK : gq_error_set(GQ_ERR_CONFIG, "the text has errors");
}
