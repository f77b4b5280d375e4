/* int_quant.c - pictures as integers: y = rne(x scale + offset), clamped to [lo, hi]
 *
 *   x              in   [..., C]
 *   scale, offset  in   [C]
 *   y              out  [..., C]
 *
 * In f32, product and sum rounded to nearest even: the last floating point before int_dequant. NaN
 * becomes hi.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

enum { MOST = 1 << 22 }; // what rounds by adding 1.5 2^23

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_range_attr, lo), -VISE_INT_CODE, -MOST, MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_range_attr, hi), VISE_INT_CODE, -MOST, MOST, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_range_attr *a = s->attr;
    VISE_TRY(vise_int_check_range(s, a->lo, a->hi, e));
    *out = *s->in[0];
    return vise_check_channels(s, 1, vise_shape_last(out), e);
}

static void forward(const vise_call *c)
{
    const vise_int_range_attr *a = c->attr;
    const size_t C = vise_shape_last(c->out[0].shape);
    const size_t n = vise_call_images(c) * vise_shape_count(c->out[0].shape);
    const float *x = c->in[0].data, *scale = c->in[1].data, *offset = c->in[2].data;
    const float lo = (float)a->lo, hi = (float)a->hi;
    const float whole = 12582912; // ends in the place of 1
    float *y = c->out[0].data;
    for (size_t i = 0; i < n; i += C)
        for (size_t j = 0; j < C; j++) {
            const float v = x[i + j] * scale[j] + offset[j];
            const float in = v < hi ? v > lo ? v : lo : hi;
            y[i + j] = in + whole - whole;
        }
}

const vise_op vise_op_int_quant = {.name = "int_quant",
                                   .min_in = 3,
                                   .max_in = 3,
                                   .attr_size = sizeof(vise_int_range_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .forward = forward};
