/* kern_c.c - the plain C kernels: when this file and an instruction-set file disagree, this one is
 * right
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <math.h>
#include <string.h>

size_t vise_pack_f32_size(size_t nr, size_t n, size_t k)
{
    return (n + nr - 1) / nr * nr * k;
}

void vise_pack_f32(float *panels, size_t nr, const float *w, size_t ldn, size_t ldk, size_t n,
                   size_t k)
{
    for (size_t j = 0; j < n; j += nr, panels += nr * k) {
        const size_t cols = n - j < nr ? n - j : nr;
        for (size_t p = 0; p < k; p++) {
            for (size_t i = 0; i < cols; i++)
                panels[p * nr + i] = w[(j + i) * ldn + p * ldk];
            for (size_t i = cols; i < nr; i++)
                panels[p * nr + i] = 0;
        }
    }
}

enum { NR = 8, MR = 4 };

/* rows <= MR rows of one panel; the accumulators stay in registers and the compiler vectorises over
 * the panel's columns. */
static void tile(float *c, size_t ldc, const float *a, size_t lda, const float *w,
                 const float *bias, size_t rows, size_t cols, size_t k)
{
    float acc[MR][NR] = {{0}};
    const float *ar[MR];
    for (size_t i = 0; i < MR; i++) // rows that are not there repeat the last
        ar[i] = a + (i < rows ? i : rows - 1) * lda;
    for (size_t i = 0; bias && i < MR; i++)
        memcpy(acc[i], bias, cols * sizeof *bias);
    for (size_t p = 0; p < k; p++, w += NR)
        for (size_t i = 0; i < MR; i++)
            for (size_t j = 0; j < NR; j++)
                acc[i][j] += ar[i][p] * w[j];
    for (size_t i = 0; i < rows; i++)
        memcpy(c + i * ldc, acc[i], cols * sizeof *c);
}

static void gemm_f32(float *c, size_t ldc, const float *a, size_t lda, const float *w,
                     const float *bias, size_t m, size_t n, size_t k)
{
    assert(m && n && k && lda >= k && ldc >= n);
    for (size_t j = 0; j < n; j += NR)
        for (size_t i = 0; i < m; i += MR)
            tile(c + i * ldc + j, ldc, a + i * lda, lda, w + j * k, bias ? bias + j : NULL,
                 m - i < MR ? m - i : MR, n - j < NR ? n - j : NR, k);
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows,
                      size_t n, float eps)
{
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        // eight partial sums, so that the compiler may use vectors in an order fixed here
        float part[8] = {0};
        for (size_t i = 0; i < n; i++)
            part[i % 8] += x[i];
        float mean = 0, var = 0;
        for (size_t i = 0; i < 8; i++)
            mean += part[i];
        mean /= (float)n;
        memset(part, 0, sizeof part);
        for (size_t i = 0; i < n; i++)
            part[i % 8] += (x[i] - mean) * (x[i] - mean);
        for (size_t i = 0; i < 8; i++)
            var += part[i];
        const float rstd = 1 / sqrtf(var / (float)n + eps);
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * rstd * (w ? w[i] : 1) + (b ? b[i] : 0);
    }
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    for (size_t r = 0; r < rows; r++, x += ld) {
        float max = x[0], sum = 0;
        for (size_t i = 1; i < n; i++)
            max = x[i] > max || isnan(x[i]) ? x[i] : max;
        for (size_t i = 0; i < n; i++) {
            x[i] = expf(scale * (x[i] - max));
            sum += x[i];
        }
        for (size_t i = 0; i < n; i++)
            x[i] /= sum;
    }
}

static void gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678118654752f));
}

void vise_kern_c(vise_kern *k)
{
    *k = (vise_kern){
        .gemm_f32 = {.nr = NR, .run = gemm_f32},
        .layernorm = layernorm,
        .softmax = softmax,
        .gelu = gelu,
    };
}
