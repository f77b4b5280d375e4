/* kern_vnni.c - kernels for AVX-512 with dot products of bytes
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"
#include "kern/x86/s8_512.h"

#include <assert.h>

#ifndef ROWSX
#define ROWSX 12
#endif
enum { ROWS = ROWSX }; // of a tile: with 2 vectors of sums each they fill the registers

/* Codes of rows are stored + 128, because vpdpbusd multiplies unsigned by signed bytes: so a sum
 * starts at -128 times the sum of its column. */
X512_INLINE __m512i start(const vise_gemm_args *g, size_t j)
{
    const __mmask16 keep = x512_lanes(j < g->n ? g->n - j : 0);
    const __m512i sum = _mm512_maskz_loadu_epi32(keep, g->wsum + j);
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
}

/* 16 sums. GCC keeps __m512i, whose elements are 64-bit, apart from what it is converted to. */
typedef int32_t sums16 __attribute__((vector_size(64)));

X512_INLINE void step(sums16 acc[2], const char *a, __m512i w0, __m512i w1)
{
    int32_t codes;
    memcpy(&codes, a, sizeof codes);
    const __m512i x = _mm512_set1_epi32(codes);
    acc[0] = (sums16)_mm512_dpbusd_epi32((__m512i)acc[0], x, w0);
    acc[1] = (sums16)_mm512_dpbusd_epi32((__m512i)acc[1], x, w1);
}

// Not loops: compilers that leave one rolled keep the sums in memory.
#define EACH_ROW(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)
#define START(r) acc[r][0] = (sums16)s0, acc[r][1] = (sums16)s1;
#define STEP(r)                                                                                    \
    if (r < rows) step(acc[r], a + r * lda, w0, w1);
#define KEEP(r)                                                                                    \
    if (r < rows) {                                                                                \
        _mm512_store_si512(sums[r], (__m512i)acc[r][0]);                                                    \
        _mm512_store_si512(sums[r] + 16, (__m512i)acc[r][1]);                                               \
    }

/* `count` tiles of [rows, 32] of c from row i, at column j. */
X512_INLINE void tiles(const vise_gemm_args *g, size_t i, size_t j, size_t count, size_t rows)
{
    const size_t units = (g->k + 3) / 4, lda = g->lda;
    _Alignas(64) int32_t sums[ROWS][X512_NR];
    for (; count; count--, i += rows) {
        const char *w = (const char *)g->w + j * units * 4;
        const char *a = (const char *)g->a + i * lda;
        const __m512i s0 = start(g, j), s1 = start(g, j + 16);
        sums16 acc[ROWS][2];
        EACH_ROW(START)
        const char *end = a + units * 4;
        do {
            const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64);
            EACH_ROW(STEP)
            a += 4;
            w += 4 * X512_NR;
        } while (a != end);
        EACH_ROW(KEEP)
        x512_finish_s8(g, i, j, rows, sums[0]);
    }
}

typedef void tiles_fn(const vise_gemm_args *g, size_t i, size_t j, size_t count);

#define TILES(rows)                                                                                \
    static void tiles_##rows(const vise_gemm_args *g, size_t i, size_t j, size_t count)            \
    {                                                                                              \
        tiles(g, i, j, count, rows);                                                               \
    }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#if ROWSX>12
TILES(13)
TILES(14)
#endif

/* Panels outside: a panel stays near while the rows pass by. Rows are split evenly, so that no tile
 * is much smaller than the others. */
static void run(const vise_gemm_args *g)
{
    static tiles_fn *const of[ROWS + 2] = {NULL,    tiles_1, tiles_2, tiles_3, tiles_4,  tiles_5,
                                           tiles_6, tiles_7, tiles_8, tiles_9, tiles_10, tiles_11,
                                           tiles_12
#if ROWSX>12
    ,tiles_13,tiles_14
#endif
    };
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const size_t count = (g->m + ROWS - 1) / ROWS, rows = g->m / count, more = g->m % count;
    for (size_t j = 0; j < g->n; j += X512_NR) {
        if (more) of[rows + 1](g, 0, j, more);
        of[rows](g, more * (rows + 1), j, count - more);
    }
}

static const vise_gemm bundle;

static void pack(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                 size_t k, uint8_t flipped)
{
    x512_pack(&bundle, 1, panels, sum, w, ldn, ldk, n, k, flipped);
}

static const vise_gemm bundle = {.nr = X512_NR,
                                 .kr = 4,
                                 .unit = 4,
                                 .esize = 1,
                                 .mr = 1,
                                 .flip = 0x80,
                                 .run = run,
                                 .pack = pack};

void vise_kern_vnni(vise_kern *k)
{
    k->gemm_s8 = bundle;
}
