/* kern_i8mm.c - the s8 product with smmla: two rows by two columns, eight products each
 * SPDX-License-Identifier: MIT */
#include "kern/arm/neon.h"

enum { MR = 4, NR = 16, UNIT = 8, ROW_PAIRS = MR / 2, COLUMN_PAIRS = NR / 2 };

/* For the pairs of rows of a tile and of columns; `pairs` is the constant 2 or 1. No loops, see
 * EACH_ROW. */
#define EACH_PAIR(DO, ...)                                                                         \
    do {                                                                                           \
        DO(0, __VA_ARGS__);                                                                        \
        if (pairs > 1) {                                                                           \
            DO(1, __VA_ARGS__);                                                                    \
        }                                                                                          \
    } while (0)
#define EACH_COLUMN(DO, ...)                                                                       \
    DO(0, __VA_ARGS__);                                                                            \
    DO(1, __VA_ARGS__);                                                                            \
    DO(2, __VA_ARGS__);                                                                            \
    DO(3, __VA_ARGS__);                                                                            \
    DO(4, __VA_ARGS__);                                                                            \
    DO(5, __VA_ARGS__);                                                                            \
    DO(6, __VA_ARGS__);                                                                            \
    DO(7, __VA_ARGS__)

#define CLEAR(q, r) acc[r][q] = vdupq_n_s32(0)
#define CLEAR_PAIR(r, zero) EACH_COLUMN(CLEAR, r)
#define LOAD(r, p)                                                                                 \
    a[r] = vcombine_s8(vld1_s8(row + 2 * (r)*t->lda + (p)),                                        \
                       vld1_s8(row + (2 * (r) + 1) * t->lda + (p)))
#define PRODUCTS(r, q) acc[r][q] = vmmlaq_s32(acc[r][q], a[r], columns)
#define COLUMNS(q, w)                                                                              \
    do {                                                                                           \
        const int8x16_t columns = vld1q_s8((w) + 2 * UNIT * (q));                                  \
        EACH_PAIR(PRODUCTS, q);                                                                    \
    } while (0)
#define PUT(r, t)                                                                                  \
    put_four(t, r, 0, acc[r][0], acc[r][1]);                                                       \
    put_four(t, r, 4, acc[r][2], acc[r][3]);                                                       \
    put_four(t, r, 8, acc[r][4], acc[r][5]);                                                       \
    put_four(t, r, 12, acc[r][6], acc[r][7])

/* Four columns of two rows, from what smmla left: two columns of a row, two of the next. */
INLINE void put_four(const tile *t, size_t r, size_t q, int32x4_t left, int32x4_t right)
{
    const int64x2_t x = vreinterpretq_s64_s32(left), y = vreinterpretq_s64_s32(right);
    put_sums(t, 2 * r, q, vreinterpretq_s32_s64(vzip1q_s64(x, y)));
    put_sums(t, 2 * r + 1, q, vreinterpretq_s32_s64(vzip2q_s64(x, y)));
}

INLINE void tile_pairs(const tile *t, size_t pairs)
{
    const int8_t *w = t->w, *row = (const int8_t *)t->a;
    int32x4_t acc[ROW_PAIRS][COLUMN_PAIRS];
    int8x16_t a[ROW_PAIRS];
    EACH_PAIR(CLEAR_PAIR, 0);
    for (size_t p = 0; p < t->k; p += UNIT, w += NR * UNIT) {
        EACH_PAIR(LOAD, p);
        EACH_COLUMN(COLUMNS, w);
    }
    EACH_PAIR(PUT, t);
}

static void tile_s8(const tile *t)
{
    if (t->rows > 2)
        tile_pairs(t, 2);
    else
        tile_pairs(t, 1);
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
    .nr = NR, .kr = UNIT, .unit = UNIT, .esize = 1, .mr = MR, .run = gemm_s8, .pack = pack_s8};

void vise_kern_i8mm(vise_kern *k)
{
    k->gemm_s8 = bundle;
}
