/* set_cifar.c - CIFAR-10 and CIFAR-100 in their binary version
 *
 * A file is records of 1 label byte (CIFAR-10) or 2 (CIFAR-100: coarse, then fine, which counts)
 * and 32 x 32 pixels as a red, a green and a blue plane. Its name tells which of the two it is.
 *
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    PLANE = SIDE * SIDE, // bytes
    MAX_FILES = 32,      // of a folder
    MAX_NAME = 64,       // bytes of a file's name in a folder
};

static bool is_batch(const char *name)
{
    const size_t n = strlen(name);
    return n < MAX_NAME && !strncmp(name, "data_batch_", 11) && !strcmp(name + n - 4, ".bin");
}

/* Label bytes of a record in a file of this path, 0 if its name is none of CIFAR's. */
static size_t label_bytes(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (is_batch(name) || !strcmp(name, "test_batch.bin")) return 1;
    return !strcmp(name, "train.bin") || !strcmp(name, "test.bin") ? 2 : 0;
}

vise_status vise_cifar_scan(vise_data *d, size_t labels, vise_err *e)
{
    const vise_map *file = &d->part[d->parts - 1];
    const size_t record = labels + 3 * PLANE, classes = labels == 1 ? 10 : 100;
    uint64_t before = 0; // bytes of the other files
    for (size_t i = 0; i + 1 < d->parts; i++)
        before += d->part[i].size;
    if (!file->size || file->size % record)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes, not one or more pictures of %zu bytes",
                         file->size, record);
    for (size_t at = 0; at < file->size; at += record) {
        const size_t label = file->data[at + labels - 1];
        if (label >= classes)
            return vise_fail(e, VISE_EFORMAT, "picture %zu has the label %zu, not one below %zu",
                             at / record, label, classes);
        char number[24];
        snprintf(number, sizeof number, "%zu", d->count);
        VISE_TRY(vise_data_add(d, number, label, before + at + labels, e));
    }
    return VISE_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The training files of a folder, sorted. Those of both sets are a failure. */
static vise_status find_files(char name[MAX_FILES][MAX_NAME], size_t *n, const char *dir,
                              vise_err *e)
{
    DIR *list;
    const char *entry;
    *n = 0;
    VISE_TRY(vise_open_dir(&list, dir, e));
    vise_status s;
    while (!(s = vise_next_entry(&entry, list, dir, e)) && entry) {
        if (!is_batch(entry) && strcmp(entry, "train.bin")) continue;
        if (*n == MAX_FILES)
            s = vise_fail(e, VISE_EFORMAT, "%s: more than %d files data_batch_*.bin", dir,
                          MAX_FILES);
        else if (*n && label_bytes(entry) != label_bytes(name[0]))
            s = vise_fail(e, VISE_EARG, "%s: both %s and %s are in it: give the path of one", dir,
                          name[0], entry);
        if (s) break;
        snprintf(name[(*n)++], MAX_NAME, "%s", entry);
    }
    closedir(list);
    qsort(name, *n, MAX_NAME, by_name);
    return s;
}

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    (void)truth; // a folder with a table is another kind
    (void)e;
    char name[MAX_FILES][MAX_NAME];
    size_t n = 0;
    if (vise_is_dir(path)) find_files(name, &n, path, NULL); // open tells what is wrong with them
    *mine = n || (vise_is_file(path) && label_bytes(path));
    return VISE_OK;
}

static vise_status add_file(vise_data *d, const char *path, vise_err *e)
{
    VISE_TRY(vise_map_open(&d->part[d->parts], path, e));
    d->parts++;
    return vise_fail_in(e, vise_cifar_scan(d, label_bytes(path), e), path);
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    char name[MAX_FILES][MAX_NAME];
    size_t n = 1;
    const bool folder = vise_is_dir(d->path);
    if (truth)
        return vise_fail(e, VISE_EARG,
                         "%s: CIFAR's files have labels of their own, %s cannot replace them",
                         d->path, truth);
    if (folder) VISE_TRY(find_files(name, &n, d->path, e));
    VISE_TRY(vise_alloc_or(&d->part, n, sizeof *d->part, "the list of files", e));
    if (!folder) return add_file(d, d->path, e);
    for (size_t i = 0; i < n; i++) {
        char *path;
        VISE_TRY(vise_path_join(&path, d->path, name[i], e));
        vise_status s = add_file(d, path, e);
        vise_free(path);
        if (s) return s;
    }
    return VISE_OK;
}

static vise_status picture(const vise_data *d, size_t i, const vise_image_opts *how,
                           vise_image *out, vise_err *e)
{
    uint64_t at = d->item[i].at;
    const vise_map *file = d->part;
    vise_status s = vise_image_new(out, SIDE, SIDE, 3, how, e);
    if (s) return vise_data_fail_in(d, i, s, e);
    for (; at >= file->size; file++)
        at -= file->size;
    for (size_t c = 0; c < 3; c++)
        for (size_t p = 0; p < PLANE; p++)
            out->data[3 * p + c] = file->data[at + c * PLANE + p];
    return VISE_OK;
}

const vise_data_kind vise_set_cifar = {claims, open_set, picture, false};
