/* kern_neon.c - all kernels with Advanced SIMD as every AArch64 has it
 * SPDX-License-Identifier: MIT */
#include "kern/arm/neon.h"

#include <math.h>

/* ---- products of floats: 8 rows by 8 columns ----
 *
 * A value of a multiplies from its lane. What is loaded of a row of a is 64 bits: a Cortex-A55 does
 * that beside a product, while 128 bits cost it two cycles. */

enum { MR = 8, NR = 8 };

static inline float32x4_t widen(uint16x4_t x)
{
    return vreinterpretq_f32_u32(vshll_n_u16(x, 16));
}

static inline float32x4_t four_f32(const float *w)
{
    return vld1q_f32(w);
}

static inline float32x4_t four_bf16(const uint16_t *w)
{
    return widen(vld1_u16(w));
}

#define LOAD_F32(r, p)                                                                             \
    a[r] = vld1_f32(row[r] + (p));                                                                 \
    TOGETHER(a[r])
#define REPEAT_F32(r, p) a[r] = vld1_dup_f32(row[r] + (p))
#define LOAD_BF16(r, p) a[r] = four_bf16(row[r] + (p))
/* Row r, or the last one; its sums start as the bias. */
#define START(r, last, bias)                                                                       \
    row[r] = (const void *)(t->a + least(r, last) * t->lda);                                       \
    acc[r][0] = vld1q_f32(bias);                                                                   \
    acc[r][1] = vld1q_f32((bias) + 4)
#define PRODUCTS(r, of_lane, lane)                                                                 \
    acc[r][0] = of_lane(acc[r][0], w0, a[r], lane);                                                \
    acc[r][1] = of_lane(acc[r][1], w1, a[r], lane)
#define PUT(r, out)                                                                                \
    vst1q_f32((out) + (r)*t->ldo, acc[r][0]);                                                      \
    vst1q_f32((out) + (r)*t->ldo + 4, acc[r][1])

/* One step of k. */
#define STEP(four, of_lane, lane)                                                                  \
    do {                                                                                           \
        const float32x4_t w0 = four(w), w1 = four(w + 4);                                          \
        w += NR;                                                                                   \
        EACH_ROW(rows, PRODUCTS, of_lane, lane);                                                   \
    } while (0)

INLINE void rows_f32(const tile *t, size_t rows)
{
    const float *w = t->w, *row[MR];
    float32x4_t acc[MR][2];
    float32x2_t a[MR];
    size_t p = 0;
    EACH_ROW(rows, START, t->rows - 1, t->bias);
    for (; p + 2 <= t->k; p += 2) {
        EACH_ROW(rows, LOAD_F32, p);
        STEP(four_f32, vfmaq_lane_f32, 0);
        STEP(four_f32, vfmaq_lane_f32, 1);
    }
    if (p < t->k) {
        EACH_ROW(rows, REPEAT_F32, p);
        STEP(four_f32, vfmaq_lane_f32, 0);
    }
    EACH_ROW(rows, PUT, t->out);
}

INLINE void rows_bf16(const tile *t, size_t rows)
{
    const uint16_t *w = t->w, *row[MR];
    float32x4_t acc[MR][2], a[MR];
    EACH_ROW(rows, START, rows - 1, t->bias);
    for (size_t p = 0; p < t->k; p += 4) {
        EACH_ROW(rows, LOAD_BF16, p);
        STEP(four_bf16, vfmaq_laneq_f32, 0);
        STEP(four_bf16, vfmaq_laneq_f32, 1);
        STEP(four_bf16, vfmaq_laneq_f32, 2);
        STEP(four_bf16, vfmaq_laneq_f32, 3);
    }
    EACH_ROW(rows, PUT, t->out);
}

#define TILE(name, of_rows)                                                                        \
    static void name(const tile *t)                                                                \
    {                                                                                              \
        if (t->rows > 4)                                                                           \
            of_rows(t, 8);                                                                         \
        else if (t->rows > 2)                                                                      \
            of_rows(t, 4);                                                                         \
        else if (t->rows > 1)                                                                      \
            of_rows(t, 2);                                                                         \
        else                                                                                       \
            of_rows(t, 1);                                                                         \
    }

TILE(tile_f32, rows_f32)
TILE(tile_bf16, rows_bf16)

/* ---- product of codes: 4 rows by 4 columns, each a vector of partial sums ---- */

