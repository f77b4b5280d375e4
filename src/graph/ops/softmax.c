/* softmax.c - y = exp(x - max) / sum of these, over the last axis
 *
 *   x  in   [..., C]
 *   y  out  [..., C]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops_util.h"

#include <math.h>
#include <string.h>

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    (void)e; // nothing can be wrong
    *out = *s->in[0];
    return VISE_OK;
}

static void forward(const vise_call *c)
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t count = vise_call_images(c) * vise_shape_count(c->in[0].shape);
    memcpy(c->out[0].data, c->in[0].data, count * sizeof(float));
    for (size_t i = 0; i < count; i += C)
        vise_softmax_row(c->out[0].data + i, C);
}

/* dx = y (dy - sum y dy), y made again: e / sum of e. */
vise_backward_fn vise_softmax_backward;
void vise_softmax_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t C = vise_shape_last(c->in[0].shape);
    const size_t count = vise_call_images(c) * vise_shape_count(c->in[0].shape);
    for (size_t r = 0; din[0] && r < count; r += C) {
        const float *x = c->in[0].data + r, *dy = dout + r;
        float max = -INFINITY;
        double sum = 0, dot = 0;
        for (size_t i = 0; i < C; i++)
            max = x[i] > max ? x[i] : max; // NaN comes back through expf
        for (size_t i = 0; i < C; i++) {
            const double e = (double)expf(x[i] - max);
            sum += e;
            dot += e * (double)dy[i];
        }
        for (size_t i = 0; i < C; i++) {
            const double y = (double)expf(x[i] - max) / sum;
            din[0][r + i] += (float)(y * ((double)dy[i] - dot / sum));
        }
    }
}

const vise_op vise_op_softmax = {
    .name = "softmax", .min_in = 1, .max_in = 1, .shape = shape, .forward = forward};
