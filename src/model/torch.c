/* torch.c - finding the state dict, and tensors as views of storages
 * SPDX-License-Identifier: MIT */
#include "model/torch.h"

#include <stdio.h>
#include <string.h>

enum { MAX_WRAPPERS = 8 }; // dicts around the state dict

size_t vise_torch_budget(size_t file_bytes)
{
    const size_t floor = (size_t)1 << 20;
    return file_bytes > (SIZE_MAX - floor) / 16 ? SIZE_MAX : 16 * file_bytes + floor;
}

vise_status vise_torch_block(vise_torch *f, size_t bytes, const char *name, void **block,
                             vise_err *e)
{
    if (bytes > f->budget)
        return vise_fail(e, VISE_EFORMAT, "%s: %zu bytes are out of proportion to the file's size",
                         name, bytes);
    VISE_TRY(vise_alloc_or(block, bytes, 1, name, e));
    VISE_TRY(vise_tensors_own(f->t, *block, e));
    f->budget -= bytes;
    return VISE_OK;
}

/* ---- the state dict ---- */

static const char *const wrappers[] = {"state_dict", "model",     "model_state_dict", "module",
                                       "net",        "params",    "teacher",          "student",
                                       "ema",        "model_ema", "state_dict_ema"};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers };

/* The dict of tensors in v or in what v wraps; NULL: none. Each dict is looked at once, so it ends
 * on dicts that hold themselves. */
static const vise_pkl_seq *find_state(const vise_pkl *v, int depth)
{
    const vise_pkl *inner[WRAPPERS] = {0};
    bool tensors = false;
    if (v->kind != VISE_PKL_DICT || v->u.seq->seen || depth > MAX_WRAPPERS) return NULL;
    v->u.seq->seen = true;
    const vise_pkl *item = v->u.seq->item;
    for (size_t i = 0; i < v->u.seq->n; i += 2) {
        tensors |= item[i].kind == VISE_PKL_STR && item[i + 1].kind == VISE_PKL_TENSOR;
        if (item[i + 1].kind != VISE_PKL_DICT) continue;
        for (size_t w = 0; w < WRAPPERS; w++)
            if (vise_pkl_is_text(&item[i], wrappers[w])) inner[w] = &item[i + 1];
    }
    for (size_t w = 0; w < WRAPPERS; w++) {
        const vise_pkl_seq *found = inner[w] ? find_state(inner[w], depth + 1) : NULL;
        if (found) return found; // before stray tensors beside it, such as a loss
    }
    return tensors ? v->u.seq : NULL;
}

/* ---- one tensor ---- */

typedef struct view {
    vise_stored item;
    size_t stride[VISE_MAX_RANK]; // elements
    size_t offset, count;         // elements
    bool contiguous;
} view;

static vise_status read_layout(view *v, const vise_pkl_tensor *t, vise_err *e)
{
    const char *name = v->item.name;
    const size_t rank = t->size->n;
    if (rank > VISE_MAX_RANK)
        return vise_fail(e, VISE_EFORMAT, "%s: has %zu dimensions, at most %d are supported", name,
                         rank, (int)VISE_MAX_RANK);
    if (t->stride->n != rank || t->offset < 0)
        return vise_fail(e, VISE_EFORMAT, "%s: has %zu extents, %zu strides and offset %lld", name,
                         rank, t->stride->n, (long long)t->offset);
    v->item.shape.rank = (uint32_t)rank;
    v->offset = (size_t)t->offset;
    for (size_t i = 0; i < rank; i++) {
        const vise_pkl *size = &t->size->item[i], *stride = &t->stride->item[i];
        if (size->kind != VISE_PKL_INT || stride->kind != VISE_PKL_INT || size->u.i < 0 ||
            stride->u.i < 0)
            return vise_fail(e, VISE_EFORMAT, "%s: extent %zu or its stride is not a size", name,
                             i);
        if (!size->u.i) return vise_fail(e, VISE_EFORMAT, "%s: is empty, extent %zu is 0", name, i);
        v->item.shape.dim[i] = (size_t)size->u.i;
        v->stride[i] = (size_t)stride->u.i;
    }
    return VISE_OK;
}

