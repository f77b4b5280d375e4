/* permute.c - axis i of y is axis order[i] of x
 *
 *   x  in   [...]
 *   y  out  [...]   extents in the new order
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"order", VISE_ATTR_INTS, offsetof(vise_permute_attr, order), 0, -VISE_MAX_RANK,
     VISE_MAX_RANK - 1, NULL},
    {0},
};

/* y's shape, and the stride in x of each of y's axes. */
static vise_status reorder(vise_shape *y, size_t *stride, const vise_sig *s, vise_err *e)
{
    const vise_ints *order = &((const vise_permute_attr *)s->attr)->order;
    const vise_shape *x = s->in[0];
    size_t xs[VISE_MAX_RANK];
    bool used[VISE_MAX_RANK] = {false};
    char text[VISE_SHAPE_TEXT];
    if (order->n != x->rank)
        return vise_fail(e, VISE_EFORMAT, "%s: an order of %u axes for %s", s->name, order->n,
                         vise_shape_text(text, sizeof text, x));
    vise_strides(xs, x);
    y->rank = x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        uint32_t a;
        VISE_TRY(vise_axis(&a, order->v[i], x->rank, s->name, e));
        if (used[a])
            return vise_fail(e, VISE_EFORMAT, "%s: axis %u of %s is listed twice", s->name, a,
                             vise_shape_text(text, sizeof text, x));
        used[a] = true;
        y->dim[i] = x->dim[a];
        stride[i] = xs[a];
    }
    return VISE_OK;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    size_t stride[VISE_MAX_RANK];
    return reorder(out, stride, s, e);
}

/* The strides of y's axes in x and in y. */
static void strides_of(size_t xs[VISE_MAX_RANK], size_t ys[VISE_MAX_RANK], const vise_call *c)
{
    const vise_sig s = {.name = "", .attr = c->attr, .nin = 1, .in = {c->in[0].shape}};
    vise_shape y = {0};
    reorder(&y, xs, &s, NULL);
    vise_strides(ys, &y);
}

static void forward(const vise_call *c)
{
    const vise_shape *y = c->out[0].shape;
    size_t xs[VISE_MAX_RANK] = {0}, ys[VISE_MAX_RANK];
    strides_of(xs, ys, c);
    for (size_t b = 0; b < vise_call_images(c); b++)
        vise_copy_block(vise_arg_at(&c->out[0], b), ys, vise_arg_at(&c->in[0], b), xs, y);
}

/* The other way round. */
vise_backward_fn vise_permute_backward;
void vise_permute_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_shape *y = c->out[0].shape;
    const size_t count = vise_shape_count(y);
    size_t xs[VISE_MAX_RANK] = {0}, ys[VISE_MAX_RANK];
    strides_of(xs, ys, c);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++)
        vise_add_block(vise_call_gradient(c, din, 0, b), xs, dout + b * count, ys, y);
}

const vise_op vise_op_permute = {.name = "permute",
                                 .min_in = 1,
                                 .max_in = 1,
                                 .attr_size = sizeof(vise_permute_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
