/* replay.c - runs a fuzz target over the files of a folder, so that a corpus is an ordinary test.
 *
 * Every file is also tried with its end cut off at 64 places. Exit status 1 if the folder holds no
 * file: a run that tried nothing has shown nothing.
 *
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); // its own block: reading past the end is a report
    if (!copy) exit(2);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    uint8_t *buf = NULL;
    long size = -1;
    if (!fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size >= 0) buf = malloc((size_t)size + 1);
    rewind(f);
    if (buf && fread(buf, 1, (size_t)size, f) == (size_t)size) {
        run(buf, (size_t)size);
        for (long i = 0; i < 64; i++)
            run(buf, (size_t)(size * i / 64));
    }
    fclose(f);
    free(buf);
    return buf != NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    DIR *d = opendir(argv[1]);
    size_t tried = 0;
    for (struct dirent *x; d && (x = readdir(d));) {
        char path[4096];
        if (x->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], x->d_name);
        tried += run_file(path) ? 1 : 0;
    }
    if (d) closedir(d);
    printf("%zu files replayed\n", tried);
    return tried ? 0 : 1;
}