enum { MR_S8 = 4, NR_S8 = 4, UNIT_S8 = 16 };

#define CLEAR_S8(r, zero) acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = (zero)
#define LOAD_S8(r, p) a[r] = vld1q_s8(row + (r)*t->lda + (p))
#define PRODUCTS_S8(r, q) acc[r][q] = products(acc[r][q], a[r], column)
#define PUT_S8(r, t)                                                                               \
    put_sums(t, r, 0,                                                                              \
             vpaddq_s32(vpaddq_s32(acc[r][0], acc[r][1]), vpaddq_s32(acc[r][2], acc[r][3])))

/* Two products of codes fit into 16 bits, since no code is -128. */
static inline int32x4_t products(int32x4_t sum, int8x16_t a, int8x16_t w)
{
    return vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(w)), a, w));
}

#define COLUMN_S8(q)                                                                               \
    do {                                                                                           \
        const int8x16_t column = vld1q_s8(w + (q)*UNIT_S8);                                        \
        EACH_ROW(rows, PRODUCTS_S8, q);                                                            \
        PACE(w, acc[0][q]);                                                                        \
    } while (0)

INLINE void rows_s8(const tile *t, size_t rows)
{
    const int8_t *w = t->w, *row = (const int8_t *)t->a;
    int32x4_t acc[MOST_MR][NR_S8]; // of EACH_ROW; most are never used
    int8x16_t a[MOST_MR];
    EACH_ROW(rows, CLEAR_S8, vdupq_n_s32(0));
    for (size_t p = 0; p < t->k; p += UNIT_S8, w += NR_S8 * UNIT_S8) {
        EACH_ROW(rows, LOAD_S8, p);
        COLUMN_S8(0);
        COLUMN_S8(1);
        COLUMN_S8(2);
        COLUMN_S8(3);
    }
    EACH_ROW(rows, PUT_S8, t);
}

static void tile_s8(const tile *t)
{
    if (t->rows > 2)
        rows_s8(t, 4);
    else if (t->rows > 1)
        rows_s8(t, 2);
    else
        rows_s8(t, 1);
}

/* ---- packing of floats: w [n, k] as panels [n / NR, k, NR] ---- */

/* Transposes 4 x 4. */
static inline void transpose_f32(float32x4_t v[4])
{
    const float32x4_t a = vzip1q_f32(v[0], v[2]), b = vzip2q_f32(v[0], v[2]);
    const float32x4_t c = vzip1q_f32(v[1], v[3]), d = vzip2q_f32(v[1], v[3]);
    v[0] = vzip1q_f32(a, c);
    v[1] = vzip2q_f32(a, c);
    v[2] = vzip1q_f32(b, d);
    v[3] = vzip2q_f32(b, d);
}

