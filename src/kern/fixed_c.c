/* fixed_c.c - the integer kernels in plain C: when this file and an instruction-set file disagree,
 * this one is right
 * SPDX-License-Identifier: MIT */
#include "kern/fixed.h"

#include <assert.h>
#include <string.h>

int32_t vise_int_mean(int64_t sum, size_t n)
{
    assert(n);
    const int64_t twice = 2 * sum + (int64_t)n, count = 2 * (int64_t)n, rest = twice % count;
    return (int32_t)((twice - rest) / count - (rest < 0));
}

/* floor(sqrt(x)), x < 2^62: Newton's steps from above, rounded down, fall until they are there. */
static uint64_t root_of(uint64_t x)
{
    uint64_t root = (uint64_t)1 << 31, next;
    while ((next = (root + x / root) / 2) < root)
        root = next;
    return root;
}

vise_int_recip vise_int_rsqrt(int64_t v)
{
    uint64_t x = v > 0 ? (uint64_t)v : 1;
    int t = 0;
    for (; x < (uint64_t)1 << 60; x <<= 2)
        t++;
    return (vise_int_recip){(int32_t)((((uint64_t)1 << 61) - 1) / root_of(x)),
                            61 - VISE_INT_UNIT_BITS - t};
}

int32_t vise_int_ratio(int32_t sum)
{
    const int64_t most = 1 << 30;
    if (sum < 1) return (int32_t)most;
    const int64_t r = (((int64_t)1 << 36) + sum / 2) / sum;
    return (int32_t)(r < most ? r : most);
}

static void requant(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                    const vise_requant *q)
{
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j++)
            y[j] = (float)vise_requant_one(vise_int_of(x[j], VISE_INT_SUM), q, j);
}

static void add(float *y, size_t ldy, const float *a, size_t lda, const float *b, size_t ldb,
                size_t rows, size_t n, int32_t lo, int32_t hi)
{
    for (size_t r = 0; r < rows; r++, y += ldy, a += lda, b += ldb)
        for (size_t j = 0; j < n; j++)
            y[j] = (float)vise_int_clamp((int64_t)vise_int_of(a[j], VISE_INT_MOST) +
                                             vise_int_of(b[j], VISE_INT_MOST),
                                         lo, hi);
}

static void ratio(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const int32_t *add, const int32_t *by)
{
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j++) {
            const int64_t sum = (int64_t)vise_int_of(x[j], VISE_INT_SUM) + add[j];
            y[j] = (float)vise_int_clamp(vise_int_shift(sum * by[r], 36 - VISE_INT_RATIO_BITS),
                                         -VISE_INT_MOST, VISE_INT_MOST);
        }
}

static void lut(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                const vise_int_table *t)
{
    const int64_t last = (int64_t)t->count - 1;
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j++) {
            const int64_t v = vise_int_of(x[j], VISE_INT_SUM), i = v - t->first;
            const int64_t more = vise_int_clamp(v * t->gain, -VISE_INT_MOST, VISE_INT_MOST);
            y[j] = i > last && t->gain ? (float)more : t->value[vise_int_clamp(i, 0, last)];
        }
}

static void softmax(uint8_t *q, size_t ldq, size_t npad, int32_t *sum, const float *x, size_t ldx,
                    size_t rows, size_t n, const vise_int_softmax *t, uint8_t flip)
{
    const int64_t last = (int64_t)t->n - 1;
    for (size_t r = 0; r < rows; r++, q += ldq, x += ldx) {
        int32_t max = -VISE_INT_SUM;
        for (size_t j = 0; j < n; j++) {
            const int32_t s = vise_int_of(x[j], VISE_INT_SUM);
            max = s > max ? s : max;
        }
        sum[r] = 0;
        for (size_t j = 0; j < n; j++) {
            const int64_t d = (int64_t)max - vise_int_of(x[j], VISE_INT_SUM);
            const int64_t i = vise_int_shift(d * t->step, VISE_INT_STEP_BITS);
            const int32_t e = t->table[i < last ? i : last];
            q[j] = (uint8_t)((uint8_t)(e - 127) ^ flip);
            sum[r] += e;
        }
        memset(q + n, flip, npad - n);
    }
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                      const vise_int_layernorm *p)
{
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        int64_t sum = 0, v = p->eps;
        for (size_t j = 0; j < n; j++)
            sum += vise_int_of(x[j], VISE_INT_MOST);
        const int32_t mean = vise_int_mean(sum, n);
        for (size_t j = 0; j < n; j++) {
            const int64_t d = (int64_t)vise_int_of(x[j], VISE_INT_MOST) - mean;
            v += d * d;
        }
        const vise_int_recip root = vise_int_rsqrt(v);
        for (size_t j = 0; j < n; j++) {
            const int64_t d = (int64_t)vise_int_of(x[j], VISE_INT_MOST) - mean;
            const int64_t u = vise_int_shift(d * root.r, root.bits);
            const int64_t b = (int64_t)p->b[j] * ((int64_t)1 << (p->shift - VISE_INT_BIAS_BITS));
            y[j] = (float)vise_int_clamp(vise_int_shift(u * p->w[j] + b, p->shift), p->lo, p->hi);
        }
    }
}

void vise_fixed_c(vise_fixed_kern *k)
{
    *k = (vise_fixed_kern){requant, add, ratio, lut, softmax, layernorm};
}
