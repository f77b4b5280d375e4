/* tensors.c - the named arrays of a checkpoint, and who owns their memory
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool vise_tensor_name_ok(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++)
        if (n >= VISE_MAX_NAME || name[n] < ' ' || name[n] > '~' || name[n] == '"' ||
            name[n] == '\\')
            return false;
    return n > 0;
}

static vise_status no_memory(vise_err *e)
{
    return vise_fail(e, VISE_ENOMEM, "out of memory: the list of tensors");
}

/* Makes room for one more element. */
static vise_status grow(void *array, size_t count, size_t *room, size_t size, vise_err *e)
{
    if (count < *room) return VISE_OK;
    void *old, *p;
    const size_t more = *room ? 2 * *room : 64;
    memcpy(&old, array, sizeof old);
    p = vise_realloc(old, count * size, more, size);
    if (!p) return no_memory(e);
    memcpy(array, &p, sizeof p);
    *room = more;
    return VISE_OK;
}

vise_status vise_tensors_add(vise_tensors *t, const vise_stored *item, vise_err *e)
{
    if (!vise_tensor_name_ok(item->name))
        return vise_fail(e, VISE_EFORMAT,
                         "tensor %zu has a name that is empty, longer than %d bytes or not "
                         "printable ASCII without quotes",
                         t->count, (int)VISE_MAX_NAME);
    if (t->count >= VISE_MAX_TENSORS)
        return vise_fail(e, VISE_EFORMAT, "more than %d tensors", (int)VISE_MAX_TENSORS);
    VISE_TRY(grow(&t->item, t->count, &t->room, sizeof *t->item, e));
    vise_stored own = *item;
    own.name = vise_region_str(&t->names, item->name);
    if (!own.name) return no_memory(e);
    t->item[t->count++] = own;
    return VISE_OK;
}

vise_status vise_tensors_add_text(vise_tensors *t, const char *key, const char *value, vise_err *e)
{
    VISE_TRY(grow(&t->meta, t->nmeta, &t->meta_room, sizeof *t->meta, e));
    vise_text own = {vise_region_str(&t->names, key), vise_region_str(&t->names, value)};
    if (!own.key || !own.value) return no_memory(e);
    t->meta[t->nmeta++] = own;
    return VISE_OK;
}

vise_status vise_tensors_own(vise_tensors *t, void *block, vise_err *e)
{
    vise_status s = grow(&t->blocks, t->nblocks, &t->blocks_room, sizeof *t->blocks, e);
    if (s) {
        vise_free(block);
        return s;
    }
    t->blocks[t->nblocks++] = block;
    return VISE_OK;
}

vise_status vise_tensors_own_map(vise_tensors *t, vise_map *map, vise_err *e)
{
    const size_t used = t->nmaps * sizeof *t->maps;
    vise_map *maps = vise_realloc(t->maps, used, t->nmaps + 1, sizeof *maps);
    if (!maps) {
        vise_map_close(map);
        return no_memory(e);
    }
    t->maps = maps;
    t->maps[t->nmaps++] = *map;
    t->file_bytes += map->size;
    *map = (vise_map){0};
    return VISE_OK;
}

const vise_stored *vise_tensors_find(const vise_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->item[i].name, name)) return &t->item[i];
    return NULL;
}

const char *vise_tensors_text(const vise_tensors *t, const char *key)
{
    for (size_t i = 0; i < t->nmeta; i++)
        if (!strcmp(t->meta[i].key, key)) return t->meta[i].value;
    return NULL;
}

void vise_tensors_drop(const vise_tensors *t)
{
    for (size_t i = 0; i < t->nmaps; i++)
        vise_map_drop(&t->maps[i], t->maps[i].data, t->maps[i].size);
}

void vise_tensors_free(vise_tensors *t)
{
    for (size_t i = 0; i < t->nmaps; i++)
        vise_map_close(&t->maps[i]);
    for (size_t i = 0; i < t->nblocks; i++)
        vise_free(t->blocks[i]);
    vise_free(t->maps);
    vise_free(t->blocks);
    vise_free(t->item);
    vise_free(t->meta);
    vise_region_free(&t->names);
    *t = (vise_tensors){0};
}

static int by_name(const void *a, const void *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return strcmp(x, y);
}

vise_status vise_tensors_check_names(const vise_tensors *t, vise_err *e)
{
    const char **name;
    VISE_TRY(vise_alloc_or(&name, t->count, sizeof *name, "a list of names", e));
    for (size_t i = 0; i < t->count; i++)
        name[i] = t->item[i].name;
    qsort(name, t->count, sizeof *name, by_name);
    vise_status s = VISE_OK;
    for (size_t i = 1; i < t->count && !s; i++)
        if (!strcmp(name[i - 1], name[i]))
            s = vise_fail(e, VISE_EFORMAT, "tensor %s is there twice", name[i]);
    vise_free(name);
    return s;
}

enum { CHUNK = 1024 };

/* Looks at the exponents: integers add up in any order, so this is done many at a time. */
static bool all_finite(const float x[CHUNK])
{
    uint32_t bits[CHUNK], bad = 0;
    memcpy(bits, x, sizeof bits);
    for (size_t k = 0; k < CHUNK; k++)
        bad |= (bits[k] & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

vise_status vise_stored_check_finite(const vise_stored *t, vise_err *e)
{
    float x[CHUNK] = {0};
    if (!vise_dtype_is_float(t->dtype)) return VISE_OK;
    const size_t n = vise_shape_count(&t->shape), size = vise_dtype_size(t->dtype);
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t m = n - i < CHUNK ? n - i : CHUNK; // behind them is what was checked before
        vise_to_f32(x, t->dtype, (const char *)t->data + i * size, m);
        if (all_finite(x)) continue;
        for (size_t k = 0; k < m; k++)
            if (!isfinite(x[k]))
                return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %s", t->name, i + k,
                                 isnan(x[k]) ? "not a number" : "infinite");
    }
    return VISE_OK;
}
