/* reshape.c - the same elements with other extents
 *
 *   x  in   [...]
 *   y  out  as the attribute says: 0 copies x's extent there, one -1 is what is left
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <string.h>

static const vise_attr_def attrs[] = {
    {"shape", VISE_ATTR_INTS, offsetof(vise_reshape_attr, shape), 0, -1, VISE_MAX_DIM, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_ints *want = &((const vise_reshape_attr *)s->attr)->shape;
    const vise_shape *x = s->in[0];
    char text[VISE_SHAPE_TEXT];
    size_t left = vise_shape_count(x); // elements not yet accounted for; divided, never multiplied
    uint32_t free_axis = VISE_MAX_RANK;
    bool ok = true;
    out->rank = want->n;
    for (uint32_t i = 0; ok && i < want->n; i++) {
        out->dim[i] = want->v[i] > 0 ? (size_t)want->v[i] : 1;
        if (want->v[i] < 0) {
            ok = free_axis == VISE_MAX_RANK;
            free_axis = i;
        }
        if (want->v[i] == 0) {
            ok = i < x->rank;
            if (ok) out->dim[i] = x->dim[i];
        }
        ok = ok && left % out->dim[i] == 0;
        left /= out->dim[i];
    }
    if (ok && free_axis < VISE_MAX_RANK) {
        out->dim[free_axis] = left;
        left = 1;
    }
    if (!ok || left != 1)
        return vise_fail(e, VISE_EFORMAT, "%s: %s does not reshape to the %u extents asked for",
                         s->name, vise_shape_text(text, sizeof text, x), want->n);
    return VISE_OK;
}

static void forward(const vise_call *c)
{
    const size_t count = vise_call_images(c) * vise_shape_count(c->out[0].shape);
    memcpy(c->out[0].data, c->in[0].data, count * sizeof(float));
}

vise_backward_fn vise_reshape_backward;
void vise_reshape_backward(const vise_call *c, const float *dout, float *const din[])
{
    if (din[0]) vise_axpy(din[0], 1, dout, vise_call_images(c) * vise_shape_count(c->out[0].shape));
}

const vise_op vise_op_reshape = {.name = "reshape",
                                 .min_in = 1,
                                 .max_in = 1,
                                 .attr_size = sizeof(vise_reshape_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
