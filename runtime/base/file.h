/* file.h - whole files, paths, and writes that either happen or do not. */
#ifndef GQ_BASE_FILE_H
#define GQ_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include "base/error.h"
#include "base/text.h"

/* Reads a regular file of at most `max` bytes into out->data (NUL-terminated, length in out->len). */
gq_status gq_file_read(const char *path, size_t max, struct gq_text *out);
/* Writes to a temporary name beside `path`, then renames: readers see the old bytes or the new ones. */
gq_status gq_file_write_atomic(const char *path, const void *bytes, size_t len, unsigned mode);
/* write(2) until done; errno is that of the write that failed. */
gq_status gq_file_write_all(int fd, const void *bytes, size_t len);
gq_status gq_file_make_folders(const char *path, unsigned mode);
bool gq_file_exists(const char *path); /* a regular file, readable */
/* Has anything this name, a folder or a link that leads nowhere too? GQ_ERR_IO: nobody knows. */
gq_status gq_file_look(const char *path, bool *there);
bool gq_file_same(const struct stat *a, const struct stat *b);
/* Is what the descriptor opened what the path names? */
bool gq_file_is_named(int fd, const char *path);

/* Allocated strings, NULL when memory ran out. */
char *gq_path_folder(const char *path);                   /* "a/b.c" -> "a"; "b.c" -> "." */
char *gq_path_join(const char *folder, const char *path); /* absolute `path` wins; "." adds nothing */
char *gq_path_absolute(const char *path);                 /* as it is, where the folder cannot be named */
char *gq_path_stem(const char *path);                     /* "a/b.golden.yaml" -> "b.golden" */

#endif
