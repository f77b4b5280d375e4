/* kern_avx512.c - kernels for AVX-512 F, BW, DQ, VL
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <immintrin.h>

enum { NR = 32, MR = 12 };

/* R rows of one panel of two vectors: 2 R accumulators stay in registers. */
static inline __attribute__((always_inline)) void tile(size_t R, float *c, size_t ldc,
                                                       const float *a, size_t lda, const float *w,
                                                       const __m512 *bias, const __mmask16 *keep,
                                                       size_t k)
{
    __m512 acc[MR][2];
    for (size_t i = 0; i < R; i++) {
        acc[i][0] = bias[0];
        acc[i][1] = bias[1];
    }
    for (size_t p = 0; p < k; p++, w += NR) {
        const __m512 w0 = _mm512_loadu_ps(w), w1 = _mm512_loadu_ps(w + 16);
        for (size_t i = 0; i < R; i++) {
            const __m512 x = _mm512_set1_ps(a[i * lda + p]);
            acc[i][0] = _mm512_fmadd_ps(x, w0, acc[i][0]);
            acc[i][1] = _mm512_fmadd_ps(x, w1, acc[i][1]);
        }
    }
    for (size_t i = 0; i < R; i++) {
        _mm512_mask_storeu_ps(c + i * ldc, keep[0], acc[i][0]);
        _mm512_mask_storeu_ps(c + i * ldc + 16, keep[1], acc[i][1]);
    }
}

static void gemm_f32(float *c, size_t ldc, const float *a, size_t lda, const float *w,
                     const float *bias, size_t m, size_t n, size_t k)
{
    assert(m && n && k && lda >= k && ldc >= n);
    for (size_t j = 0; j < n; j += NR, w += NR * k) {
        const unsigned cols = n - j < NR ? (unsigned)(n - j) : NR;
        const unsigned mask = cols == NR ? 0xffffffffu : (1u << cols) - 1;
        const __mmask16 keep[2] = {(__mmask16)(mask & 0xffff), (__mmask16)(mask >> 16)};
        __m512 b[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        if (bias) {
            b[0] = _mm512_maskz_loadu_ps(keep[0], bias + j);
            b[1] = _mm512_maskz_loadu_ps(keep[1], bias + j + 16);
        }
        size_t i = 0;
        for (; i + MR <= m; i += MR)
            tile(MR, c + i * ldc + j, ldc, a + i * lda, lda, w, b, keep, k);
        for (; i + 4 <= m; i += 4)
            tile(4, c + i * ldc + j, ldc, a + i * lda, lda, w, b, keep, k);
        for (; i < m; i++)
            tile(1, c + i * ldc + j, ldc, a + i * lda, lda, w, b, keep, k);
    }
}

void vise_kern_avx512(vise_kern *k)
{
    k->gemm_f32 = (vise_gemm_f32){.nr = NR, .run = gemm_f32};
}