/* Transposes 8 x 8, see transpose_codes. */
static inline void transpose_bf16(uint16x8_t v[8])
{
    uint16x8_t next[8];
    for (size_t times = 0; times < 3; times++) {
        for (size_t i = 0; i < 4; i++) {
            next[2 * i] = vzip1q_u16(v[i], v[i + 4]);
            next[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
        }
        memcpy(v, next, sizeof next);
    }
}

static void panel_f32(float *to, const float *w, size_t ldn, size_t k)
{
    size_t p = 0;
    for (; p + 4 <= k; p += 4, to += 4 * NR)
        for (size_t q = 0; q < NR; q += 4) {
            float32x4_t v[4];
            for (size_t i = 0; i < 4; i++)
                v[i] = vld1q_f32(w + (q + i) * ldn + p);
            transpose_f32(v);
            for (size_t i = 0; i < 4; i++)
                vst1q_f32(to + i * NR + q, v[i]);
        }
    for (; p < k; p++, to += NR)
        for (size_t q = 0; q < NR; q++)
            to[q] = w[q * ldn + p];
}

static void panel_bf16(uint16_t *to, const uint16_t *w, size_t ldn, size_t k)
{
    size_t p = 0;
    for (; p + 8 <= k; p += 8, to += 8 * NR) {
        uint16x8_t v[8];
        for (size_t i = 0; i < 8; i++)
            v[i] = vld1q_u16(w + i * ldn + p);
        transpose_bf16(v);
        for (size_t i = 0; i < 8; i++)
            vst1q_u16(to + i * NR, v[i]);
    }
    for (; p < k; p++, to += NR)
        for (size_t q = 0; q < NR; q++)
            to[q] = w[q * ldn + p];
    memset(to, 0, (up(k, 4) - k) * NR * sizeof *to);
}

/* Whole panels; returns how many columns those are. */
INLINE size_t pack_whole(const vise_gemm *g, size_t size, void *panels, const void *w, size_t ldn,
                         size_t ldk, size_t n, size_t k)
{
    const size_t whole = n / NR * NR, row = vise_row_bytes(g, k);
    if (ldn != 1 && ldk != 1) return 0;
    for (size_t j = 0; j < whole; j += NR) {
        char *to = (char *)panels + j * row;
        const char *from = (const char *)w + j * ldn * size;
        if (ldk == 1 && size == sizeof(float)) {
            panel_f32((float *)(void *)to, (const float *)(const void *)from, ldn, k);
        } else if (ldk == 1) {
            panel_bf16((uint16_t *)(void *)to, (const uint16_t *)(const void *)from, ldn, k);
        } else {
            for (size_t p = 0; p < k; p++)
                memcpy(to + p * NR * size, from + p * ldk * size, NR * size);
            memset(to + k * NR * size, 0, NR * (row - k * size));
        }
    }
    return whole;
}

INLINE void pack_floats(const vise_gemm *g, size_t size, void *panels, const void *w, size_t ldn,
                        size_t ldk, size_t n, size_t k)
{
    const size_t done = pack_whole(g, size, panels, w, ldn, ldk, n, k);
    vise_pack(g, (char *)panels + done * vise_row_bytes(g, k), NULL,
              (const char *)w + done * ldn * size, ldn, ldk, n - done, k, 0);
}

static const vise_gemm bundle_f32, bundle_bf16, bundle_s8;

static void pack_f32(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                     size_t k, uint8_t flipped)
{
    (void)sum, (void)flipped;
    pack_floats(&bundle_f32, sizeof(float), panels, w, ldn, ldk, n, k);
}

static void pack_bf16(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                      size_t k, uint8_t flipped)
{
    (void)sum, (void)flipped;
    pack_floats(&bundle_bf16, sizeof(uint16_t), panels, w, ldn, ldk, n, k);
}

static void pack_s8(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                    size_t k, uint8_t flipped)
{
    pack_codes(&bundle_s8, NR_S8, UNIT_S8, panels, sum, w, ldn, ldk, n, k, flipped);
}

static void gemm_f32(const vise_gemm_args *g)
{
    walk(g, &bundle_f32, MR, tile_f32);
}

static void gemm_bf16(const vise_gemm_args *g)
{
    walk(g, &bundle_bf16, MR, tile_bf16);
}

static void gemm_s8(const vise_gemm_args *g)
{
    assert(g->rowq && g->wscale);
    walk(g, &bundle_s8, MR_S8, tile_s8);
}

static const vise_gemm bundle_f32 = {
    .nr = NR, .kr = 1, .unit = 1, .esize = 4, .mr = 1, .run = gemm_f32, .pack = pack_f32};
static const vise_gemm bundle_bf16 = {
    .nr = NR, .kr = 4, .unit = 1, .esize = 2, .mr = MR, .run = gemm_bf16, .pack = pack_bf16};
static const vise_gemm bundle_s8 = {.nr = NR_S8,
                                    .kr = UNIT_S8,
                                    .unit = UNIT_S8,
                                    .esize = 1,
                                    .mr = MR_S8,
                                    .run = gemm_s8,
                                    .pack = pack_s8};

/* ---- rows of floats, 16 at a time: four vectors hide the latency of each other's operations ---- */

enum { STRIDE = 16 };

typedef struct quad {
    float32x4_t v[4];
} quad;

static inline quad all(float x)
{
    const float32x4_t v = vdupq_n_f32(x);
    return (quad){{v, v, v, v}};
}

static inline quad load(const float *x)
{
    return (quad){{vld1q_f32(x), vld1q_f32(x + 4), vld1q_f32(x + 8), vld1q_f32(x + 12)}};
}

static inline void store(float *y, quad q)
{
    for (size_t i = 0; i < 4; i++)
        vst1q_f32(y + 4 * i, q.v[i]);
}

static inline quad load_some(const float *x, size_t n, float fill)
{
    float part[STRIDE];
    store(part, all(fill));
    memcpy(part, x, n * sizeof *x);
    return load(part);
}

static inline void store_some(float *y, quad q, size_t n)
{
    float part[STRIDE];
    store(part, q);
    memcpy(y, part, n * sizeof *y);
}

/* The next 16 of a row that has n left; what is not there is `fill`. */
static inline quad take(const float *x, size_t n, float fill)
{
    return n < STRIDE ? load_some(x, n, fill) : load(x);
}

static inline void put(float *y, quad q, size_t n)
{
    if (n < STRIDE)
        store_some(y, q, n);
    else
        store(y, q);
}

static inline float32x4_t folded(quad q)
{
    return vaddq_f32(vaddq_f32(q.v[0], q.v[1]), vaddq_f32(q.v[2], q.v[3]));
}

static inline float most_of(quad q)
{
    return vmaxvq_f32(
        vmaxq_f32(vmaxq_f32(q.v[0], q.v[1]), vmaxq_f32(q.v[2], q.v[3]))); // NaN if one is
}

static inline float32x4_t fma_n(float32x4_t x, float32x4_t y, float z)
{
    return vfmaq_f32(vdupq_n_f32(z), x, y);
}

/* 2^n 2^r for r in [-1/2, 1/2] and the integer n in [-158, 95] that `round` = n + ROUND holds;
 * relative error below 2 eps. The factor is applied in two steps, so that results may be subnormal. */
#define ROUND (12582912.f + 32)

static inline float32x4_t scaled_exp2(float32x4_t round, float32x4_t r)
{
    float32x4_t y = fma_n(r, vdupq_n_f32(1.32647e-3f), 9.67151e-3f);
    y = fma_n(r, y, 5.550734e-2f);
    y = fma_n(r, y, 2.4022242e-1f);
    y = fma_n(r, y, 6.9314698e-1f);
    y = fma_n(r, y, 1);
    const int32x4_t bits =
        vshlq_n_s32(vreinterpretq_s32_f32(round), 23); // 2^(n + 32), less its bias
    const int32x4_t scale = vaddq_s32(bits, vdupq_n_s32(0x3f800000));
    return vmulq_n_f32(vmulq_f32(y, vreinterpretq_f32_s32(scale)), 0x1p-32f);
}

/* e^x; 0 below -104, e^65 above 65. */
static inline float32x4_t exp_of(float32x4_t x)
{
    const float high = 1.44269502f, low = 1.92596299e-8f; // log2(e)
    x = vminq_f32(vmaxq_f32(x, vdupq_n_f32(-104)), vdupq_n_f32(65));
    const float32x4_t round = fma_n(x, vdupq_n_f32(high), ROUND);
    const float32x4_t n = vsubq_f32(round, vdupq_n_f32(ROUND));
    const float32x4_t r = vfmaq_n_f32(vfmaq_n_f32(vnegq_f32(n), x, high), x, low);
    return scaled_exp2(round, r);
}

/* 1 / x, at most 1 for x >= 1. */
static inline float32x4_t inverse(float32x4_t x)
{
    float32x4_t y = vrecpeq_f32(x);
    y = vmulq_f32(y, vrecpsq_f32(x, y));
    return vmulq_f32(y, vrecpsq_f32(x, y));
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                      const float *b, size_t rows, size_t n, float eps)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        quad sum = all(0), squares = all(0);
        for (size_t i = 0; i < n; i += STRIDE) {
            const quad in = take(x + i, n - i, 0);
            for (size_t u = 0; u < 4; u++)
                sum.v[u] = vaddq_f32(sum.v[u], in.v[u]);
        }
        const float mean = vaddvq_f32(folded(sum)) / (float)n;
        for (size_t i = 0; i < n; i += STRIDE) {
            const quad in = take(x + i, n - i, mean);
            for (size_t u = 0; u < 4; u++) {
                const float32x4_t d = vsubq_f32(in.v[u], vdupq_n_f32(mean));
                squares.v[u] = vfmaq_f32(squares.v[u], d, d);
            }
        }
        const float rstd = 1 / sqrtf(vaddvq_f32(folded(squares)) / (float)n + eps);
        for (size_t i = 0; i < n; i += STRIDE) {
            quad q = take(x + i, n - i, 0);
            const quad by = w ? take(w + i, n - i, 0) : all(1);
            const quad plus = b ? take(b + i, n - i, 0) : all(0);
            for (size_t u = 0; u < 4; u++) {
                q.v[u] = vmulq_n_f32(vsubq_f32(q.v[u], vdupq_n_f32(mean)), rstd);
                q.v[u] = vfmaq_f32(plus.v[u], q.v[u], by.v[u]);
            }
            put(y + i, q, n - i);
        }
    }
}

