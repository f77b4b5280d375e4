/* vise_file.c - the .vise file: a safetensors file whose metadata is the graph (docs/FORMAT.md)
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"
#include "model/coded.h"
#include "model/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "2"       // with codes or rounded operands
#define VERSION_PLAIN "1" // without, as it has always been
#define KEY_VERSION "vise"
#define KEY_FAMILY "vise.family"
#define KEY_GRAPH "vise.graph"
#define KEY_ENCODINGS "vise.encodings"
#define KEY_INPUT "vise.input"
#define KEY_LABELS "vise.labels"
#define KEY_HISTORY "vise.history"

enum { MAX_TEXTS = 1 << 20 };

bool vise_file_is(const vise_tensors *t)
{
    return vise_tensors_text(t, KEY_VERSION) != NULL;
}

/* ---- writing ----
 *
 * Every step may run out of memory; jansson passes a missing value on as a failure, and bad sticks,
 * so it is looked at once, before anything is written. */

static void append(json_t *a, json_t *v, bool *bad)
{
    if (json_array_append_new(a, v)) *bad = true;
}

static void set(json_t *o, const char *key, json_t *v, bool *bad)
{
    if (json_object_set_new(o, key, v)) *bad = true;
}

static json_t *shape_json(const vise_shape *s, bool *bad)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < s->rank; i++)
        append(a, json_integer((json_int_t)s->dim[i]), bad);
    return a;
}

static json_t *strings_json(const vise_strings *l, bool *bad)
{
    json_t *a = json_array();
    for (size_t i = 0; i < l->count; i++)
        append(a, json_string(l->item[i]), bad);
    return a;
}

static json_t *floats_json(const float *v, size_t n, bool *bad)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        append(a, json_real((double)v[i]), bad);
    return a;
}

static json_t *recipe_json(const vise_recipe *r, bool *bad)
{
    json_t *o = json_object();
    const vise_shape size = {3, {r->height, r->width, r->channels}};
    set(o, "size", shape_json(&size, bad), bad);
    set(o, "interpolation", json_string(vise_filter_name(r->filter)), bad);
    set(o, "crop_mode", json_string(vise_crop_name(r->crop)), bad);
    set(o, "crop_pct", json_real(r->crop_pct), bad);
    set(o, "mean", floats_json(r->mean, r->channels, bad), bad);
    set(o, "std", floats_json(r->std, r->channels, bad), bad);
    set(o, "ignore_exif", json_boolean(r->ignore_exif), bad);
    return o;
}

static json_t *actq_json(const vise_actq *q, bool *bad)
{
    if (!q->kind) return json_null();
    json_t *o = json_object();
    set(o, "kind", json_string(vise_actq_name(q->kind)), bad);
    if (vise_actq_is_coded(q->kind)) set(o, "bits", json_integer(q->bits), bad);
    if (q->kind >= VISE_ACTQ_STATIC) {
        set(o, "scale", json_real((double)q->scale), bad);
        set(o, "zero", json_integer(q->zero), bad);
    }
    if (q->kind == VISE_ACTQ_LEVELS) {
        json_t *levels = json_array();
        for (size_t i = 0; i < (size_t)1 << q->bits; i++)
            append(levels, json_integer(q->level[i]), bad);
        set(o, "levels", levels, bad);
    }
    return o;
}

static bool is_rounded(const vise_node *n)
{
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->actq[i].kind) return true;
    return false;
}

static json_t *node_json(const vise_graph *g, const vise_node *n, bool *bad)
{
    json_t *o = json_object(), *in = json_array();
    char *attr = NULL;
    if (vise_attr_to_json(&attr, n->op, n->attr, NULL)) *bad = true;
    json_t *a = attr ? json_loads(attr, 0, NULL) : NULL;
    vise_free(attr);
    if (!a) *bad = true;
    for (uint32_t i = 0; i < n->nin; i++)
        append(in, n->in[i] == VISE_NONE ? json_null() : json_string(g->value[n->in[i]].name), bad);
    set(o, "name", json_string(n->name), bad);
    set(o, "op", json_string(n->op->name), bad);
    set(o, "in", in, bad);
    if (json_object_size(a))
        set(o, "attr", a, bad);
    else
        json_decref(a);
    if (is_rounded(n)) {
        json_t *q = json_array();
        for (uint32_t i = 0; i < n->nin; i++)
            append(q, actq_json(&n->actq[i], bad), bad);
        set(o, "actq", q, bad);
    }
    return o;
}

