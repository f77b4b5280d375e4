/* kl.c - how far apart two rows of logits are
 * SPDX-License-Identifier: MIT */
#include "data/kl.h"

#include <math.h>

static double log_sum_exp(const float *x, size_t n)
{
    double max = (double)x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        if ((double)x[i] > max) max = (double)x[i];
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

double vise_kl(const float *p, const float *q, size_t n)
{
    const double zp = log_sum_exp(p, n), zq = log_sum_exp(q, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double lp = (double)p[i] - zp, lq = (double)q[i] - zq;
        sum += exp(lp) * (lp - lq);
    }
    return sum;
}
