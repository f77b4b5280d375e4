/* conv2d.c - two-dimensional convolution, channels last; grouped, depthwise, dilated
 *
 *   x  in   [H, W, C]
 *   w  in   [N, C / groups, kh, kw]   as PyTorch stores it
 *   b  in   [N]                       optional
 *   y  out  [(H + 2 ph - dh (kh - 1) - 1) / sh + 1, likewise W, N]
 *
 * stride, pad, dilation: one number or two (vertical, horizontal).
 *
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"stride", VISE_ATTR_INTS, offsetof(vise_conv2d_attr, stride), 1, 1, 4096, NULL},
    {"pad", VISE_ATTR_INTS, offsetof(vise_conv2d_attr, pad), 0, 0, 4096, NULL},
    {"dilation", VISE_ATTR_INTS, offsetof(vise_conv2d_attr, dilation), 1, 1, 4096, NULL},
    {"groups", VISE_ATTR_INT, offsetof(vise_conv2d_attr, groups), 1, 1, VISE_MAX_DIM, NULL},
    {0},
};

size_t vise_pair_at(const vise_ints *v, unsigned axis, size_t none)
{
    return v->n ? (size_t)v->v[v->n > 1 ? axis : 0] : none;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_conv2d_attr *a = s->attr;
    const vise_shape *x = s->in[0], *w = s->in[1], *b = s->nin > 2 ? s->in[2] : NULL;
    const size_t groups = (size_t)a->groups;
    char tx[VISE_SHAPE_TEXT], tw[VISE_SHAPE_TEXT];
    if (x->rank != 3 || w->rank != 4 || x->dim[2] % groups || w->dim[0] % groups ||
        x->dim[2] / groups != w->dim[1] || (b && (b->rank != 1 || b->dim[0] != w->dim[0])))
        return vise_fail(
            e, VISE_EFORMAT, "%s: input %s does not fit convolution weight %s in %zu groups",
            s->name, vise_shape_text(tx, sizeof tx, x), vise_shape_text(tw, sizeof tw, w), groups);
    if (s->batched[1] || (b && s->batched[2]))
        return vise_fail(e, VISE_EFORMAT, "%s: a convolution's weight depends on the image",
                         s->name);
    if (a->stride.n > 2 || a->pad.n > 2 || a->dilation.n > 2)
        return vise_fail(e, VISE_EFORMAT,
                         "%s: %u stride, %u pad, %u dilation numbers, at most 2 each", s->name,
                         a->stride.n, a->pad.n, a->dilation.n);
    *out = (vise_shape){3, {0, 0, w->dim[0]}};
    for (unsigned i = 0; i < 2; i++) {
        size_t reach = vise_pair_at(&a->dilation, i, 1) * (w->dim[2 + i] - 1) + 1;
        size_t room = x->dim[i] + 2 * vise_pair_at(&a->pad, i, 0);
        if (room < reach)
            return vise_fail(e, VISE_EFORMAT, "%s: input %s is smaller than kernel %s", s->name,
                             vise_shape_text(tx, sizeof tx, x), vise_shape_text(tw, sizeof tw, w));
        out->dim[i] = (room - reach) / vise_pair_at(&a->stride, i, 1) + 1;
    }
    return VISE_OK;
}

static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    const vise_shape *w = s->in[1];
    return vise_mul_saturated(vise_shape_count(out), vise_shape_count(w) / w->dim[0]);
}

/* One output: the sum over one group's channels and the taps that lie inside the image. */
static float at(const vise_conv2d_geometry *g, const float *x, const float *w, size_t oy, size_t ox)
{
    float sum = 0;
    for (size_t c = 0; c < g->C; c++)
        for (size_t ky = 0; ky < g->k[0]; ky++)
            for (size_t kx = 0; kx < g->k[1]; kx++) {
                // unsigned wrap makes a position before the image larger than its size
                size_t iy = oy * g->stride[0] + ky * g->dilation[0] - g->pad[0];
                size_t ix = ox * g->stride[1] + kx * g->dilation[1] - g->pad[1];
                if (iy < g->in[0] && ix < g->in[1])
                    sum +=
                        x[(iy * g->in[1] + ix) * g->ldx + c] * w[(c * g->k[0] + ky) * g->k[1] + kx];
            }
    return sum;
}

