/* coded.c - constants as tensors of a .vise file, and back (docs/FORMAT.md)
 * SPDX-License-Identifier: MIT */
#include "model/coded.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCALE ".scale"
#define CODEBOOK ".codebook"
#define MULTIPLIER ".multiplier"
#define ENCODINGS "vise.encodings"

enum { NAME_ROOM = VISE_MAX_NAME + sizeof MULTIPLIER };

static const char *const level_names[] = {[VISE_AFFINE] = "affine", [VISE_CODEBOOK] = "codebook"};

const char *vise_levels_name(vise_levels l)
{
    return level_names[l];
}

/* "name.scale" into buf. Returns buf. */
static char *companion(char buf[NAME_ROOM], const char *name, const char *suffix)
{
    snprintf(buf, NAME_ROOM, "%s%s", name, suffix);
    return buf;
}

/* ---- writing ---- */

static int by_size_then_name(const void *a, const void *b)
{
    const vise_stored *x = a, *y = b;
    const size_t sx = vise_dtype_size(x->dtype), sy = vise_dtype_size(y->dtype);
    return sx != sy ? (sx < sy) - (sx > sy) : strcmp(x->name, y->name);
}

typedef struct list {
    vise_stored *item;
    size_t n;
    vise_region *names;
    const vise_graph *g;
} list;

static vise_status put_companion(list *l, const char *name, const char *suffix,
                                 const vise_stored *st, vise_err *e)
{
    char text[NAME_ROOM];
    companion(text, name, suffix);
    if (vise_graph_find(l->g, text) != VISE_NONE || !vise_tensor_name_ok(text))
        return vise_fail(e, VISE_EFORMAT, "%s: no name for the companion of a coded tensor", text);
    vise_stored *to = &l->item[l->n++];
    *to = *st;
    to->name = vise_region_str(l->names, text);
    to->bytes = vise_shape_count(&st->shape) * vise_dtype_size(st->dtype);
    return to->name ? VISE_OK : vise_fail(e, VISE_ENOMEM, "out of memory: the name %s", text);
}

/* [2^bits], or [books, 2^bits]. */
static vise_shape book_shape(const vise_const *c)
{
    const size_t count = (size_t)1 << c->enc.bits;
    if (!c->enc.book_rows) return (vise_shape){1, {count}};
    return (vise_shape){2, {vise_books_of(&c->shape, &c->enc), count}};
}

static vise_status put_const(list *l, const vise_value *v, vise_err *e)
{
    const vise_const *c = &v->data;
    if (!c->enc.bits) {
        l->item[l->n++] =
            (vise_stored){v->name, c->enc.type, c->shape, c->data, vise_const_bytes(c)};
        return VISE_OK;
    }
    const vise_code_layout k = vise_code_layout_of(&c->shape, &c->enc);
    const vise_shape codes = {2, {k.rows, k.stride}}, scales = {2, {k.rows, k.scales}};
    const vise_shape book = book_shape(c), groups = {2, {k.rows, k.groups}};
    l->item[l->n++] = (vise_stored){v->name, VISE_U8, codes, c->data, k.rows * k.stride};
    VISE_TRY(put_companion(l, v->name, SCALE,
                           &(vise_stored){.dtype = VISE_F32, .shape = scales, .data = c->scale},
                           e));
    if (c->enc.multiplied)
        VISE_TRY(put_companion(l, v->name, MULTIPLIER,
                               &(vise_stored){.dtype = VISE_U8, .shape = groups, .data = c->mult},
                               e));
    if (c->enc.levels != VISE_CODEBOOK) return VISE_OK;
    return put_companion(l, v->name, CODEBOOK,
                         &(vise_stored){.dtype = VISE_F32, .shape = book, .data = c->codebook}, e);
}

vise_status vise_coded_list(vise_stored **out, size_t *n, vise_region *names, const vise_graph *g,
                            vise_err *e)
{
    list l = {.names = names, .g = g};
    VISE_TRY(vise_alloc_or(&l.item, 4 * g->values, sizeof *l.item, "the list of tensors", e));
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < g->values; i++)
        if (g->value[i].kind == VISE_VALUE_CONST) s = put_const(&l, &g->value[i], e);
    if (s) {
        vise_free(l.item);
        return s;
    }
    qsort(l.item, l.n, sizeof *l.item, by_size_then_name);
    *out = l.item;
    *n = l.n;
    return VISE_OK;
}

/* ---- reading ---- */

/* An integer field in [min, max]; false if it is missing or anything else. */
static bool get_int(json_int_t *out, const json_t *o, const char *key, json_int_t min,
                    json_int_t max)
{
    const json_t *v = json_object_get(o, key);
    *out = json_integer_value(v);
    return json_is_integer(v) && *out >= min && *out <= max;
}

