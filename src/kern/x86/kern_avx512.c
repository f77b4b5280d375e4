/* kern_avx512.c - kernels for AVX-512 F, BW, DQ, VL
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx512.h"

#include <math.h>

enum { NR = X512_NR, MR = X512_MR };

/* ---- matrix products ---- */

X512_INLINE void start_sums(size_t R, __m512 sum[MR][2], const vise_gemm_args *g, size_t j)
{
    for (size_t h = 0; h < 2; h++) {
        const size_t at = j + 16 * h;
        __m512 b = _mm512_setzero_ps();
        if (g->bias && at < g->n) b = _mm512_maskz_loadu_ps(x512_lanes(g->n - at), g->bias + at);
        for (size_t r = 0; r < R; r++)
            sum[r][h] = b;
    }
}

X512_INLINE void end_sums(size_t R, __m512 sum[MR][2], const vise_gemm_args *g, size_t i, size_t j)
{
    float scratch[MR * NR];
    const x512_tile t = x512_open(g, i, j, scratch);
    X512_UNROLL
    for (size_t r = 0; r < R; r++) {
        x512_store(&t, r, 0, sum[r][0]);
        x512_store(&t, r, 1, sum[r][1]);
    }
    x512_close(g, &t, i, j, R);
}

/* sum[r] += a[r][0 .. k) w. Rows are addressed from every third, which the address modes reach, so
 * that the pointers fit in registers. */
X512_INLINE void add_f32(size_t R, __m512 sum[MR][2], const char *a, size_t lda, const float *w,
                         size_t k)
{
    const char *row[5] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda, a + 12 * lda};
    for (size_t p = 0; p < k; p++, w += NR) {
        const __m512 w0 = _mm512_load_ps(w), w1 = _mm512_load_ps(w + 16);
        X512_UNROLL
        for (size_t r = 0; r < R; r++) {
            const __m512 x =
                _mm512_set1_ps(*(const float *)(const void *)(row[r / 3] + r % 3 * lda));
            sum[r][0] = _mm512_fmadd_ps(x, w0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(x, w1, sum[r][1]);
        }
        for (size_t b = 0; b < 5; b++)
            row[b] += sizeof(float);
    }
}

X512_INLINE void rows_f32(size_t R, const vise_gemm_args *g, size_t i, size_t j)
{
    __m512 sum[MR][2];
    start_sums(R, sum, g, j);
    add_f32(R, sum, (const char *)g->a + i * g->lda, g->lda, (const float *)g->w + j * g->k, g->k);
    end_sums(R, sum, g, i, j);
}

static void tile_f32(const vise_gemm_args *g, size_t i, size_t j, size_t rows)
{
    X512_BY_ROWS(rows, rows_f32, g, i, j)
}

static void gemm_f32(const vise_gemm_args *g)
{
    x512_gemm(g, tile_f32);
}

#define PACK(type, size)                                                                           \
    static const vise_gemm bundle_##type;                                                          \
    static void pack_##type(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk,     \
                            size_t n, size_t k, uint8_t flipped)                                   \
    {                                                                                              \
        x512_pack(&bundle_##type, size, panels, sum, w, ldn, ldk, n, k, flipped);                  \
    }                                                                                              \
    static const vise_gemm bundle_##type

PACK(f32,
     4) = {.nr = NR, .kr = 1, .unit = 1, .esize = 4, .mr = 1, .run = gemm_f32, .pack = pack_f32};

void vise_kern_avx512(vise_kern *k)
{
    k->gemm_f32 = bundle_f32;
}
