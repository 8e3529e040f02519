#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/file.h"
#include "config/read.h"

static bool refuse(struct gq_text *why, const char *path, const char *sentence)
{
    gq_text_puts(why, "'");
    gq_problem_show(why, path, strlen(path));
    gq_text_printf(why, "' %s", sentence);
    return false;
}

static bool refuse_errno(struct gq_text *why, const char *path, const char *verb, int err)
{
    gq_text_printf(why, "cannot %s '", verb);
    gq_problem_show(why, path, strlen(path));
    gq_text_printf(why, "': %s", strerror(err));
    return false;
}

static bool check_input(const char *path, bool regular, struct gq_text *why)
{
    struct stat info;
    if (stat(path, &info) != 0 || access(path, R_OK) != 0)
        return refuse_errno(why, path, "read", errno);
    if (S_ISDIR(info.st_mode))
        return refuse(why, path, "is a folder, a file was expected");
    if (regular && !S_ISREG(info.st_mode))
        return refuse(why, path, "is not a regular file");
    return true;
}

static bool check_folder(const char *path, struct gq_text *why)
{
    char *folder = gq_path_folder(path);
    struct stat info;
    if (!folder) {
        why->failed = true;
        return false;
    }
    bool good = true;
    if (stat(folder, &info) != 0 || access(folder, W_OK | X_OK) != 0)
        good = refuse_errno(why, folder, "write into the folder", errno);
    else if (!S_ISDIR(info.st_mode))
        good = refuse(why, folder, "is not a folder");
    free(folder);
    return good;
}

static bool check_output(const char *path, struct gq_text *why)
{
    struct stat info;
    if (path[strlen(path) - 1] == '/')
        return refuse(why, path, "is a folder, a file was expected");
    if (stat(path, &info) != 0)
        return errno == ENOENT ? check_folder(path, why) : refuse_errno(why, path, "write", errno);
    if (S_ISDIR(info.st_mode))
        return refuse(why, path, "is a folder, a file was expected");
    return access(path, W_OK) == 0 || refuse_errno(why, path, "write", errno);
}

/* One that an earlier run left there is replaced. */
static bool check_socket(const char *path, struct gq_text *why)
{
    struct stat info;
    const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    if (strlen(path) > most) {
        refuse(why, path, "");
        gq_text_printf(why, "is %zu bytes, and a socket's path has at most %zu", strlen(path), most);
        return false;
    }
    if (stat(path, &info) == 0)
        return S_ISSOCK(info.st_mode) || refuse(why, path, "is there already and is no socket");
    return check_output(path, why);
}

bool gq_path_check(const struct gq_schema_row *row, const char *path, struct gq_text *why)
{
    if (row->type == GQ_SCHEMA_OUTPUT)
        return check_output(path, why);
    if (row->type == GQ_SCHEMA_SOCKET)
        return check_socket(path, why);
    if (check_input(path, row->type == GQ_SCHEMA_PLUGIN, why))
        return true;
    if (row->make && access(path, F_OK) != 0 && errno == ENOENT) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        gq_text_printf(why, "; make it, in its folder: %s >>", row->make);
        gq_problem_show(why, name, strlen(name));
    }
    return false;
}

static bool same_place(const char *a, const char *b)
{
    char *x = gq_path_folder(a), *y = gq_path_folder(b);
    const char *p = strrchr(a, '/'), *q = strrchr(b, '/');
    struct stat in_x, in_y;
    bool same = x && y && strcmp(p ? p + 1 : a, q ? q + 1 : b) == 0 && stat(x, &in_x) == 0 && stat(y, &in_y) == 0 &&
                gq_file_same(&in_x, &in_y);
    free(x);
    free(y);
    return same;
}

bool gq_path_same(const char *a, const char *b)
{
    struct stat x, y;
    bool there_a = stat(a, &x) == 0, there_b = stat(b, &y) == 0;
    if (there_a != there_b)
        return false;
    if (there_a)
        return S_ISREG(x.st_mode) && gq_file_same(&x, &y);
    return same_place(a, b);
}
