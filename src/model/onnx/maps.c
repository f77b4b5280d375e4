/* maps.c - convolution, pooling and resizing in ONNX: channels first
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"
#include "model/onnx/build.h"

#include <string.h>

#define IN VISE_ONNX_IN
#define ATTR VISE_ONNX_ATTR

static vise_onnx_ints pair(const vise_ints *v, size_t none)
{
    return (vise_onnx_ints){2,
                            {(int64_t)vise_pair_at(v, 0, none), (int64_t)vise_pair_at(v, 1, none)}};
}

const char *vise_onnx_conv2d(vise_onnx *w, const vise_node *n)
{
    const vise_conv2d_attr *a = n->attr;
    const vise_onnx_ints p = pair(&a->pad, 0);
    const vise_actq_kind kind = n->actq[0].kind;
    const char *x = vise_onnx_in_first(w, n->in[0]);
    const char *bias = n->nin > 2 && n->in[2] != VISE_NONE ? vise_onnx_in(w, n->in[2]) : NULL;
    if (kind == VISE_ACTQ_STATIC) x = vise_onnx_rounded(w, x, &n->actq[0]);
    w->in_f32 |= kind != VISE_ACTQ_NONE && kind != VISE_ACTQ_STATIC;
    w->channels_first = true;
    return vise_onnx_node(w, "Conv", IN(x, vise_onnx_weight(w, n->in[1]), bias),
                          ATTR({"strides", .ints = pair(&a->stride, 1)},
                               {"pads", .ints = {4, {p.v[0], p.v[1], p.v[0], p.v[1]}}},
                               {"dilations", .ints = pair(&a->dilation, 1)},
                               {"group", .i = a->groups}));
}

/* ---- pooling ---- */

/* One axis: padding after it that makes the output size without rounding, and whether windows reach
 * beyond the padding that counts. */
typedef struct line {
    size_t in, out, k, stride, pad, after;
    bool beyond;
} line;

static line line_of(const vise_pool_attr *a, const vise_shape *x, const vise_shape *y, unsigned i)
{
    line l = {.in = x->dim[i], .out = y->dim[i], .k = vise_pair_at(&a->kernel, i, 1)};
    l.stride = vise_pair_at(&a->stride, i, l.k);
    l.after = l.pad = vise_pair_at(&a->pad, i, 0);
    const size_t reach = (l.out - 1) * l.stride + l.k; // of the last window, in the padded line
    l.beyond = reach > l.in + 2 * l.pad;
    if (l.beyond) l.after = reach - l.in - l.pad;
    return l;
}

/* How much of window o counts with padding, over what lies inside. */
static float correction(const line *l, size_t o)
{
    const size_t start = o * l->stride, stop = start + l->k;
    const size_t last = l->in + 2 * l->pad, inside = l->in + l->pad;
    const size_t whole = (stop < last ? stop : last) - start;
    const size_t from = start > l->pad ? start : l->pad, to = stop < inside ? stop : inside;
    return (float)(to - from) / (float)whole;
}

/* Averages over what lies inside become averages over all that counts. */
static const char *corrected(vise_onnx *w, const char *y, const line l[2])
{
    const size_t H = l[0].out, W = l[1].out;
    float *by = vise_onnx_keep(w, H * W, sizeof *by);
    for (size_t i = 0; by && i < H * W; i++)
        by[i] = correction(&l[0], i / W) * correction(&l[1], i % W);
    return vise_onnx_2(w, "Mul", y, vise_onnx_floats(w, &(vise_shape){2, {H, W}}, by));
}

