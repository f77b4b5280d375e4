/* kern_vnni.c - kernels for AVX-512 with dot products of bytes
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"
#include "kern/x86/avx512.h"

enum { NR = X512_NR, MR = X512_MR };

/* 16 sums. As __m512i, whose elements are 64 bits wide, GCC spills them in every step. */
typedef int32_t sums16 __attribute__((vector_size(64)));

/* Codes of rows are stored + 128, because vpdpbusd multiplies unsigned by signed bytes: so a sum
 * starts at -128 times the sum of its column. */
X512_INLINE sums16 start(const vise_gemm_args *g, size_t j)
{
    const __mmask16 keep = x512_lanes(j < g->n ? g->n - j : 0);
    return (sums16)_mm512_maskz_loadu_epi32(keep, g->wsum + j) * -128;
}

X512_INLINE void step(sums16 sum[2], const char *a, __m512i w0, __m512i w1)
{
    int32_t codes;
    memcpy(&codes, a, sizeof codes);
    const __m512i x = _mm512_set1_epi32(codes);
    sum[0] = (sums16)_mm512_dpbusd_epi32((__m512i)sum[0], x, w0);
    sum[1] = (sums16)_mm512_dpbusd_epi32((__m512i)sum[1], x, w1);
}

// Not loops: where one stays rolled, the sums stay in memory.
#define EACH_ROW(do)                                                                               \
    do                                                                                             \
    (0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13)
#define START(r) sum[r][0] = s0, sum[r][1] = s1;
#define STEP(r)                                                                                    \
    if ((r) < R) step(sum[r], row[(r) / 3] + (r) % 3 * lda, w0, w1);
#define END(r)                                                                                     \
    if ((r) < R) {                                                                                 \
        __m512 v0 = x512_scaled((__m512i)sum[r][0], row[r], &c0);                                  \
        __m512 v1 = x512_scaled((__m512i)sum[r][1], row[r], &c1);                                  \
        if (add) {                                                                                 \
            v0 = _mm512_add_ps(v0, _mm512_maskz_loadu_ps(t->keep[0], plus));                       \
            v1 = _mm512_add_ps(v1, _mm512_maskz_loadu_ps(t->keep[1], plus + 16));                  \
            plus += t->ldadd;                                                                      \
        }                                                                                          \
        _mm512_mask_storeu_ps(to, t->keep[0], v0);                                                 \
        _mm512_mask_storeu_ps(to + 16, t->keep[1], v1);                                            \
        to += t->ld;                                                                               \
    }

/* zeros and add are constants: a branch per row costs more than the code of four epilogues. */
X512_INLINE void end_s8(size_t R, bool zeros, bool add, sums16 sum[MR][2], const x512_tile *t,
                        const vise_gemm_args *g, const x512_job *job)
{
    x512_scales c0 = x512_scales_at(g, job->j), c1 = x512_scales_at(g, job->j + 16);
    c0.zeros = c1.zeros = zeros;
    const vise_rowq *row = g->rowq + job->i;
    const float *plus = t->add;
    float *to = t->to;
    EACH_ROW(END)
}

/* A tile of R rows. Rows are addressed from every third, which the address modes reach. */
X512_INLINE void rows_s8(size_t R, const vise_gemm_args *g, const x512_job *job)
{
    const size_t units = (g->k + 3) / 4, lda = g->lda;
    const char *w = (const char *)g->w + job->j * units * 4, *end = w + units * 4 * NR;
    const char *a = (const char *)g->a + job->i * lda, *ahead = job->ahead;
    const char *row[5] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda, a + 12 * lda};
    const sums16 s0 = start(g, job->j), s1 = start(g, job->j + 16);
    sums16 sum[MR][2];
    EACH_ROW(START)
    do {
        const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64);
        _mm_prefetch(ahead, _MM_HINT_T1);
        EACH_ROW(STEP)
        for (size_t b = 0; b < 5; b++)
            row[b] += 4;
        w += 4 * NR;
        ahead += job->hop;
    } while (w != end);
    float scratch[MR * NR];
    const x512_tile t = x512_open(g, job->i, job->j, scratch);
    if (g->zeros && t.add)
        end_s8(R, true, true, sum, &t, g, job);
    else if (g->zeros)
        end_s8(R, true, false, sum, &t, g, job);
    else if (t.add)
        end_s8(R, false, true, sum, &t, g, job);
    else
        end_s8(R, false, false, sum, &t, g, job);
    x512_close(g, &t, job->i, job->j, R);
}

static void tile(const vise_gemm_args *g, const x512_job *job)
{
    X512_BY_ROWS(job->rows, rows_s8, g, job)
}

static void run(const vise_gemm_args *g)
{
    x512_gemm(g, (g->k + 3) / 4 * 4 * NR, tile);
}

static const vise_gemm bundle;

static void pack(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                 size_t k, uint8_t flipped)
{
    x512_pack(&bundle, 1, panels, sum, w, ldn, ldk, n, k, flipped);
}

static const vise_gemm bundle = {
    .nr = NR, .kr = 4, .unit = 4, .esize = 1, .mr = 1, .flip = 0x80, .run = run, .pack = pack};

void vise_kern_vnni(vise_kern *k)
{
    k->gemm_s8 = bundle;
}
