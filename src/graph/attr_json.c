/* attr_json.c - operator attributes as JSON text and back
 * SPDX-License-Identifier: MIT */
#include "graph/graph.h"

#include <jansson.h>
#include <string.h>

/* ---- writing ---- */

static json_t *ints_json(const vise_ints *v)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < v->n; i++)
        if (json_array_append_new(list, json_integer(v->v[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* The value of one attribute; *skip if it equals the default. NULL when memory is short. */
static json_t *value_json(const vise_attr_def *d, const void *attr, bool *skip)
{
    const char *p = (const char *)attr + d->offset;
    switch (d->kind) {
    case VISE_ATTR_INT:
        *skip = *(const int64_t *)p == (int64_t)d->def;
        return json_integer(*(const int64_t *)p);
    case VISE_ATTR_REAL:
        *skip = *(const double *)p == d->def;
        return json_real(*(const double *)p);
    case VISE_ATTR_BOOL:
        *skip = *(const bool *)p == (d->def != 0);
        return json_boolean(*(const bool *)p);
    case VISE_ATTR_WORD:
        *skip = *(const int *)p == (int)d->def;
        return json_string(d->words[*(const int *)p]);
    case VISE_ATTR_INTS:
        *skip = ((const vise_ints *)p)->n == 0;
        return ints_json((const vise_ints *)p);
    }
    return NULL;
}

static vise_status object_json(json_t *o, const vise_op *op, const void *attr)
{
    for (const vise_attr_def *d = op->attrs; d && d->name; d++) {
        bool skip = false;
        json_t *v = value_json(d, attr, &skip);
        if (!v) return VISE_ENOMEM;
        if (skip)
            json_decref(v);
        else if (json_object_set_new(o, d->name, v))
            return VISE_ENOMEM;
    }
    return VISE_OK;
}

vise_status vise_attr_to_json(char **text, const vise_op *op, const void *attr, vise_err *e)
{
    *text = NULL;
    json_t *o = json_object();
    if (!o || object_json(o, op, attr)) {
        json_decref(o);
        return vise_fail(e, VISE_ENOMEM, "out of memory: attributes of %s", op->name);
    }
    const size_t n = json_dumpb(o, NULL, 0, JSON_COMPACT);
    vise_status s = vise_alloc_or(text, n + 1, 1, "attributes as text", e); // zeroed: ends with 0
    if (!s && json_dumpb(o, *text, n, JSON_COMPACT) != n) {
        vise_free(*text);
        *text = NULL;
        s = vise_fail(e, VISE_ENOMEM, "out of memory: attributes of %s", op->name);
    }
    json_decref(o);
    return s;
}

/* ---- reading ---- */

static bool read_ints(vise_ints *out, const json_t *v)
{
    const size_t n = json_array_size(v); // 0 of what is no array
    if (!json_is_array(v) || n > VISE_MAX_RANK) return false;
    *out = (vise_ints){.n = (uint32_t)n};
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, i);
        if (!json_is_integer(x)) return false;
        out->v[i] = json_integer_value(x);
    }
    return true;
}

static bool read_word(int *out, const char *const *words, const json_t *v)
{
    for (int i = 0; json_is_string(v) && words[i]; i++)
        if (!strcmp(words[i], json_string_value(v))) {
            *out = i;
            return true;
        }
    return false;
}

/* False if v is of the wrong kind. */
static bool read_value(void *attr, const vise_attr_def *d, const json_t *v)
{
    char *p = (char *)attr + d->offset;
    switch (d->kind) {
    case VISE_ATTR_INT:
        *(int64_t *)p = json_integer_value(v);
        return json_is_integer(v);
    case VISE_ATTR_REAL:
        *(double *)p = json_number_value(v);
        return json_is_number(v);
    case VISE_ATTR_BOOL:
        *(bool *)p = json_is_true(v);
        return json_is_boolean(v);
    case VISE_ATTR_WORD:
        return read_word((int *)p, d->words, v);
    case VISE_ATTR_INTS:
        return read_ints((vise_ints *)p, v);
    }
    return false;
}

/* A key of a file may be anything: only short printable ones are shown. */
static const char *shown(const char *key)
{
    size_t n = 0;
    while (key[n] > ' ' && key[n] < 127 && n < 40)
        n++;
    return key[n] || !n ? "(unprintable)" : key;
}

vise_status vise_attr_from_json(void *attr, const vise_op *op, const void *json, const char *node,
                                vise_err *e)
{
    const char *key;
    json_t *object = (json_t *)json, *v; // jansson's iterators take no const
    if (!json_is_object(object))
        return vise_fail(e, VISE_EFORMAT, "%s: the attributes of %s are no JSON object", node,
                         op->name);
    vise_attr_defaults(op, attr);
    json_object_foreach (object, key, v) {
        const vise_attr_def *d = op->attrs;
        while (d && d->name && strcmp(d->name, key) != 0)
            d++;
        if (!d || !d->name)
            return vise_fail(e, VISE_EFORMAT, "%s: %s has no attribute %s", node, op->name,
                             shown(key));
        if (!read_value(attr, d, v))
            return vise_fail(e, VISE_EFORMAT, "%s: %s of %s has the wrong kind", node, d->name,
                             op->name);
    }
    return vise_attr_check(op, attr, node, e);
}
