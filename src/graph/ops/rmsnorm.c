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

const vise_op vise_op_rmsnorm = {.name = "rmsnorm",
                                 .min_in = 1,
                                 .max_in = 2,
                                 .attr_size = sizeof(vise_norm_attr),
                                 .attrs = attrs,
                                 .shape = shape,
                                 .forward = forward};
