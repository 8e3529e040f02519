#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "control/control.h"

/* Does `path` lie in `folder` or below it? Both are resolved. The folder itself does: what is wrong with it is not its
 * place. */
static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    if (n == 1) /* "/" */
        return true;
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The folder, resolved; false if it is not there. */
static bool resolve_folder(const char *folder, char out[PATH_MAX]) { return realpath(folder, out) != NULL; }

static bool resolve_folder_of(const char *plugin, char out[PATH_MAX])
{
    char *folder = gq_path_folder(plugin);
    bool found = folder && resolve_folder(folder, out);
    free(folder);
    return found;
}

/* Is `path` below the folder, which joins `all` if it is another one? */
static bool allows(const char *path, const char *folder, struct gq_text *all)
{
    struct gq_text entry = {0};
    gq_text_printf(&entry, "%s\n", folder);
    const char *seen = entry.failed ? NULL : strstr(gq_text_str(all), entry.data);
    if (!seen || (seen != all->data && seen[-1] != '\n'))
        gq_text_puts(all, gq_text_str(&entry));
    gq_text_finish(&entry);
    return lies_in(path, folder);
}

/* The path as the pipeline file writes it, if that is the same file: where a plugin is a symbolic link that is
 * replaced, the link is what must be read the next time. */
static const char *as_named(const struct gq_conf *conf, const char *resolved)
{
    char other[PATH_MAX];
    for (size_t i = 0; i < conf->stage_count; i++) {
        const char *plugin = conf->stages[i].plugin;
        if (!gq_builtin_name(plugin) && realpath(plugin, other) && strcmp(other, resolved) == 0)
            return plugin;
    }
    return resolved;
}

static bool lies_in_a_place(const struct gq_conf *conf, const char *resolved, struct gq_text *all)
{
    char folder[PATH_MAX];
    bool found = resolve_folder(conf->folder, folder) && allows(resolved, folder, all);
    for (size_t i = 0; i < conf->stage_count && !found; i++)
        found = !gq_builtin_name(conf->stages[i].plugin) && resolve_folder_of(conf->stages[i].plugin, folder) &&
                allows(resolved, folder, all);
    return found;
}

static gq_status refuse(const char *file, struct gq_text *folders)
{
    for (size_t i = 0; i + 1 < folders->len; i++)
        if (folders->data[i] == '\n')
            folders->data[i] = ',';
    if (folders->len)
        folders->data[folders->len - 1] = '\0';
    return gq_error_set(GQ_ERR_PLUGIN,
                        "%s lies in none of the plugin folders of this pipeline, which are the pipeline file's own and "
                        "those of the plugins that it names: %s",
                        file, gq_text_str(folders));
}

gq_status gq_places_check(const struct gq_conf *conf, const char *file, char out[PATH_MAX])
{
    char resolved[PATH_MAX];
    struct gq_text folders = {0};
    if (gq_builtin_name(file) && strlen(file) < PATH_MAX) {
        memcpy(out, file, strlen(file) + 1);
        return GQ_OK;
    }
    if (file[0] == '\0')
        return gq_error_set(GQ_ERR_INVALID_ARG, "the plugin's path is empty");
    if (file[0] != '/')
        return gq_error_set(GQ_ERR_INVALID_ARG, "the plugin's path %s is not absolute", file);
    if (!realpath(file, resolved))
        return gq_error_errno(GQ_ERR_PLUGIN, errno, "plugin %s", file);
    gq_status status = lies_in_a_place(conf, resolved, &folders) ? GQ_OK : refuse(file, &folders);
    const char *named = as_named(conf, resolved);
    if (status == GQ_OK && strlen(named) < PATH_MAX)
        memcpy(out, named, strlen(named) + 1);
    gq_text_finish(&folders);
    return status;
}
