/* safetensors.c - the safetensors format, read in place, and written
 *
 *   offset size
 *   0      8     N, little endian, at most 100,000,000
 *   8      N     JSON: {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...,
 *                "__metadata__": {"key": "text", ...}}; spaces may follow
 *   8 + N  ...   data, row-major, little endian; offsets count from here, without holes
 *
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000, LENGTH_BYTES = 8, HEADER_ALIGN = 64 };

typedef struct span {
    size_t begin, end;
    const char *name;
} span;

typedef struct area {
    const uint8_t *data;
    size_t size;
    span *span; // [nspan] of the tensors read so far
    size_t nspan;
} area;

/* A JSON integer that is a size; arrays' elements of another kind are not. */
static bool as_size(size_t *out, const json_t *j)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
    *out = (size_t)json_integer_value(j);
    return true;
}

static vise_status read_shape(vise_stored *item, const json_t *shape, vise_err *e)
{
    if (!json_is_array(shape)) return vise_fail(e, VISE_EFORMAT, "%s: has no shape", item->name);
    const size_t rank = json_array_size(shape);
    if (rank > VISE_MAX_RANK)
        return vise_fail(e, VISE_EFORMAT, "%s: has %zu dimensions, at most %d are supported",
                         item->name, rank, (int)VISE_MAX_RANK);
    item->shape.rank = (uint32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        if (!as_size(&item->shape.dim[i], json_array_get(shape, i)))
            return vise_fail(e, VISE_EFORMAT, "%s: extent %zu is not a size", item->name, i);
        if (!item->shape.dim[i])
            return vise_fail(e, VISE_EFORMAT, "%s: is empty, extent %zu is 0", item->name, i);
    }
    return VISE_OK;
}

static vise_status read_dtype(vise_stored *item, const json_t *dtype, vise_err *e)
{
    const char *name = json_string_value(dtype);
    if (!name) return vise_fail(e, VISE_EFORMAT, "%s: has no dtype", item->name);
    if (!vise_dtype_from_st(&item->dtype, name))
        return vise_fail(e, VISE_EFORMAT, "%s: dtype %.32s is not supported", item->name,
                         vise_tensor_name_ok(name) ? name : "?");
    return VISE_OK;
}

static vise_status read_tensor(vise_tensors *t, area *a, const char *name, const json_t *j,
                               vise_err *e)
{
    vise_stored item = {.name = name};
    if (!vise_tensor_name_ok(name)) return vise_tensors_add(t, &item, e); // says what is wrong
    VISE_TRY(read_dtype(&item, json_object_get(j, "dtype"), e));
    VISE_TRY(read_shape(&item, json_object_get(j, "shape"), e));

    const json_t *offsets = json_object_get(j, "data_offsets");
    span s = {.name = name};
    if (json_array_size(offsets) != 2 || !as_size(&s.begin, json_array_get(offsets, 0)) ||
        !as_size(&s.end, json_array_get(offsets, 1)))
        return vise_fail(e, VISE_EFORMAT, "%s: has no pair of data_offsets", name);
    if (s.begin > s.end || s.end > a->size)
        return vise_fail(e, VISE_EFORMAT, "%s: data_offsets [%zu, %zu] lie outside %zu bytes", name,
                         s.begin, s.end, a->size);

    size_t count;
    char text[VISE_SHAPE_TEXT];
    item.bytes = s.end - s.begin;
    const size_t size = vise_dtype_size(item.dtype), fits = item.bytes / size;
    if (!vise_shape_count_within(&item.shape, fits, &count) || count * size != item.bytes)
        return vise_fail(e, VISE_EFORMAT, "%s: shape %s of %s does not make its %zu bytes", name,
                         vise_shape_text(text, sizeof text, &item.shape),
                         vise_dtype_name(item.dtype), item.bytes);
    item.data = a->data + s.begin;
    a->span[a->nspan++] = s;
    return vise_tensors_add(t, &item, e);
}

static vise_status read_texts(vise_tensors *t, json_t *texts, vise_err *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(texts))
        return vise_fail(e, VISE_EFORMAT, "__metadata__ is not an object of strings");
    json_object_foreach (texts, key, value) {
        if (!json_is_string(value))
            return vise_fail(e, VISE_EFORMAT, "__metadata__ holds a value that is not a string");
        VISE_TRY(vise_tensors_add_text(t, key, json_string_value(value), e));
    }
    return VISE_OK;
}

