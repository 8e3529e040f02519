/* replay SECONDS FOLDER... - gives every file of the folders to a fuzz target, and fails when one takes longer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/file.h"
#include "fuzz.h"

#define INPUT_BYTES_MAX (8u << 20)

static unsigned long seconds_max;

static int replay_file(const char *path)
{
    struct gq_text text = {0};
    if (gq_file_read(path, INPUT_BYTES_MAX, &text) != GQ_OK) {
        fprintf(stderr, "%s\n", gq_error_text());
        return 1;
    }
    /* A copy without the NUL byte that gq_text keeps, so that a sanitizer sees reading past the end. */
    uint8_t *bytes = malloc(text.len ? text.len : 1);
    if (!bytes)
        return 1;
    memcpy(bytes, gq_text_str(&text), text.len);
    uint64_t start = gq_clock_ns();
    LLVMFuzzerTestOneInput(bytes, text.len);
    int slow = gq_clock_ns() - start > seconds_max * 1000000000u;
    if (slow)
        fprintf(stderr, "%s: took more than %lu s\n", path, seconds_max);
    free(bytes);
    gq_text_finish(&text);
    return slow;
}

static int replay_folder(const char *folder, unsigned *count)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        fprintf(stderr, "%s: cannot be read\n", folder);
        return 1;
    }
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        char *path = gq_path_join(folder, entry->d_name);
        failed |= !path || replay_file(path);
        free(path);
        ++*count;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    int failed = 0;
    seconds_max = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    for (int i = 2; i < argc; i++)
        failed |= replay_folder(argv[i], &count);
    printf("%u inputs\n", count);
    return failed || count == 0;
}
