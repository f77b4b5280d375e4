/* build.c - names, constants and nodes of an ONNX graph
 * SPDX-License-Identifier: MIT */
#include "model/onnx/build.h"

#include <stdio.h>
#include <string.h>

void vise_onnx_fail(vise_onnx *w, vise_status s)
{
    if (!w->status) w->status = s;
}

void *vise_onnx_keep(vise_onnx *w, size_t n, size_t size)
{
    if (w->status) return NULL;
    void *p = vise_region_take(&w->mem, n ? n : 1, size);
    if (!p)
        vise_onnx_fail(w, vise_fail(w->e, VISE_ENOMEM, "out of memory: %s as ONNX needs %zu x %zu",
                                    w->base, n, size));
    return p;
}

static char *text(vise_onnx *w, const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = vise_onnx_keep(w, n, 1);
    return p ? memcpy(p, s, n) : NULL;
}

static void append(vise_onnx *w, vise_onnx_list *l, void *item)
{
    if (w->status) return;
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 256;
        void **more = vise_onnx_keep(w, room, sizeof *more);
        if (!more) return;
        if (l->n) memcpy(more, l->item, l->n * sizeof *more);
        l->item = more;
        l->room = room;
    }
    l->item[l->n++] = item;
}

/* A name that no value of the graph has: the current node's and a number. */
static const char *new_name(vise_onnx *w)
{
    char buf[640]; // a value's name has at most 512 bytes
    do
        snprintf(buf, sizeof buf, "%.512s#%zu", w->base, w->unique++);
    while (vise_graph_find(w->g, buf) != VISE_NONE);
    const char *name = text(w, buf);
    return name ? name : "";
}

/* ---- nodes ---- */

