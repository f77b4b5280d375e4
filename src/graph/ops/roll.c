/* roll.c - element i of an axis moves to (i + shift) mod extent
 *
 *   x  in   [...]
 *   y  out  [...]
 *
 * Shifts of an axis that is listed several times add up.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"axes", VISE_ATTR_INTS, offsetof(vise_roll_attr, axes), 0, -VISE_MAX_RANK, VISE_MAX_RANK - 1,
     NULL},
    {"shifts", VISE_ATTR_INTS, offsetof(vise_roll_attr, shifts), 0, -VISE_MAX_DIM, VISE_MAX_DIM,
     NULL},
    {0},
};

/* How far each axis moves, in [0, extent). */
static vise_status shifts_of(size_t shift[VISE_MAX_RANK], const vise_roll_attr *a,
                             const vise_shape *x, const char *node, vise_err *e)
{
    int64_t sum[VISE_MAX_RANK] = {0};
    if (a->axes.n != a->shifts.n)
        return vise_fail(e, VISE_EFORMAT, "%s: roll of %u axes by %u shifts", node, a->axes.n,
                         a->shifts.n);
    for (uint32_t i = 0; i < a->axes.n; i++) {
        uint32_t axis;
        VISE_TRY(vise_axis(&axis, a->axes.v[i], x->rank, node, e));
        sum[axis] += a->shifts.v[i];
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        const int64_t n = (int64_t)x->dim[i];
        shift[i] = (size_t)((sum[i] % n + n) % n);
    }
    return VISE_OK;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    size_t shift[VISE_MAX_RANK];
    *out = *s->in[0];
    return shifts_of(shift, s->attr, s->in[0], s->name, e);
}

/* Part of a tensor: its extents, and where it starts in x and in y. */
typedef struct piece {
    vise_shape shape;
    size_t from, to;
} piece;

/* Every axis is cut in two at n - shift, and the pieces change places: 2^rank of them, of which bit
 * i of `block` chooses the part of axis i. False: an empty one (shift 0). */
static bool piece_of(piece *p, const vise_shape *s, const size_t *stride, const size_t *shift,
                     unsigned block)
{
    *p = (piece){.shape = *s};
    for (uint32_t i = 0; i < s->rank; i++) {
        const bool tail = block >> i & 1;
        p->shape.dim[i] = tail ? shift[i] : s->dim[i] - shift[i];
        if (!p->shape.dim[i]) return false;
        p->from += tail ? (s->dim[i] - shift[i]) * stride[i] : 0;
        p->to += tail ? 0 : shift[i] * stride[i];
    }
    return true;
}

static void forward(const vise_call *c)
{
    const vise_shape *s = c->in[0].shape;
    size_t shift[VISE_MAX_RANK] = {0}, stride[VISE_MAX_RANK];
    piece p;
    shifts_of(shift, c->attr, s, "", NULL);
    vise_strides(stride, s);
    for (size_t b = 0; b < vise_call_images(c); b++)
        for (unsigned block = 0; block < 1u << s->rank; block++)
            if (piece_of(&p, s, stride, shift, block))
                vise_copy_block(vise_arg_at(&c->out[0], b) + p.to, stride,
                                vise_arg_at(&c->in[0], b) + p.from, stride, &p.shape);
}

/* The pieces go back. */
vise_backward_fn vise_roll_backward;
void vise_roll_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_shape *s = c->in[0].shape;
    size_t shift[VISE_MAX_RANK] = {0}, stride[VISE_MAX_RANK];
    const size_t count = vise_shape_count(s);
    piece p;
    shifts_of(shift, c->attr, s, "", NULL);
    vise_strides(stride, s);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++)
        for (unsigned block = 0; block < 1u << s->rank; block++)
            if (piece_of(&p, s, stride, shift, block))
                vise_add_block(vise_call_gradient(c, din, 0, b) + p.from, stride,
                               dout + b * count + p.to, stride, &p.shape);
}

const vise_op vise_op_roll = {.name = "roll",
                              .min_in = 1,
                              .max_in = 1,
                              .attr_size = sizeof(vise_roll_attr),
                              .attrs = attrs,
                              .shape = shape,
                              .forward = forward};
