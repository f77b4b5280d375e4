/* add.c - y = a + b, elementwise with numpy broadcasting
 *
 *   a, b  in   [...]
 *   y     out  their broadcast
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops_util.h"

static void row(float *y, const float *a, size_t da, const float *b, size_t db, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i * da] + b[i * db];
}

static void forward(const vise_call *c)
{
    vise_call_rows(c, row);
}

/* Each operand receives dy, summed over what it was repeated along. */
vise_backward_fn vise_add_backward;
void vise_add_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t images = vise_call_images(c), count = vise_shape_count(c->out[0].shape);
    for (size_t j = 0; j < 2 * images; j++) {
        const size_t operand = j % 2, im = j / 2;
        const vise_arg *x = &c->in[operand];
        if (!din[operand]) continue;
        float *dx = din[operand] + (x->batched ? im * vise_shape_count(x->shape) : 0);
        vise_walk w;
        vise_walk_start(&w, c->out[0].shape);
        vise_walk_broadcast(&w, 1, x->shape);
        const size_t step = w.step[1];
        do
            if (step == 1)
                vise_axpy(dx + w.at[1], 1, dout + im * count + w.at[0], w.n);
            else
                for (size_t i = 0; i < w.n; i++)
                    dx[w.at[1] + i * step] += dout[im * count + w.at[0] + i];
        while (vise_walk_next(&w));
    }
}

const vise_op vise_op_add = {
    .name = "add", .min_in = 2, .max_in = 2, .shape = vise_shape_elementwise, .forward = forward};
