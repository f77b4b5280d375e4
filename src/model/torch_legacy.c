/* torch_legacy.c - the file format of PyTorch before 1.6: a row of pickles, then the storages
 *
 *   pickle  the number 0x1950a86a20f9469cfc6c
 *   pickle  1001, the version
 *   pickle  dict about the system: little_endian, type_sizes
 *   pickle  the object, with references to storages
 *   pickle  list of the storages' keys, then for each: i64 count, count elements
 *
 * Source: torch/serialization.py.
 *
 * SPDX-License-Identifier: MIT */
#include "model/torch.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 1001, MAX_PICKLE = 64 << 20 }; // bytes

typedef struct stored {
    const vise_pkl_storage *storage; // as the object's pickle tells it
    const uint8_t *data;             // NULL: not found yet
} stored;

typedef struct legacy {
    const uint8_t *p, *end;
    stored *list; // [count] sorted by key, each key once
    size_t count;
} legacy;

static int compare_keys(const vise_pkl_storage *a, const char *key, size_t len)
{
    const size_t n = a->key_len < len ? a->key_len : len;
    const int order = n ? memcmp(a->key, key, n) : 0;
    return order ? order : (a->key_len > len) - (a->key_len < len);
}

static int by_key(const void *a, const void *b)
{
    const stored *x = a, *y = b;
    return compare_keys(x->storage, y->storage->key, y->storage->key_len);
}

static stored *find(legacy *l, const char *key, size_t len)
{
    size_t from = 0, to = l->count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const int order = compare_keys(l->list[middle].storage, key, len);
        if (!order) return &l->list[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* The next pickle of the file. */
static vise_status next(legacy *l, vise_pickle *p, vise_err *e)
{
    const size_t rest = (size_t)(l->end - l->p);
    VISE_TRY(vise_pickle_parse(p, l->p, rest < MAX_PICKLE ? rest : MAX_PICKLE, e));
    l->p += p->used;
    return VISE_OK;
}

static bool is_magic(const vise_pkl *v)
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    return v->kind == VISE_PKL_LONG && v->u.text.n == 10 && !memcmp(v->u.text.p, magic, 10);
}

static bool is_version(const vise_pkl *v)
{
    return v->kind == VISE_PKL_INT && v->u.i == VERSION;
}

static bool is_little_endian(const vise_pkl *v)
{
    if (v->kind != VISE_PKL_DICT) return false;
    for (size_t i = 0; i < v->u.seq->n; i += 2)
        if (vise_pkl_is_text(&v->u.seq->item[i], "little_endian"))
            return v->u.seq->item[i + 1].kind == VISE_PKL_BOOL && v->u.seq->item[i + 1].u.i;
    return false;
}

static vise_status expect(legacy *l, bool (*ok)(const vise_pkl *), const char *wrong, vise_err *e)
{
    vise_pickle p;
    VISE_TRY(next(l, &p, e));
    const bool good = ok(&p.root);
    vise_pickle_free(&p);
    return good ? VISE_OK : vise_fail(e, VISE_EFORMAT, "%s", wrong);
}

static vise_status list_storages(legacy *l, const vise_pickle *p, vise_err *e)
{
    size_t n = 0, kept = 0;
    for (const vise_pkl_storage *s = p->storages; s; s = s->next)
        n++;
    VISE_TRY(vise_alloc_or(&l->list, n, sizeof *l->list, "a list of storages", e));
    n = 0;
    for (const vise_pkl_storage *s = p->storages; s; s = s->next)
        l->list[n++].storage = s;
    qsort(l->list, n, sizeof *l->list, by_key);
    for (size_t i = 0; i < n; i++) { // one storage is referred to by many tensors
        const vise_pkl_storage *s = l->list[i].storage;
        const vise_pkl_storage *before = kept ? l->list[kept - 1].storage : NULL;
        if (!before || compare_keys(before, s->key, s->key_len)) {
            l->list[kept++].storage = s;
        } else if (before->count != s->count || before->element_size != s->element_size) {
            return vise_fail(e, VISE_EFORMAT, "a storage has %llu elements, and elsewhere %llu",
                             (unsigned long long)before->count, (unsigned long long)s->count);
        }
    }
    l->count = kept;
    return VISE_OK;
}

/* Finds the numbers of one storage, which come next in the file. */
static vise_status place(legacy *l, const vise_pkl *key, vise_err *e)
{
    stored *s = key->kind == VISE_PKL_STR ? find(l, key->u.text.p, key->u.text.n) : NULL;
    if (!s || s->data)
        return vise_fail(e, VISE_EFORMAT, "the list of storages names one that is %s",
                         s ? "there twice" : "not used");
    uint64_t count = 0;
    if (l->end - l->p < 8) return vise_fail(e, VISE_EFORMAT, "the file ends inside its storages");
    for (int i = 8; i-- > 0;)
        count = count << 8 | l->p[i];
    l->p += 8;
    if (count != s->storage->count)
        return vise_fail(e, VISE_EFORMAT, "a storage of %llu elements is stored as %llu",
                         (unsigned long long)s->storage->count, (unsigned long long)count);
    if (count > (uint64_t)(l->end - l->p) / s->storage->element_size)
        return vise_fail(e, VISE_EFORMAT, "the file ends inside a storage of %llu elements",
                         (unsigned long long)count);
    s->data = l->p;
    l->p += count * s->storage->element_size;
    return VISE_OK;
}

static vise_status place_all(legacy *l, vise_err *e)
{
    vise_pickle keys;
    VISE_TRY(next(l, &keys, e));
    vise_status s = VISE_OK;
    if (keys.root.kind != VISE_PKL_LIST)
        s = vise_fail(e, VISE_EFORMAT, "the list of storages is missing");
    for (size_t i = 0; !s && i < keys.root.u.seq->n; i++)
        s = place(l, &keys.root.u.seq->item[i], e);
    vise_pickle_free(&keys);
    return s;
}

static vise_status storage_bytes(void *file, const vise_pkl_storage *s, const uint8_t **data,
                                 vise_err *e)
{
    const stored *found = find(file, s->key, s->key_len);
    if (!found || !found->data)
        return vise_fail(e, VISE_EFORMAT, "the numbers of a storage are not in the file");
    *data = found->data;
    return VISE_OK;
}

static vise_status parse(vise_tensors *t, const vise_map *m, vise_err *e)
{
    if (!m->size) return vise_fail(e, VISE_EFORMAT, "the file is empty");
    legacy l = {.p = m->data, .end = m->data + m->size};
    vise_torch f = {t, vise_torch_budget(m->size), storage_bytes, &l};
    vise_pickle p;
    VISE_TRY(expect(&l, is_magic, "is a pickle, but not one that PyTorch saved", e));
    VISE_TRY(expect(&l, is_version, "is of an unknown version of PyTorch's format", e));
    VISE_TRY(expect(&l, is_little_endian, "was not written on a little-endian machine", e));
    VISE_TRY(next(&l, &p, e));
    vise_status s = list_storages(&l, &p, e);
    if (!s) s = place_all(&l, e);
    if (!s) s = vise_torch_collect(&f, &p, e);
    vise_free(l.list);
    vise_pickle_free(&p);
    return s;
}

vise_status vise_read_torch_legacy(vise_tensors *t, vise_map *map, vise_err *e)
{
    const vise_map m = *map; // its bytes stay where they are
    vise_status s = vise_tensors_own_map(t, map, e);
    if (!s) s = parse(t, &m, e);
    if (s) vise_tensors_free(t);
    return s;
}
