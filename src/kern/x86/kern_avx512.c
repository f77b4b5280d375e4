/* kern_avx512.c - kernels for AVX-512 F, BW, DQ, VL
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>

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

/* exp(x) to 2 ulp for x <= 88, 0 below about -103; NaN stays. x = n ln 2 + r, |r| <= ln 2 / 2, and
 * a polynomial in r whose coefficients minimise the largest relative error (2e-9). */
static inline __m512 exp16(__m512 x)
{
    static const float c[] = {1.38367379e-3f,
                              8.37489834e-3f,
                              4.16682319e-2f,
                              1.66664192e-1f,
                              4.9999992e-1f,
                              1.00000004f,
                              1};
    x = _mm512_max_ps(_mm512_set1_ps(-104), x); // of a NaN and a number the second is taken
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x); // ln 2 in two parts
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(c[0]);
    for (size_t i = 1; i < sizeof c / sizeof *c; i++)
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c[i]));
    return _mm512_scalef_ps(p, n);
}

static inline __mmask16 lanes(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    const __m512 s = _mm512_set1_ps(scale), low = _mm512_set1_ps(-INFINITY);
    for (size_t r = 0; r < rows; r++, x += ld) {
        __m512 most = low, sum = _mm512_setzero_ps();
        for (size_t i = 0; i < n; i += 16)
            most = _mm512_max_ps(_mm512_mask_loadu_ps(low, lanes(n - i), x + i), most);
        const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(most));
        for (size_t i = 0; i < n; i += 16) {
            const __mmask16 k = lanes(n - i);
            const __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(k, x + i), top);
            const __m512 e = _mm512_maskz_mov_ps(k, exp16(_mm512_mul_ps(s, v)));
            sum = _mm512_add_ps(sum, e);
            _mm512_mask_storeu_ps(x + i, k, e);
        }
        const __m512 total = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
        for (size_t i = 0; i < n; i += 16) {
            const __mmask16 k = lanes(n - i);
            const __m512 e = _mm512_maskz_loadu_ps(k, x + i);
            _mm512_mask_storeu_ps(x + i, k, _mm512_div_ps(e, total));
        }
    }
}

/* erfc(z) for z >= 0 is exp(-z^2) g(t) with t = 1 / (1 + 0.3 z); g is fitted to relative 2e-8. Then
 * x Phi(x) = x/2 erfc(-x / sqrt 2), and erfc(-z) = 2 - erfc(z). */
static inline __m512 gelu16(__m512 x)
{
    static const float c[] = {-1.29523139e-1f, 4.85564416e-1f,  -5.12280741e-1f,
                              5.47723275e-1f,  -9.46531393e-2f, 2.14927172e-1f,
                              1.4833886e-1f,   1.70715275e-1f,  1.69188002e-1f};
    const __m512 one = _mm512_set1_ps(1);
    const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.707106781f));
    const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3f), one));
    __m512 g = _mm512_set1_ps(c[0]);
    for (size_t i = 1; i < sizeof c / sizeof *c; i++)
        g = _mm512_fmadd_ps(g, t, _mm512_set1_ps(c[i]));
    const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(z, z)));
    const __m512 erfc = _mm512_mul_ps(e, _mm512_mul_ps(g, t));
    const __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
    const __m512 two = _mm512_mask_sub_ps(erfc, positive, _mm512_set1_ps(2), erfc);
    return _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(0.5f)), two);
}

static void gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(n - i);
        _mm512_mask_storeu_ps(y + i, k, gelu16(_mm512_maskz_loadu_ps(k, x + i)));
    }
}

void vise_kern_avx512(vise_kern *k)
{
    k->gemm_f32 = (vise_gemm_f32){.nr = NR, .run = gemm_f32};
    k->softmax = softmax;
    k->gelu = gelu;
}