/* What the codes of every coded constant mean, by name. */
static json_t *encodings_json(const vise_graph *g, bool *bad)
{
    json_t *all = json_object();
    for (size_t i = 0; i < g->values; i++) {
        const vise_const *c = &g->value[i].data;
        if (g->value[i].kind != VISE_VALUE_CONST || !c->enc.bits) continue;
        json_t *o = json_object();
        set(o, "shape", shape_json(&c->shape, bad), bad);
        set(o, "bits", json_integer(c->enc.bits), bad);
        set(o, "levels", json_string(vise_levels_name(c->enc.levels)), bad);
        if (c->enc.levels == VISE_AFFINE) set(o, "zero", json_integer(c->enc.zero), bad);
        if (c->enc.group) set(o, "group", json_integer((json_int_t)c->enc.group), bad);
        if (c->enc.multiplied) set(o, "multiplied", json_true(), bad);
        if (c->enc.book_rows) set(o, "book_rows", json_integer((json_int_t)c->enc.book_rows), bad);
        set(all, g->value[i].name, o, bad);
    }
    return all;
}

static json_t *graph_json(const vise_graph *g, bool *bad)
{
    json_t *o = json_object(), *inputs = json_array(), *nodes = json_array();
    json_t *outputs = json_array();
    for (size_t i = 0; i < g->inputs; i++) {
        json_t *p = json_object();
        set(p, "name", json_string(g->input[i].name), bad);
        set(p, "shape", shape_json(&g->value[g->input[i].value].shape, bad), bad);
        append(inputs, p, bad);
    }
    for (size_t i = 0; i < g->nodes; i++)
        append(nodes, node_json(g, &g->node[i], bad), bad);
    for (size_t i = 0; i < g->outputs; i++) {
        json_t *p = json_object();
        set(p, "name", json_string(g->output[i].name), bad);
        set(p, "value", json_string(g->value[g->output[i].value].name), bad);
        append(outputs, p, bad);
    }
    set(o, "inputs", inputs, bad);
    set(o, "nodes", nodes, bad);
    set(o, "outputs", outputs, bad);
    return o;
}

/* Puts value as JSON text under a key of meta; takes value over. */
static void put_text(json_t *meta, const char *key, json_t *value, bool *bad)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    set(meta, key, text ? json_string(text) : NULL, bad);
    free(text);
}

static json_t *meta_json(const vise_model *m, bool *bad)
{
    json_t *meta = json_object(), *encodings = encodings_json(&m->graph, bad);
    const bool coded = json_object_size(encodings) > 0;
    bool plain = !coded;
    for (size_t i = 0; i < m->graph.nodes; i++)
        plain = plain && !is_rounded(&m->graph.node[i]);
    set(meta, "format", json_string("pt"), bad); // Python's loaders want to see it
    set(meta, KEY_VERSION, json_string(plain ? VERSION_PLAIN : VERSION), bad);
    set(meta, KEY_FAMILY, json_string(m->family), bad);
    put_text(meta, KEY_INPUT, recipe_json(&m->recipe, bad), bad);
    put_text(meta, KEY_GRAPH, graph_json(&m->graph, bad), bad);
    put_text(meta, KEY_HISTORY, strings_json(&m->history, bad), bad);
    if (m->labels.count) put_text(meta, KEY_LABELS, strings_json(&m->labels, bad), bad);
    if (coded)
        put_text(meta, KEY_ENCODINGS, encodings, bad);
    else
        json_decref(encodings);
    return meta;
}

vise_status vise_model_save(const vise_model *m, const char *path, vise_err *e)
{
    vise_stored *item = NULL;
    vise_region names = {0};
    size_t n;
    bool bad = false;
    vise_status s = vise_coded_list(&item, &n, &names, &m->graph, e);
    if (!s) {
        json_t *meta = meta_json(m, &bad);
        if (bad) json_decref(meta);
        s = vise_write_safetensors(path, bad ? NULL : meta, item, n, e);
    }
    vise_free(item);
    vise_region_free(&names);
    return s;
}

/* ---- reading ---- */

static vise_status load_text(json_t **out, const vise_tensors *t, const char *key, vise_err *e)
{
    json_error_t je;
    const char *text = vise_tensors_text(t, key);
    *out = text ? json_loads(text, JSON_REJECT_DUPLICATES, &je) : NULL;
    if (*out) return VISE_OK;
    if (!text) return vise_fail(e, VISE_EFORMAT, "no %s in the file's metadata", key);
    return vise_fail(e, VISE_EFORMAT, "%s: %s at byte %d", key, je.text, je.position);
}

