/* act_oracle.h - the activations in double, for the tests of forward and backward
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_ACT_ORACLE_H
#define TESTS_ACT_ORACLE_H

#include "graph/ops.h"

#include <math.h>

static inline double act_oracle(int kind, double x)
{
    switch (kind) {
    case VISE_ACT_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    case VISE_ACT_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case VISE_ACT_GELU_QUICK:
        return x / (1 + exp(-1.702 * x));
    case VISE_ACT_RELU:
        return fmax(x, 0);
    case VISE_ACT_RELU6:
        return fmin(fmax(x, 0), 6);
    case VISE_ACT_HARDSWISH:
        return x * fmin(fmax(x + 3, 0), 6) / 6;
    case VISE_ACT_SILU:
        return x / (1 + exp(-x));
    case VISE_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case VISE_ACT_SOFTPLUS:
        return log(1 + exp(x));
    default:
        return tanh(x);
    }
}

#endif
