#include "build/cache.h"
#include "base/file.h"
#include "build/compiler.h"
#include "build/embedded.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_BYTES_MAX (160u << 20)
#define HEADER_BYTES_MAX (64u << 20)
#define SUFFIX ".gpuq"

/* --- where -------------------------------------------------------------------------------------------------------- */

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void gq_cache_locate(const char *chosen, struct gq_text *folder)
{
    const char *own = from_environment("GPUQ_CACHE"), *xdg = from_environment("XDG_CACHE_HOME"),
               *home = from_environment("HOME");
    gq_text_clear(folder);
    if (chosen)
        gq_text_puts(folder, chosen);
    else if (own)
        gq_text_puts(folder, strcmp(own, "off") == 0 ? "" : own);
    else if (xdg && xdg[0] == '/')
        gq_text_printf(folder, "%s/gpuqueue", xdg);
    else if (home && home[0] == '/')
        gq_text_printf(folder, "%s/.cache/gpuqueue", home);
}

gq_status gq_cache_prepare(const char *folder)
{
    struct stat info;
    gq_status status = gq_file_make_folders(folder, 0700);
    if (status != GQ_OK)
        return gq_error_prefix(status, "the cache of compiled plugins: ");
    if (stat(folder, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "the cache of compiled plugins: %s", folder);
    if (!S_ISDIR(info.st_mode))
        return gq_error_set(GQ_ERR_IO, "the cache of compiled plugins: %s is no folder", folder);
    if (info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)))
        return gq_error_set(
            GQ_ERR_UNAVAILABLE,
            "the cache folder %s can be written by others, and what lies there is run; chmod go-w it, or set "
            "GPUQ_CACHE to another folder or to off",
            folder);
    return access(folder, W_OK | X_OK) == 0 ? GQ_OK : gq_error_errno(GQ_ERR_IO, errno, "the cache folder %s", folder);
}

