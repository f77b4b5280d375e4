/* concat.c - tensors one after the other along an axis
 *
 *   x_i  in   [..., n_i, ...]   1 to 8 of them, other extents equal
 *   y    out  [..., sum n_i, ...]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <string.h>

static const vise_attr_def attrs[] = {
    {"axis", VISE_ATTR_INT, offsetof(vise_concat_attr, axis), 0, -VISE_MAX_RANK, VISE_MAX_RANK - 1,
     NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    uint32_t axis;
    const vise_shape *first = s->in[0];
    VISE_TRY(vise_axis(&axis, ((const vise_concat_attr *)s->attr)->axis, first->rank, s->name, e));
    *out = *first;
    for (uint32_t i = 1; i < s->nin; i++) {
        char a[VISE_SHAPE_TEXT], b[VISE_SHAPE_TEXT];
        if (!s->in[i])
            return vise_fail(e, VISE_EFORMAT, "%s: input %u of concat is absent", s->name, i);
        vise_shape same = *s->in[i];
        if (same.rank == first->rank) same.dim[axis] = first->dim[axis];
        if (!vise_shape_same(&same, first))
            return vise_fail(e, VISE_EFORMAT, "%s: %s does not follow %s along axis %u", s->name,
                             vise_shape_text(a, sizeof a, s->in[i]),
                             vise_shape_text(b, sizeof b, first), axis);
        out->dim[axis] += s->in[i]->dim[axis];
    }
    return VISE_OK;
}

/* Everything is a run of each input in turn, `outer` times. */
typedef struct runs {
    size_t outer, length[VISE_MAX_IN];
} runs;

static runs runs_of(const vise_call *c)
{
    const vise_shape *y = c->out[0].shape;
    uint32_t axis = 0;
    vise_axis(&axis, ((const vise_concat_attr *)c->attr)->axis, y->rank, "", NULL);
    size_t inner = 1;
    runs r = {.outer = 1};
    for (uint32_t i = 0; i < y->rank; i++) {
        if (i < axis) r.outer *= y->dim[i];
        if (i > axis) inner *= y->dim[i];
    }
    for (uint32_t i = 0; i < c->nin; i++)
        r.length[i] = c->in[i].shape->dim[axis] * inner;
    return r;
}

static void forward(const vise_call *c)
{
    const runs r = runs_of(c);
    for (size_t b = 0; b < vise_call_images(c); b++) {
        float *out = vise_arg_at(&c->out[0], b);
        for (size_t o = 0; o < r.outer; o++)
            for (uint32_t i = 0; i < c->nin; out += r.length[i++])
                memcpy(out, vise_arg_at(&c->in[i], b) + o * r.length[i], r.length[i] * sizeof *out);
    }
}

/* Each input receives its part of dy. */
vise_backward_fn vise_concat_backward;
void vise_concat_backward(const vise_call *c, const float *dout, float *const din[])
{
    const runs r = runs_of(c);
    for (size_t b = 0; b < vise_call_images(c); b++)
        for (size_t o = 0; o < r.outer; o++)
            for (uint32_t i = 0; i < c->nin; dout += r.length[i++]) {
                float *dx = vise_call_gradient(c, din, i, b);
                if (dx) vise_axpy(dx + o * r.length[i], 1, dout, r.length[i]);
            }
}

const vise_op vise_op_concat = {.name = "concat",
                                .min_in = 1,
                                .max_in = VISE_MAX_IN,
                                .attr_size = sizeof(vise_concat_attr),
                                .attrs = attrs,
                                .shape = shape,
                                .forward = forward};
