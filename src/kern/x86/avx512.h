/* avx512.h - what the kernel files of the AVX-512 levels share: panels of 32 columns, their packing,
 * the epilogue of a tile
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_AVX512_H
#define VISE_KERN_X86_AVX512_H

#include "kern/kern.h"

#include <assert.h>
#include <immintrin.h>
#include <string.h>

enum {
    X512_NR = 32,        // columns of a panel: two vectors of sums
    X512_MR = 14,        // most rows of a tile: 28 sums, two vectors of w, two of a
    X512_NEAR = 1 << 20, // bytes of a that stay in the L2 cache beside panels of w
};

#define X512_INLINE static inline __attribute__((always_inline))
// X512_UNROLL: where an array of vectors must stay in registers. X512_PACE: what is loaded through p
// is loaded after x and y; clang would load all of a step first, and has no registers for it.
#if defined(__clang__)
#define X512_UNROLL _Pragma("clang loop unroll(full)")
#define X512_PACE(p, x, y) __asm__("" : "+r"(p), "+v"(x), "+v"(y))
#else
#define X512_UNROLL _Pragma("GCC unroll 28")
#define X512_PACE(p, x, y) (void)0
#endif

/* The first n of 16 lanes, of 64 bytes. */
X512_INLINE __mmask16 x512_lanes(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}

X512_INLINE __mmask64 x512_bytes(size_t n)
{
    return n < 64 ? (1ull << n) - 1 : ~0ull;
}

/* Sets what turns packed codes into bytes. */
void vise_kern_avx512_codes(vise_kern *k);

/* ---- tiles ---- */

