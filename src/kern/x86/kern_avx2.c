/* kern_avx2.c - kernels for AVX2 with FMA
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <immintrin.h>

enum { NR = 16, MR = 6 };

/* R rows of one panel of two vectors: 2 R accumulators stay in registers. The last panel is stored
 * through a buffer, for AVX2 has no masks worth their price. */
static inline __attribute__((always_inline)) void tile(size_t R, float *c, size_t ldc,
                                                       const float *a, size_t lda, const float *w,
                                                       const float *bias, size_t cols, size_t k)
{
    __m256 acc[MR][2];
    for (size_t i = 0; i < R; i++) {
        acc[i][0] = _mm256_loadu_ps(bias);
        acc[i][1] = _mm256_loadu_ps(bias + 8);
    }
    for (size_t p = 0; p < k; p++, w += NR) {
        const __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8);
        for (size_t i = 0; i < R; i++) {
            const __m256 x = _mm256_broadcast_ss(a + i * lda + p);
            acc[i][0] = _mm256_fmadd_ps(x, w0, acc[i][0]);
            acc[i][1] = _mm256_fmadd_ps(x, w1, acc[i][1]);
        }
    }
    for (size_t i = 0; i < R; i++) {
        float row[NR];
        float *to = cols == NR ? c + i * ldc : row;
        _mm256_storeu_ps(to, acc[i][0]);
        _mm256_storeu_ps(to + 8, acc[i][1]);
        for (size_t j = 0; cols < NR && j < cols; j++)
            c[i * ldc + j] = row[j];
    }
}

static void gemm_f32(float *c, size_t ldc, const float *a, size_t lda, const float *w,
                     const float *bias, size_t m, size_t n, size_t k)
{
    assert(m && n && k && lda >= k && ldc >= n);
    for (size_t j = 0; j < n; j += NR, w += NR * k) {
        const size_t cols = n - j < NR ? n - j : NR;
        float b[NR] = {0};
        for (size_t i = 0; bias && i < cols; i++)
            b[i] = bias[j + i];
        size_t i = 0;
        for (; i + MR <= m; i += MR)
            tile(MR, c + i * ldc + j, ldc, a + i * lda, lda, w, b, cols, k);
        for (; i < m; i++)
            tile(1, c + i * ldc + j, ldc, a + i * lda, lda, w, b, cols, k);
    }
}

void vise_kern_avx2(vise_kern *k)
{
    k->gemm_f32 = (vise_gemm_f32){.nr = NR, .run = gemm_f32};
}
