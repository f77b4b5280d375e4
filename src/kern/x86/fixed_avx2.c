/* fixed_avx2.c - the integer kernels for AVX2
 *
 * Products have 64 bits, of the even lanes and of the odd ones. AVX2 shifts 64 bits without their
 * sign, so numbers are moved above zero first, by a power of two that the shift divides.
 *
 * SPDX-License-Identifier: MIT */
#include "kern/fixed.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* The first n lanes, of 8. */
INLINE __m256i lanes(size_t n)
{
    const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 8 ? 8 : (int)n), at);
}

/* Eight numbers as integers in [-most, most]; NaN is most. */
INLINE __m256i load(__m256i k, const float *x, float most)
{
    const __m256 m = _mm256_set1_ps(most);
    const __m256 low = _mm256_min_ps(_mm256_maskload_ps(x, k), m); // of a NaN the second operand
    return _mm256_cvttps_epi32(_mm256_max_ps(low, _mm256_set1_ps(-most)));
}

INLINE void store(float *y, __m256i k, __m256i x)
{
    _mm256_maskstore_ps(y, k, _mm256_cvtepi32_ps(x));
}

typedef struct wide {
    __m256i even, odd;
} wide;

INLINE __m256i odd_lanes(__m256i x)
{
    return _mm256_srli_epi64(x, 32);
}

INLINE wide times(__m256i a, wide b)
{
    return (wide){_mm256_mul_epi32(a, b.even), _mm256_mul_epi32(odd_lanes(a), b.odd)};
}

/* The low 32 bits of each. */
INLINE __m256i narrow(wide a)
{
    return _mm256_blend_epi32(a.even, _mm256_slli_epi64(a.odd, 32), 0xaa);
}

INLINE __m256i clamp(__m256i x, __m256i lo, __m256i hi)
{
    return _mm256_min_epi32(_mm256_max_epi32(x, lo), hi);
}

#define ABOVE ((int64_t)1 << 62) // more than any product, in magnitude

/* floor(x / 2^bits + 1/2), which fits 32 bits, for one number of bits. */
INLINE __m256i shift_all(wide x, int bits)
{
    const __m256i up = _mm256_set1_epi64x(ABOVE + ((int64_t)1 << (bits - 1)));
    const __m128i by = _mm_cvtsi32_si128(bits);
    const wide y = {_mm256_srl_epi64(_mm256_add_epi64(x.even, up), by),
                    _mm256_srl_epi64(_mm256_add_epi64(x.odd, up), by)};
    return _mm256_sub_epi32(narrow(y), _mm256_set1_epi32((int32_t)(uint32_t)(ABOVE >> bits)));
}

/* What shifting by column needs, for even or odd columns. */
typedef struct shifts {
    __m256i bits, up;
} shifts;

INLINE shifts shifts_of(__m256i bits)
{
    const __m256i one = _mm256_set1_epi64x(1);
    const __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(bits, one));
    return (shifts){bits, _mm256_add_epi64(half, _mm256_set1_epi64x(ABOVE))};
}

INLINE __m256i shift(__m256i x, const shifts *s)
{
    return _mm256_srlv_epi64(_mm256_add_epi64(x, s->up), s->bits);
}

static void requant(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                    const vise_requant *q)
{
    const __m256i lo = _mm256_set1_epi32(q->lo), hi = _mm256_set1_epi32(q->hi);
    const __m256i one = _mm256_set1_epi32(1), above = _mm256_set1_epi64x(ABOVE);
    for (size_t j = 0; j < n; j += 8) {
        const __m256i k = lanes(n - j), bias = _mm256_maskload_epi32(q->bias + j, k);
        const __m256i m = _mm256_maskload_epi32(q->mult + j, k);
        const __m256i s = _mm256_maskload_epi32(q->shift + j, k);
        const wide mult = {m, odd_lanes(m)};
        const shifts even = shifts_of(_mm256_and_si256(s, _mm256_set1_epi64x(0xffffffff)));
        const shifts odd = shifts_of(odd_lanes(s));
        const __m256i down =
            narrow((wide){_mm256_srlv_epi64(above, even.bits), _mm256_srlv_epi64(above, odd.bits)});
        // what is beyond this and multiplied by 2^23 or more is beyond any clamp
        const __m256i bits =
            _mm256_min_epi32(_mm256_add_epi32(s, _mm256_set1_epi32(7)), _mm256_set1_epi32(31));
        const __m256i far = _mm256_sub_epi32(_mm256_sllv_epi32(one, bits), one);
        const __m256i near = _mm256_sub_epi32(_mm256_setzero_si256(), far);
        for (size_t r = 0; r < rows; r++) {
            const __m256i v = _mm256_add_epi32(load(k, x + r * ldx + j, VISE_INT_SUM), bias);
            const wide p = times(clamp(v, near, far), mult);
            const __m256i z = narrow((wide){shift(p.even, &even), shift(p.odd, &odd)});
            store(y + r * ldy + j, k, clamp(_mm256_sub_epi32(z, down), lo, hi));
        }
    }
}