static vise_status load_strings(vise_strings *l, const vise_tensors *t, const char *key,
                                vise_err *e)
{
    json_t *a;
    vise_status s = load_text(&a, t, key, e);
    const size_t n = json_array_size(a);
    if (!s && (!json_is_array(a) || n > MAX_TEXTS))
        s = vise_fail(e, VISE_EFORMAT, "%s: not a list of at most %d texts", key, MAX_TEXTS);
    for (size_t i = 0; !s && i < n; i++) {
        const char *text = json_string_value(json_array_get(a, i));
        s = text ? vise_strings_add(l, text, e)
                 : vise_fail(e, VISE_EFORMAT, "%s: entry %zu is not a text", key, i);
    }
    json_decref(a);
    return s;
}

static bool read_floats(float *out, const json_t *a, size_t n)
{
    if (json_array_size(a) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_number(v)) return false;
        out[i] = (float)json_number_value(v);
    }
    return true;
}

static vise_status load_recipe(vise_recipe *r, const vise_tensors *t, vise_err *e)
{
    json_t *o;
    VISE_TRY(load_text(&o, t, KEY_INPUT, e));
    const json_t *size = json_object_get(o, "size");
    json_int_t v[3] = {0};
    bool ok = json_array_size(size) == 3;
    for (size_t i = 0; ok && i < 3; i++) {
        v[i] = json_integer_value(json_array_get(size, i));
        ok = v[i] >= 1 && v[i] <= 65535;
    }
    ok = ok && (v[2] == 1 || v[2] == 3);
    const char *filter = json_string_value(json_object_get(o, "interpolation"));
    const char *crop = json_string_value(json_object_get(o, "crop_mode"));
    *r = (vise_recipe){.height = (uint32_t)v[0],
                       .width = (uint32_t)v[1],
                       .channels = (uint32_t)v[2],
                       .crop_pct = json_number_value(json_object_get(o, "crop_pct")),
                       .ignore_exif = json_is_true(json_object_get(o, "ignore_exif"))};
    ok = ok && filter && vise_filter_from(&r->filter, filter) && crop &&
         vise_crop_from(&r->crop, crop) &&
         read_floats(r->mean, json_object_get(o, "mean"), r->channels) &&
         read_floats(r->std, json_object_get(o, "std"), r->channels);
    json_decref(o);
    if (!ok) return vise_fail(e, VISE_EFORMAT, "%s: a field is missing or wrong", KEY_INPUT);
    return vise_recipe_check(r, e);
}

/* What the nodes of a file are built from. */
typedef struct loader {
    vise_graph *g;
    vise_tensors *t;
    const json_t *encodings; // NULL: none
    vise_err *e;
} loader;

/* The constant in a tensor of the file. */
static vise_status constant(vise_const *c, loader *l, const vise_stored *st)
{
    const json_t *encoding = json_object_get(l->encodings, st->name);
    if (encoding) return vise_coded_read(c, l->t, st, encoding, l->e);
    if (!vise_dtype_is_float(st->dtype) || st->dtype == VISE_F64)
        return vise_fail(l->e, VISE_EFORMAT, "%s: a constant of type %s", st->name,
                         vise_dtype_name(st->dtype));
    *c = (vise_const){.shape = st->shape, .enc = {.type = st->dtype}, .data = st->data};
    return vise_stored_check_finite(st, l->e);
}

/* The value a node reads: an earlier value, or a tensor of the file, which then becomes one. */
static vise_id operand(loader *l, const char *name, const char *node)
{
    vise_graph *g = l->g;
    vise_id id = vise_graph_find(g, name);
    if (g->status || id != VISE_NONE) return id;
    const vise_stored *st = vise_tensors_find(l->t, name);
    vise_const c = {0};
    vise_graph_fail(g, st ? constant(&c, l, st)
                          : vise_fail(l->e, VISE_EFORMAT,
                                      "%s: reads %s, which is neither an earlier "
                                      "value nor a tensor of the file",
                                      node, name));
    return vise_graph_const(g, name, &c);
}

enum { MAX_LEVELS = 128 };

/* 2^bits integers. */
static bool read_levels(int8_t level[MAX_LEVELS], const json_t *list, json_int_t bits)
{
    if (bits < 2 || bits > 7 || json_array_size(list) != (size_t)1 << bits) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *x = json_array_get(list, i);
        const json_int_t v = json_integer_value(x);
        if (!json_is_integer(x) || v < INT8_MIN || v > INT8_MAX) return false;
        level[i] = (int8_t)v;
    }
    return true;
}

