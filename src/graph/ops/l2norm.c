/* l2norm.c - y = x / max(||x||, eps) over the last axis
 *
 *   x  in   [..., C]
 *   y  out  [..., C]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

static const vise_attr_def attrs[] = {
    {"eps", VISE_ATTR_REAL, offsetof(vise_norm_attr, eps), 1e-12, 0, 1, NULL},
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
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    for (size_t r = 0; r < rows; r++) {
        const float *x = c->in[0].data + r * C;
        float *y = c->out[0].data + r * C;
        double squares = 0;
        for (size_t i = 0; i < C; i++)
            squares += (double)x[i] * (double)x[i];
        const double norm = sqrt(squares), by = norm < eps ? eps : norm; // NaN stays
        for (size_t i = 0; i < C; i++)
            y[i] = (float)((double)x[i] / by);
    }
}

/* dx = (dy - y sum(dy y)) / ||x||; dy / eps where eps is larger, for y is then linear in x. */
vise_backward_fn vise_l2norm_backward;
void vise_l2norm_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    for (size_t r = 0; din[0] && r < rows; r++) {
        const float *x = c->in[0].data + r * C, *dy = dout + r * C;
        double squares = 0, gx = 0;
        for (size_t i = 0; i < C; i++) {
            squares += (double)x[i] * (double)x[i];
            gx += (double)dy[i] * (double)x[i];
        }
        const double norm = sqrt(squares), by = norm < eps ? eps : norm; // NaN stays
        const double pull = norm < eps ? 0 : gx / by / by;               // sum(dy y) / ||x||
        for (size_t i = 0; i < C; i++)
            din[0][r * C + i] += (float)(((double)dy[i] - (double)x[i] * pull) / by);
    }
}

const vise_op vise_op_l2norm = {.name = "l2norm",
                                .min_in = 1,
                                .max_in = 1,
                                .attr_size = sizeof(vise_norm_attr),
                                .attrs = attrs,
                                .shape = shape,
                                .forward = forward};
