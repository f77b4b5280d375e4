/* int_dequant.c - integers as what they stand for: y = x scale, in f32
 *
 *   x  in   [...]
 *   y  out  [...]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"scale", VISE_ATTR_REAL, offsetof(vise_int_dequant_attr, scale), 1, 1e-30, 1e30, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    (void)e; // nothing can be wrong
    *out = *s->in[0];
    return VISE_OK;
}

static void forward(const vise_call *c)
{
    const size_t n = vise_call_images(c) * vise_shape_count(c->out[0].shape);
    const float scale = (float)((const vise_int_dequant_attr *)c->attr)->scale;
    for (size_t i = 0; i < n; i++)
        c->out[0].data[i] = c->in[0].data[i] * scale;
}

const vise_op vise_op_int_dequant = {.name = "int_dequant",
                                     .min_in = 1,
                                     .max_in = 1,
                                     .attr_size = sizeof(vise_int_dequant_attr),
                                     .attrs = attrs,
                                     .shape = shape,
                                     .forward = forward};
