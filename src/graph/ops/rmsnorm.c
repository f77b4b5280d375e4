/* rmsnorm.c - y = x / sqrt(mean(x^2) + eps) * w over the last axis
 *
 *   x  in   [..., C]
 *   w  in   [C]        optional
 *   y  out  [..., C]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

static const vise_attr_def attrs[] = {
    {"eps", VISE_ATTR_REAL, offsetof(vise_norm_attr, eps), 1e-6, 0, 1, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    *out = *s->in[0];
    return vise_check_channels(s, 1, vise_shape_last(out), e);
}

static void forward(const vise_call *c)
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    const float *w = vise_call_optional(c, 1, 0);
    for (size_t r = 0; r < rows; r++) {
        const float *x = c->in[0].data + r * C;
        float *y = c->out[0].data + r * C;
        double squares = 0;
        for (size_t i = 0; i < C; i++)
            squares += (double)x[i] * (double)x[i];
        const double rms = sqrt(squares / (double)C + eps);
        for (size_t i = 0; i < C; i++)
            y[i] = (float)((double)x[i] / rms * (w ? (double)w[i] : 1));
    }
}

/* With xhat = x / rms and g = dy w:  dx = (g - xhat avg(g xhat)) / rms,  dw = sum dy xhat. */
vise_backward_fn vise_rmsnorm_backward;
void vise_rmsnorm_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    const float *w = vise_call_optional(c, 1, 0);
    float *dw = vise_call_gradient(c, din, 1, 0);
    for (size_t r = 0; r < rows; r++) {
        const float *x = c->in[0].data + r * C, *dy = dout + r * C;
        double squares = 0, gx = 0;
        for (size_t i = 0; i < C; i++) {
            squares += (double)x[i] * (double)x[i];
            gx += (double)dy[i] * (w ? (double)w[i] : 1) * (double)x[i];
        }
        const double rms = sqrt(squares / (double)C + eps), gx_avg = gx / rms / (double)C;
        for (size_t i = 0; dw && i < C; i++)
            dw[i] += (float)((double)dy[i] * ((double)x[i] / rms));
        for (size_t i = 0; din[0] && i < C; i++) {
            const double g = (double)dy[i] * (w ? (double)w[i] : 1);
            din[0][r * C + i] += (float)((g - (double)x[i] / rms * gx_avg) / rms);
        }
    }
}

const vise_op vise_op_rmsnorm = {.name = "rmsnorm",
                                 .min_in = 1,
                                 .max_in = 2,
                                 .attr_size = sizeof(vise_norm_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