static void add(float *y, size_t ldy, const float *a, size_t lda, const float *b, size_t ldb,
                size_t rows, size_t n, int32_t lo, int32_t hi)
{
    const __m256i l = _mm256_set1_epi32(lo), h = _mm256_set1_epi32(hi);
    for (size_t r = 0; r < rows; r++, y += ldy, a += lda, b += ldb)
        for (size_t j = 0; j < n; j += 8) {
            const __m256i k = lanes(n - j), x = load(k, a + j, VISE_INT_MOST);
            store(y + j, k, clamp(_mm256_add_epi32(x, load(k, b + j, VISE_INT_MOST)), l, h));
        }
}

static void ratio(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const int32_t *plus, const int32_t *by)
{
    enum { BITS = 36 - VISE_INT_RATIO_BITS };
    const __m256i most = _mm256_set1_epi32(VISE_INT_MOST),
                  least = _mm256_set1_epi32(-VISE_INT_MOST);
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        // sums beyond 2^44 / ratio are beyond VISE_INT_MOST: so products shifted have 32 bits
        const int64_t reach = by[r] ? ((int64_t)1 << 44) / by[r] : 1 << 26;
        const __m256i far = _mm256_set1_epi32(reach < 1 << 26 ? (int32_t)reach : 1 << 26);
        const __m256i near = _mm256_sub_epi32(_mm256_setzero_si256(), far);
        const __m256i factor = _mm256_set1_epi32(by[r]);
        for (size_t j = 0; j < n; j += 8) {
            const __m256i k = lanes(n - j);
            const __m256i sum =
                _mm256_add_epi32(load(k, x + j, VISE_INT_SUM), _mm256_maskload_epi32(plus + j, k));
            const wide p = times(clamp(sum, near, far), (wide){factor, factor});
            store(y + j, k, clamp(shift_all(p, BITS), least, most));
        }
    }
}

static void lut(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                const vise_int_table *t)
{
    const __m256i base = _mm256_set1_epi32(t->first), zero = _mm256_setzero_si256();
    const __m256i last = _mm256_set1_epi32((int)t->count - 1);
    const __m256i most = _mm256_set1_epi32(VISE_INT_MOST),
                  least = _mm256_set1_epi32(-VISE_INT_MOST);
    const __m256i gain = _mm256_set1_epi32(t->gain), on = _mm256_set1_epi32(t->gain ? -1 : 0);
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j += 8) {
            const __m256i k = lanes(n - j);
            const __m256i v = load(k, x + j, VISE_INT_SUM), i = _mm256_sub_epi32(v, base);
            const __m256 in = _mm256_i32gather_ps(t->value, clamp(i, zero, last), 4);
            const __m256i more = clamp(_mm256_mullo_epi32(v, gain), least, most);
            const __m256i out = _mm256_and_si256(_mm256_cmpgt_epi32(i, last), on);
            _mm256_maskstore_ps(
                y + j, k, _mm256_blendv_ps(in, _mm256_cvtepi32_ps(more), _mm256_castsi256_ps(out)));
        }
}

INLINE int32_t largest(__m256i x)
{
    int32_t v[8], most;
    _mm256_storeu_si256((__m256i *)v, x);
    most = v[0];
    for (size_t i = 1; i < 8; i++)
        most = v[i] > most ? v[i] : most;
    return most;
}

INLINE int32_t total(__m256i x)
{
    int32_t v[8], sum = 0;
    _mm256_storeu_si256((__m256i *)v, x);
    for (size_t i = 0; i < 8; i++)
        sum += v[i];
    return sum;
}

/* The low bytes of eight numbers from 0 to 255. */
INLINE uint64_t bytes(__m256i x)
{
    const __m256i low =
        _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i quads = _mm256_shuffle_epi8(x, low);
    const __m256i both =
        _mm256_permutevar8x32_epi32(quads, _mm256_setr_epi32(0, 4, 1, 1, 1, 1, 1, 1));
    return (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(both));
}

