/* pool.c - maximum or average over windows of a feature map
 *
 *   x  in   [H, W, C]
 *   y  out  [(H + 2 ph - kh) / sh + 1, likewise W, C]   rounded up if ceil
 *
 * With ceil, a window that would start in the padding after the image is left out, and an average
 * that counts padding does not count what lies beyond it: both as PyTorch.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

enum { MAX, AVG };
static const char *const kinds[] = {"max", "avg", NULL};

static const vise_attr_def attrs[] = {
    {"kind", VISE_ATTR_WORD, offsetof(vise_pool_attr, kind), 0, MAX, AVG, kinds},
    {"kernel", VISE_ATTR_INTS, offsetof(vise_pool_attr, kernel), 0, 1, 4096, NULL},
    {"stride", VISE_ATTR_INTS, offsetof(vise_pool_attr, stride), 0, 1, 4096, NULL},
    {"pad", VISE_ATTR_INTS, offsetof(vise_pool_attr, pad), 0, 0, 4096, NULL},
    {"ceil", VISE_ATTR_BOOL, offsetof(vise_pool_attr, ceil), 0, 0, 1, NULL},
    {"count_pad", VISE_ATTR_BOOL, offsetof(vise_pool_attr, count_pad), 0, 0, 1, NULL},
    {0},
};

/* One axis. */
typedef struct line {
    size_t in, k, stride, pad;
} line;

static line line_of(const vise_pool_attr *a, const vise_shape *x, unsigned axis)
{
    const size_t k = vise_pair_at(&a->kernel, axis, 1);
    return (line){x->dim[axis], k, vise_pair_at(&a->stride, axis, k),
                  vise_pair_at(&a->pad, axis, 0)};
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_pool_attr *a = s->attr;
    const vise_shape *x = s->in[0];
    char text[VISE_SHAPE_TEXT];
    if (x->rank != 3 || !a->kernel.n || a->kernel.n > 2 || a->stride.n > 2 || a->pad.n > 2)
        return vise_fail(e, VISE_EFORMAT,
                         "%s: pool of %s with %u kernel, %u stride and %u pad numbers", s->name,
                         vise_shape_text(text, sizeof text, x), a->kernel.n, a->stride.n, a->pad.n);
    *out = *x;
    for (unsigned i = 0; i < 2; i++) {
        const line l = line_of(a, x, i);
        if (2 * l.pad > l.k || l.in + 2 * l.pad < l.k)
            return vise_fail(e, VISE_EFORMAT, "%s: pool of %s with kernel %zu and padding %zu",
                             s->name, vise_shape_text(text, sizeof text, x), l.k, l.pad);
        const size_t room = l.in + 2 * l.pad - l.k + (a->ceil ? l.stride - 1 : 0);
        out->dim[i] = room / l.stride + 1;
        if (a->ceil && (out->dim[i] - 1) * l.stride >= l.in + l.pad) out->dim[i]--;
    }
    return VISE_OK;
}

/* The window of output o: [first, end) inside the image, whole the number of positions that count
 * with the padding. */
typedef struct window {
    size_t first, end, whole;
} window;

static window window_of(const line *l, size_t o)
{
    const size_t start = o * l->stride, stop = start + l->k; // in the padded line
    const size_t last = l->in + 2 * l->pad, inside = l->in + l->pad;
    return (window){.first = start > l->pad ? start - l->pad : 0,
                    .end = (stop < inside ? stop : inside) - l->pad,
                    .whole = (stop < last ? stop : last) - start};
}

/* How many positions an average divides by. */
static double count_of(const vise_pool_attr *a, const window w[2])
{
    const size_t inside = (w[0].end - w[0].first) * (w[1].end - w[1].first);
    return (double)(a->count_pad ? w[0].whole * w[1].whole : inside);
}

static float pool(const vise_pool_attr *a, const float *x, size_t W, size_t C, const window w[2])
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t y = w[0].first; y < w[0].end; y++)
        for (size_t i = w[1].first; i < w[1].end; i++) {
            const float v = x[(y * W + i) * C];
            max = v > max || isnan(v) ? v : max;
            sum += (double)v;
        }
    return a->kind == MAX ? max : (float)(sum / count_of(a, w));
}

static void forward(const vise_call *c)
{
    const vise_pool_attr *a = c->attr;
    const vise_shape *x = c->in[0].shape, *y = c->out[0].shape;
    const line v = line_of(a, x, 0), h = line_of(a, x, 1);
    const size_t C = x->dim[2], pixels = y->dim[0] * y->dim[1];
    for (size_t b = 0; b < vise_call_images(c); b++) {
        const float *in = vise_arg_at(&c->in[0], b);
        float *out = vise_arg_at(&c->out[0], b);
        for (size_t i = 0; i < pixels; i++) {
            const window w[2] = {window_of(&v, i / y->dim[1]), window_of(&h, i % y->dim[1])};
            for (size_t ch = 0; ch < C; ch++)
                out[i * C + ch] = pool(a, in + ch, x->dim[1], C, w);
        }
    }
}

/* An average gives its share to every input; of equal maxima the first one receives all. */
static void pool_back(const vise_pool_attr *a, float *dx, const float *x, float dy,
                      const vise_shape *s, const window w[2])
{
    const size_t W = s->dim[1], C = s->dim[2];
    const float share = dy / (float)count_of(a, w);
    size_t best = (w[0].first * W + w[1].first) * C;
    for (size_t y = w[0].first; y < w[0].end; y++)
        for (size_t i = w[1].first; i < w[1].end; i++) {
            const size_t at = (y * W + i) * C;
            if (a->kind == AVG) dx[at] += share;
            if (x[at] > x[best] || isnan(x[at])) best = at;
        }
    if (a->kind == MAX) dx[best] += dy;
}

vise_backward_fn vise_pool_backward;
void vise_pool_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_pool_attr *a = c->attr;
    const vise_shape *x = c->in[0].shape, *y = c->out[0].shape;
    const line v = line_of(a, x, 0), h = line_of(a, x, 1);
    const size_t C = x->dim[2], pixels = y->dim[0] * y->dim[1];
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++) {
        const float *in = vise_arg_at(&c->in[0], b), *dy = dout + b * pixels * C;
        float *dx = vise_call_gradient(c, din, 0, b);
        for (size_t i = 0; i < pixels; i++) {
            const window w[2] = {window_of(&v, i / y->dim[1]), window_of(&h, i % y->dim[1])};
            for (size_t ch = 0; ch < C; ch++)
                pool_back(a, dx + ch, in + ch, dy[i * C + ch], x, w);
        }
    }
}

const vise_op vise_op_pool = {.name = "pool",
                              .min_in = 1,
                              .max_in = 1,
                              .attr_size = sizeof(vise_pool_attr),
                              .attrs = attrs,
                              .shape = shape,
                              .forward = forward};
