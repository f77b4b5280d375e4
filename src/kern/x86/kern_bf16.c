/* kern_bf16.c - kernels for AVX-512 with dot products of bf16
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx512.h"

enum { NR = X512_NR, MR = X512_MR };

/* As for f32: rows addressed from every third, the next panel fetched ahead. */
X512_INLINE void rows_bf16(size_t R, const vise_gemm_args *g, const x512_job *job)
{
    const size_t lda = g->lda, units = (g->k + 1) / 2;
    const char *a = (const char *)g->a + job->i * lda, *ahead = job->ahead;
    const char *row[5] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda, a + 12 * lda};
    const char *w = (const char *)g->w + job->j * units * 4;
    __m512 sum[MR][2];
    x512_start(R, sum, g, job->j);
    for (size_t u = 0; u < units; u++, w += 4 * NR, ahead += job->hop) {
        _mm_prefetch(ahead, _MM_HINT_T1);
        const __m512bh w0 = (__m512bh)_mm512_load_si512(w);
        const __m512bh w1 = (__m512bh)_mm512_load_si512(w + 64);
        X512_UNROLL
        for (size_t r = 0; r < R; r++) {
            int32_t pair;
            memcpy(&pair, row[r / 3] + r % 3 * lda, sizeof pair);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, w0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, w1);
            X512_PACE(row[(r + 1) / 3], sum[r][0], sum[r][1]);
        }
        X512_UNROLL
        for (size_t b = 0; b < 5; b++)
            row[b] += 4;
    }
    x512_end(R, sum, g, job->i, job->j);
}

static void tile(const vise_gemm_args *g, const x512_job *job)
{
    X512_BY_ROWS(job->rows, rows_bf16, g, job)
}

static void run(const vise_gemm_args *g)
{
    x512_gemm(g, (g->k + 1) / 2 * 4 * NR, tile);
}

static const vise_gemm bundle;

static void pack(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                 size_t k, uint8_t flipped)
{
    x512_pack(&bundle, 2, panels, sum, w, ldn, ldk, n, k, flipped);
}

static const vise_gemm bundle = {
    .nr = NR, .kr = 2, .unit = 2, .esize = 2, .mr = 1, .run = run, .pack = pack};

void vise_kern_bf16(vise_kern *k)
{
    k->gemm_bf16 = bundle;
}
