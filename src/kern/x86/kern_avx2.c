/* kern_avx2.c - kernels for AVX2 with FMA, but for the matrix products
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx2.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- sums and largest numbers of vectors ---- */

AVX2_INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

AVX2_INLINE float max_of(__m256 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Eight numbers of 32 bits, whose sum fits as well. */
AVX2_INLINE int32_t sum_of_s32(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* The bits of |x|, whose order as integers is the order of numbers, Inf, NaN. */
AVX2_INLINE __m256i magnitude(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

/* The largest |x| of a row; NaN if there is one. Four chains hide the latency. */
AVX2_INLINE float row_most(const float *x, size_t n)
{
    __m256i m[4];
    AVX2_UNROLL
    for (size_t v = 0; v < 4; v++)
        m[v] = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++)
            m[v] = _mm256_max_epi32(m[v], magnitude(_mm256_loadu_ps(x + i + 8 * v)));
    }
    for (; i < n; i += 8)
        m[0] = _mm256_max_epi32(m[0], magnitude(avx2_load(x + i, n - i)));
    const __m256i a = _mm256_max_epi32(_mm256_max_epi32(m[0], m[1]), _mm256_max_epi32(m[2], m[3]));
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(s));
}

/* The largest number of a row; a NaN is left to who reads the row next. */
AVX2_INLINE float row_max(const float *x, size_t n)
{
    const __m256 low = _mm256_set1_ps(-INFINITY);
    __m256 m[4];
    AVX2_UNROLL
    for (size_t v = 0; v < 4; v++)
        m[v] = low;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++) // of a NaN and a number the second is taken
            m[v] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * v), m[v]);
    }
    for (; i < n; i += 8) {
        const __m256 there = _mm256_castsi256_ps(avx2_lanes(n - i));
        m[0] = _mm256_max_ps(_mm256_blendv_ps(low, avx2_load(x + i, n - i), there), m[0]);
    }
    return max_of(_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
}

/* ---- rows of floats ---- */

static const float log2_e = 1.44269504f; // its rounding is far below an eps: 2^(x log2 e) is e^x

/* 2^t for t <= 127: a polynomial of relative error 9e-8 for what floor leaves, and the floor into
 * the exponent. 0 where 2^t is not a normal number, NaN for NaN. */
AVX2_INLINE __m256 exp2_8(__m256 t)
{
    static const float c[] = {0.0018671307f, 0.00901702896f, 0.0557999141f,
                              0.24016445f,   0.693151312f,   1};
    const __m256 least = _mm256_set1_ps(-126);
    const __m256 in = _mm256_max_ps(least, t); // of a NaN and a number the second is taken
    const __m256 whole = _mm256_floor_ps(in), r = _mm256_sub_ps(in, whole);
    __m256 p = _mm256_set1_ps(c[0]);
    AVX2_UNROLL
    for (size_t i = 1; i < sizeof c / sizeof *c; i++)
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c[i]));
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23); // of a NaN: 0
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    return _mm256_and_ps(p, _mm256_cmp_ps(t, least, _CMP_NLT_UQ));
}

/* The sum of a row, or of the squares of its differences from `centre`. */
AVX2_INLINE float row_sum(const float *x, size_t n, float centre, bool square)
{
    const __m256 mid = _mm256_set1_ps(centre);
    __m256 s[4];
    AVX2_UNROLL
    for (size_t v = 0; v < 4; v++)
        s[v] = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++) {
            const __m256 a = _mm256_loadu_ps(x + i + 8 * v), d = _mm256_sub_ps(a, mid);
            s[v] = square ? _mm256_fmadd_ps(d, d, s[v]) : _mm256_add_ps(a, s[v]);
        }
    }
    for (; i < n; i += 8) {
        const __m256 a = avx2_load(x + i, n - i);
        const __m256 there = _mm256_castsi256_ps(avx2_lanes(n - i));
        const __m256 d = _mm256_and_ps(_mm256_sub_ps(a, mid), there);
        s[0] = square ? _mm256_fmadd_ps(d, d, s[0]) : _mm256_add_ps(a, s[0]);
    }
    return sum_of(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])));
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                      const float *b, size_t rows, size_t n, float eps)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const float mean = row_sum(x, n, 0, false) / (float)n;
        const float var = row_sum(x, n, mean, true) / (float)n;
        const __m256 mid = _mm256_set1_ps(mean), rstd = _mm256_set1_ps(1 / sqrtf(var + eps));
        for (size_t i = 0; i < n; i += 8) {
            const __m256 scale = w ? avx2_load(w + i, n - i) : _mm256_set1_ps(1);
            const __m256 shift = b ? avx2_load(b + i, n - i) : _mm256_setzero_ps();
            const __m256 d = _mm256_sub_ps(avx2_load(x + i, n - i), mid);
            avx2_store(y + i, n - i, _mm256_fmadd_ps(_mm256_mul_ps(d, rstd), scale, shift));
        }
    }
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    const __m256 s = _mm256_set1_ps(scale * log2_e);
    for (size_t r = 0; r < rows; r++, x += ld) {
        const __m256 top = _mm256_set1_ps(row_max(x, n));
        __m256 sum = _mm256_setzero_ps();
        for (size_t i = 0; i < n; i += 8) {
            const __m256 d = _mm256_sub_ps(avx2_load(x + i, n - i), top);
            __m256 e = exp2_8(_mm256_mul_ps(d, s));
            if (n - i < 8) e = _mm256_and_ps(e, _mm256_castsi256_ps(avx2_lanes(n - i)));
            sum = _mm256_add_ps(sum, e);
            avx2_store(x + i, n - i, e);
        }
        const __m256 inv = _mm256_set1_ps(1 / sum_of(sum));
        for (size_t i = 0; i < n; i += 8)
            avx2_store(x + i, n - i, _mm256_mul_ps(avx2_load(x + i, n - i), inv));
    }
}