void vise_conv2d_geometry_of(vise_conv2d_geometry *g, const void *attr, const vise_shape *x,
                             const vise_shape *w, const vise_shape *y)
{
    const vise_conv2d_attr *a = attr;
    *g = (vise_conv2d_geometry){.C = w->dim[1],
                                .ldx = x->dim[2],
                                .N = w->dim[0] / (size_t)a->groups,
                                .groups = (size_t)a->groups};
    for (unsigned i = 0; i < 2; i++) {
        g->in[i] = x->dim[i];
        g->out[i] = y->dim[i];
        g->k[i] = w->dim[2 + i];
        g->stride[i] = vise_pair_at(&a->stride, i, 1);
        g->pad[i] = vise_pair_at(&a->pad, i, 0);
        g->dilation[i] = vise_pair_at(&a->dilation, i, 1);
    }
}

/* The patch of each output may be rounded, its padding included. */
static vise_status actq(const vise_sig *s, vise_err *e)
{
    const vise_conv2d_attr *a = s->attr;
    if (s->actq[0].kind && a->groups != 1)
        return vise_fail(e, VISE_EFORMAT, "%s: operand 0 of %lld groups cannot be rounded", s->name,
                         (long long)a->groups);
    return vise_actq_check_first(s, 1, e);
}

static size_t kernel_of(const vise_conv2d_geometry *g)
{
    return g->C * g->k[0] * g->k[1];
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    (void)out;
    const vise_shape *w = s->in[1]; // a patch, and a rounded one
    return vise_actq_kind_at(s->actq, 0) ? 2 * (vise_shape_count(w) / w->dim[0]) : 0;
}

void vise_conv2d_patch(const vise_conv2d_geometry *g, float *row, const float *x, size_t oy,
                       size_t ox)
{
    for (size_t c = 0; c < g->C; c++)
        for (size_t k = 0; k < g->k[0] * g->k[1]; k++, row++) {
            const size_t iy = oy * g->stride[0] + k / g->k[1] * g->dilation[0] - g->pad[0];
            const size_t ix = ox * g->stride[1] + k % g->k[1] * g->dilation[1] - g->pad[1];
            const bool inside = iy < g->in[0] && ix < g->in[1];
            *row = inside ? x[(iy * g->in[1] + ix) * g->ldx + c] : 0;
        }
}

/* Every output from its rounded patch; one group. */
static void forward_rounded(const vise_call *c, const vise_conv2d_geometry *g)
{
    const size_t K = kernel_of(g), pixels = g->out[0] * g->out[1];
    float *patch = c->scratch, *row = patch + K, *y = c->out[0].data;
    for (size_t i = 0; i < vise_call_images(c) * pixels; i++, y += g->N) {
        const size_t p = i % pixels;
        vise_conv2d_patch(g, patch, vise_arg_at(&c->in[0], i / pixels), p / g->out[1],
                          p % g->out[1]);
        vise_actq_apply(&c->actq[0], row, patch, K, 1, K);
        for (size_t n = 0; n < g->N; n++) {
            const float *w = c->in[1].data + n * K;
            float sum = c->nin > 2 && c->in[2].data ? c->in[2].data[n] : 0;
            for (size_t k = 0; k < K; k++)
                sum += row[k] * w[k];
            y[n] = sum;
        }
    }
}

static void forward(const vise_call *c)
{
    vise_conv2d_geometry g;
    vise_conv2d_geometry_of(&g, c->attr, c->in[0].shape, c->in[1].shape, c->out[0].shape);
    if (vise_actq_kind_at(c->actq, 0)) {
        forward_rounded(c, &g);
        return;
    }
    const size_t N = g.N * g.groups, kernel = kernel_of(&g);
    const size_t images = vise_call_images(c), pixels = g.out[0] * g.out[1];
    for (size_t i = 0; i < images * pixels * N; i++) {
        const size_t n = i % N, p = i / N % pixels, b = i / N / pixels;
        const float *x = vise_arg_at(&c->in[0], b) + n / g.N * g.C;
        const float *w = c->in[1].data + n * kernel;
        const float bias = c->nin > 2 && c->in[2].data ? c->in[2].data[n] : 0;
        c->out[0].data[i] = bias + at(&g, x, w, p / g.out[1], p % g.out[1]);
    }
}

