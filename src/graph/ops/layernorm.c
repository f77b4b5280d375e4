/* layernorm.c - y = (x - mean) / sqrt(var + eps) * w + b over the last axis
 *
 *   x     in   [..., C]
 *   w, b  in   [C]        optional
 *   y     out  [..., C]
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

typedef struct stats {
    double mean, rstd;
} stats;

static stats row_stats(const float *x, size_t C, double eps)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < C; i++)
        sum += (double)x[i];
    const double mean = sum / (double)C;
    for (size_t i = 0; i < C; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (stats){mean, 1 / sqrt(squares / (double)C + eps)};
}

static void forward(const vise_call *c)
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    const float *w = vise_call_optional(c, 1, 0), *b = vise_call_optional(c, 2, 0);
    for (size_t r = 0; r < rows; r++) {
        const float *x = c->in[0].data + r * C;
        float *y = c->out[0].data + r * C;
        const stats s = row_stats(x, C, eps);
        for (size_t i = 0; i < C; i++) {
            const double xhat = ((double)x[i] - s.mean) * s.rstd;
            y[i] = (float)(xhat * (w ? (double)w[i] : 1) + (b ? (double)b[i] : 0));
        }
    }
}

/* With xhat = (x - mean) rstd and g = dy w:
 *   dx = rstd (g - avg(g) - xhat avg(g xhat)),  dw = sum dy xhat,  db = sum dy. */
vise_backward_fn vise_layernorm_backward;
void vise_layernorm_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / C);
    const double eps = ((const vise_norm_attr *)c->attr)->eps;
    const float *w = vise_call_optional(c, 1, 0);
    float *dw = c->nin > 1 ? din[1] : NULL, *db = c->nin > 2 ? din[2] : NULL;
    for (size_t r = 0; r < rows; r++) {
        const float *x = c->in[0].data + r * C, *dy = dout + r * C;
        const stats s = row_stats(x, C, eps);
        double g_avg = 0, gx_avg = 0;
        for (size_t i = 0; i < C; i++) {
            const double xhat = ((double)x[i] - s.mean) * s.rstd, d = (double)dy[i];
            const double g = d * (w ? (double)w[i] : 1);
            g_avg += g / (double)C;
            gx_avg += g * xhat / (double)C;
            if (dw) dw[i] += (float)(d * xhat);
            if (db) db[i] += dy[i];
        }
        for (size_t i = 0; din[0] && i < C; i++) {
            const double xhat = ((double)x[i] - s.mean) * s.rstd;
            const double g = (double)dy[i] * (w ? (double)w[i] : 1);
            din[0][r * C + i] += (float)(s.rstd * (g - g_avg - xhat * gx_avg));
        }
    }
}

const vise_op vise_op_layernorm = {.name = "layernorm",
                                   .min_in = 1,
                                   .max_in = 3,
                                   .attr_size = sizeof(vise_norm_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .forward = forward};