static float row_max(const float *x, size_t n)
{
    quad most = all(-INFINITY);
    for (size_t i = 0; i < n; i += STRIDE) {
        const quad in = take(x + i, n - i, -INFINITY);
        for (size_t u = 0; u < 4; u++)
            most.v[u] = vmaxq_f32(most.v[u], in.v[u]);
    }
    return most_of(most);
}

static inline float32x4_t exp_below(float32x4_t x, float max, float scale)
{
    return exp_of(vmulq_n_f32(vsubq_f32(x, vdupq_n_f32(max)), scale));
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    for (size_t r = 0; r < rows; r++, x += ld) {
        const float max = row_max(x, n);
        quad sum = all(0);
        for (size_t i = 0; i < n; i += STRIDE) {
            quad q = take(x + i, n - i, -INFINITY);
            for (size_t u = 0; u < 4; u++) {
                q.v[u] = exp_below(q.v[u], max, scale);
                sum.v[u] = vaddq_f32(sum.v[u], q.v[u]);
            }
            put(x + i, q, n - i);
        }
        const float inv = 1 / vaddvq_f32(folded(sum));
        for (size_t i = 0; i < n; i += STRIDE) {
            quad q = take(x + i, n - i, 0);
            for (size_t u = 0; u < 4; u++)
                q.v[u] = vmulq_n_f32(q.v[u], inv);
            put(x + i, q, n - i);
        }
    }
}

