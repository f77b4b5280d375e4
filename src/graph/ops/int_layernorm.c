/* int_layernorm.c - layer normalisation of integers over the last axis
 *
 *   x     in   [..., C]  at most 2^23 - 1                    C <= 8192
 *   w, b  in   [C]       integers below 2^24
 *   y     out  [..., C]
 *
 * With m = floor(avg x + 1/2), d = x - m and u = d / sqrt(sum d^2 + eps) in units of 2^-20:
 *   y = floor((u w + b 2^(shift - 8)) / 2^shift + 1/2), clamped to [lo, hi]
 * u comes from an integer square root and one division per row; its bits are kern/fixed.h's.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

#define EPS_MOST 4503599627370496.0 // 2^52

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_layernorm_attr, lo), -VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_layernorm_attr, hi), VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"eps", VISE_ATTR_INT, offsetof(vise_int_layernorm_attr, eps), 0, 0, EPS_MOST, NULL},
    {"shift", VISE_ATTR_INT, offsetof(vise_int_layernorm_attr, shift), 24, 16, 40, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_layernorm_attr *a = s->attr;
    *out = *s->in[0];
    VISE_TRY(vise_int_check_range(s, a->lo, a->hi, e));
    if (vise_shape_last(out) > VISE_INT_NORM_MOST)
        return vise_fail(e, VISE_EFORMAT, "%s: an integer layernorm of %zu channels, at most %d",
                         s->name, vise_shape_last(out), VISE_INT_NORM_MOST);
    return vise_check_channels(s, 1, vise_shape_last(out), e);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    (void)s;
    return 2 * vise_shape_last(out); // w and b
}

static void forward(const vise_call *c)
{
    const vise_int_layernorm_attr *a = c->attr;
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    int32_t *w = (int32_t *)(void *)c->scratch, *b = w + C;
    vise_int_read(w, c->in[1].data, C, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    vise_int_read(b, c->in[2].data, C, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    const vise_int_layernorm p = {w, b, a->eps, (int32_t)a->shift, (int32_t)a->lo, (int32_t)a->hi};
    vise_fixed_kern k;
    vise_fixed_c(&k);
    k.layernorm(c->out[0].data, C, c->in[0].data, C, rows, C, &p);
}

const vise_op vise_op_int_layernorm = {.name = "int_layernorm",
                                       .min_in = 3,
                                       .max_in = 3,
                                       .attr_size = sizeof(vise_int_layernorm_attr),
                                       .attrs = attrs,
                                       .shape = shape,
                                       .scratch = scratch,
                                       .forward = forward};
