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

const vise_op vise_op_mul = {
    .name = "mul", .min_in = 2, .max_in = 2, .shape = vise_shape_elementwise, .forward = forward};
