/* ops.c - the operators of vise in those of ONNX
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "model/onnx/build.h"

#include <string.h>

#define IN VISE_ONNX_IN
#define ATTR VISE_ONNX_ATTR

static uint32_t rank_of(const vise_onnx *w, vise_id v)
{
    return vise_onnx_shape(w, v)->rank;
}

/* An axis of a value of that rank as one of its tensor. Attributes were checked by the shape rule. */
static int64_t axis_of(int64_t axis, uint32_t rank)
{
    return (axis < 0 ? axis + rank : axis) + 1;
}

static bool has(const vise_node *n, uint32_t i)
{
    return i < n->nin && n->in[i] != VISE_NONE;
}

/* ---- two operands ---- */

static const char *elementwise(vise_onnx *w, const vise_node *n, const char *op)
{
    const uint32_t rank = rank_of(w, n->out);
    return vise_onnx_2(w, op, vise_onnx_widened(w, n->in[0], rank),
                       vise_onnx_widened(w, n->in[1], rank));
}

static const char *add(vise_onnx *w, const vise_node *n)
{
    return elementwise(w, n, "Add");
}

static const char *mul(vise_onnx *w, const vise_node *n)
{
    return elementwise(w, n, "Mul");
}

static const char *matmul(vise_onnx *w, const vise_node *n)
{
    const uint32_t rank = rank_of(w, n->out);
    const char *x[2];
    for (int i = 0; i < 2; i++)
        x[i] = vise_onnx_widened(w, n->in[i], rank);
    if (((const vise_matmul_attr *)n->attr)->transpose) {
        const bool images = vise_onnx_batched(w, n->in[1]);
        vise_onnx_ints order = {.n = images ? rank + 1 : rank_of(w, n->in[1])};
        for (size_t i = 0; i < order.n; i++)
            order.v[i] = (int64_t)i;
        order.v[order.n - 1]--;
        order.v[order.n - 2]++;
        x[1] = vise_onnx_permute(w, x[1], order);
    }
    return vise_onnx_2(w, "MatMul", x[0], x[1]);
}

/* ---- norms ---- */

static const char *scaled(vise_onnx *w, const vise_node *n, const char *y)
{
    if (has(n, 1)) y = vise_onnx_2(w, "Mul", y, vise_onnx_in(w, n->in[1]));
    if (has(n, 2)) y = vise_onnx_2(w, "Add", y, vise_onnx_in(w, n->in[2]));
    return y;
}

static const char *layernorm(vise_onnx *w, const vise_node *n)
{
    const vise_shape *s = vise_onnx_shape(w, n->in[0]);
    const char *x = vise_onnx_in(w, n->in[0]);
    const char *scale =
        has(n, 1) ? vise_onnx_in(w, n->in[1]) : vise_onnx_vector(w, s->dim[s->rank - 1], 1);
    const char *bias = has(n, 2) ? vise_onnx_in(w, n->in[2]) : NULL;
    const double eps = ((const vise_norm_attr *)n->attr)->eps;
    return vise_onnx_node(w, "LayerNormalization", IN(x, scale, bias),
                          ATTR({"axis", .i = -1}, {"epsilon", .f = eps, .real = true}));
}

static const char *over_last(vise_onnx *w, const char *op, const char *x)
{
    return vise_onnx_2(w, op, x, vise_onnx_list_of(w, (vise_onnx_ints){1, {-1}}));
}

static const char *rmsnorm(vise_onnx *w, const vise_node *n)
{
    const char *x = vise_onnx_in(w, n->in[0]);
    const char *y = over_last(w, "ReduceMean", vise_onnx_2(w, "Mul", x, x));
    y = vise_onnx_2(w, "Add", y, vise_onnx_scalar(w, ((const vise_norm_attr *)n->attr)->eps));
    return scaled(w, n, vise_onnx_2(w, "Div", x, vise_onnx_1(w, "Sqrt", y)));
}

