/* dataset.c - opening a set of any kind, and what the kinds share
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"
#include "data/preprocess.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* In this order: the first that claims a path has it. */
static const vise_data_kind *const kinds[] = {&vise_set_scenes, &vise_set_csv,    &vise_set_idx,
                                              &vise_set_cifar,  &vise_set_folder, &vise_set_tar};

vise_status vise_data_open(vise_data **out, const char *path, const char *truth, vise_err *e)
{
    *out = NULL;
    vise_data *d;
    VISE_TRY(vise_alloc_or(&d, 1, sizeof *d, "a data set", e));
    vise_status s = VISE_OK;
    d->path = vise_strdup(path);
    if (!d->path) s = vise_fail(e, VISE_ENOMEM, "out of memory: the name of %s", path);
    for (size_t i = 0; !s && !d->kind && i < sizeof kinds / sizeof *kinds; i++) {
        bool mine = false;
        s = kinds[i]->claims(&mine, path, truth != NULL, e);
        if (mine) d->kind = kinds[i];
    }
    if (!s) s = d->kind->open(d, truth, e);
    if (s) {
        vise_data_free(d);
        return s;
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->item[i].label >= d->classes) d->classes = d->item[i].label + 1;
    *out = d;
    return VISE_OK;
}

void vise_data_free(vise_data *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->parts; i++)
        vise_map_close(&d->part[i]);
    vise_free(d->part);
    vise_map_close(&d->map);
    vise_region_free(&d->names);
    vise_free(d->block);
    vise_free(d->item);
    vise_free(d->path);
    vise_free(d);
}

size_t vise_data_count(const vise_data *d)
{
    return d->count;
}

size_t vise_data_classes(const vise_data *d)
{
    return d->classes;
}

const char *vise_data_name(const vise_data *d, size_t i)
{
    return d->item[i].name;
}

size_t vise_data_label(const vise_data *d, size_t i)
{
    return d->item[i].label;
}

vise_status vise_data_picture(const vise_data *d, size_t i, const vise_image_opts *how,
                              vise_image *out, vise_err *e)
{
    *out = (vise_image){0};
    return d->kind->picture(d, i, how, out, e);
}

vise_status vise_data_fail_in(const vise_data *d, size_t i, vise_status s, vise_err *e)
{
    char *path = NULL;
    if (!s || (d->kind->files && vise_path_join(&path, d->path, d->item[i].name, NULL))) return s;
    s = vise_fail_in(e, s, path ? path : d->item[i].name);
    vise_free(path);
    return d->kind->files ? s : vise_fail_in(e, s, d->path);
}

vise_status vise_data_read(const vise_data *d, size_t i, const vise_recipe *r, float *pixels,
                           vise_err *e)
{
    vise_image im;
    VISE_TRY(vise_data_picture(d, i, &(vise_image_opts){.ignore_exif = r->ignore_exif}, &im, e));
    vise_status s = vise_preprocess(pixels, r, &im, e);
    vise_free(im.data);
    return vise_data_fail_in(d, i, s, e);
}

vise_status vise_data_picture_file(const vise_data *d, size_t i, const vise_image_opts *how,
                                   vise_image *out, vise_err *e)
{
    char *path;
    vise_map file;
    VISE_TRY(vise_path_join(&path, d->path, d->item[i].name, e));
    vise_status s = vise_map_open(&file, path, e);
    if (!s) {
        s = vise_fail_in(e, vise_image_read(out, file.data, file.size, how, e), path);
        vise_map_close(&file);
    }
    vise_free(path);
    return s;
}