static size_t count_of(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

static Vise__Onnx__Attribute *attribute(vise_onnx *w, const vise_onnx_attr *a)
{
    Vise__Onnx__Attribute *p = vise_onnx_keep(w, 1, sizeof *p);
    int64_t *ints = a->ints.n ? vise_onnx_keep(w, a->ints.n, sizeof *ints) : NULL;
    if (w->status) return NULL;
    vise__onnx__attribute__init(p);
    p->name = text(w, a->name);
    p->has_type = true;
    if (ints) {
        p->type = VISE__ONNX__ATTRIBUTE__TYPE__INTS;
        p->n_ints = a->ints.n;
        p->ints = memcpy(ints, a->ints.v, a->ints.n * sizeof *ints);
    } else if (a->text) {
        p->type = VISE__ONNX__ATTRIBUTE__TYPE__TEXT;
        p->s = text(w, a->text);
    } else if (a->real) {
        p->type = VISE__ONNX__ATTRIBUTE__TYPE__REAL;
        p->has_f = true;
        p->f = (float)a->f;
    } else {
        p->type = VISE__ONNX__ATTRIBUTE__TYPE__INT;
        p->has_i = true;
        p->i = a->i;
    }
    return p;
}

void vise_onnx_node_n(vise_onnx *w, const char *op, const char *const *in,
                      const vise_onnx_attr *attr, size_t n, const char **out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = new_name(w);
    Vise__Onnx__Node *p = vise_onnx_keep(w, 1, sizeof *p);
    if (!p) return;
    vise__onnx__node__init(p);
    size_t attrs = 0;
    while (attr && attr[attrs].name)
        attrs++;
    p->n_input = count_of(in);
    p->n_output = n;
    p->n_attribute = attrs;
    p->input = vise_onnx_keep(w, p->n_input, sizeof *p->input);
    p->output = vise_onnx_keep(w, n, sizeof *p->output);
    p->attribute = vise_onnx_keep(w, attrs, sizeof *p->attribute);
    p->op = text(w, op);
    if (w->status) return;
    memcpy(p->input, in, p->n_input * sizeof *p->input);
    memcpy(p->output, out, n * sizeof *p->output);
    p->name = p->output[0];
    for (size_t i = 0; i < attrs; i++)
        p->attribute[i] = attribute(w, &attr[i]);
    append(w, &w->nodes, p);
}

const char *vise_onnx_node(vise_onnx *w, const char *op, const char *const *in,
                           const vise_onnx_attr *attr)
{
    const char *out;
    vise_onnx_node_n(w, op, in, attr, 1, &out);
    return out;
}

const char *vise_onnx_1(vise_onnx *w, const char *op, const char *x)
{
    return vise_onnx_node(w, op, VISE_ONNX_IN(x), NULL);
}

const char *vise_onnx_2(vise_onnx *w, const char *op, const char *a, const char *b)
{
    return vise_onnx_node(w, op, VISE_ONNX_IN(a, b), NULL);
}

const char *vise_onnx_rename(vise_onnx *w, const char *x, const char *name)
{
    if (w->status) return "";
    Vise__Onnx__Node *p = w->nodes.item[w->nodes.n - 1];
    if (p->output[0] != x) vise_bug("%s: %s is not its last tensor", w->base, x);
    p->output[0] = p->name = text(w, name);
    return w->status ? "" : p->output[0];
}

/* ---- constants ---- */

const char *vise_onnx_tensor(vise_onnx *w, const char *name, Vise__Onnx__Tensor__Type type,
                             const vise_shape *shape, const void *data)
{
    static const size_t size[] = {[VISE__ONNX__TENSOR__TYPE__F32] = 4,
                                  [VISE__ONNX__TENSOR__TYPE__U8] = 1,
                                  [VISE__ONNX__TENSOR__TYPE__S8] = 1,
                                  [VISE__ONNX__TENSOR__TYPE__S32] = 4,
                                  [VISE__ONNX__TENSOR__TYPE__S64] = 8};
    Vise__Onnx__Tensor *t = vise_onnx_keep(w, 1, sizeof *t);
    int64_t *dim = vise_onnx_keep(w, shape->rank, sizeof *dim);
    if (!name) name = new_name(w);
    if (w->status) return "";
    vise__onnx__tensor__init(t);
    for (uint32_t i = 0; i < shape->rank; i++)
        dim[i] = (int64_t)shape->dim[i];
    t->n_dim = shape->rank;
    t->dim = dim;
    t->has_type = t->has_raw = true;
    t->type = type;
    t->name = text(w, name);
    t->raw.len = vise_shape_count(shape) * size[type];
    memcpy(&t->raw.data, &data, sizeof data); // it is only read
    append(w, &w->tensors, t);
    return w->status ? "" : t->name;
}

const char *vise_onnx_floats(vise_onnx *w, const vise_shape *s, const float *data)
{
    return vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__F32, s, data);
}

const char *vise_onnx_scalar(vise_onnx *w, double x)
{
    float *p = vise_onnx_keep(w, 1, sizeof *p);
    if (!p) return "";
    *p = (float)x;
    return vise_onnx_floats(w, &(vise_shape){0}, p);
}

const char *vise_onnx_vector(vise_onnx *w, size_t n, double x)
{
    float *p = vise_onnx_keep(w, n, sizeof *p);
    if (!p) return "";
    for (size_t i = 0; i < n; i++)
        p[i] = (float)x;
    return vise_onnx_floats(w, &(vise_shape){1, {n}}, p);
}

const char *vise_onnx_list_of(vise_onnx *w, vise_onnx_ints v)
{
    int64_t *p = vise_onnx_keep(w, v.n, sizeof *p);
    if (!p) return "";
    memcpy(p, v.v, v.n * sizeof *p);
    return vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__S64, &(vise_shape){1, {v.n}}, p);
}

/* ---- values ---- */

const vise_shape *vise_onnx_shape(const vise_onnx *w, vise_id v)
{
    return &w->g->value[v].shape;
}

bool vise_onnx_batched(const vise_onnx *w, vise_id v)
{
    return w->g->value[v].batched;
}