/* One row of scores as probabilities; returns their sum. d is limited, so that d step has 31 bits. */
INLINE int32_t probabilities(uint8_t *q, const float *x, size_t n, const vise_int_softmax *t,
                             uint8_t flip)
{
    const int32_t last = (int32_t)t->n - 1;
    const __m256i step = _mm256_set1_epi32(t->step), end = _mm256_set1_epi32(last);
    const __m256i reach = _mm256_set1_epi32((last << VISE_INT_STEP_BITS) / t->step);
    const __m256i half = _mm256_set1_epi32(1 << (VISE_INT_STEP_BITS - 1));
    const __m256i least = _mm256_set1_epi32(-VISE_INT_SUM), zero = _mm256_setzero_si256();
    const uint64_t code = 0x8181818181818181u, sign = 0x0101010101010101u * flip; // -127 = 129
    __m256i max = least, sum = zero;
    for (size_t j = 0; j < n; j += 8) {
        const __m256i k = lanes(n - j), v = load(k, x + j, VISE_INT_SUM);
        max = _mm256_max_epi32(max, _mm256_blendv_epi8(least, v, k));
    }
    max = _mm256_set1_epi32(largest(max));
    for (size_t j = 0; j < n; j += 8) {
        const __m256i k = lanes(n - j), d = _mm256_sub_epi32(max, load(k, x + j, VISE_INT_SUM));
        const __m256i at = _mm256_mullo_epi32(_mm256_min_epi32(d, reach), step);
        const __m256i i = _mm256_srli_epi32(_mm256_add_epi32(at, half), VISE_INT_STEP_BITS);
        const __m256i e = _mm256_mask_i32gather_epi32(
            zero, t->table, _mm256_and_si256(_mm256_min_epi32(i, end), k), k, 4);
        // bytes + 129 without carries: the low bits and the high ones apart
        const uint64_t p = bytes(e),
                       low = (p & ~0x8080808080808080u) + (code & ~0x8080808080808080u);
        const uint64_t codes = (low ^ ((p ^ code) & 0x8080808080808080u)) ^ sign;
        memcpy(q + j, &codes, n - j < 8 ? n - j : 8);
        sum = _mm256_add_epi32(sum, e);
    }
    return total(sum);
}

static void softmax(uint8_t *q, size_t ldq, size_t npad, int32_t *sum, const float *x, size_t ldx,
                    size_t rows, size_t n, const vise_int_softmax *t, uint8_t flip)
{
    for (size_t r = 0; r < rows; r++, q += ldq, x += ldx) {
        sum[r] = probabilities(q, x, n, t, flip);
        memset(q + n, flip, npad - n);
    }
}

/* ---- layernorm ---- */

INLINE int64_t total64(__m256i x)
{
    int64_t v[4];
    _mm256_storeu_si256((__m256i *)v, x);
    return v[0] + v[1] + v[2] + v[3];
}

/* 64 bits of the even lanes, with their signs. */
INLINE __m256i even_signed(__m256i x)
{
    return _mm256_mul_epi32(x, _mm256_set1_epi32(1));
}

INLINE int64_t sum_of(const float *x, size_t n)
{
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < n; j += 8) {
        const __m256i v = load(lanes(n - j), x + j, VISE_INT_MOST);
        sum = _mm256_add_epi64(sum, even_signed(v));
        sum = _mm256_add_epi64(sum, even_signed(odd_lanes(v)));
    }
    return total64(sum);
}

INLINE int64_t squares_of(const float *x, size_t n, __m256i mean)
{
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < n; j += 8) {
        const __m256i k = lanes(n - j);
        const __m256i d =
            _mm256_and_si256(_mm256_sub_epi32(load(k, x + j, VISE_INT_MOST), mean), k);
        const wide p = times(d, (wide){d, odd_lanes(d)});
        sum = _mm256_add_epi64(sum, _mm256_add_epi64(p.even, p.odd));
    }
    return total64(sum);
}

INLINE void normalise(float *y, const float *x, size_t n, __m256i mean, vise_int_recip root,
                      const vise_int_layernorm *p)
{
    const __m256i r = _mm256_set1_epi32(root.r), lo = _mm256_set1_epi32(p->lo);
    const __m256i hi = _mm256_set1_epi32(p->hi);
    const __m128i up = _mm_cvtsi32_si128(p->shift - VISE_INT_BIAS_BITS);
    for (size_t j = 0; j < n; j += 8) {
        const __m256i k = lanes(n - j);
        const __m256i d = _mm256_sub_epi32(load(k, x + j, VISE_INT_MOST), mean);
        const __m256i w = _mm256_maskload_epi32(p->w + j, k),
                      b = _mm256_maskload_epi32(p->b + j, k);
        const __m256i u = shift_all(times(d, (wide){r, r}), root.bits);
        wide v = times(u, (wide){w, odd_lanes(w)});
        v.even = _mm256_add_epi64(v.even, _mm256_sll_epi64(even_signed(b), up));
        v.odd = _mm256_add_epi64(v.odd, _mm256_sll_epi64(even_signed(odd_lanes(b)), up));
        store(y + j, k, clamp(shift_all(v, p->shift), lo, hi));
    }
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                      const vise_int_layernorm *p)
{
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        const __m256i m = _mm256_set1_epi32(vise_int_mean(sum_of(x, n), n));
        normalise(y, x, n, m, vise_int_rsqrt(squares_of(x, n, m) + p->eps), p);
    }
}

void vise_fixed_avx2(vise_fixed_kern *k)
{
    *k = (vise_fixed_kern){requant, add, ratio, lut, softmax, layernorm};
}
