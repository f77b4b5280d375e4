/* ops_backward.c - the second table of operators: gradients. Only training links it.
 * SPDX-License-Identifier: MIT */
#include "graph/op.h"

/* One row per operator of real numbers; those of integers have no gradient. */
#define VISE_BACKWARDS(X)                                                                          \
    X(act)                                                                                         \
    X(add)                                                                                         \
    X(attention)                                                                                   \
    X(concat)                                                                                      \
    X(conv2d)                                                                                      \
    X(embed_add)                                                                                   \
    X(groupnorm)                                                                                   \
    X(l2norm)                                                                                      \
    X(layernorm)                                                                                   \
    X(linear)                                                                                      \
    X(matmul)                                                                                      \
    X(mean)                                                                                        \
    X(mul)                                                                                         \
    X(pad)                                                                                         \
    X(permute)                                                                                     \
    X(pool)                                                                                        \
    X(reshape)                                                                                     \
    X(resize)                                                                                      \
    X(rmsnorm)                                                                                     \
    X(roll)                                                                                        \
    X(slice)                                                                                       \
    X(softmax)

#define DECLARE(op)                                                                                \
    extern const vise_op vise_op_##op;                                                             \
    vise_backward_fn vise_##op##_backward;
VISE_BACKWARDS(DECLARE)

#define ROW(op) {&vise_op_##op, vise_##op##_backward},
static const struct row {
    const vise_op *op;
    vise_backward_fn *fn;
} rows[] = {VISE_BACKWARDS(ROW)};

vise_backward_fn *vise_op_backward(const vise_op *op)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == op) return rows[i].fn;
    return NULL;
}
