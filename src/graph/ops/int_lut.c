/* int_lut.c - any function of one integer: y = table[x - first], x clamped to the table; where x is
 * beyond the table and gain is not 0, y = gain x
 *
 *   x      in   [...]
 *   table  in   [n]    integers; n <= 65536
 *   y      out  [...]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

enum { MOST = 65536 };

static const vise_attr_def attrs[] = {
    {"first", VISE_ATTR_INT, offsetof(vise_int_lut_attr, first), -128, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"gain", VISE_ATTR_INT, offsetof(vise_int_lut_attr, gain), 0, 0, 127, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    char text[VISE_SHAPE_TEXT];
    const vise_shape *t = s->in[1];
    *out = *s->in[0];
    if (t->rank != 1 || t->dim[0] > MOST || s->batched[1])
        return vise_fail(e, VISE_EFORMAT, "%s: %s is not a table of at most %d entries", s->name,
                         vise_shape_text(text, sizeof text, t), MOST);
    return VISE_OK;
}

static void forward(const vise_call *c)
{
    const size_t n = vise_call_images(c) * vise_shape_count(c->out[0].shape);
    const vise_int_lut_attr *a = c->attr;
    vise_fixed_kern k;
    vise_fixed_c(&k);
    const vise_int_table t = {c->in[1].data, c->in[1].shape->dim[0], (int32_t)a->first,
                              (int32_t)a->gain};
    k.lut(c->out[0].data, n, c->in[0].data, n, 1, n, &t);
}

const vise_op vise_op_int_lut = {.name = "int_lut",
                                 .min_in = 2,
                                 .max_in = 2,
                                 .attr_size = sizeof(vise_int_lut_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
