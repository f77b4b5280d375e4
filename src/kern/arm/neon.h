/* neon.h - what the ARM levels share: the walk over tiles, the end of s8 products, packing of codes
 *
 * A tile is up to mr rows by the nr columns of one panel, its sums in registers. The levels write
 * the tile; everything around it is here.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_ARM_NEON_H
#define VISE_KERN_ARM_NEON_H

#include "kern/kern.h"

#include <arm_neon.h>
#include <assert.h>
#include <string.h>

/* Sets what turns packed codes into bytes. */
void vise_kern_neon_codes(vise_kern *k);

/* For functions that are written once for several constant arguments. */
#define INLINE static inline __attribute__((always_inline))

/* DO(r, ...) for the rows of a tile; rows is the constant 8, 4, 2 or 1. Not a loop: an array that
 * only constants index lies in registers whatever the compiler thinks of unrolling. */
#define EACH_ROW(rows, DO, ...)                                                                    \
    do {                                                                                           \
        DO(0, __VA_ARGS__);                                                                        \
        if (rows > 1) {                                                                            \
            DO(1, __VA_ARGS__);                                                                    \
        }                                                                                          \
        if (rows > 2) {                                                                            \
            DO(2, __VA_ARGS__);                                                                    \
            DO(3, __VA_ARGS__);                                                                    \
        }                                                                                          \
        if (rows > 4) {                                                                            \
            DO(4, __VA_ARGS__);                                                                    \
            DO(5, __VA_ARGS__);                                                                    \
            DO(6, __VA_ARGS__);                                                                    \
            DO(7, __VA_ARGS__);                                                                    \
        }                                                                                          \
    } while (0)

/* What is loaded through p is loaded after x: further ahead there are no registers for it. */
#define PACE(p, x) __asm__("" : "+r"(p), "+w"(x))
/* x is loaded as a vector, not lane by lane. */
#define TOGETHER(x) __asm__("" : "+w"(x))

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- products ---- */

enum {
    MOST_MR = 8,
    MOST_NR = 16,
    MOST_TILE = 64,       // of mr nr
    A_BLOCK = 128 * 1024, // bytes of a that one pass over the panels reads: they stay in L2
};

typedef struct tile {
    float *out; // [mr, nr], row stride ldo
    size_t ldo;
    const char *a; // the first row
    size_t lda;    // in bytes
    const void *w; // the panel
    size_t k;
    size_t rows; // that count, <= mr; out may be used up to mr, a as far as the bundle says
    const vise_rowq *rowq; // s8: [rows]
    bool zeros;
    float bias[MOST_NR];                  // of the panel's columns; 0 where there are none
    float wscale[MOST_NR], wsum[MOST_NR]; // s8
} tile;

typedef void tile_fn(const tile *t);

static inline void tile_columns(tile *t, const vise_gemm_args *g, size_t j, size_t n)
{
    memset(t->bias, 0, sizeof t->bias);
    if (g->bias) memcpy(t->bias, g->bias + j, n * sizeof *t->bias);
    if (!g->wscale) return;
    memset(t->wscale, 0, sizeof t->wscale);
    memset(t->wsum, 0, sizeof t->wsum);
    memcpy(t->wscale, g->wscale + j, n * sizeof *t->wscale);
    for (size_t q = 0; g->zeros && q < n; q++)
        t->wsum[q] = (float)g->wsum[j + q];
}

/* c [rows, n] = f(x [rows, nr]) + add */
static inline void tile_end(const vise_gemm_args *g, float *x, size_t nr, size_t i, size_t j,
                            size_t rows, size_t n)
{
    if (g->act) g->act(x, rows * nr, x, rows * nr, 1, rows * nr, g->act_param);
    for (size_t r = 0; r < rows; r++, x += nr) {
        float *c = g->c + (i + r) * g->ldc + j;
        const float *add = g->add ? g->add + (i + r) * g->ldadd + j : NULL;
        size_t q = 0;
        for (; q + 4 <= n; q += 4) {
            const float32x4_t v = vld1q_f32(x + q);
            vst1q_f32(c + q, add ? vaddq_f32(v, vld1q_f32(add + q)) : v);
        }
        for (; q < n; q++)
            c[q] = add ? x[q] + add[q] : x[q];
    }
}

/* All tiles of a product: blocks of rows that stay in L2; in them panels, which stay in L1; in these
 * tiles. */
static inline void walk(const vise_gemm_args *g, const vise_gemm *how, size_t mr, tile_fn *run)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n && mr * how->nr <= MOST_TILE);
    const size_t nr = how->nr, row = vise_row_bytes(how, g->k);
    const size_t block = up(A_BLOCK / row + 1, mr);
    float buffer[MOST_TILE];
    for (size_t from = 0; from < g->m; from += block)
        for (size_t j = 0; j < g->n; j += nr) {
            const size_t to = least(from + block, g->m), n = least(nr, g->n - j);
            tile t = {.lda = g->lda, .k = g->k, .zeros = g->zeros};
            t.w = (const char *)g->w + j * row;
            tile_columns(&t, g, j, n);
            for (size_t i = from; i < to; i += mr) {
                t.a = (const char *)g->a + i * g->lda;
                t.rowq = g->rowq ? g->rowq + i : NULL;
                t.rows = least(mr, to - i);
                const bool direct = t.rows == mr && n == nr && !g->act && !g->add;
                t.out = direct ? g->c + i * g->ldc + j : buffer;
                t.ldo = direct ? g->ldc : nr;
                run(&t);
                if (!direct) tile_end(g, buffer, nr, i, j, t.rows, n);
            }
        }
}