const float *vise_onnx_numbers(vise_onnx *w, vise_id v)
{
    const vise_value *x = &w->g->value[v];
    if (w->folded[v] || w->status) return w->folded[v];
    if (x->kind == VISE_VALUE_CONST && !x->data.enc.bits && x->data.enc.type == VISE_F32 &&
        (uintptr_t)x->data.data % _Alignof(float) == 0)
        return w->folded[v] = x->data.data; // in place
    float *p = vise_onnx_keep(w, vise_shape_count(&x->shape), sizeof *p);
    if (p) vise_decode(p, &x->data);
    return w->folded[v] = p;
}

bool vise_onnx_is_port(const vise_onnx *w, const char *name)
{
    for (size_t i = 0; i < w->g->inputs; i++)
        if (!strcmp(w->g->input[i].name, name)) return true;
    for (size_t i = 0; i < w->g->outputs; i++)
        if (!strcmp(w->g->output[i].name, name)) return true;
    return false;
}

const char *vise_onnx_in(vise_onnx *w, vise_id v)
{
    const vise_value *x = &w->g->value[v];
    if (w->status) return "";
    if (!w->last[v] && w->first[v])
        w->last[v] = vise_onnx_permute(w, w->first[v], (vise_onnx_ints){4, {0, 2, 3, 1}});
    if (!w->last[v])
        w->last[v] =
            vise_onnx_tensor(w, vise_onnx_is_port(w, x->name) ? NULL : x->name,
                             VISE__ONNX__TENSOR__TYPE__F32, &x->shape, vise_onnx_numbers(w, v));
    return w->last[v];
}

const char *vise_onnx_in_first(vise_onnx *w, vise_id v)
{
    if (!w->first[v])
        w->first[v] = vise_onnx_permute(w, vise_onnx_in(w, v), (vise_onnx_ints){4, {0, 3, 1, 2}});
    return w->first[v];
}

const char *vise_onnx_widened(vise_onnx *w, vise_id v, uint32_t rank)
{
    const vise_shape *s = vise_onnx_shape(w, v);
    vise_shape wide = {.rank = rank};
    if (!vise_onnx_batched(w, v) || s->rank >= rank) return vise_onnx_in(w, v);
    for (uint32_t i = 0; i < rank; i++)
        wide.dim[i] = i < rank - s->rank ? 1 : s->dim[i - (rank - s->rank)];
    return vise_onnx_reshape(w, vise_onnx_in(w, v), &wide);
}

const char *vise_onnx_expanded(vise_onnx *w, vise_id v)
{
    const vise_shape *s = vise_onnx_shape(w, v);
    vise_onnx_ints extents = {.n = s->rank};
    if (vise_onnx_batched(w, v)) return vise_onnx_in(w, v);
    for (uint32_t i = 0; i < s->rank; i++)
        extents.v[i] = (int64_t)s->dim[i];
    if (!w->batch)
        w->batch = vise_onnx_node(w, "Shape", VISE_ONNX_IN(w->g->input[0].name),
                                  VISE_ONNX_ATTR({"end", .i = 1}));
    const char *shape =
        vise_onnx_node(w, "Concat", VISE_ONNX_IN(w->batch, vise_onnx_list_of(w, extents)),
                       VISE_ONNX_ATTR({"axis", .i = 0}));
    return vise_onnx_2(w, "Expand", vise_onnx_in(w, v), shape);
}

const char *vise_onnx_reshape(vise_onnx *w, const char *x, const vise_shape *s)
{
    vise_onnx_ints to = {.n = s->rank + 1, .v = {-1}};
    for (uint32_t i = 0; i < s->rank; i++)
        to.v[i + 1] = (int64_t)s->dim[i];
    return vise_onnx_2(w, "Reshape", x, vise_onnx_list_of(w, to));
}

const char *vise_onnx_permute(vise_onnx *w, const char *x, vise_onnx_ints order)
{
    return vise_onnx_node(w, "Transpose", VISE_ONNX_IN(x), VISE_ONNX_ATTR({"perm", .ints = order}));
}