/* One entry of "actq": null, or an object of exactly the fields of its kind. */
static bool read_actq(vise_actq *q, int8_t level[MAX_LEVELS], const json_t *o)
{
    *q = (vise_actq){0};
    if (json_is_null(o)) return true;
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const json_t *bits = json_object_get(o, "bits"), *scale = json_object_get(o, "scale");
    const json_t *zero = json_object_get(o, "zero");
    if (!kind || !vise_actq_from(&q->kind, kind) || !q->kind) return false;
    const bool coded = vise_actq_is_coded(q->kind), fixed = q->kind >= VISE_ACTQ_STATIC;
    const bool levels = q->kind == VISE_ACTQ_LEVELS;
    const json_int_t b = json_integer_value(bits), z = json_integer_value(zero);
    if (json_is_integer(bits) != coded || json_is_number(scale) != fixed ||
        json_is_integer(zero) != fixed ||
        json_object_size(o) != (size_t)1 + coded + (fixed ? 2 : 0) + levels || b < 0 || b > 32 ||
        z < INT32_MIN || z > INT32_MAX)
        return false;
    if (levels && !read_levels(level, json_object_get(o, "levels"), b)) return false;
    q->level = levels ? level : NULL;
    q->bits = (uint32_t)b;
    q->zero = (int32_t)z;
    q->scale = (float)json_number_value(scale);
    return true;
}

static void load_actq(loader *l, const json_t *list, vise_id value, size_t nin, const char *node)
{
    vise_graph *g = l->g;
    vise_actq q[VISE_MAX_IN] = {0};
    int8_t level[VISE_MAX_IN][MAX_LEVELS];
    if (!list || g->status) return;
    bool ok = json_is_array(list) && json_array_size(list) == nin;
    for (size_t i = 0; ok && i < nin; i++)
        ok = read_actq(&q[i], level[i], json_array_get(list, i));
    if (ok)
        vise_graph_set_actq(g, value, q);
    else
        vise_graph_fail(
            g, vise_fail(l->e, VISE_EFORMAT, "%s: a field of actq is missing or wrong", node));
}

static void load_node(loader *l, const json_t *o, size_t i)
{
    vise_graph *g = l->g;
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *op_name = json_string_value(json_object_get(o, "op"));
    const json_t *in = json_object_get(o, "in"), *attr = json_object_get(o, "attr");
    const vise_op *op = op_name ? vise_op_find(op_name) : NULL;
    const size_t nin = json_array_size(in);
    if (!name || !op || nin > VISE_MAX_IN) {
        vise_graph_fail(g, vise_fail(l->e, VISE_EFORMAT,
                                     "%s: node %zu (%s) of operator %s with %zu "
                                     "inputs is not known to this version",
                                     KEY_GRAPH, i, name ? name : "unnamed",
                                     op_name ? op_name : "none", nin));
        return;
    }
    vise_id id[VISE_MAX_IN];
    for (size_t k = 0; k < nin; k++) {
        const char *from = json_string_value(json_array_get(in, k));
        id[k] = from ? operand(l, from, name) : VISE_NONE;
    }
    void *a = NULL;
    if (!g->status) vise_graph_fail(g, vise_alloc_or(&a, 1, op->attr_size + 1, name, l->e));
    if (!g->status) {
        vise_attr_defaults(op, a);
        if (attr) vise_graph_fail(g, vise_attr_from_json(a, op, attr, name, l->e));
    }
    const vise_id y = vise_graph_add(g, op_name, name, a, (uint32_t)nin, id);
    load_actq(l, json_object_get(o, "actq"), y, nin, name);
    vise_free(a);
}

static void load_input(vise_graph *g, const json_t *o, const vise_recipe *r, vise_err *e)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    const json_t *dims = json_object_get(o, "shape");
    vise_shape shape = {.rank = (uint32_t)json_array_size(dims)};
    bool ok = name && shape.rank == 3; // all inputs so far are pictures
    for (uint32_t i = 0; ok && i < shape.rank; i++) {
        json_int_t d = json_integer_value(json_array_get(dims, i));
        ok = d >= 1 && d <= VISE_MAX_DIM;
        shape.dim[i] = (size_t)d;
    }
    if (!ok || shape.dim[2] != r->channels) {
        vise_graph_fail(g, vise_fail(e, VISE_EFORMAT,
                                     "%s: an input that is not a named picture "
                                     "[height, width, %u]",
                                     KEY_GRAPH, r->channels));
        return;
    }
    shape.dim[0] = r->height; // the recipe decides: --size may differ from the file
    shape.dim[1] = r->width;
    vise_graph_input(g, name, &shape);
}

