/* kern_dotprod.c - the s8 product with sdot: four products per 32-bit lane
 * SPDX-License-Identifier: MIT */
#include "kern/arm/neon.h"

enum { MR = 8, NR = 8, UNIT = 4, KR = 8 };

#define START(r, zero)                                                                             \
    row[r] = (const int8_t *)t->a + (r)*t->lda;                                                    \
    acc[r][0] = acc[r][1] = zero
#define LOAD(r, p) a[r] = vld1_s8(row[r] + (p))
#define PRODUCTS(r, lane)                                                                          \
    acc[r][0] = vdotq_lane_s32(acc[r][0], w0, a[r], lane);                                         \
    acc[r][1] = vdotq_lane_s32(acc[r][1], w1, a[r], lane)
#define PUT(r, t)                                                                                  \
    put_sums(t, r, 0, acc[r][0]);                                                                  \
    put_sums(t, r, 4, acc[r][1])

/* One unit of k: codes of a in one lane per row, eight columns of w. */
#define STEP(lane)                                                                                 \
    do {                                                                                           \
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);                                   \
        w += NR * UNIT;                                                                            \
        EACH_ROW(rows, PRODUCTS, lane);                                                            \
    } while (0)

INLINE void tile_rows(const tile *t, size_t rows)
{
    const int8_t *w = t->w, *row[MR];
    int32x4_t acc[MR][2];
    int8x8_t a[MR]; // 64 bits: a Cortex-A55 loads them beside a product, 128 bits take two cycles
    EACH_ROW(rows, START, vdupq_n_s32(0));
    for (size_t p = 0; p < t->k; p += KR) {
        EACH_ROW(rows, LOAD, p);
        STEP(0);
        STEP(1);
    }
    EACH_ROW(rows, PUT, t);
}

static void tile_s8(const tile *t)
{
    if (t->rows > 4)
        tile_rows(t, 8);
    else if (t->rows > 2)
        tile_rows(t, 4);
    else if (t->rows > 1)
        tile_rows(t, 2);
    else
        tile_rows(t, 1);
}

static const vise_gemm bundle;

static void gemm_s8(const vise_gemm_args *g)
{
    assert(g->rowq && g->wscale);
    walk(g, &bundle, MR, tile_s8);
}

static void pack_s8(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                    size_t k, uint8_t flipped)
{
    pack_codes(&bundle, NR, UNIT, panels, sum, w, ldn, ldk, n, k, flipped);
}

static const vise_gemm bundle = {
    .nr = NR, .kr = KR, .unit = UNIT, .esize = 1, .mr = MR, .run = gemm_s8, .pack = pack_s8};

void vise_kern_dotprod(vise_kern *k)
{
    k->gemm_s8 = bundle;
}