/* Is the last element inside the storage's `room` elements? Also finds count and contiguous. */
static bool check_layout(view *v, size_t room)
{
    const vise_shape *s = &v->item.shape;
    size_t last = v->offset, dense = 1;
    v->contiguous = true;
    for (uint32_t i = s->rank; i-- > 0;) {
        size_t reach;
        if (s->dim[i] > 1 && v->stride[i] != dense) v->contiguous = false;
        if (vise_mul_overflows(s->dim[i] - 1, v->stride[i], &reach) ||
            vise_add_overflows(last, reach, &last) || vise_mul_overflows(dense, s->dim[i], &dense))
            return false;
    }
    v->count = dense;
    return last < room;
}

/* The elements in row-major order. A scalar is contiguous, so the rank is at least 1. */
static void gather(uint8_t *out, const uint8_t *in, const view *v, size_t size)
{
    const uint32_t last = v->item.shape.rank - 1;
    const size_t *dim = v->item.shape.dim;
    size_t at[VISE_MAX_RANK] = {0};
    for (size_t i = 0; i < v->count; i += dim[last]) {
        size_t from = v->offset;
        for (uint32_t d = 0; d < last; d++)
            from += at[d] * v->stride[d];
        for (size_t j = 0; j < dim[last]; j++, from += v->stride[last], out += size)
            memcpy(out, in + from * size, size);
        for (uint32_t d = last; d-- > 0 && ++at[d] == dim[d];)
            at[d] = 0;
    }
}

static vise_status add_tensor(vise_torch *f, const char *name, const vise_pkl_tensor *t,
                              vise_err *e)
{
    view v = {.item = {.name = name, .dtype = t->dtype}};
    const vise_pkl_storage *s = t->storage;
    const uint8_t *data = NULL;
    char text[VISE_SHAPE_TEXT];
    if (t->dtype == VISE_DTYPES)
        return vise_fail(e, VISE_EFORMAT, "%s: numbers of its type (in a %s) are not supported",
                         name, s->type);
    VISE_TRY(read_layout(&v, t, e));
    const size_t size = vise_dtype_size(t->dtype);
    const uint64_t room = s->count > SIZE_MAX / s->element_size ? 0 : s->count * s->element_size;
    if (!check_layout(&v, room / size) || vise_mul_overflows(v.count, size, &v.item.bytes))
        return vise_fail(e, VISE_EFORMAT,
                         "%s: shape %s at offset %zu does not lie inside its storage of %llu "
                         "elements",
                         name, vise_shape_text(text, sizeof text, &v.item.shape), v.offset,
                         (unsigned long long)s->count);
    VISE_TRY(f->storage(f->file, s, &data, e));
    v.item.data = data + v.offset * size;
    if (!v.contiguous) {
        void *block = NULL;
        VISE_TRY(vise_torch_block(f, v.item.bytes, name, &block, e));
        gather(block, data, &v, size);
        v.item.data = block;
    }
    return vise_tensors_add(f->t, &v.item, e);
}

vise_status vise_torch_collect(vise_torch *f, const vise_pickle *p, vise_err *e)
{
    const vise_pkl_seq *state = find_state(&p->root, 0);
    if (!state)
        return vise_fail(e, VISE_EFORMAT,
                         "holds no state dict: no tensors by name, at the top or under state_dict, "
                         "model or the like");
    for (size_t i = 0; i < state->n; i += 2) {
        char name[VISE_MAX_NAME + 2]; // one longer than allowed stays so, and is refused
        const vise_pkl *key = &state->item[i], *value = &state->item[i + 1];
        if (key->kind != VISE_PKL_STR || value->kind != VISE_PKL_TENSOR) continue;
        const size_t n = key->u.text.n <= VISE_MAX_NAME ? key->u.text.n : VISE_MAX_NAME + 1;
        memcpy(name, key->u.text.p, n);
        name[n] = 0;
        if (strlen(name) != n) name[0] = 0; // a 0 byte inside: not printable
        if (!vise_tensor_name_ok(name))
            return vise_tensors_add(f->t, &(vise_stored){.name = name}, e); // says what is wrong
        VISE_TRY(add_tensor(f, name, value->u.tensor, e));
    }
    return vise_tensors_check_names(f->t, e);
}
