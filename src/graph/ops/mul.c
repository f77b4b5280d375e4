/* mul.c - y = a b, elementwise with numpy broadcasting
 *
 *   a, b  in   [...]
 *   y     out  their broadcast
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops_util.h"

static void row(float *y, const float *a, size_t da, const float *b, size_t db, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i * da] * b[i * db];
}

static void forward(const vise_call *c)
{
    vise_call_rows(c, row);
}

/* Each operand receives dy times the other, summed over what it was repeated along. */
vise_backward_fn vise_mul_backward;
void vise_mul_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t images = vise_call_images(c), count = vise_shape_count(c->out[0].shape);
    for (size_t j = 0; j < 2 * images; j++) {
        const uint32_t own = (uint32_t)(j % 2);
        const size_t b = j / 2;
        const vise_arg *other = &c->in[1 - own];
        const float *dy = dout + b * count, *by = vise_arg_at(other, b);
        float *dx = vise_call_gradient(c, din, own, b);
        if (!dx) continue;
        vise_walk w;
        vise_walk_start(&w, c->out[0].shape);
        vise_walk_broadcast(&w, 1, c->in[own].shape);
        vise_walk_broadcast(&w, 2, other->shape);
        do
            for (size_t i = 0; i < w.n; i++)
                dx[w.at[1] + i * w.step[1]] += dy[w.at[0] + i] * by[w.at[2] + i * w.step[2]];
        while (vise_walk_next(&w));
    }
}

const vise_op vise_op_mul = {
    .name = "mul", .min_in = 2, .max_in = 2, .shape = vise_shape_elementwise, .forward = forward};