static vise_status read_shape(vise_shape *s, const json_t *o, const char *name, vise_err *e)
{
    const json_t *dims = json_object_get(o, "shape");
    const size_t rank = json_array_size(dims);
    size_t count;
    *s = (vise_shape){.rank = (uint32_t)rank};
    bool ok = rank >= 1 && rank <= VISE_MAX_RANK;
    for (size_t i = 0; ok && i < rank; i++) {
        const json_int_t d = json_integer_value(json_array_get(dims, i));
        ok = d >= 1 && d <= VISE_MAX_DIM;
        s->dim[i] = (size_t)d;
    }
    if (!ok || !vise_shape_count_within(s, VISE_MAX_COUNT, &count))
        return vise_fail(e, VISE_EFORMAT, "%s: " ENCODINGS " gives it no shape within the limits",
                         name);
    return VISE_OK;
}

static vise_status read_encoding(vise_const *c, const json_t *o, const char *name, vise_err *e)
{
    VISE_TRY(read_shape(&c->shape, o, name, e));
    const char *levels = json_string_value(json_object_get(o, "levels"));
    json_int_t bits, zero = 0, group = 0, book_rows = 0;
    size_t fields = 3; // shape, bits, levels
    if (!get_int(&bits, o, "bits", 2, 8))
        return vise_fail(e, VISE_EFORMAT, "%s: codes of %lld bits, allowed are 2 to 8", name,
                         (long long)bits);
    bool ok = levels != NULL;
    c->enc = (vise_encoding){.type = VISE_U8, .bits = (uint32_t)bits};
    if (ok && !strcmp(levels, level_names[VISE_CODEBOOK])) {
        c->enc.levels = VISE_CODEBOOK;
    } else {
        ok = ok && !strcmp(levels, level_names[VISE_AFFINE]) &&
             get_int(&zero, o, "zero", 0, (1 << bits) - 1);
        fields++;
    }
    if (ok && json_object_get(o, "group")) {
        ok = get_int(&group, o, "group", 1, VISE_MAX_DIM);
        fields++;
    }
    const json_t *multiplied = json_object_get(o, "multiplied");
    if (multiplied) {
        ok = ok && json_is_true(multiplied) && group && group % VISE_GROUP_UNIT == 0 && bits <= 6;
        fields++;
    }
    if (json_object_get(o, "book_rows")) {
        ok = ok && c->enc.levels == VISE_CODEBOOK && !multiplied &&
             get_int(&book_rows, o, "book_rows", VISE_BOOK_UNIT, VISE_MAX_DIM) &&
             book_rows % VISE_BOOK_UNIT == 0;
        fields++;
    }
    if (!ok || json_object_size(o) != fields)
        return vise_fail(e, VISE_EFORMAT,
                         "%s: a field of " ENCODINGS " is missing, wrong or unknown", name);
    c->enc.zero = (int32_t)zero;
    c->enc.group = (size_t)group;
    c->enc.multiplied = multiplied != NULL;
    c->enc.book_rows = (size_t)book_rows;
    return VISE_OK;
}

/* A companion of [rows, cols] f32 (rank 1: [cols]), copied and finite. */
static vise_status read_companion(const float **out, vise_tensors *t, const char *name,
                                  const vise_shape *shape, vise_err *e)
{
    char got[VISE_SHAPE_TEXT], wanted[VISE_SHAPE_TEXT];
    const vise_stored *st = vise_tensors_find(t, name);
    if (!st) return vise_fail(e, VISE_EFORMAT, "%s: not in the file, and codes need it", name);
    if (st->dtype != VISE_F32 || !vise_shape_same(&st->shape, shape))
        return vise_fail(e, VISE_EFORMAT, "%s: %s %s, expected f32 %s", name,
                         vise_dtype_name(st->dtype), vise_shape_text(got, sizeof got, &st->shape),
                         vise_shape_text(wanted, sizeof wanted, shape));
    VISE_TRY(vise_stored_check_finite(st, e));
    const size_t n = vise_shape_count(shape);
    float *copy;
    VISE_TRY(vise_alloc_or(&copy, n, sizeof *copy, name, e));
    vise_to_f32(copy, VISE_F32, st->data, n);
    *out = copy;
    return vise_tensors_own(t, copy, e);
}

/* Affine levels fit a signed byte without -128: what products of codes rely on. Only 8 bits can
 * leave that range. */
static vise_status check_levels(const vise_const *c, const char *name, vise_err *e)
{
    if (c->enc.levels != VISE_AFFINE || c->enc.bits < 8) return VISE_OK;
    const uint8_t *codes = c->data, *at;
    const size_t n = vise_shape_count(&c->shape);
    for (int code = 0; code < 256; code++) { // a symmetric quantizer's zero of 128 forbids one
        const int level = code - c->enc.zero;
        if (level >= -127 && level <= 127) continue;
        if ((at = memchr(codes, code, n)) != NULL)
            return vise_fail(e, VISE_EFORMAT,
                             "%s: code %zu is %d above a zero of %d, a level of %d", name,
                             (size_t)(at - codes), code, c->enc.zero, level);
    }
    return VISE_OK;
}

