/* steps.c - how nodes of an operator become steps: one row per fast way to run one
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"

#include <string.h>

#define VISE_STEPS(X)                                                                              \
    X(act)                                                                                         \
    X(add)                                                                                         \
    X(attention)                                                                                   \
    X(conv2d)                                                                                      \
    X(int_add)                                                                                     \
    X(int_attention)                                                                               \
    X(int_layernorm)                                                                               \
    X(int_linear)                                                                                  \
    X(layernorm)                                                                                   \
    X(linear)                                                                                      \
    X(mul)                                                                                         \
    X(slice)

#define DECLARE(op) extern vise_lower_fn vise_lower_##op;
VISE_STEPS(DECLARE)

#define ROW(op) {#op, vise_lower_##op},
static const struct row {
    const char *op;
    vise_lower_fn *lower;
} rows[] = {VISE_STEPS(ROW)};

vise_lower_fn *vise_lower_for(const vise_op *op)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].op, op->name)) return rows[i].lower;
    return NULL;
}