static vise_status load_graph(vise_model *m, const json_t *o, const json_t *encodings, vise_err *e)
{
    vise_graph *g = &m->graph;
    loader l = {g, &m->tensors, encodings, e};
    const json_t *in = json_object_get(o, "inputs"), *nodes = json_object_get(o, "nodes"),
                 *out = json_object_get(o, "outputs");
    vise_graph_init(g, e);
    if (json_array_size(in) != 1)
        vise_graph_fail(g, vise_fail(e, VISE_EFORMAT, "%s: %zu inputs, and not one picture",
                                     KEY_GRAPH, json_array_size(in)));
    for (size_t i = 0; !g->status && i < json_array_size(in); i++)
        load_input(g, json_array_get(in, i), &m->recipe, e);
    for (size_t i = 0; !g->status && i < json_array_size(nodes); i++)
        load_node(&l, json_array_get(nodes, i), i);
    for (size_t i = 0; !g->status && i < json_array_size(out); i++) {
        const json_t *port = json_array_get(out, i);
        const char *name = json_string_value(json_object_get(port, "name"));
        const char *value = json_string_value(json_object_get(port, "value"));
        if (name && value)
            vise_graph_output(g, name, vise_graph_find(g, value));
        else
            vise_graph_fail(
                g, vise_fail(e, VISE_EFORMAT, "%s: output %zu has no name or value", KEY_GRAPH, i));
    }
    return vise_graph_finish(g);
}

/* Every encoding says something of a tensor that a node reads. */
static vise_status check_encodings(const vise_graph *g, json_t *encodings, vise_err *e)
{
    const char *name;
    json_t *o;
    json_object_foreach (encodings, name, o) {
        const vise_id id = vise_graph_find(g, name);
        if (id == VISE_NONE || g->value[id].kind != VISE_VALUE_CONST)
            return vise_fail(e, VISE_EFORMAT, KEY_ENCODINGS ": %s is no tensor that a node reads",
                             vise_tensor_name_ok(name) ? name : "?");
    }
    return VISE_OK;
}

static vise_status load_network(vise_model *m, vise_err *e)
{
    json_t *graph, *encodings = NULL;
    VISE_TRY(load_text(&graph, &m->tensors, KEY_GRAPH, e));
    vise_status s = VISE_OK;
    if (vise_tensors_text(&m->tensors, KEY_ENCODINGS))
        s = load_text(&encodings, &m->tensors, KEY_ENCODINGS, e);
    if (!s && encodings && !json_is_object(encodings))
        s = vise_fail(e, VISE_EFORMAT, KEY_ENCODINGS " is no JSON object");
    if (!s) s = load_graph(m, graph, encodings, e);
    if (!s) s = check_encodings(&m->graph, encodings, e);
    if (!s) s = vise_coded_check_used(&m->tensors, &m->graph, e);
    json_decref(encodings);
    json_decref(graph);
    return s;
}

vise_status vise_file_load(vise_model *m, uint32_t height, uint32_t width, vise_err *e)
{
    const vise_tensors *t = &m->tensors;
    const char *version = vise_tensors_text(t, KEY_VERSION);
    const char *family = vise_tensors_text(t, KEY_FAMILY);
    if (strcmp(version, VERSION) != 0 && strcmp(version, VERSION_PLAIN) != 0)
        return vise_fail(e, VISE_EFORMAT,
                         "a .vise file of format %.16s, this program reads formats up to " VERSION
                         "; use a newer vise",
                         version);
    if (!family || !*family || strlen(family) > 32 ||
        family[strspn(family, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        return vise_fail(e, VISE_EFORMAT, KEY_FAMILY " is missing or not a short lower-case name");
    m->family = family; // lives in the texts of t; the graph stands for itself
    VISE_TRY(load_recipe(&m->recipe, t, e));
    if (height && width) {
        m->recipe.height = height;
        m->recipe.width = width;
        VISE_TRY(vise_recipe_check(&m->recipe, e));
    }
    VISE_TRY(load_strings(&m->history, t, KEY_HISTORY, e));
    if (vise_tensors_text(t, KEY_LABELS)) VISE_TRY(load_strings(&m->labels, t, KEY_LABELS, e));
    return load_network(m, e);
}
