/* slice.c - every step-th element of [start, stop) of an axis
 *
 *   x  in   [...]
 *   y  out  [...]   one extent is (stop - start) / step, rounded up
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"axis", VISE_ATTR_INT, offsetof(vise_slice_attr, axis), 0, -VISE_MAX_RANK, VISE_MAX_RANK - 1,
     NULL},
    {"start", VISE_ATTR_INT, offsetof(vise_slice_attr, start), 0, -VISE_MAX_DIM, VISE_MAX_DIM,
     NULL},
    {"stop", VISE_ATTR_INT, offsetof(vise_slice_attr, stop), VISE_SLICE_END, -VISE_MAX_DIM,
     VISE_SLICE_END, NULL},
    {"step", VISE_ATTR_INT, offsetof(vise_slice_attr, step), 1, 1, VISE_MAX_DIM, NULL},
    {0},
};

typedef struct range {
    uint32_t axis;
    size_t start, count, step;
} range;

static vise_status range_of(range *r, const vise_slice_attr *a, const vise_shape *x,
                            const char *node, vise_err *e)
{
    char text[VISE_SHAPE_TEXT];
    VISE_TRY(vise_axis(&r->axis, a->axis, x->rank, node, e));
    const int64_t n = (int64_t)x->dim[r->axis];
    const int64_t start = a->start < 0 ? a->start + n : a->start;
    const int64_t stop = a->stop == VISE_SLICE_END ? n : a->stop < 0 ? a->stop + n : a->stop;
    if (start < 0 || start >= stop || stop > n)
        return vise_fail(e, VISE_EFORMAT, "%s: slice [%lld, %lld) of axis %u of %s", node,
                         (long long)a->start, (long long)a->stop, r->axis,
                         vise_shape_text(text, sizeof text, x));
    r->start = (size_t)start;
    r->step = (size_t)a->step;
    r->count = ((size_t)(stop - start) + r->step - 1) / r->step;
    return VISE_OK;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    range r;
    VISE_TRY(range_of(&r, s->attr, s->in[0], s->name, e));
    *out = *s->in[0];
    out->dim[r.axis] = r.count;
    return VISE_OK;
}

/* Where the first element of y lies in x, and x's strides from one of y's elements to the next. */
static size_t first_of(size_t stride[VISE_MAX_RANK], const vise_call *c)
{
    range r = {0};
    range_of(&r, c->attr, c->in[0].shape, "", NULL);
    vise_strides(stride, c->in[0].shape);
    const size_t first = r.start * stride[r.axis];
    stride[r.axis] *= r.step;
    return first;
}

static void forward(const vise_call *c)
{
    const vise_shape *y = c->out[0].shape;
    size_t xs[VISE_MAX_RANK], ys[VISE_MAX_RANK];
    const size_t first = first_of(xs, c);
    vise_strides(ys, y);
    for (size_t b = 0; b < vise_call_images(c); b++)
        vise_copy_block(vise_arg_at(&c->out[0], b), ys, vise_arg_at(&c->in[0], b) + first, xs, y);
}

/* What was taken receives dy; the rest of x has no part in y. */
vise_backward_fn vise_slice_backward;
void vise_slice_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_shape *y = c->out[0].shape;
    size_t xs[VISE_MAX_RANK], ys[VISE_MAX_RANK];
    const size_t first = first_of(xs, c), count = vise_shape_count(y);
    vise_strides(ys, y);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++)
        vise_add_block(vise_call_gradient(c, din, 0, b) + first, xs, dout + b * count, ys, y);
}

const vise_op vise_op_slice = {.name = "slice",
                               .min_in = 1,
                               .max_in = 1,
                               .attr_size = sizeof(vise_slice_attr),
                               .attrs = attrs,
                               .shape = shape,
                               .forward = forward};