static const char *l2norm(vise_onnx *w, const vise_node *n)
{
    const char *x = vise_onnx_in(w, n->in[0]);
    const char *eps = vise_onnx_scalar(w, ((const vise_norm_attr *)n->attr)->eps);
    return vise_onnx_2(w, "Div", x, vise_onnx_2(w, "Max", over_last(w, "ReduceL2", x), eps));
}

/* Channels first, a group is one channel of an instance normalization. */
static const char *groupnorm(vise_onnx *w, const vise_node *n)
{
    const vise_groupnorm_attr *a = n->attr;
    const vise_shape *s = vise_onnx_shape(w, n->in[0]);
    const size_t C = s->dim[s->rank - 1], rows = vise_shape_count(s) / C, G = (size_t)a->groups;
    const vise_onnx_ints swap = {3, {0, 2, 1}};
    const char *x = vise_onnx_reshape(w, vise_onnx_in(w, n->in[0]), &(vise_shape){2, {rows, C}});
    x = vise_onnx_permute(w, x, swap);
    x = vise_onnx_reshape(w, x, &(vise_shape){2, {G, C / G * rows}});
    x = vise_onnx_node(w, "InstanceNormalization",
                       IN(x, vise_onnx_vector(w, G, 1), vise_onnx_vector(w, G, 0)),
                       ATTR({"epsilon", .f = a->eps, .real = true}));
    x = vise_onnx_reshape(w, x, &(vise_shape){2, {C, rows}});
    x = vise_onnx_reshape(w, vise_onnx_permute(w, x, swap), s);
    return scaled(w, n, x);
}

static const char *softmax(vise_onnx *w, const vise_node *n)
{
    return vise_onnx_node(w, "Softmax", IN(vise_onnx_in(w, n->in[0])), ATTR({"axis", .i = -1}));
}

/* ---- moving ---- */

static const char *concat(vise_onnx *w, const vise_node *n)
{
    const char *in[VISE_MAX_IN + 1] = {0};
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = vise_onnx_expanded(w, n->in[i]);
    const int64_t axis = axis_of(((const vise_concat_attr *)n->attr)->axis, rank_of(w, n->out));
    return vise_onnx_node(w, "Concat", in, ATTR({"axis", .i = axis}));
}

static const char *embed_add(vise_onnx *w, const vise_node *n)
{
    const vise_shape *s = vise_onnx_shape(w, n->out);
    float *y = vise_onnx_keep(w, vise_shape_count(s), sizeof *y);
    float *zero = vise_onnx_keep(w, vise_shape_count(s), sizeof *zero);
    const vise_value *table = &w->g->value[n->in[1]];
    if (table->batched)
        vise_onnx_fail(w, vise_fail(w->e, VISE_EFORMAT,
                                    "%s: positions that depend on the image cannot be written as "
                                    "ONNX",
                                    n->name));
    const float *rows = table->batched ? NULL : vise_onnx_numbers(w, n->in[1]);
    vise_sig sig;
    vise_graph_sig(w->g, n, &sig);
    float *scratch = vise_onnx_keep(w, n->op->scratch(&sig, s), sizeof *scratch);
    if (w->status) return "";
    float *operand;
    memcpy(&operand, &rows, sizeof operand); // it is only read
    n->op->forward(&(vise_call){.attr = n->attr,
                                .batch = 1,
                                .nin = 2,
                                .nout = 1,
                                .in = {{s, zero, false}, {&table->shape, operand, false}},
                                .out = {{s, y, false}},
                                .scratch = scratch});
    return vise_onnx_2(w, "Add", vise_onnx_in(w, n->in[0]), vise_onnx_floats(w, s, y));
}

static const char *mean(vise_onnx *w, const vise_node *n)
{
    const vise_ints *axes = &((const vise_mean_attr *)n->attr)->axes;
    vise_onnx_ints over = {.n = axes->n};
    for (uint32_t i = 0; i < axes->n; i++)
        over.v[i] = axis_of(axes->v[i], rank_of(w, n->in[0]));
    return vise_onnx_node(w, "ReduceMean",
                          IN(vise_onnx_in(w, n->in[0]), vise_onnx_list_of(w, over)),
                          ATTR({"keepdims", .i = 0}));
}

