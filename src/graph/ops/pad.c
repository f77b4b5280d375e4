/* pad.c - constant padding around a tensor
 *
 *   x  in   [n_0, n_1, ...]
 *   y  out  [before_0 + n_0 + after_0, ...]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <float.h>

static const vise_attr_def attrs[] = {
    {"before", VISE_ATTR_INTS, offsetof(vise_pad_attr, before), 0, 0, VISE_MAX_DIM, NULL},
    {"after", VISE_ATTR_INTS, offsetof(vise_pad_attr, after), 0, 0, VISE_MAX_DIM, NULL},
    {"value", VISE_ATTR_REAL, offsetof(vise_pad_attr, value), 0, -(double)FLT_MAX, (double)FLT_MAX,
     NULL},
    {0},
};

static size_t entry(const vise_ints *v, uint32_t axis)
{
    return v->n ? (size_t)v->v[axis] : 0;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_pad_attr *a = s->attr;
    *out = *s->in[0];
    if ((a->before.n && a->before.n != out->rank) || (a->after.n && a->after.n != out->rank)) {
        char text[VISE_SHAPE_TEXT];
        return vise_fail(e, VISE_EFORMAT, "%s: padding lists %u and %u axes, input is %s", s->name,
                         a->before.n, a->after.n, vise_shape_text(text, sizeof text, s->in[0]));
    }
    for (uint32_t i = 0; i < out->rank; i++)
        out->dim[i] += entry(&a->before, i) + entry(&a->after, i);
    return VISE_OK;
}

/* Where x starts in y, and the strides of both. */
static size_t corner_of(size_t xs[VISE_MAX_RANK], size_t ys[VISE_MAX_RANK], const vise_call *c)
{
    const vise_pad_attr *a = c->attr;
    size_t corner = 0;
    vise_strides(xs, c->in[0].shape);
    vise_strides(ys, c->out[0].shape);
    for (uint32_t i = 0; i < c->out[0].shape->rank; i++)
        corner += entry(&a->before, i) * ys[i];
    return corner;
}

static void forward(const vise_call *c)
{
    const float value = (float)((const vise_pad_attr *)c->attr)->value;
    size_t xs[VISE_MAX_RANK], ys[VISE_MAX_RANK];
    const size_t corner = corner_of(xs, ys, c), count = vise_shape_count(c->out[0].shape);
    for (size_t b = 0; b < vise_call_images(c); b++) {
        float *out = vise_arg_at(&c->out[0], b);
        for (size_t i = 0; i < count; i++)
            out[i] = value;
        vise_copy_block(out + corner, ys, vise_arg_at(&c->in[0], b), xs, c->in[0].shape);
    }
}

/* What is not padding receives dy. */
vise_backward_fn vise_pad_backward;
void vise_pad_backward(const vise_call *c, const float *dout, float *const din[])
{
    size_t xs[VISE_MAX_RANK], ys[VISE_MAX_RANK];
    const size_t corner = corner_of(xs, ys, c), count = vise_shape_count(c->out[0].shape);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++)
        vise_add_block(vise_call_gradient(c, din, 0, b), xs, dout + b * count + corner, ys,
                       c->in[0].shape);
}

const vise_op vise_op_pad = {.name = "pad",
                             .min_in = 1,
                             .max_in = 1,
                             .attr_size = sizeof(vise_pad_attr),
                             .attrs = attrs,
                             .shape = shape,
                             .forward = forward};