static inline void put_codes(uint8_t *q, const int32x4_t c[4], uint8_t flip, size_t n)
{
    const int16x8_t low = vcombine_s16(vmovn_s32(c[0]), vmovn_s32(c[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(c[2]), vmovn_s32(c[3]));
    const int8x16_t bytes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
    uint8_t part[STRIDE];
    vst1q_u8(part, veorq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_u8(flip)));
    if (n < STRIDE)
        memcpy(q, part, n);
    else
        memcpy(q, part, STRIDE);
}

static void softmax_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                       size_t ldx, size_t rows, size_t n, float scale, uint8_t flip)
{
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        const float max = row_max(x, n);
        int32x4_t sum = vdupq_n_s32(0);
        quad bad = all(0); // NaN if any
        for (size_t i = 0; i < n; i += STRIDE) {
            const quad in = take(x + i, n - i, -INFINITY);
            int32x4_t code[4];
            for (size_t u = 0; u < 4; u++) {
                const float32x4_t e = exp_below(in.v[u], max, scale);
                bad.v[u] = vmaxq_f32(bad.v[u], e);
                code[u] = vcvtnq_s32_f32(vmulq_n_f32(e, 254));
                sum = vaddq_s32(sum, code[u]);
                code[u] = vsubq_s32(code[u], vdupq_n_s32(127));
            }
            put_codes(q + i, code, flip, n - i);
        }
        memset(q + n, flip, npad - n);
        const float total = isnan(most_of(bad)) ? NAN : (float)vaddvq_s32(sum);
        rowq[r] = (vise_rowq){1 / total, -127};
    }
}

/* ---- activations ---- */

typedef float32x4_t function(float32x4_t x, const float *p);

INLINE void map(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                const float *p, function *f)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i += STRIDE) {
            quad q = take(x + i, n - i, 0);
            for (size_t u = 0; u < 4; u++)
                q.v[u] = f(q.v[u], p);
            put(y + i, q, n - i);
        }
}

/* P(-a) for a in [0, 6], where P is the normal distribution: log2 P is close to a parabola, so a
 * polynomial of degree 8 (minimax for the error of P: 3e-8) serves. */
static inline float32x4_t tail_of(float32x4_t a)
{
    float32x4_t e = fma_n(a, vdupq_n_f32(-1.28737997e-6f), 2.15092997e-5f);
    e = fma_n(a, e, -1.05963595e-4f);
    e = fma_n(a, e, -3.16406759e-4f);
    e = fma_n(a, e, 7.27625283e-3f);
    e = fma_n(a, e, -5.26273208e-2f);
    e = fma_n(a, e, -4.59170145e-1f);
    e = fma_n(a, e, -1.15110929f);
    e = fma_n(a, e, -9.99999922e-1f);
    const float32x4_t round = vaddq_f32(e, vdupq_n_f32(ROUND));
    const float32x4_t r = vsubq_f32(e, vsubq_f32(round, vdupq_n_f32(ROUND)));
    return scaled_exp2(round, r);
}

