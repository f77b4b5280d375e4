/* resize.c - a feature map with other extents, as torch.nn.functional.interpolate
 *
 *   x    in   [H, W, C]
 *   ref  in   [H', W', ...]   optional; only its extents are read
 *   y    out  [H', W', C]     H', W' from ref, or the attribute size, or scale times H, W
 *
 * align_corners=False; bilinear, bicubic with or without antialias; nearest is the input at
 * floor(i H / H').
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <string.h>

enum { NEAREST, BILINEAR, BICUBIC };
static const char *const filters[] = {"nearest", "bilinear", "bicubic", NULL};

static const vise_attr_def attrs[] = {
    {"filter", VISE_ATTR_WORD, offsetof(vise_resize_attr, filter), 0, NEAREST, BICUBIC, filters},
    {"antialias", VISE_ATTR_BOOL, offsetof(vise_resize_attr, antialias), 0, 0, 1, NULL},
    {"size", VISE_ATTR_INTS, offsetof(vise_resize_attr, size), 0, 1, VISE_MAX_DIM, NULL},
    {"scale", VISE_ATTR_INTS, offsetof(vise_resize_attr, scale), 0, 1, 4096, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_resize_attr *a = s->attr;
    const vise_shape *x = s->in[0], *ref = s->nin > 1 ? s->in[1] : NULL;
    char tx[VISE_SHAPE_TEXT], tr[VISE_SHAPE_TEXT];
    if (x->rank != 3 || (ref && ref->rank != 3))
        return vise_fail(e, VISE_EFORMAT, "%s: resize of %s to the extents of %s", s->name,
                         vise_shape_text(tx, sizeof tx, x),
                         ref ? vise_shape_text(tr, sizeof tr, ref) : "an attribute");
    if (!!ref + !!a->size.n + !!a->scale.n != 1 || (a->size.n && a->size.n != 2) || a->scale.n > 2)
        return vise_fail(e, VISE_EFORMAT,
                         "%s: resize of %s takes two sizes, or scales, or a second input", s->name,
                         vise_shape_text(tx, sizeof tx, x));
    if (a->antialias && a->filter == NEAREST)
        return vise_fail(e, VISE_EFORMAT, "%s: resize of %s: nearest cannot antialias", s->name,
                         vise_shape_text(tx, sizeof tx, x));
    *out = *x;
    for (unsigned i = 0; i < 2; i++)
        out->dim[i] = ref         ? ref->dim[i]
                      : a->size.n ? (size_t)a->size.v[i]
                                  : x->dim[i] * vise_pair_at(&a->scale, i, 1);
    return VISE_OK;
}

static vise_map_resize geometry(const vise_resize_attr *a, const vise_shape *x, const vise_shape *y)
{
    // nearest needs no taps: forward picks inputs itself
    return vise_map_resize_of(x->dim, y->dim, a->filter == BICUBIC ? VISE_BICUBIC : VISE_BILINEAR,
                              a->antialias);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    const vise_map_resize g = geometry(s->attr, s->in[0], out);
    return vise_map_resize_scratch(&g);
}

/* The pixel of x that is nearest to pixel (i, j) of y. */
static size_t pixel_of(const vise_shape *xs, const vise_shape *ys, size_t i, size_t j)
{
    return i * xs->dim[0] / ys->dim[0] * xs->dim[1] + j * xs->dim[1] / ys->dim[1];
}

static void nearest(float *y, const float *x, const vise_shape *ys, const vise_shape *xs)
{
    const size_t C = ys->dim[2];
    for (size_t i = 0; i < ys->dim[0]; i++)
        for (size_t j = 0; j < ys->dim[1]; j++, y += C)
            memcpy(y, x + pixel_of(xs, ys, i, j) * C, C * sizeof *y);
}

static void forward(const vise_call *c)
{
    const vise_resize_attr *a = c->attr;
    const vise_shape *x = c->in[0].shape, *y = c->out[0].shape;
    const vise_map_resize g = geometry(a, x, y);
    for (size_t b = 0; b < vise_call_images(c); b++) {
        float *out = vise_arg_at(&c->out[0], b);
        const float *in = vise_arg_at(&c->in[0], b);
        if (a->filter == NEAREST)
            nearest(out, in, y, x);
        else
            vise_map_resize_run(&g, out, in, x->dim[2], c->scratch);
    }
}

static void nearest_back(float *dx, const float *dy, const vise_shape *ys, const vise_shape *xs)
{
    const size_t C = ys->dim[2];
    for (size_t i = 0; i < ys->dim[0]; i++)
        for (size_t j = 0; j < ys->dim[1]; j++, dy += C)
            vise_axpy(dx + pixel_of(xs, ys, i, j) * C, 1, dy, C);
}

/* The second input has no gradient: only its extents are read. */
vise_backward_fn vise_resize_backward;
void vise_resize_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_resize_attr *a = c->attr;
    const vise_shape *x = c->in[0].shape, *y = c->out[0].shape;
    const vise_map_resize g = geometry(a, x, y);
    const size_t count = vise_shape_count(y);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++) {
        float *dx = vise_call_gradient(c, din, 0, b);
        if (a->filter == NEAREST)
            nearest_back(dx, dout + b * count, y, x);
        else
            vise_map_resize_transposed(&g, dx, dout + b * count, x->dim[2], c->scratch);
    }
}

const vise_op vise_op_resize = {.name = "resize",
                                .min_in = 1,
                                .max_in = 2,
                                .attr_size = sizeof(vise_resize_attr),
                                .attrs = attrs,
                                .shape = shape,
                                .scratch = scratch,
                                .forward = forward};