static int by_begin(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* The tensors must tile the data: no byte unused, none used twice. */
static vise_status check_spans(const area *a, vise_err *e)
{
    size_t at = 0;
    const char *before = "the header";
    qsort(a->span, a->nspan, sizeof *a->span, by_begin);
    for (size_t i = 0; i < a->nspan; i++) {
        const span *s = &a->span[i];
        if (s->begin != at)
            return vise_fail(e, VISE_EFORMAT, "%s: begins at byte %zu, but %s ends at %zu", s->name,
                             s->begin, before, at);
        at = s->end;
        before = s->name;
    }
    if (at != a->size)
        return vise_fail(e, VISE_EFORMAT, "tensors end at byte %zu, the data at %zu", at, a->size);
    return VISE_OK;
}

static vise_status read_header(vise_tensors *t, area *a, json_t *header, vise_err *e)
{
    const char *name;
    json_t *value;
    VISE_TRY(vise_alloc_or(&a->span, json_object_size(header), sizeof *a->span, "the header", e));
    json_object_foreach (header, name, value) {
        if (!strcmp(name, "__metadata__"))
            VISE_TRY(read_texts(t, value, e));
        else
            VISE_TRY(read_tensor(t, a, name, value, e));
    }
    return check_spans(a, e); // JSON_REJECT_DUPLICATES saw to the names
}

static vise_status parse(vise_tensors *t, const vise_map *m, vise_err *e)
{
    uint64_t n = 0;
    if (m->size < LENGTH_BYTES)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes are no safetensors file", m->size);
    for (size_t i = LENGTH_BYTES; i-- > 0;)
        n = n << 8 | m->data[i];
    if (n > MAX_HEADER || n > m->size - LENGTH_BYTES)
        return vise_fail(e, VISE_EFORMAT, "a header of %llu bytes in a file of %zu",
                         (unsigned long long)n, m->size);

    json_error_t error;
    const char *text = (const char *)m->data + LENGTH_BYTES;
    json_t *header = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!header)
        return vise_fail(e, VISE_EFORMAT, "header is not valid JSON: %s at byte %d", error.text,
                         error.position);
    area a = {.data = m->data + LENGTH_BYTES + n, .size = m->size - LENGTH_BYTES - n};
    vise_status s = json_is_object(header)
                        ? read_header(t, &a, header, e)
                        : vise_fail(e, VISE_EFORMAT, "header is not a JSON object");
    vise_free(a.span);
    json_decref(header);
    return s;
}

vise_status vise_read_safetensors(vise_tensors *t, vise_map *map, vise_err *e)
{
    const vise_map m = *map; // its bytes stay where they are
    vise_status s = vise_tensors_own_map(t, map, e);
    if (!s) s = parse(t, &m, e);
    if (!s) s = vise_tensors_check_names(t, e); // against other shards too
    if (s) vise_tensors_free(t);
    return s;
}

/* ---- writing ---- */

static json_t *tensor_json(const vise_stored *t, size_t at)
{
    const size_t end = at + t->bytes;
    json_t *shape = json_array();
    for (uint32_t i = 0; i < t->shape.rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape.dim[i]))) return NULL;
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", vise_dtype_st_name(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)at, (json_int_t)end);
}

/* Allocated by jansson; NULL: no memory. */
static char *header_of(json_t *meta, const vise_stored *item, size_t n)
{
    json_t *o = json_object();
    size_t at = 0;
    bool ok = !json_object_set_new(o, "__metadata__", meta);
    for (size_t i = 0; ok && i < n; i++) {
        ok = !json_object_set_new(o, item[i].name, tensor_json(&item[i], at));
        at += item[i].bytes;
    }
    char *text = ok ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

vise_status vise_write_safetensors(const char *path, void *meta, const vise_stored *item, size_t n,
                                   vise_err *e)
{
    vise_out o;
    char *header = header_of(meta, item, n);
    if (!header) return vise_fail(e, VISE_ENOMEM, "out of memory: the header of %s", path);
    const size_t len = strlen(header),
                 pad = (HEADER_ALIGN - (8 + len) % HEADER_ALIGN) % HEADER_ALIGN;
    uint8_t length[8];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (uint8_t)((uint64_t)(len + pad) >> 8 * i);
    const vise_status s = vise_out_open(&o, path, e);
    if (!s) {
        vise_out_write(&o, length, sizeof length);
        vise_out_write(&o, header, len);
        for (size_t i = 0; i < pad; i++)
            vise_out_write(&o, " ", 1);
        for (size_t i = 0; i < n; i++)
            vise_out_write(&o, item[i].data, item[i].bytes);
    }
    free(header);
    return s ? s : vise_out_commit(&o, e);
}