static inline float32x4_t near_6(float32x4_t x) // from 6 on P counts as P(6) = 1e-9
{
    return vminq_f32(vabsq_f32(x), vdupq_n_f32(6));
}

/* max(x, 0) - |x| P(-|x|) */
static inline float32x4_t gelu_of(float32x4_t x, const float *p)
{
    (void)p;
    const float32x4_t a = near_6(x);
    return vfmsq_f32(vmaxq_f32(x, vdupq_n_f32(0)), a, tail_of(a));
}

/* P(x) + x phi(x) */
static inline float32x4_t gelu_slope_of(float32x4_t x, const float *p)
{
    (void)p;
    const float32x4_t tail = tail_of(near_6(x)), rest = vsubq_f32(vdupq_n_f32(1), tail);
    const float32x4_t below = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(0)), rest, tail);
    const float32x4_t e = exp_of(vmulq_n_f32(vmulq_f32(x, x), -0.5f));
    return vfmaq_f32(below, vmulq_n_f32(x, 0.39894228f), e);
}

static void gelu(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                 const float *p)
{
    map(y, ldy, x, ldx, rows, n, p, gelu_of);
}

static void gelu_slope(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                       const float *p)
{
    map(y, ldy, x, ldx, rows, n, p, gelu_slope_of);
}

static inline float32x4_t swish_of(float32x4_t x, const float *p)
{
    const float32x4_t slope = fma_n(vmulq_n_f32(x, p[1]), x, p[0]);
    const float32x4_t e = exp_of(vnegq_f32(vmulq_f32(x, slope)));
    return vmulq_f32(x, inverse(vaddq_f32(e, vdupq_n_f32(1))));
}

static void swish(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const float *p)
{
    map(y, ldy, x, ldx, rows, n, p, swish_of);
}

/* ---- depthwise ---- */

/* Columns [c, c + 4 vectors). */
INLINE void depthwise_block(float *y, const float *const *x, const float *w, const float *bias,
                            size_t taps, size_t n, size_t c, size_t vectors)
{
    float32x4_t acc[4];
    for (size_t u = 0; u < vectors; u++)
        acc[u] = bias ? vld1q_f32(bias + c + 4 * u) : vdupq_n_f32(0);
    for (size_t t = 0; t < taps; t++) {
        if (!x[t]) continue;
        for (size_t u = 0; u < vectors; u++)
            acc[u] =
                vfmaq_f32(acc[u], vld1q_f32(x[t] + c + 4 * u), vld1q_f32(w + t * n + c + 4 * u));
    }
    for (size_t u = 0; u < vectors; u++)
        vst1q_f32(y + c + 4 * u, acc[u]);
}

static void depthwise(float *y, const float *const *x, const float *w, const float *bias,
                      size_t taps, size_t n)
{
    size_t c = 0;
    for (; c + 16 <= n; c += 16)
        depthwise_block(y, x, w, bias, taps, n, c, 4);
    for (; c + 4 <= n; c += 4)
        depthwise_block(y, x, w, bias, taps, n, c, 1);
    for (; c < n; c++) {
        y[c] = bias ? bias[c] : 0;
        for (size_t t = 0; t < taps; t++)
            if (x[t]) y[c] = fmaf(x[t][c], w[t * n + c], y[c]);
    }
}

/* ---- other formats ---- */

static inline uint16x4_t bf16_of(float32x4_t x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}

static void to_bf16(uint16_t *y, size_t ldy, size_t npad, const float *x, size_t ldx, size_t rows,
                    size_t n)
{
    for (size_t r = 0; r < rows; r++, x += ldx) {
        uint16_t *to = (uint16_t *)(void *)((char *)y + r * ldy);
        for (size_t i = 0; i < n; i += STRIDE) {
            const quad q = take(x + i, n - i, 0);
            uint16_t part[STRIDE];
            for (size_t u = 0; u < 4; u++)
                vst1_u16(part + 4 * u, bf16_of(q.v[u]));
            memcpy(to + i, part, least(n - i, STRIDE) * sizeof *to);
        }
        memset(to + n, 0, (npad - n) * sizeof *to);
    }
}