/* Phi(x) - 1/2 = x P(x^2 - h) up to |x| = 5.08, where Phi is 0 or 1 to 2e-7: P is the polynomial of
 * the smallest error (2e-7) that makes it exactly -1/2 or 1/2 there. */
AVX2_INLINE __m256 phi_8(__m256 x)
{
    static const float c[] = {3.61010306e-17f, -1.20490278e-15f, 1.53034578e-14f, -2.89556329e-13f,
                              9.16071906e-12f, -2.02512784e-10f, 3.71627817e-09f, -6.65419435e-08f,
                              1.14311763e-06f, -1.87495607e-05f, 0.000305904658f, -0.00536756916f,
                              0.139148578f};
    const __m256 end = _mm256_set1_ps(5.07999992f);
    // of a NaN and a number the second is taken
    const __m256 in = _mm256_max_ps(_mm256_sub_ps(_mm256_setzero_ps(), end), _mm256_min_ps(end, x));
    const __m256 t = _mm256_fmsub_ps(in, in, _mm256_set1_ps(12.9031992f));
    __m256 p = _mm256_set1_ps(c[0]);
    AVX2_UNROLL
    for (size_t i = 1; i < sizeof c / sizeof *c; i++)
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(c[i]));
    return _mm256_add_ps(_mm256_mul_ps(in, p), _mm256_set1_ps(0.5f));
}

AVX2_INLINE __m256 gelu_8(__m256 x)
{
    return _mm256_mul_ps(x, phi_8(x));
}

/* Phi(x) + x phi(x) */
AVX2_INLINE __m256 gelu_slope_8(__m256 x)
{
    const __m256 t = _mm256_mul_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(-0.5f * log2_e));
    const __m256 d = _mm256_mul_ps(exp2_8(t), _mm256_set1_ps(0.39894228f));
    return _mm256_fmadd_ps(x, d, phi_8(x));
}

static void gelu(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                 const float *p)
{
    (void)p;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i += 8)
            avx2_store(y + i, n - i, gelu_8(avx2_load(x + i, n - i)));
}

static void gelu_slope(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                       const float *p)
{
    (void)p;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i += 8)
            avx2_store(y + i, n - i, gelu_slope_8(avx2_load(x + i, n - i)));
}

/* x / (1 + 2^t) for t = -log2 e (p0 x + p1 x^3). t ends at 100, where the quotient is nothing beside
 * x. */
AVX2_INLINE __m256 swish_8(__m256 x, __m256 p0, __m256 p1)
{
    const __m256 t = _mm256_mul_ps(x, _mm256_fmadd_ps(_mm256_mul_ps(p1, x), x, p0));
    // of a NaN and a number the second is taken
    const __m256 e = exp2_8(_mm256_min_ps(_mm256_set1_ps(100), t));
    return _mm256_div_ps(x, _mm256_add_ps(e, _mm256_set1_ps(1)));
}

static void swish(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const float *p)
{
    const __m256 p0 = _mm256_set1_ps(-p[0] * log2_e), p1 = _mm256_set1_ps(-p[1] * log2_e);
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i += 8)
            avx2_store(y + i, n - i, swish_8(avx2_load(x + i, n - i), p0, p1));
}

