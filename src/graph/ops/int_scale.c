/* int_scale.c - integers to another scale per channel: y = floor((x + bias) mult + 1/2), clamped to
 * [lo, hi]
 *
 *   x     in   [..., C]  at most 2^24
 *   bias  in   [C]       integers, at most 2^30
 *   mult  in   [C]       [2^-37, 2^15), each a fixed-point number: 24 bits and a shift
 *   y     out  [..., C]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_range_attr, lo), -VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_range_attr, hi), VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_range_attr *a = s->attr;
    VISE_TRY(vise_int_check_range(s, a->lo, a->hi, e));
    *out = *s->in[0];
    return vise_check_channels(s, 1, vise_shape_last(out), e);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    (void)s;
    return 3 * vise_shape_last(out); // requant's constants
}

static void forward(const vise_call *c)
{
    const vise_int_range_attr *a = c->attr;
    const size_t C = vise_shape_last(c->out[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->out[0].shape) / C);
    const vise_requant q = vise_requant_read((int32_t *)(void *)c->scratch, c->in[1].data,
                                             c->in[2].data, C, a->lo, a->hi);
    vise_fixed_kern k;
    vise_fixed_c(&k);
    k.requant(c->out[0].data, C, c->in[0].data, C, rows, C, &q);
}

const vise_op vise_op_int_scale = {.name = "int_scale",
                                   .min_in = 3,
                                   .max_in = 3,
                                   .attr_size = sizeof(vise_int_range_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .scratch = scratch,
                                   .forward = forward};