static float row_absmax(const float *x, size_t n)
{
    quad most = all(0);
    for (size_t i = 0; i < n; i += STRIDE) {
        const quad in = take(x + i, n - i, 0);
        for (size_t u = 0; u < 4; u++)
            most.v[u] = vmaxq_f32(most.v[u], vabsq_f32(in.v[u]));
    }
    return most_of(most);
}

static float absmax(const float *x, size_t ldx, size_t rows, size_t n)
{
    float32x4_t most = vdupq_n_f32(0);
    for (size_t r = 0; r < rows; r++, x += ldx)
        most = vmaxq_f32(most, vdupq_n_f32(row_absmax(x, n)));
    return vgetq_lane_f32(most, 0);
}

/* Maximum of x and of -x, each with 0; NaN if there is one. */
static void row_range(const float *x, size_t n, float *hi, float *minus_lo)
{
    quad most = all(0), least_neg = all(0);
    for (size_t i = 0; i < n; i += STRIDE) {
        const quad in = take(x + i, n - i, 0);
        for (size_t u = 0; u < 4; u++) {
            most.v[u] = vmaxq_f32(most.v[u], in.v[u]);
            least_neg.v[u] = vmaxq_f32(least_neg.v[u], vnegq_f32(in.v[u]));
        }
    }
    *hi = most_of(most);
    *minus_lo = most_of(least_neg);
}

static vise_rowq range_of(const float *x, size_t n, const vise_quant *how, float *inv)
{
    const bool sym = how->mode == VISE_QUANT_SYM;
    float hi = 0, minus_lo = 0;
    if (!sym) row_range(x, n, &hi, &minus_lo);
    const float range = sym ? row_absmax(x, n) : hi + minus_lo;
    const float steps = sym ? how->hi : (float)(how->hi - how->lo);
    *inv = 0;
    if (!isfinite(range)) return (vise_rowq){NAN, 0};
    if (range < 1e-30f) return (vise_rowq){0, 0};
    *inv = steps / range;
    const float zero = sym ? 0 : rintf(how->lo + minus_lo * *inv);
    return (vise_rowq){range / steps, (int32_t)fmaxf(how->lo, fminf(zero, how->hi))};
}

/* Codes of a row; false if it holds a NaN. */
static bool quant_row(uint8_t *q, const float *x, size_t n, float inv, int32_t zero,
                      const vise_quant *how)
{
    const float32x4_t low = vdupq_n_f32((float)(how->lo - zero));
    const float32x4_t high = vdupq_n_f32((float)(how->hi - zero));
    quad seen = all(0); // NaN if any
    for (size_t i = 0; i < n; i += STRIDE) {
        const quad in = take(x + i, n - i, 0);
        int32x4_t code[4];
        for (size_t u = 0; u < 4; u++) {
            const float32x4_t v = vmulq_n_f32(in.v[u], inv);
            seen.v[u] = vmaxq_f32(seen.v[u], in.v[u]);
            code[u] = vcvtnq_s32_f32(vminq_f32(vmaxq_f32(v, low), high));
            code[u] = vaddq_s32(code[u], vdupq_n_s32(zero));
        }
        put_codes(q + i, code, how->flip, n - i);
    }
    return !isnan(most_of(seen));
}

static void quant_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                     size_t ldx, size_t rows, size_t n, const vise_quant *how)
{
    assert(how->lo < 0 && how->hi > 0);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        float inv = 1 / how->fixed.scale;
        rowq[r] = how->mode == VISE_QUANT_FIXED ? how->fixed : range_of(x, n, how, &inv);
        memset(q + n, how->flip, npad - n);
        if (inv > 0 && quant_row(q, x, n, inv, rowq[r].zero, how)) continue;
        rowq[r] = (vise_rowq){inv > 0 ? NAN : rowq[r].scale, 0};
        memset(q, how->flip, n);
    }
}

void vise_kern_neon(vise_kern *k)
{
    *k = (vise_kern){
        .gemm_f32 = bundle_f32,
        .gemm_bf16 = bundle_bf16,
        .gemm_s8 = bundle_s8,
        .layernorm = layernorm,
        .softmax = softmax,
        .softmax_s8 = softmax_s8,
        .gelu = gelu,
        .gelu_slope = gelu_slope,
        .swish = swish,
        .to_bf16 = to_bf16,
        .quant_s8 = quant_s8,
        .absmax = absmax,
        .depthwise = depthwise,
    };
    vise_kern_neon_codes(k);
}