const char *vise_onnx_pool(vise_onnx *w, const vise_node *n)
{
    enum { MAX };
    const vise_pool_attr *a = n->attr;
    const vise_shape *xs = vise_onnx_shape(w, n->in[0]), *ys = vise_onnx_shape(w, n->out);
    const line l[2] = {line_of(a, xs, ys, 0), line_of(a, xs, ys, 1)};
    const bool max = a->kind == MAX, correct = !max && a->count_pad && (l[0].beyond || l[1].beyond);
    const char *const x[] = {vise_onnx_in_first(w, n->in[0]), NULL};
    const vise_onnx_attr attr[] = {
        {"kernel_shape", .ints = pair(&a->kernel, 1)},
        {"strides", .ints = {2, {(int64_t)l[0].stride, (int64_t)l[1].stride}}},
        {"pads", .ints = {4,
                          {(int64_t)l[0].pad, (int64_t)l[1].pad, (int64_t)l[0].after,
                           (int64_t)l[1].after}}},
        {max ? NULL : "count_include_pad", .i = a->count_pad && !correct},
        {0},
    };
    w->channels_first = true;
    const char *y = vise_onnx_node(w, max ? "MaxPool" : "AveragePool", x, attr);
    return correct ? corrected(w, y, l) : y;
}

/* ---- resizing ---- */

/* The input at floor(i in / out), by whole numbers: Resize would divide in f32. */
static const char *nearest(vise_onnx *w, const char *x, size_t in, size_t out, int64_t axis)
{
    int64_t *at = vise_onnx_keep(w, out, sizeof *at);
    for (size_t i = 0; at && i < out; i++)
        at[i] = (int64_t)(i * in / out);
    const char *index =
        vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__S64, &(vise_shape){1, {out}}, at);
    return vise_onnx_node(w, "Gather", IN(x, index), ATTR({"axis", .i = axis}));
}

/* [out, in] weights of an antialiased resize, or their transpose. Resize may do it, but runtimes do
 * not agree on its weights. */
static const char *weights(vise_onnx *w, const vise_resize *r, bool transposed)
{
    const size_t most = vise_taps_max(r);
    float *p = vise_onnx_keep(w, r->out * r->in, sizeof *p);
    double *tap = vise_onnx_keep(w, most, sizeof *tap);
    for (size_t i = 0; !w->status && i < r->out; i++) {
        size_t first;
        const size_t n = vise_taps_at(r, i, &first, tap);
        for (size_t k = 0; k < n; k++)
            p[transposed ? (first + k) * r->out + i : i * r->in + first + k] = (float)tap[k];
    }
    const vise_shape s = {2, {transposed ? r->in : r->out, transposed ? r->out : r->in}};
    return vise_onnx_floats(w, &s, p);
}

static const char *antialiased(vise_onnx *w, const char *x, const vise_map_resize *g)
{
    x = vise_onnx_2(w, "MatMul", weights(w, &g->line[0], false), x);
    return vise_onnx_2(w, "MatMul", x, weights(w, &g->line[1], true));
}

const char *vise_onnx_resize(vise_onnx *w, const vise_node *n)
{
    enum { NEAREST, BILINEAR };
    const vise_resize_attr *a = n->attr;
    const vise_shape *xs = vise_onnx_shape(w, n->in[0]), *ys = vise_onnx_shape(w, n->out);
    const char *x = vise_onnx_in_first(w, n->in[0]);
    w->channels_first = true;
    if (a->filter == NEAREST) {
        for (unsigned i = 0; i < 2; i++)
            if (xs->dim[i] != ys->dim[i]) x = nearest(w, x, xs->dim[i], ys->dim[i], 2 + i);
        return x == w->first[n->in[0]] ? vise_onnx_1(w, "Identity", x) : x;
    }
    if (a->antialias) {
        const vise_filter f = a->filter == BILINEAR ? VISE_BILINEAR : VISE_BICUBIC;
        const vise_map_resize g = vise_map_resize_of(xs->dim, ys->dim, f, true);
        return antialiased(w, x, &g);
    }
    float *scale = vise_onnx_keep(w, 4, sizeof *scale);
    for (unsigned i = 0; scale && i < 4; i++)
        scale[i] = i < 2 ? 1 : (float)ys->dim[i - 2] / (float)xs->dim[i - 2];
    const char *by = vise_onnx_floats(w, &(vise_shape){1, {4}}, scale);
    return vise_onnx_node(w, "Resize", IN(x, "", by),
                          ATTR({"mode", .text = a->filter == BILINEAR ? "linear" : "cubic"},
                               {"coordinate_transformation_mode", .text = "half_pixel"},
                               {"cubic_coeff_a", .f = -0.75, .real = true}));
}
