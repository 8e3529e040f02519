#include "build/depends.h"
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add_path(const char *path, const char *leave_out, struct gq_text *out)
{
    char folder[PATH_MAX];
    size_t n = strlen(leave_out);
    if (strncmp(path, leave_out, n) == 0 && path[n] == '/')
        return;
    if (path[0] != '/' && getcwd(folder, sizeof folder))
        gq_text_printf(out, "%s/", folder);
    gq_text_add(out, path, strlen(path) + 1);
}

/* Reads one word of a rule; blanks and '#' are escaped by a backslash, '$' by another. Returns what follows it. */
static const char *read_word(const char *s, struct gq_text *word)
{
    gq_text_clear(word);
    while (*s && !isspace((unsigned char)*s)) {
        if (*s == '\\' && s[1] == '\n')
            break;
        if ((*s == '\\' && (s[1] == ' ' || s[1] == '#')) || (*s == '$' && s[1] == '$'))
            s++;
        gq_text_add(word, s++, 1);
    }
    return s;
}

void gq_depends_parse(const char *rule, const char *leave_out, struct gq_text *out)
{
    struct gq_text word = {0};
    const char *s = strstr(rule, ": ");
    s = s ? s + 1 : "";
    while (*s && *s != '\n') {
        if (*s == '\\' && s[1] == '\n') {
            s += 2;
        } else if (isspace((unsigned char)*s)) {
            s++;
        } else {
            s = read_word(s, &word);
            add_path(gq_text_str(&word), leave_out, out);
        }
    }
    gq_text_finish(&word);
}