/* The largest |level| that a code of c can have; NaN unless all are integers. */
static float largest_level(const vise_const *c)
{
    const int32_t codes = 1 << c->enc.bits, above = codes - 1 - c->enc.zero;
    float most = (float)(above > c->enc.zero ? above : c->enc.zero);
    if (c->enc.levels != VISE_CODEBOOK) return most;
    most = 0;
    for (int32_t i = 0; i < codes; i++) {
        if (c->codebook[i] != rintf(c->codebook[i])) return NAN;
        most = fmaxf(most, fabsf(c->codebook[i]));
    }
    return most;
}

/* The multipliers of c, read in place. */
static vise_status read_multipliers(vise_const *c, const vise_tensors *t, const char *name,
                                    vise_err *e)
{
    const vise_code_layout k = vise_code_layout_of(&c->shape, &c->enc);
    const vise_shape shape = {2, {k.rows, k.groups}};
    const vise_stored *st = vise_tensors_find(t, name);
    if (!st) return vise_fail(e, VISE_EFORMAT, "%s: not in the file, and codes need it", name);
    if (st->dtype != VISE_U8 || !vise_shape_same(&st->shape, &shape))
        return vise_fail(e, VISE_EFORMAT, "%s: expected u8 [%zu, %zu]", name, k.rows, k.groups);
    const float level = largest_level(c);
    c->mult = st->data;
    for (size_t i = 0; i < k.rows * k.groups; i++)
        if (!(level * (float)c->mult[i] <= 127))
            return vise_fail(e, VISE_EFORMAT,
                             "%s: element %zu is %u, and products with all levels have to be "
                             "integers in [-127, 127]",
                             name, i, c->mult[i]);
    return VISE_OK;
}

vise_status vise_coded_read(vise_const *out, vise_tensors *t, const vise_stored *st,
                            const void *encoding, vise_err *e)
{
    char text[NAME_ROOM], got[VISE_SHAPE_TEXT];
    vise_const c = {.data = st->data};
    VISE_TRY(read_encoding(&c, encoding, st->name, e));
    const vise_code_layout k = vise_code_layout_of(&c.shape, &c.enc);
    const vise_shape codes = {2, {k.rows, k.stride}}, scales = {2, {k.rows, k.scales}};
    const vise_shape book = book_shape(&c);
    if (st->dtype != VISE_U8 || !vise_shape_same(&st->shape, &codes))
        return vise_fail(e, VISE_EFORMAT, "%s: %s %s, expected u8 [%zu, %zu] for codes of %u bits",
                         st->name, vise_dtype_name(st->dtype),
                         vise_shape_text(got, sizeof got, &st->shape), k.rows, k.stride,
                         c.enc.bits);
    VISE_TRY(check_levels(&c, st->name, e));
    VISE_TRY(read_companion(&c.scale, t, companion(text, st->name, SCALE), &scales, e));
    if (c.enc.levels == VISE_CODEBOOK)
        VISE_TRY(read_companion(&c.codebook, t, companion(text, st->name, CODEBOOK), &book, e));
    if (c.enc.multiplied)
        VISE_TRY(read_multipliers(&c, t, companion(text, st->name, MULTIPLIER), e));
    *out = c;
    return VISE_OK;
}

/* Is this the name of a companion of a coded constant of g? */
static bool is_companion(const vise_graph *g, const char *name)
{
    static const char *const suffixes[] = {SCALE, CODEBOOK, MULTIPLIER};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = strlen(name), m = strlen(suffixes[i]);
        if (n <= m || strcmp(name + n - m, suffixes[i]) != 0) continue;
        char base[NAME_ROOM];
        snprintf(base, sizeof base, "%.*s", (int)(n - m), name);
        const vise_id id = vise_graph_find(g, base);
        const vise_value *v = id == VISE_NONE ? NULL : &g->value[id];
        return v && v->kind == VISE_VALUE_CONST && v->data.enc.bits &&
               (i == 0 || (i == 1 && v->data.enc.levels == VISE_CODEBOOK) ||
                (i == 2 && v->data.enc.multiplied));
    }
    return false;
}

vise_status vise_coded_check_used(const vise_tensors *t, const vise_graph *g, vise_err *e)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *name = t->item[i].name;
        const vise_id id = vise_graph_find(g, name);
        const bool read = id != VISE_NONE && g->value[id].kind == VISE_VALUE_CONST;
        if (read && is_companion(g, name))
            return vise_fail(e, VISE_EFORMAT, "%s: a node reads it, and it belongs to codes", name);
        if (!read && !is_companion(g, name))
            return vise_fail(e, VISE_EFORMAT, "%s: a tensor that no node reads", name);
    }
    return VISE_OK;
}