/* Four columns of row r of an s8 tile, from column q on. */
INLINE void put_sums(const tile *t, size_t r, size_t q, int32x4_t sums)
{
    const vise_rowq row = t->rowq[least(r, t->rows - 1)];
    float32x4_t v = vcvtq_f32_s32(sums);
    if (t->zeros) v = vfmaq_n_f32(v, vld1q_f32(t->wsum + q), -(float)row.zero);
    const float32x4_t scale = vmulq_n_f32(vld1q_f32(t->wscale + q), row.scale);
    vst1q_f32(t->out + r * t->ldo + q, vfmaq_f32(vld1q_f32(t->bias + q), v, scale));
}

/* ---- packing of codes; nr divides 16, unit is a power of two up to 16 ---- */

/* n <= 16 codes without their flip, then zeros. */
static inline int8x16_t some_codes(const int8_t *w, size_t n, uint8_t flipped)
{
    int8_t part[16];
    memset(part, flipped, sizeof part);
    memcpy(part, w, n);
    return veorq_s8(vld1q_s8(part), vdupq_n_s8((int8_t)flipped));
}

static inline int8x16_t codes(const int8_t *w, size_t n, uint8_t flipped)
{
    if (n < 16) return some_codes(w, n, flipped);
    return veorq_s8(vld1q_s8(w), vdupq_n_s8((int8_t)flipped));
}

/* From w [n, k] with ldk = 1: units are copied. */
INLINE void pack_rows(size_t nr, size_t unit, int8_t *panels, int32_t *sum, const int8_t *w,
                      size_t ldn, size_t n, size_t k, size_t kpad, uint8_t flipped)
{
    for (size_t j = 0; j < up(n, nr); j++) {
        int8_t *to = panels + j / nr * nr * kpad + j % nr * unit, part[16];
        int32x4_t total = vdupq_n_s32(0);
        for (size_t p = 0; p < kpad; p += 16) {
            const size_t have = j < n && p < k ? least(k - p, 16) : 0;
            const int8x16_t v = have ? codes(w + j * ldn + p, have, flipped) : vdupq_n_s8(0);
            total = vpadalq_s16(total, vpaddlq_s8(v));
            vst1q_s8(part, v);
            for (size_t u = 0; u < 16 && p + u < kpad; u += unit, to += nr * unit)
                memcpy(to, part + u, unit);
        }
        if (sum && j < n) sum[j] = vaddvq_s32(total);
    }
}

/* Transposes [unit, 16] to [16, unit] by interleaving the halves log2(unit) times: each time the
 * highest bit of an element's index becomes its lowest. */
INLINE void transpose_codes(int8x16_t *v, size_t unit)
{
    int8x16_t next[16];
    for (size_t times = unit; times > 1; times /= 2) {
        for (size_t i = 0; i < unit / 2; i++) {
            next[2 * i] = vzip1q_s8(v[i], v[i + unit / 2]);
            next[2 * i + 1] = vzip2q_s8(v[i], v[i + unit / 2]);
        }
        memcpy(v, next, unit * sizeof *v);
    }
}

/* From w [n, k] with ldn = 1: units are transposed, 16 columns at a time. */
INLINE void pack_columns(size_t nr, size_t unit, int8_t *panels, int32_t *sum, const int8_t *w,
                         size_t ldk, size_t n, size_t k, size_t kpad, uint8_t flipped)
{
    const size_t npad = up(n, nr);
    for (size_t j = 0; j < npad; j += 16) {
        const size_t have = j < n ? least(n - j, 16) : 0;
        int32_t total[16] = {0};
        for (size_t p = 0; p < kpad; p += unit) {
            int8x16_t v[16];
            int16x8_t low = vdupq_n_s16(0), high = low;
            int8_t stream[16 * 16];
            for (size_t u = 0; u < unit; u++) {
                v[u] = p + u < k ? codes(w + j + (p + u) * ldk, have, flipped) : vdupq_n_s8(0);
                low = vaddw_s8(low, vget_low_s8(v[u]));
                high = vaddw_high_s8(high, v[u]);
            }
            for (size_t c = 0; sum && c < 16; c += 8, low = high) {
                vst1q_s32(total + c, vaddw_s16(vld1q_s32(total + c), vget_low_s16(low)));
                vst1q_s32(total + c + 4, vaddw_high_s16(vld1q_s32(total + c + 4), low));
            }
            transpose_codes(v, unit);
            for (size_t u = 0; u < unit; u++)
                vst1q_s8(stream + 16 * u, v[u]);
            for (size_t c = 0; c < 16 && j + c < npad; c += nr)
                memcpy(panels + (j + c) * kpad + p * nr, stream + c * unit, nr * unit);
        }
        if (sum) memcpy(sum + j, total, have * sizeof *sum);
    }
}

INLINE void pack_codes(const vise_gemm *g, size_t nr, size_t unit, void *panels, int32_t *sum,
                       const void *w, size_t ldn, size_t ldk, size_t n, size_t k, uint8_t flipped)
{
    if (ldk == 1)
        pack_rows(nr, unit, panels, sum, w, ldn, n, k, vise_row_bytes(g, k), flipped);
    else if (ldn == 1)
        pack_columns(nr, unit, panels, sum, w, ldk, n, k, vise_row_bytes(g, k), flipped);
    else
        vise_pack(g, panels, sum, w, ldn, ldk, n, k, flipped);
}

#endif