/* Some taps of one output's patch, in the order of the weight: what they read, and its gradient. */
enum { TILE = 128 };
typedef struct tile {
    bool wanted;        // dx is
    size_t n, at[TILE]; // where each tap reads the image; OUTSIDE: padding
    float x[TILE], dx[TILE];
} tile;
#define OUTSIDE SIZE_MAX

/* Taps from `first` on of output pixel `p`. x [in[0], in[1], ldx], from the group's first channel. */
static void tile_read(tile *t, const vise_conv2d_geometry *g, const float *x, size_t p,
                      size_t first)
{
    const size_t K = kernel_of(g), oy = p / g->out[1], ox = p % g->out[1];
    t->n = K - first < TILE ? K - first : TILE;
    for (size_t i = 0; i < t->n; i++) {
        const size_t k = first + i, kx = k % g->k[1], ky = k / g->k[1] % g->k[0];
        const size_t iy = oy * g->stride[0] + ky * g->dilation[0] - g->pad[0];
        const size_t ix = ox * g->stride[1] + kx * g->dilation[1] - g->pad[1];
        const bool inside = iy < g->in[0] && ix < g->in[1];
        t->at[i] = inside ? (iy * g->in[1] + ix) * g->ldx + k / g->k[1] / g->k[0] : OUTSIDE;
        t->x[i] = inside ? x[t->at[i]] : 0;
        t->dx[i] = 0;
    }
}

/* One group of one output pixel; dy [g->N], and the group's part of everything else. */
static void pixel_backward(const vise_conv2d_geometry *g, const float *dy, const float *w,
                           float *dw, tile *t, size_t first)
{
    const size_t K = kernel_of(g);
    for (size_t n = 0; n < g->N; n++) {
        if (dw) vise_axpy(dw + n * K + first, dy[n], t->x, t->n);
        if (t->wanted) vise_axpy(t->dx, dy[n], w + n * K + first, t->n);
    }
}

/* Each tap of each output:  dx += dy w,  dw += dy x;  db = sum of dy. */
vise_backward_fn vise_conv2d_backward;
void vise_conv2d_backward(const vise_call *c, const float *dout, float *const din[])
{
    vise_conv2d_geometry g;
    vise_conv2d_geometry_of(&g, c->attr, c->in[0].shape, c->in[1].shape, c->out[0].shape);
    const size_t K = kernel_of(&g), pixels = g.out[0] * g.out[1];
    float *db = vise_call_gradient(c, din, 2, 0);
    for (size_t i = 0; i < vise_call_images(c) * pixels * g.groups; i++, dout += g.N) {
        const size_t group = i % g.groups, p = i / g.groups % pixels, b = i / g.groups / pixels;
        const float *x = vise_arg_at(&c->in[0], b) + group * g.C;
        const float *w = c->in[1].data + group * g.N * K;
        float *dx = vise_call_gradient(c, din, 0, b), *dw = vise_call_gradient(c, din, 1, 0);
        if (db) vise_axpy(db + group * g.N, 1, dout, g.N);
        for (size_t first = 0; (dx || dw) && first < K; first += TILE) {
            tile t;
            t.wanted = dx;
            tile_read(&t, &g, x, p, first);
            pixel_backward(&g, dout, w, dw ? dw + group * g.N * K : NULL, &t, first);
            for (size_t k = 0; dx && k < t.n; k++)
                if (t.at[k] != OUTSIDE) dx[group * g.C + t.at[k]] += t.dx[k];
        }
    }
}

const vise_op vise_op_conv2d = {.name = "conv2d",
                                .min_in = 2,
                                .max_in = 3,
                                .attr_size = sizeof(vise_conv2d_attr),
                                .attrs = attrs,
                                .shape = shape,
                                .macs = macs,
                                .scratch = scratch,
                                .actq = actq,
                                .forward = forward};