static void depthwise(float *y, const float *const *x, const float *w, const float *bias,
                      size_t taps, size_t n)
{
    size_t c = 0;
    for (; c + 32 <= n; c += 32) {
        __m256 s[4];
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++)
            s[v] = bias ? _mm256_loadu_ps(bias + c + 8 * v) : _mm256_setzero_ps();
        for (size_t t = 0; t < taps; t++) {
            if (!x[t]) continue;
            AVX2_UNROLL
            for (size_t v = 0; v < 4; v++)
                s[v] = _mm256_fmadd_ps(_mm256_loadu_ps(x[t] + c + 8 * v),
                                       _mm256_loadu_ps(w + t * n + c + 8 * v), s[v]);
        }
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++)
            _mm256_storeu_ps(y + c + 8 * v, s[v]);
    }
    for (; c < n; c += 8) {
        __m256 s = bias ? avx2_load(bias + c, n - c) : _mm256_setzero_ps();
        for (size_t t = 0; t < taps; t++)
            if (x[t])
                s = _mm256_fmadd_ps(avx2_load(x[t] + c, n - c), avx2_load(w + t * n + c, n - c), s);
        avx2_store(y + c, n - c, s);
    }
}

/* ---- other formats ---- */

static float absmax(const float *x, size_t ldx, size_t rows, size_t n)
{
    float most = 0;
    for (size_t r = 0; r < rows; r++, x += ldx) {
        const float m = row_most(x, n);
        most = m > most || isnan(m) ? m : most;
    }
    return most;
}

/* To nearest even, in the low halves of the lanes. */
AVX2_INLINE __m256i bf16_of(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256 y = _mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet), nan);
    return _mm256_srli_epi32(_mm256_castps_si256(y), 16);
}

/* `left` bytes, or all 32. */
AVX2_INLINE void store_part(void *to, size_t left, __m256i v)
{
    if (left >= 32) {
        avx2_store_bytes(to, v);
        return;
    }
    char part[32];
    avx2_store_bytes(part, v);
    memcpy(to, part, left);
}

/* Lanes i.. of a row of n, then zeros. */
AVX2_INLINE __m256 load_row(const float *x, size_t n, size_t i)
{
    return i < n ? avx2_load(x + i, n - i) : _mm256_setzero_ps();
}

static void to_bf16(uint16_t *y, size_t ldy, size_t npad, const float *x, size_t ldx, size_t rows,
                    size_t n)
{
    for (size_t r = 0; r < rows; r++, x += ldx) {
        uint16_t *to = (uint16_t *)(void *)((char *)y + r * ldy);
        for (size_t i = 0; i < npad; i += 16) {
            const __m256i a = bf16_of(load_row(x, n, i)), b = bf16_of(load_row(x, n, i + 8));
            const __m256i v = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
            store_part(to + i, 2 * (npad - i), v);
        }
    }
}

/* 32 codes from two vectors of 16 bits that saturate to [0, 255] or [-128, 127]. */
AVX2_INLINE __m256i narrow(__m256i low, __m256i high, bool positive)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return _mm256_permutevar8x32_epi32(
        positive ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high), order);
}

/* All bits of the first n of 32 bytes. */
AVX2_INLINE __m256i byte_lanes(size_t n)
{
    const __m256i at = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                        17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    return _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(n < 32 ? n : 32)), at);
}

/* 254 2^((x - top) s) as integers, of lanes i.. of a row; those past its end are 0. */
AVX2_INLINE __m256i weights(const float *x, size_t n, size_t i, __m256 top, __m256 s)
{
    if (i >= n) return _mm256_setzero_si256();
    const __m256 d = _mm256_sub_ps(avx2_load(x + i, n - i), top);
    const __m256 e = exp2_8(_mm256_mul_ps(d, s));
    const __m256i w = _mm256_cvtps_epi32(_mm256_mul_ps(e, _mm256_set1_ps(254)));
    return n - i < 8 ? _mm256_and_si256(w, avx2_lanes(n - i)) : w;
}

