/* set_folder.c - a folder with a folder of pictures per class
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <string.h>

enum { MAX_DEPTH = 16 }; // folders inside each other; a link to a folder above ends here

static vise_status walk(vise_data *d, const char *dir, size_t depth, vise_err *e);

/* One entry of a folder: a picture is added, a folder is walked, anything else is passed over. */
static vise_status visit(vise_data *d, const char *path, size_t depth, vise_err *e)
{
    const char *inside = path + strlen(d->path);
    inside += strspn(inside, "/");
    if (vise_is_picture_name(path) && !vise_is_dir(path))
        return depth ? vise_data_add(d, inside, 0, 0, e) : VISE_OK;
    return vise_is_dir(path) ? walk(d, path, depth + 1, e) : VISE_OK;
}

/* dir is d->path or below it. */
static vise_status walk(vise_data *d, const char *dir, size_t depth, vise_err *e)
{
    DIR *list;
    const char *name;
    if (depth > MAX_DEPTH)
        return vise_fail(e, VISE_EFORMAT, "%s: deeper than %d folders", dir, MAX_DEPTH);
    VISE_TRY(vise_open_dir(&list, dir, e));
    vise_status s;
    while (!(s = vise_next_entry(&name, list, dir, e)) && name) {
        char *path;
        s = vise_path_join(&path, dir, name, e);
        if (!s) {
            s = visit(d, path, depth, e);
            vise_free(path);
        }
        if (s) break;
    }
    closedir(list);
    return s;
}

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    (void)e;
    *mine = !truth && vise_is_dir(path);
    return VISE_OK;
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    (void)truth; // a folder with a table is another kind
    VISE_TRY(walk(d, d->path, 0, e));
    if (!d->count)
        return vise_fail(e, VISE_EFORMAT,
                         "%s: no pictures in it: neither labels.csv, nor a folder of pictures per "
                         "class, nor idx or CIFAR files",
                         d->path);
    return vise_data_label_by_folder(d, false, e);
}

const vise_data_kind vise_set_folder = {claims, open_set, vise_data_picture_file, true};