vise_status vise_data_add(vise_data *d, const char *name, size_t label, uint64_t at, vise_err *e)
{
    if (d->count == VISE_MAX_PICTURES)
        return vise_fail(e, VISE_EFORMAT, "more than %d pictures", VISE_MAX_PICTURES);
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 256;
        vise_item *item = vise_realloc(d->item, d->count * sizeof *item, room, sizeof *item);
        if (!item) return vise_fail(e, VISE_ENOMEM, "out of memory: a list of %zu pictures", room);
        d->item = item;
        d->room = room;
    }
    const char *copy = vise_region_str(&d->names, name);
    if (!copy)
        return vise_fail(e, VISE_ENOMEM, "out of memory: the names of %zu pictures", d->count);
    d->item[d->count++] = (vise_item){copy, label, at};
    return VISE_OK;
}

static int by_name(const void *a, const void *b)
{
    const vise_item *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order) return order;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Compares the folders that two paths start with. */
static int by_folder(const void *a, const void *b)
{
    const unsigned char *x = *(const unsigned char *const *)a,
                        *y = *(const unsigned char *const *)b;
    while (*x == *y && *x != '/' && *x) {
        x++;
        y++;
    }
    return (*x == '/' ? 0 : *x) - (*y == '/' ? 0 : *y);
}

static void sort_unique(vise_data *d)
{
    size_t kept = 0;
    if (d->count) qsort(d->item, d->count, sizeof *d->item, by_name);
    for (size_t i = 0; i < d->count; i++)
        if (i + 1 == d->count || strcmp(d->item[i].name, d->item[i + 1].name))
            d->item[kept++] = d->item[i];
    d->count = kept;
}

/* Bytes of the first folder if all names have it and another folder behind it, else 0. */
static size_t shared_folder(const vise_data *d)
{
    const char *first = d->count ? d->item[0].name : "";
    const size_t n = strcspn(first, "/") + 1;
    for (size_t i = 0; i < d->count; i++) {
        const char *name = d->item[i].name;
        if (strncmp(name, first, n) || !strchr(name + n, '/')) return 0;
    }
    return d->count ? n : 0;
}

vise_status vise_data_label_by_folder(vise_data *d, bool strip, vise_err *e)
{
    sort_unique(d);
    if (!d->count) return VISE_OK;
    const size_t skip = strip ? shared_folder(d) : 0;
    const char **folder; // [classes] sorted
    size_t classes = 0;
    VISE_TRY(vise_alloc_or(&folder, d->count, sizeof *folder, "the list of classes", e));
    for (size_t i = 0; i < d->count; i++)
        folder[i] = d->item[i].name + skip;
    qsort(folder, d->count, sizeof *folder, by_folder);
    for (size_t i = 0; i < d->count; i++)
        if (!classes || by_folder(&folder[classes - 1], &folder[i])) folder[classes++] = folder[i];
    for (size_t i = 0; i < d->count; i++) {
        const char *key = d->item[i].name + skip;
        const char **found = bsearch(&key, folder, classes, sizeof *folder, by_folder);
        d->item[i].label = (size_t)(found - folder);
    }
    vise_free(folder);
    return VISE_OK;
}

bool vise_is_picture_name(const char *path)
{
    static const char *const suffixes[] = {".jpg", ".jpeg", ".png", ".webp",
                                           ".ppm", ".pgm",  ".pnm"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    for (size_t i = 0;
         dot && dot != name && name[0] != '.' && i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcasecmp(dot, suffixes[i])) return true;
    return false;
}

static vise_status cannot_list(const char *path, int err, vise_err *e)
{
    char text[96] = "";
    strerror_r(err, text, sizeof text);
    return vise_fail(e, VISE_EIO, "%s: cannot list: %s", path, text);
}

vise_status vise_open_dir(DIR **dir, const char *path, vise_err *e)
{
    *dir = opendir(path);
    return *dir ? VISE_OK : cannot_list(path, errno, e);
}

vise_status vise_next_entry(const char **name, DIR *dir, const char *path, vise_err *e)
{
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && entry->d_name[0] == '.');
    *name = entry ? entry->d_name : NULL;
    return entry || !errno ? VISE_OK : cannot_list(path, errno, e);
}