static void softmax_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                       size_t ldx, size_t rows, size_t n, float scale, uint8_t flip)
{
    const __m256i flips = _mm256_set1_epi8((char)flip), zero = _mm256_setzero_si256();
    const __m256 s = _mm256_set1_ps(scale * log2_e);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        const __m256 top = _mm256_set1_ps(row_max(x, n));
        __m256i sum = zero, any = zero; // a NaN becomes INT32_MIN, then weight 0
        for (size_t i = 0; i < npad; i += 32) {
            __m256i w[4];
            AVX2_UNROLL
            for (size_t v = 0; v < 4; v++) {
                w[v] = weights(x, n, i + 8 * v, top, s);
                any = _mm256_or_si256(any, w[v]);
            }
            __m256i c =
                narrow(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]), true);
            sum =
                _mm256_add_epi32(sum, _mm256_sad_epu8(c, zero)); // of pairs of lanes, as C's int32
            c = _mm256_sub_epi8(c, _mm256_set1_epi8(127));
            c = _mm256_and_si256(c, byte_lanes(i < n ? n - i : 0));
            store_part(q + i, npad - i, _mm256_xor_si256(c, flips));
        }
        const bool nan = _mm256_movemask_ps(_mm256_castsi256_ps(any)) != 0;
        rowq[r] = (vise_rowq){nan ? NAN : 1 / (float)sum_of_s32(sum), -127};
    }
}

/* The scale and zero point of a row, with inv = 1 / scale, or 0 if its codes are all 0. */
static vise_rowq range_of(const float *x, size_t n, const vise_quant *how, float *inv)
{
    const bool sym = how->mode == VISE_QUANT_SYM;
    const float steps = sym ? how->hi : (float)(how->hi - how->lo);
    float lo = 0, most = 0;
    if (sym) {
        most = row_most(x, n);
    } else {
        __m256 low = _mm256_setzero_ps(), high = low, bad = low; // low is -lowest, bad a mask
        const __m256 sign = _mm256_set1_ps(-0.0f);
        for (size_t i = 0; i < n; i += 8) {
            const __m256 v = avx2_load(x + i, n - i);
            low = _mm256_max_ps(_mm256_xor_ps(v, sign), low);
            high = _mm256_max_ps(v, high);
            bad = _mm256_or_ps(bad, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        }
        lo = -max_of(low);
        most = _mm256_movemask_ps(bad) ? NAN : max_of(high) - lo;
    }
    *inv = 0;
    if (!isfinite(most)) return (vise_rowq){NAN, 0};
    if (!(most >= 1e-30f)) return (vise_rowq){0, 0};
    *inv = steps / most;
    vise_rowq q = {most / steps, 0};
    if (!sym) {
        const float zero = rintf(how->lo - lo * *inv);
        q.zero = (int32_t)(zero < how->lo ? how->lo : zero > how->hi ? how->hi : zero);
    }
    return q;
}

typedef struct coder {
    __m256 inv, low, high;
    __m256i zero, flip;
} coder;

/* Returns whether there was a NaN; then the codes are nothing. */
static bool code_row(uint8_t *q, size_t npad, const float *x, size_t n, const coder *c)
{
    __m256 nan = _mm256_setzero_ps();
    for (size_t i = 0; i < npad; i += 32) {
        __m256i w[4];
        AVX2_UNROLL
        for (size_t v = 0; v < 4; v++) {
            const __m256 a = _mm256_mul_ps(load_row(x, n, i + 8 * v), c->inv);
            nan = _mm256_or_ps(nan, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
            w[v] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(a, c->low), c->high));
        }
        const __m256i low = _mm256_add_epi16(_mm256_packs_epi32(w[0], w[1]), c->zero);
        const __m256i high = _mm256_add_epi16(_mm256_packs_epi32(w[2], w[3]), c->zero);
        const __m256i code =
            _mm256_and_si256(narrow(low, high, false), byte_lanes(i < n ? n - i : 0));
        store_part(q + i, npad - i, _mm256_xor_si256(code, c->flip));
    }
    return _mm256_movemask_ps(nan) != 0;
}

static void quant_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                     size_t ldx, size_t rows, size_t n, const vise_quant *how)
{
    assert(how->lo < 0 && how->hi > 0);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        float inv = 1 / how->fixed.scale;
        rowq[r] = how->mode == VISE_QUANT_FIXED ? how->fixed : range_of(x, n, how, &inv);
        const int32_t zero = rowq[r].zero;
        const coder c = {_mm256_set1_ps(inv), _mm256_set1_ps((float)(how->lo - zero)),
                         _mm256_set1_ps((float)(how->hi - zero)), _mm256_set1_epi16((short)zero),
                         _mm256_set1_epi8((char)how->flip)};
        const bool nan = inv != 0 && code_row(q, npad, x, n, &c);
        if (inv != 0 && !nan) continue;
        rowq[r] = (vise_rowq){nan ? NAN : rowq[r].scale, 0};
        memset(q, how->flip, npad);
    }
}

void vise_kern_avx2(vise_kern *k)
{
    *k = (vise_kern){
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
    vise_kern_avx2_gemm(k);
    vise_kern_avx2_codes(k);
}