static const char *pad(vise_onnx *w, const vise_node *n)
{
    const vise_pad_attr *a = n->attr;
    const uint32_t rank = rank_of(w, n->out);
    vise_onnx_ints pads = {.n = 2 * ((size_t)rank + 1)};
    for (uint32_t i = 0; i < rank; i++) {
        pads.v[1 + i] = a->before.n ? a->before.v[i] : 0;
        pads.v[rank + 2 + i] = a->after.n ? a->after.v[i] : 0;
    }
    return vise_onnx_node(
        w, "Pad",
        IN(vise_onnx_in(w, n->in[0]), vise_onnx_list_of(w, pads), vise_onnx_scalar(w, a->value)),
        NULL);
}

static const char *permute(vise_onnx *w, const vise_node *n)
{
    const vise_ints *order = &((const vise_permute_attr *)n->attr)->order;
    vise_onnx_ints all = {.n = order->n + 1};
    for (uint32_t i = 0; i < order->n; i++)
        all.v[i + 1] = axis_of(order->v[i], order->n);
    return vise_onnx_permute(w, vise_onnx_in(w, n->in[0]), all);
}

static const char *reshape(vise_onnx *w, const vise_node *n)
{
    return vise_onnx_reshape(w, vise_onnx_in(w, n->in[0]), vise_onnx_shape(w, n->out));
}

/* Every step-th element of [start, stop) of an axis of the tensor. */
static const char *cut(vise_onnx *w, const char *x, int64_t axis, const int64_t range[3])
{
    const char *list[4];
    const int64_t v[4] = {range[0], range[1], axis, range[2]};
    for (int i = 0; i < 4; i++)
        list[i] = vise_onnx_list_of(w, (vise_onnx_ints){1, {v[i]}});
    return vise_onnx_node(w, "Slice", IN(x, list[0], list[1], list[2], list[3]), NULL);
}

static const char *slice(vise_onnx *w, const vise_node *n)
{
    const vise_slice_attr *a = n->attr;
    const int64_t range[3] = {a->start, a->stop, a->step};
    return cut(w, vise_onnx_in(w, n->in[0]), axis_of(a->axis, rank_of(w, n->out)), range);
}

static const char *roll(vise_onnx *w, const vise_node *n)
{
    const vise_roll_attr *a = n->attr;
    const vise_shape *s = vise_onnx_shape(w, n->out);
    const char *x = vise_onnx_in(w, n->in[0]);
    for (uint32_t i = 0; i < a->axes.n; i++) {
        const int64_t axis = axis_of(a->axes.v[i], s->rank), extent = (int64_t)s->dim[axis - 1];
        const int64_t at = ((extent - a->shifts.v[i] % extent) % extent + extent) % extent;
        if (!at) continue;
        const int64_t head[3] = {0, at, 1}, tail[3] = {at, extent, 1};
        x = vise_onnx_node(w, "Concat", IN(cut(w, x, axis, tail), cut(w, x, axis, head)),
                           ATTR({"axis", .i = axis}));
    }
    return x == vise_onnx_in(w, n->in[0]) ? vise_onnx_1(w, "Identity", x) : x;
}

/* ---- which there are ---- */

static const struct {
    const char *op;
    vise_onnx_fn *fn;
} table[] = {
    {"act", vise_onnx_act},
    {"add", add},
    {"attention", vise_onnx_attention},
    {"concat", concat},
    {"conv2d", vise_onnx_conv2d},
    {"embed_add", embed_add},
    {"groupnorm", groupnorm},
    {"l2norm", l2norm},
    {"layernorm", layernorm},
    {"linear", vise_onnx_linear},
    {"matmul", matmul},
    {"mean", mean},
    {"mul", mul},
    {"pad", pad},
    {"permute", permute},
    {"pool", vise_onnx_pool},
    {"reshape", reshape},
    {"resize", vise_onnx_resize},
    {"rmsnorm", rmsnorm},
    {"roll", roll},
    {"slice", slice},
    {"softmax", softmax},
};

vise_onnx_fn *vise_onnx_find(const char *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].op, op)) return table[i].fn;
    return NULL;
}