/* Calls tile(R, ...) with the constant R = rows, 1 to X512_MR. */
#define X512_BY_ROWS(rows, tile, ...)                                                              \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        tile(1, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 2:                                                                                        \
        tile(2, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 3:                                                                                        \
        tile(3, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 4:                                                                                        \
        tile(4, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 5:                                                                                        \
        tile(5, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 6:                                                                                        \
        tile(6, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 7:                                                                                        \
        tile(7, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 8:                                                                                        \
        tile(8, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 9:                                                                                        \
        tile(9, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 10:                                                                                       \
        tile(10, __VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 11:                                                                                       \
        tile(11, __VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 12:                                                                                       \
        tile(12, __VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 13:                                                                                       \
        tile(13, __VA_ARGS__);                                                                     \
        break;                                                                                     \
    default:                                                                                       \
        tile(14, __VA_ARGS__);                                                                     \
        break;                                                                                     \
    }

/* A tile of rows i.. (`rows`, at most X512_MR) of the panel of columns j.., while fetching what comes
 * next from far: at unit u of its panel, what lies at ahead + u hop. */
typedef struct x512_job {
    size_t i, j, rows;
    const char *ahead;
    size_t hop;
} x512_job;
typedef void x512_tile_fn(const vise_gemm_args *g, const x512_job *job);

/* Panel by panel, so that w comes from far once and its panel stays near, for as many rows as stay
 * near too; these in tiles of even heights, since a tile of few rows cannot hide the latency of its
 * sums. `panel` is the size of a panel of w in bytes. */
X512_INLINE void x512_gemm(const vise_gemm_args *g, size_t panel, x512_tile_fn *tile)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const size_t tiles = (g->m + X512_MR - 1) / X512_MR, rows = g->m / tiles, more = g->m % tiles;
    const size_t groups = g->m * g->lda / X512_NEAR + 1, many = (tiles + groups - 1) / groups;
    for (size_t t0 = 0; t0 < tiles; t0 += many) {
        const size_t count = tiles - t0 < many ? tiles - t0 : many;
        const char *w = g->w;
        x512_job job = {.hop = 4 * X512_NR / count + 1};
        for (; job.j < g->n; job.j += X512_NR) {
            w = job.j + X512_NR < g->n ? w + panel : g->w;
            job.ahead = w;
            for (size_t t = t0; t < t0 + count; t++) {
                job.i = t * rows + (t < more ? t : more);
                job.rows = rows + (t < more);
                tile(g, &job);
                job.ahead += panel / (4 * X512_NR) * job.hop;
            }
        }
    }
}

/* ---- the epilogue: c = f(tile) + add ---- */

/* Where rows of a tile of up to 32 columns are stored: c, or the scratch that f reads. */
typedef struct x512_tile {
    float *to;
    size_t ld;
    const float *add; // added while storing, or NULL
    size_t ldadd;
    __mmask16 keep[2];
} x512_tile;

/* The tile at row i, column j of c. scratch [rows of the tile, 32] f32 is used if there is an f. */
X512_INLINE x512_tile x512_open(const vise_gemm_args *g, size_t i, size_t j, float *scratch)
{
    const size_t cols = g->n - j;
    x512_tile t = {.to = g->c + i * g->ldc + j,
                   .ld = g->ldc,
                   .add = g->add ? g->add + i * g->ldadd + j : NULL,
                   .ldadd = g->ldadd,
                   .keep = {x512_lanes(cols), x512_lanes(cols > 16 ? cols - 16 : 0)}};
    if (g->act) {
        t.to = scratch;
        t.ld = X512_NR;
        t.add = NULL;
    }
    return t;
}

/* Half h (16 columns) of row r. */
X512_INLINE void x512_store(const x512_tile *t, size_t r, size_t h, __m512 v)
{
    if (t->add)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(t->keep[h], t->add + r * t->ldadd + h * 16));
    _mm512_mask_storeu_ps(t->to + r * t->ld + h * 16, t->keep[h], v);
}

/* After every row is stored: f and add, if x512_store has not done it all. */
static inline void x512_close(const vise_gemm_args *g, const x512_tile *t, size_t i, size_t j,
                              size_t rows)
{
    if (!g->act) return;
    const size_t cols = g->n - j < X512_NR ? g->n - j : X512_NR;
    float *c = g->c + i * g->ldc + j;
    if (!g->add) {
        g->act(c, g->ldc, t->to, t->ld, rows, cols, g->act_param);
        return;
    }
    g->act(t->to, t->ld, t->to, t->ld, rows, cols, g->act_param);
    const x512_tile last = {
        c, g->ldc, g->add + i * g->ldadd + j, g->ldadd, {t->keep[0], t->keep[1]}};
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < 2; h++)
            x512_store(&last, r, h,
                       _mm512_maskz_loadu_ps(last.keep[h], t->to + r * t->ld + h * 16));
}

/* The sums of floats of a tile of R rows at column j start as the bias, and end in c. */
X512_INLINE void x512_start(size_t R, __m512 sum[X512_MR][2], const vise_gemm_args *g, size_t j)
{
    X512_UNROLL
    for (size_t h = 0; h < 2; h++) {
        const size_t at = j + 16 * h;
        __m512 b = _mm512_setzero_ps();
        if (g->bias && at < g->n) b = _mm512_maskz_loadu_ps(x512_lanes(g->n - at), g->bias + at);
        X512_UNROLL
        for (size_t r = 0; r < R; r++)
            sum[r][h] = b;
    }
}

X512_INLINE void x512_end(size_t R, __m512 sum[X512_MR][2], const vise_gemm_args *g, size_t i,
                          size_t j)
{
    float scratch[X512_MR * X512_NR];
    const x512_tile t = x512_open(g, i, j, scratch);
    X512_UNROLL
    for (size_t r = 0; r < R; r++) {
        x512_store(&t, r, 0, sum[r][0]);
        x512_store(&t, r, 1, sum[r][1]);
    }
    x512_close(g, &t, i, j, R);
}

/* What turns the sums of 16 columns into f32: s8 all of it, floats the bias only. */
typedef struct x512_scales {
    __m512 scale, sum, bias;
    bool zeros; // zero points may not be 0
} x512_scales;

X512_INLINE x512_scales x512_bias_at(const vise_gemm_args *g, size_t j)
{
    x512_scales s = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), false};
    if (g->bias && j < g->n) s.bias = _mm512_maskz_loadu_ps(x512_lanes(g->n - j), g->bias + j);
    return s;
}

X512_INLINE x512_scales x512_scales_at(const vise_gemm_args *g, size_t j)
{
    const __mmask16 k = x512_lanes(j < g->n ? g->n - j : 0);
    x512_scales s = x512_bias_at(g, j);
    s.scale = _mm512_maskz_loadu_ps(k, g->wscale + j);
    s.zeros = g->zeros;
    if (s.zeros) s.sum = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(k, g->wsum + j));
    return s;
}

X512_INLINE __m512 x512_scaled(__m512i sum, vise_rowq row, const x512_scales *s)
{
    __m512 v = _mm512_cvtepi32_ps(sum);
    if (s->zeros) v = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(_mm512_set1_epi32(row.zero)), s->sum, v);
    return _mm512_fmadd_ps(v, _mm512_mul_ps(_mm512_set1_ps(row.scale), s->scale), s->bias);
}

/* ---- packing: units are 4 bytes, panels a multiple of 16 columns ---- */

/* [16, 16] 32-bit units, in place. */
X512_INLINE void x512_transpose(__m512i x[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; h++) {
            x[i + 2 * h] = _mm512_unpacklo_epi64(t[i + h], t[i + h + 2]);
            x[i + 2 * h + 1] = _mm512_unpackhi_epi64(t[i + h], t[i + h + 2]);
        }
    for (int i = 0; i < 4; i++) { // x[i + 4 b]: units i, i + 4, i + 8, i + 12 of rows 4 b...
        t[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        x[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        x[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* sums + the sums of four codes each. */
X512_INLINE __m512i x512_add_codes(__m512i sums, __m512i codes)
{
    const __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), codes);
    return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

/* Columns j.. (16 of them, or those below n) of a matrix whose columns lie at w, ldn bytes apart,
 * `bytes` of each: units of 4 bytes to `to`, `step` bytes apart, up to `units`. Returns the sums. */
X512_INLINE __m512i x512_pack_columns(char *to, size_t step, size_t units, const char *w,
                                      size_t ldn, size_t cols, size_t bytes, uint8_t flipped,
                                      bool codes)
{
    __m512i sums = _mm512_setzero_si512();
    for (size_t u = 0; u < units; u += 16) {
        const __mmask64 keep = x512_bytes(u * 4 < bytes ? bytes - u * 4 : 0);
        const __m512i flip = _mm512_maskz_set1_epi8(keep, (char)flipped);
        const size_t count = units - u < 16 ? units - u : 16;
        __m512i x[16];
        X512_UNROLL
        for (size_t i = 0; i < 16; i++) {
            x[i] = _mm512_setzero_si512();
            if (i < cols) x[i] = _mm512_maskz_loadu_epi8(keep, w + i * ldn + u * 4);
            if (codes && i < cols) x[i] = _mm512_xor_si512(x[i], flip);
        }
        x512_transpose(x);
        X512_UNROLL
        for (size_t i = 0; i < 16; i++) {
            if (codes && i < count) sums = x512_add_codes(sums, x[i]);
            if (i < count) _mm512_store_si512(to + (u + i) * step, x[i]);
        }
    }
    return sums;
}

/* 16 columns of one unit: element p of them lies at w + p ldk bytes. `there`: its elements. */
X512_INLINE __m512i x512_interleave(const char *w, size_t ldk, __mmask16 keep, size_t size,
                                    size_t there)
{
    if (size == 4) return _mm512_maskz_loadu_epi32(keep, w);
    __m512i x = _mm512_setzero_si512();
    for (unsigned p = 0; p < 4 / size && p < there; p++) {
        const char *row = w + p * ldk;
        const __m512i e = size == 2 ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(keep, row))
                                    : _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(keep, row));
        x = _mm512_or_si512(x, _mm512_slli_epi32(e, p * (unsigned)size * 8));
    }
    return x;
}

/* The same for rows of columns: element p of column i lies at w + p ldk + i size. */
X512_INLINE __m512i x512_pack_rows(char *to, size_t step, size_t units, const char *w, size_t ldk,
                                   size_t cols, size_t k, size_t size, uint8_t flipped)
{
    const __mmask16 keep = x512_lanes(cols);
    const size_t unit = 4 / size;
    __m512i sums = _mm512_setzero_si512();
    for (size_t u = 0; u < units; u++) {
        const size_t p = u * unit, there = p < k ? k - p : 0;
        __m512i x = x512_interleave(w + p * ldk, ldk, keep, size, there);
        if (size == 1) {
            const uint32_t flip = flipped * (there < 4 ? (1u << 8 * there) / 255 : 0x1010101u);
            x = _mm512_xor_si512(x, _mm512_maskz_set1_epi32(keep, (int)flip));
            sums = x512_add_codes(sums, x);
        }
        _mm512_store_si512(to + u * step, x);
    }
    return sums;
}

/* vise_pack for a bundle g of these levels whose elements have `size` bytes, a constant. */
X512_INLINE void x512_pack(const vise_gemm *g, size_t size, void *panels, int32_t *sum,
                           const void *w, size_t ldn, size_t ldk, size_t n, size_t k,
                           uint8_t flipped)
{
    const size_t step = g->nr * 4, units = (k + g->kr - 1) / g->kr * g->kr / (4 / size);
    if (ldk != 1 && ldn != 1) {
        vise_pack(g, panels, sum, w, ldn, ldk, n, k, flipped);
        return;
    }
    for (size_t j = 0; j < (n + g->nr - 1) / g->nr * g->nr; j += 16) {
        char *to = (char *)panels + j / g->nr * units * step + j % g->nr * 4;
        const char *from = (const char *)w + (j < n ? j : 0) * ldn * size;
        const size_t cols = j >= n ? 0 : n - j < 16 ? n - j : 16;
        const __m512i sums =
            ldk == 1 ? x512_pack_columns(to, step, units, from, ldn * size, cols, k * size, flipped,
                                         size == 1)
                     : x512_pack_rows(to, step, units, from, ldk * size, cols, k, size, flipped);
        if (sum) _mm512_mask_storeu_epi32(sum + (j < n ? j : 0), x512_lanes(cols), sums);
    }
}

#endif
