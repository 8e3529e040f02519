#include "build/pin.h"
#include "base/digest.h"
#include "base/file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PINS_BYTES_MAX (1u << 20)
#define HEX_DIGITS 64

static void digest_file(const struct gq_scan_file *file, char hex[GQ_DIGEST_HEX])
{
    uint8_t raw[32];
    gq_digest_bytes(gq_text_str(&file->text), file->text.len, raw);
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

/* --- who may write --------------------------------------------------------------------------------------------------
 */

static gq_status refuse_writable(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return gq_error_errno(GQ_ERR_PLUGIN, errno, "%s", path);
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return gq_error_set(GQ_ERR_PLUGIN, "%s can be written by others, and plugins are pinned; run: chmod go-w %s",
                            path, path);
    return GQ_OK;
}

static gq_status refuse_writable_folder_of(const char *path)
{
    char *folder = gq_path_folder(path);
    gq_status status = folder ? refuse_writable(folder) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    free(folder);
    return status;
}

/* Of a link both folders count: in the one the link is replaced, in the other what it leads to. */
static gq_status refuse_writable_file(const char *path)
{
    char real[PATH_MAX];
    gq_status status = refuse_writable(path);
    if (status == GQ_OK)
        status = refuse_writable_folder_of(path);
    if (status == GQ_OK && !realpath(path, real))
        status = gq_error_errno(GQ_ERR_PLUGIN, errno, "%s", path);
    return status == GQ_OK ? refuse_writable_folder_of(real) : status;
}

/* --- the file of pins -----------------------------------------------------------------------------------------------
 */

struct pin {
    char hex[GQ_DIGEST_HEX];
    char path[PATH_MAX]; /* as written */
};

/* A line as sha256sum writes it, of text or, with '*', of binary. */
static bool read_pin(const char *line, size_t len, struct pin *out)
{
    if (len < HEX_DIGITS + 3 || line[len - 1] == '\r' || len - HEX_DIGITS - 2 >= PATH_MAX ||
        strspn(line, "0123456789abcdef") != HEX_DIGITS || line[HEX_DIGITS] != ' ' ||
        !strchr(" *", line[HEX_DIGITS + 1]))
        return false;
    snprintf(out->hex, sizeof out->hex, "%.*s", HEX_DIGITS, line);
    snprintf(out->path, sizeof out->path, "%.*s", (int)(len - HEX_DIGITS - 2), line + HEX_DIGITS + 2);
    return true;
}

static bool is_remark(const char *line, size_t len)
{
    const size_t blanks = strspn(line, " \t\r");
    return blanks >= len || line[blanks] == '#';
}

/* The next line that is a pin, from *at on; false after the last. */
static bool next_pin(const char **at, struct pin *out)
{
    while (**at) {
        const char *line = *at, *end = strchrnul(line, '\n');
        *at = end + (*end == '\n');
        if (!is_remark(line, (size_t)(end - line)) && read_pin(line, (size_t)(end - line), out))
            return true;
    }
    return false;
}

static const char *why_no_pin(const char *line, size_t len, bool first)
{
    if (first && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        return "it begins with a byte order mark; write the file as plain UTF-8 without one";
    if (len > 0 && line[len - 1] == '\r')
        return "it ends in a carriage return, and lines end in a newline alone; dos2unix converts the file";
    return "expected 64 digits 0 to 9 and a to f, two blanks and a path, as gpuq plugin pin FILE.cu prints them, or # "
           "and a remark";
}

/* A line that is none pins nothing: whoever wrote it meant it to, and is told so. A NUL would end the text for us
 * alone. */
static gq_status check_lines(const char *pins, const struct gq_text *text)
{
    static _Thread_local struct pin pin;
    unsigned number = 1;
    const char *line = gq_text_str(text), *last = line + text->len;
    for (const char *end; line < last; line = end + 1, number++) {
        const size_t left = (size_t)(last - line);
        end = memchr(line, '\n', left);
        end = end ? end : last;
        const size_t len = (size_t)(end - line);
        if (!memchr(line, '\0', len) && (is_remark(line, len) || read_pin(line, len, &pin)))
            continue;
        return gq_error_set(GQ_ERR_PLUGIN, "%s:%u:1: error: this line is no pin: %s", pins, number,
                            why_no_pin(line, len, number == 1));
    }
    return GQ_OK;
}

static bool names(const char *folder, const char *written, const char *real)
{
    char other[PATH_MAX];
    char *path = gq_path_join(folder, written);
    bool same = path && realpath(path, other) && strcmp(other, real) == 0;
    free(path);
    return same;
}

/* True: this file is pinned, to out->hex. A file may have several pins, one for each version that may run: of these the
 * one for `hex` counts, else the last. */
static bool find_pin(const char *text, const char *folder, const char *path, const char *hex, struct pin *out)
{
    static _Thread_local struct pin pin;
    char real[PATH_MAX];
    bool found = false;
    if (!realpath(path, real))
        return false;
    while (next_pin(&text, &pin)) {
        if (!names(folder, pin.path, real))
            continue;
        *out = pin;
        found = true;
        if (strcmp(pin.hex, hex) == 0)
            break;
    }
    return found;
}

static gq_status check_file(const char *pins, const char *text, const char *folder, const struct gq_scan_file *file,
                            const char *plugin)
{
    static _Thread_local struct pin pin;
    char hex[GQ_DIGEST_HEX];
    digest_file(file, hex);
    if (!find_pin(text, folder, file->path, hex, &pin))
        return gq_error_set(GQ_ERR_PLUGIN, "%s has no pin in %s; if you trust it, add what gpuq plugin pin %s prints",
                            file->path, pins, plugin);
    if (strcmp(pin.hex, hex) != 0)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "%s has the SHA-256 %s, and %s pins it to %s; if you trust it, pin it anew: gpuq plugin pin %s", file->path,
            hex, pins, pin.hex, plugin);
    return refuse_writable_file(file->path);
}

gq_status gq_pins_check(const char *pins, const struct gq_scan *scan)
{
    struct gq_text text = {0};
    const char *plugin = scan->file[0].path;
    if (gq_builtin_name(plugin))
        return GQ_OK;
    char *folder = gq_path_folder(pins);
    gq_status status =
        folder ? gq_file_read(pins, PINS_BYTES_MAX, &text) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    if (status == GQ_ERR_IO)
        status = gq_error_prefix(GQ_ERR_PLUGIN, "plugins are pinned, and the pins cannot be read: ");
    if (status == GQ_OK)
        status = refuse_writable_file(pins);
    if (status == GQ_OK)
        status = check_lines(pins, &text);
    for (size_t i = 0; i < scan->file_count && status == GQ_OK; i++)
        status = check_file(pins, gq_text_str(&text), folder, &scan->file[i], plugin);
    if (status == GQ_OK && scan->open_ended)
        status =
            gq_error_set(GQ_ERR_PLUGIN,
                         "%s includes what its text does not name (by a macro, __has_include, include_next, import, "
                         "or from another folder), and plugins are pinned; write #include \"FILE\", with FILE below "
                         "the plugin's folder",
                         plugin);
    gq_text_finish(&text);
    free(folder);
    return status;
}

/* --- headers as they were read --------------------------------------------------------------------------------------
 */

static gq_status make_parents(const char *path)
{
    char *parent = gq_path_folder(path);
    gq_status status = parent ? gq_file_make_folders(parent, 0700) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    free(parent);
    return status;
}

/* A header that is a link in the plugin's folder, or lies in one, is included by that name. */
static gq_status link_as_named(const char *path, const char *plugin_folder, const char *folder, const char *copy)
{
    char named[2 * PATH_MAX];
    size_t len = strlen(plugin_folder);
    if (strncmp(path, plugin_folder, len) == 0 && path[len] == '/')
        path += len + 1;
    if (*path == '/' || strstr(path, ".."))
        return GQ_OK;
    snprintf(named, sizeof named, "%s/%s", folder, path);
    gq_status status = make_parents(named);
    if (status == GQ_OK && link(copy, named) != 0 && errno != EEXIST)
        status = gq_error_errno(GQ_ERR_IO, errno, "%s", named);
    return status;
}

static gq_status copy_header(const struct gq_scan_file *file, const char *root, const char *plugin_folder,
                             const char *folder)
{
    char real[PATH_MAX], to[2 * PATH_MAX];
    size_t len = strlen(root);
    if (!realpath(file->path, real) || strncmp(real, root, len) != 0 || real[len] != '/')
        return gq_error_set(GQ_ERR_PLUGIN,
                            "%s lies outside of the plugin's folder, and plugins are pinned; put it below %s",
                            file->path, root);
    snprintf(to, sizeof to, "%s%s", folder, real + len);
    gq_status status = make_parents(to);
    if (status == GQ_OK)
        status = gq_file_write_atomic(to, gq_text_str(&file->text), file->text.len, 0600);
    return status == GQ_OK ? link_as_named(file->path, plugin_folder, folder, to) : status;
}

gq_status gq_pins_copy_headers(const struct gq_scan *scan, const char *plugin_folder, const struct gq_scratch *scratch)
{
    char root[PATH_MAX];
    gq_status status =
        realpath(plugin_folder, root) ? GQ_OK : gq_error_errno(GQ_ERR_PLUGIN, errno, "%s", plugin_folder);
    gq_scratch_empty(scratch);
    for (size_t i = 1; i < scan->file_count && status == GQ_OK; i++)
        status = copy_header(&scan->file[i], root, plugin_folder, scratch->folder);
    return status;
}

/* --- making pins ----------------------------------------------------------------------------------------------------
 */

static bool has_line(const struct gq_text *lines, const char *path)
{
    struct gq_text end = {0};
    gq_text_printf(&end, "  %s\n", path);
    bool has = strstr(gq_text_str(lines), gq_text_str(&end)) != NULL;
    gq_text_finish(&end);
    return has;
}

/* The rest of a name with a newline would be a line of its own, and may read as a pin of another file. */
static gq_status refuse_newline(const char *path)
{
    return strchr(path, '\n')
               ? gq_error_set(GQ_ERR_PLUGIN, "a file whose name or folder's name has a newline in it cannot be pinned, "
                                             "for a pin is a line; rename it")
               : GQ_OK;
}

static gq_status print_files(const char *path, enum gq_scan_target target, struct gq_text *out)
{
    struct gq_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    gq_status status = gq_scan_plugin(path, target, scan), named = GQ_OK;
    for (size_t i = 0; i < scan->file_count && named == GQ_OK; i++)
        named = refuse_newline(scan->file[i].path);
    for (size_t i = 0; i < scan->file_count && named == GQ_OK; i++) {
        char hex[GQ_DIGEST_HEX];
        digest_file(&scan->file[i], hex);
        if (!has_line(out, scan->file[i].path))
            gq_text_printf(out, "%s  %s\n", hex, scan->file[i].path);
    }
    gq_scan_finish(scan);
    free(scan);
    return named == GQ_OK ? status : named;
}

gq_status gq_pins_print(const char *path, struct gq_text *out)
{
    gq_status status = print_files(path, GQ_SCAN_CUDA, out);
    if (status == GQ_OK)
        (void)print_files(path, GQ_SCAN_CPU, out); /* which may not run it, and may read other headers */
    return status;
}
