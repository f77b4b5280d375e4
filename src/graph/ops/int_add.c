/* int_add.c - y = a + b in integers, clamped to [lo, hi]
 *
 *   a, b  in   of one shape, at most 2^23 - 1 each
 *   y     out  the same
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_range_attr, lo), -VISE_INT_MOST, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_range_attr, hi), VISE_INT_MOST, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_range_attr *a = s->attr;
    char ta[VISE_SHAPE_TEXT], tb[VISE_SHAPE_TEXT];
    *out = *s->in[0];
    if (!vise_shape_same(s->in[0], s->in[1]))
        return vise_fail(e, VISE_EFORMAT, "%s: %s and %s are not of one shape", s->name,
                         vise_shape_text(ta, sizeof ta, s->in[0]),
                         vise_shape_text(tb, sizeof tb, s->in[1]));
    return vise_int_check_range(s, a->lo, a->hi, e);
}

static void forward(const vise_call *c)
{
    const vise_int_range_attr *r = c->attr;
    const size_t n = vise_shape_count(c->out[0].shape);
    vise_fixed_kern k;
    vise_fixed_c(&k);
    for (size_t b = 0; b < vise_call_images(c); b++)
        k.add(vise_arg_at(&c->out[0], b), n, vise_arg_at(&c->in[0], b), n,
              vise_arg_at(&c->in[1], b), n, 1, n, (int32_t)r->lo, (int32_t)r->hi);
}

const vise_op vise_op_int_add = {.name = "int_add",
                                 .min_in = 2,
                                 .max_in = 2,
                                 .attr_size = sizeof(vise_int_range_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
