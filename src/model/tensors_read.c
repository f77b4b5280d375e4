/* tensors_read.c - which file holds a checkpoint, and which reader it needs
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_INDEX = 100000000 }; // bytes

static bool starts(const vise_map *m, const char *bytes, size_t n)
{
    return m->size >= n && !memcmp(m->data, bytes, n);
}

/* A length, then JSON. An index begins with "{" too, but its first 8 bytes make no such length. */
static bool looks_safetensors(const vise_map *m)
{
    if (m->size < 9 || m->data[8] != '{') return false;
    return !m->data[7] && !m->data[6] && !m->data[5] && !m->data[4];
}

static bool looks_json(const vise_map *m)
{
    size_t i = 0;
    while (i < m->size && strchr(" \t\r\n", m->data[i]) && m->data[i])
        i++;
    return i < m->size && m->data[i] == '{';
}

vise_status vise_read_any(vise_tensors *t, vise_map *map, vise_err *e)
{
    if (looks_safetensors(map)) return vise_read_safetensors(t, map, e);
    if (starts(map, "PK", 2)) return vise_read_torch_zip(t, map, e);
    if (starts(map, "\x80", 1)) return vise_read_torch_legacy(t, map, e);

    const char *what = "is neither a safetensors nor a PyTorch file";
    if (!map->size) what = "is empty";
    if (starts(map, "version https://git-lfs", 23)) what = "is a Git LFS pointer, not the file";
    vise_map_close(map);
    vise_tensors_free(t);
    return vise_fail(e, VISE_EFORMAT, "%s", what);
}

static vise_status read_file(vise_tensors *t, const char *path, vise_err *e)
{
    vise_map map;
    vise_status s = vise_map_open(&map, path, e);
    if (s) {
        vise_tensors_free(t);
        return s;
    }
    if (!looks_safetensors(&map) && looks_json(&map)) {
        vise_map_close(&map);
        return vise_read_index(t, path, e);
    }
    return vise_fail_in(e, vise_read_any(t, &map, e), path);
}

/* ---- an index of shards ---- */

/* Only a file beside the index: no path that leads elsewhere. */
static bool shard_name_ok(const char *name)
{
    return name && vise_tensor_name_ok(name) && !strchr(name, '/') && strcmp(name, ".") &&
           strcmp(name, "..");
}

static vise_status read_shard(vise_tensors *t, const char *index, const char *shard, vise_err *e)
{
    char *path = NULL;
    vise_map map;
    VISE_TRY(vise_path_beside(&path, index, shard, e));
    vise_status s = vise_map_open(&map, path, e);
    if (!s) s = vise_fail_in(e, vise_read_any(t, &map, e), path);
    vise_free(path);
    return s;
}

typedef struct shards {
    const char *path; // of the index
    json_t *weights;  // tensor name: shard name
    json_t *done;     // set of the shards that were read
    json_t *found;    // set of the names that were in their shard
} shards;

static vise_status put(json_t *set, const char *key, vise_err *e)
{
    if (json_object_set_new(set, key, json_true()))
        return vise_fail(e, VISE_ENOMEM, "out of memory: the index");
    return VISE_OK;
}

static vise_status read_shard_once(vise_tensors *t, shards *x, const char *shard, vise_err *e)
{
    if (json_object_get(x->done, shard)) return VISE_OK;
    VISE_TRY(put(x->done, shard, e));
    size_t i = t->count;
    VISE_TRY(read_shard(t, x->path, shard, e));
    for (; i < t->count; i++) {
        const char *name = t->item[i].name;
        const char *where = json_string_value(json_object_get(x->weights, name));
        if (where && !strcmp(where, shard)) VISE_TRY(put(x->found, name, e));
    }
    return VISE_OK;
}

static vise_status read_shards(vise_tensors *t, shards *x, vise_err *e)
{
    const char *name;
    json_t *value;
    if (!json_object_size(x->weights))
        return vise_fail(e, VISE_EFORMAT, "%s: has no weight_map", x->path);
    if (!x->done || !x->found) return vise_fail(e, VISE_ENOMEM, "out of memory: the index");
    json_object_foreach (x->weights, name, value) {
        const char *shard = json_string_value(value);
        if (!vise_tensor_name_ok(name) || !shard_name_ok(shard))
            return vise_fail(e, VISE_EFORMAT,
                             "%s: weight_map must give every tensor the name of a file beside it",
                             x->path);
        VISE_TRY(read_shard_once(t, x, shard, e));
    }
    json_object_foreach (x->weights, name, value) {
        if (!json_object_get(x->found, name))
            return vise_fail(e, VISE_EFORMAT, "%s: %s is not in %s, where it should be", x->path,
                             name, json_string_value(value));
    }
    return VISE_OK;
}

vise_status vise_read_index(vise_tensors *t, const char *path, vise_err *e)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t error;
    json_t *index = NULL;
    vise_status s = vise_read_text(&text, &size, path, MAX_INDEX, e);
    if (!s) {
        index = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
        t->file_bytes += size;
        vise_free(text);
        if (!index)
            s = vise_fail(e, VISE_EFORMAT, "%s: is not valid JSON: %s at line %d", path, error.text,
                          error.line);
    }
    if (!s) {
        shards x = {path, json_object_get(index, "weight_map"), json_object(), json_object()};
        s = read_shards(t, &x, e);
        json_decref(x.done);
        json_decref(x.found);
    }
    json_decref(index);
    if (s) vise_tensors_free(t);
    return s;
}

/* ---- a folder ---- */

static bool has_suffix(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".pth", ".pt", ".bin"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcmp(dot, suffixes[i])) return true;
    return false;
}

/* The only file in dir with a suffix of a checkpoint. */
static vise_status find_single(char **found, const char *dir, vise_err *e)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    vise_status s = VISE_OK;
    char *path = NULL;
    if (!d) return vise_fail(e, VISE_EIO, "%s: cannot open: errno %d", dir, errno);
    for (struct dirent *x; !s && (x = readdir(d));) {
        char *p = NULL;
        if (!has_suffix(x->d_name)) continue;
        s = vise_path_join(&p, dir, x->d_name, e);
        if (!s && vise_is_file(p) && n++ == 0) {
            path = p;
            p = NULL;
        }
        vise_free(p);
    }
    closedir(d);
    if (!s && n == 0) s = vise_fail(e, VISE_EFORMAT, "%s: no checkpoint in this folder", dir);
    if (!s && n > 1)
        s = vise_fail(e, VISE_EFORMAT, "%s: %zu checkpoints in this folder; name one of them", dir,
                      n);
    if (s) {
        vise_free(path);
        return s;
    }
    *found = path;
    return VISE_OK;
}

static vise_status find_in_folder(char **found, const char *dir, vise_err *e)
{
    static const char *const usual[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        char *path;
        VISE_TRY(vise_path_join(&path, dir, usual[i], e));
        if (vise_is_file(path)) {
            *found = path;
            return VISE_OK;
        }
        vise_free(path);
    }
    return find_single(found, dir, e);
}

vise_status vise_tensors_read(vise_tensors *t, const char *path, char **used, vise_err *e)
{
    char *file = NULL;
    vise_status s = VISE_OK;
    if (vise_is_dir(path)) {
        s = find_in_folder(&file, path, e);
    } else if (!(file = vise_strdup(path))) {
        s = vise_fail(e, VISE_ENOMEM, "out of memory: the path %s", path);
    }
    if (!s) s = read_file(t, file, e);
    if (s) {
        vise_free(file);
        vise_tensors_free(t);
        return s;
    }
    *used = file;
    return VISE_OK;
}