static void name_entry(const char *folder, const char *key, struct gq_text *path)
{
    gq_text_printf(path, "%s/%s" SUFFIX, folder, key);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

bool gq_cache_headers_settled(const char *headers, size_t len, const struct timespec *start, struct gq_text *stamps)
{
    bool settled = true;
    for (const char *path = headers; path < headers + len; path += strlen(path) + 1) {
        struct stat info = {0};
        if (stat(path, &info) == 0 && is_before(&info.st_mtim, start))
            continue;
        gq_text_printf(stamps, "%s %lld.%09ld\n", path, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
        settled = false;
    }
    return settled && !stamps->failed;
}

static bool digest_file(const char *path, struct gq_text *bytes, uint8_t digest[32])
{
    if (gq_file_read(path, HEADER_BYTES_MAX, bytes) != GQ_OK)
        return false;
    gq_digest_bytes(gq_text_str(bytes), bytes->len, digest);
    return true;
}

bool gq_cache_digest_headers(const char *headers, size_t len, struct gq_text *digests, uint32_t *count)
{
    struct gq_text bytes = {0};
    bool fine = true;
    *count = 0;
    for (const char *path = headers; fine && path < headers + len; path += strlen(path) + 1) {
        uint8_t digest[32];
        fine = ++*count <= GQ_ENTRY_HEADERS_MAX && digest_file(path, &bytes, digest);
        if (fine)
            gq_text_add(digests, digest, sizeof digest);
    }
    gq_text_finish(&bytes);
    return fine && !digests->failed;
}

static bool headers_hold(const struct gq_entry *e)
{
    struct gq_text digests = {0};
    uint32_t count;
    bool terminated = e->headers_len == 0 || e->headers[e->headers_len - 1] == '\0';
    bool hold = terminated && gq_cache_digest_headers(e->headers, e->headers_len, &digests, &count) &&
                count == e->header_count && memcmp(gq_text_str(&digests), e->header_digests, (size_t)count * 32) == 0;
    gq_text_finish(&digests);
    return hold;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

void gq_cache_key_start(struct gq_digest *d, const char *program, uint32_t arch)
{
    gq_digest_start(d);
    gq_digest_part(d, "release", GQ_VERSION, strlen(GQ_VERSION));
    gq_digest_part(d, "arch", &arch, sizeof arch);
    for (size_t i = 0; i < gq_embedded_count; i++)
        gq_digest_part(d, gq_embedded[i].name, gq_embedded[i].bytes, gq_embedded[i].len);
    gq_compiler_digest(program, d);
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

bool gq_cache_get(const char *folder, const char *key, struct gq_text *bytes, struct gq_entry *out)
{
    struct gq_text path = {0};
    name_entry(folder, key, &path);
    bool found = !path.failed && gq_file_read(path.data, ENTRY_BYTES_MAX, bytes) == GQ_OK &&
                 gq_entry_unpack(bytes->data, bytes->len, out) && headers_hold(out);
    gq_text_finish(&path);
    return found;
}

gq_status gq_cache_put(const char *folder, const char *key, const struct gq_entry *entry)
{
    struct gq_text path = {0}, bytes = {0};
    name_entry(folder, key, &path);
    gq_entry_pack(entry, &bytes);
    gq_status status = path.failed || bytes.failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a cache entry")
                                                   : gq_file_write_atomic(path.data, bytes.data, bytes.len, 0600);
    gq_text_finish(&path);
    gq_text_finish(&bytes);
    return status;
}

/* --- listing, clearing -------------------------------------------------------------------------------------------- */

/* KEY.gpuq, or KEY.gpuq.XXXXXX, which an interrupted writer left. */
static bool is_entry_name(const char *name, bool *whole)
{
    size_t n = strspn(name, "0123456789abcdef");
    if (n != GQ_DIGEST_HEX - 1 || strncmp(name + n, SUFFIX, strlen(SUFFIX)) != 0)
        return false;
    const char *rest = name + n + strlen(SUFFIX);
    *whole = *rest == '\0';
    return *whole || (*rest == '.' && strlen(rest) == 7);
}

static bool show_entry(const char *folder, const char *name, const struct stat *info,
                       bool (*each)(const struct gq_cache_item *item, void *context), void *context)
{
    char key[GQ_DIGEST_HEX] = {0};
    struct gq_text path = {0}, bytes = {0};
    struct gq_entry entry;
    memcpy(key, name, GQ_DIGEST_HEX - 1);
    gq_text_printf(&path, "%s/%s", folder, name);
    bool whole = gq_file_read(gq_text_str(&path), ENTRY_BYTES_MAX, &bytes) == GQ_OK &&
                 gq_entry_unpack(bytes.data, bytes.len, &entry);
    const struct gq_cache_item item = {.key = key,
                                       .plugin = whole ? entry.plugin : "(damaged)",
                                       .bytes = (uint64_t)info->st_size,
                                       .written = info->st_mtime};
    bool more = each(&item, context);
    gq_text_finish(&path);
    gq_text_finish(&bytes);
    return more;
}

static gq_status open_folder(const char *folder, DIR **out)
{
    *out = opendir(folder);
    if (*out || errno == ENOENT)
        return GQ_OK;
    return gq_error_errno(GQ_ERR_IO, errno, "the cache folder %s", folder);
}

gq_status gq_cache_list(const char *folder, bool (*each)(const struct gq_cache_item *item, void *context),
                        void *context)
{
    DIR *dir;
    gq_status status = open_folder(folder, &dir);
    bool whole, more = true;
    for (struct dirent *d; dir && more && (d = readdir(dir)) != NULL;) {
        struct stat info;
        if (is_entry_name(d->d_name, &whole) && whole &&
            fstatat(dirfd(dir), d->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
            more = show_entry(folder, d->d_name, &info, each, context);
    }
    if (dir)
        closedir(dir);
    return status;
}

gq_status gq_cache_clear(const char *folder, uint32_t *entries, uint64_t *bytes)
{
    DIR *dir;
    *entries = 0;
    *bytes = 0;
    gq_status status = open_folder(folder, &dir);
    bool whole;
    for (struct dirent *d; dir && status == GQ_OK && (d = readdir(dir)) != NULL;) {
        struct stat info;
        if (!is_entry_name(d->d_name, &whole) || fstatat(dirfd(dir), d->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (unlinkat(dirfd(dir), d->d_name, 0) != 0 && errno != ENOENT)
            status = gq_error_errno(GQ_ERR_IO, errno, "removing %s/%s", folder, d->d_name);
        *entries += whole;
        *bytes += (uint64_t)info.st_size;
    }
    if (dir)
        closedir(dir);
    return status;
}
