/* fixed_avx512.c - the integer kernels for AVX-512
 * SPDX-License-Identifier: MIT */
#include "kern/fixed.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __mmask16 lanes(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* Sixteen numbers as integers in [-most, most]; NaN is most. */
INLINE __m512i ints(__m512 x, float most)
{
    const __m512 m = _mm512_set1_ps(most);
    const __m512 low = _mm512_min_ps(x, m); // of a NaN the second operand
    return _mm512_cvttps_epi32(_mm512_max_ps(low, _mm512_set1_ps(-most)));
}

INLINE __m512i load(__mmask16 k, const float *x, float most)
{
    return ints(_mm512_maskz_loadu_ps(k, x), most);
}

/* Products of 32 bits have 64: of the even lanes, and of the odd ones. */
typedef struct wide {
    __m512i even, odd;
} wide;

INLINE __m512i odd_lanes(__m512i x)
{
    return _mm512_srli_epi64(x, 32);
}

INLINE wide times(__m512i a, wide b)
{
    return (wide){_mm512_mul_epi32(a, b.even), _mm512_mul_epi32(odd_lanes(a), b.odd)};
}

INLINE wide add_all(wide a, __m512i b)
{
    return (wide){_mm512_add_epi64(a.even, b), _mm512_add_epi64(a.odd, b)};
}

INLINE wide shift_all(wide a, __m128i bits)
{
    return (wide){_mm512_sra_epi64(a.even, bits), _mm512_sra_epi64(a.odd, bits)};
}

/* Back to 32 bits, which the numbers fit. */
INLINE __m512i narrow(wide a)
{
    return _mm512_mask_blend_epi32(0xaaaa, a.even, _mm512_slli_epi64(a.odd, 32));
}

INLINE __m512i clamp(__m512i x, __m512i lo, __m512i hi)
{
    return _mm512_min_epi32(_mm512_max_epi32(x, lo), hi);
}

INLINE __m512i half_of(__m512i shift)
{
    return _mm512_sllv_epi64(_mm512_set1_epi64(1), _mm512_sub_epi64(shift, _mm512_set1_epi64(1)));
}

/* The largest number that shift leaves below 2^31: beyond it, mult >= 2^23 makes more than any clamp
 * lets through. */
INLINE __m512i reach_of(__m512i shift)
{
    const __m512i bits =
        _mm512_min_epi32(_mm512_add_epi32(shift, _mm512_set1_epi32(7)), _mm512_set1_epi32(31));
    const __m512i one = _mm512_set1_epi32(1);
    return _mm512_sub_epi32(_mm512_sllv_epi32(one, bits), one); // 31 bits: 2^31 - 1
}

static void requant(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                    const vise_requant *q)
{
    const __m512i lo = _mm512_set1_epi32(q->lo), hi = _mm512_set1_epi32(q->hi);
    const __m512i low32 = _mm512_set1_epi64(0xffffffff);
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = lanes(n - j);
        const __m512i bias = _mm512_maskz_loadu_epi32(k, q->bias + j);
        const __m512i m = _mm512_maskz_loadu_epi32(k, q->mult + j);
        const __m512i s = _mm512_maskz_loadu_epi32(k, q->shift + j);
        const wide mult = {m, odd_lanes(m)}, shift = {_mm512_and_si512(s, low32), odd_lanes(s)};
        const wide half = {half_of(shift.even), half_of(shift.odd)};
        const __m512i far = reach_of(s), near = _mm512_sub_epi32(_mm512_setzero_si512(), far);
        for (size_t r = 0; r < rows; r++) {
            const __m512i v = _mm512_add_epi32(load(k, x + r * ldx + j, VISE_INT_SUM), bias);
            wide p = times(clamp(v, near, far), mult);
            p.even = _mm512_srav_epi64(_mm512_add_epi64(p.even, half.even), shift.even);
            p.odd = _mm512_srav_epi64(_mm512_add_epi64(p.odd, half.odd), shift.odd);
            _mm512_mask_storeu_ps(y + r * ldy + j, k, _mm512_cvtepi32_ps(clamp(narrow(p), lo, hi)));
        }
    }
}

static void add(float *y, size_t ldy, const float *a, size_t lda, const float *b, size_t ldb,
                size_t rows, size_t n, int32_t lo, int32_t hi)
{
    const __m512i l = _mm512_set1_epi32(lo), h = _mm512_set1_epi32(hi);
    for (size_t r = 0; r < rows; r++, y += ldy, a += lda, b += ldb)
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 k = lanes(n - j);
            const __m512i sum =
                _mm512_add_epi32(load(k, a + j, VISE_INT_MOST), load(k, b + j, VISE_INT_MOST));
            _mm512_mask_storeu_ps(y + j, k, _mm512_cvtepi32_ps(clamp(sum, l, h)));
        }
}

static void ratio(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const int32_t *plus, const int32_t *by)
{
    enum { BITS = 36 - VISE_INT_RATIO_BITS };
    const __m512i half = _mm512_set1_epi64(1 << (BITS - 1));
    const __m512i most = _mm512_set1_epi64(VISE_INT_MOST),
                  least = _mm512_set1_epi64(-VISE_INT_MOST);
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        const __m512i factor = _mm512_set1_epi32(by[r]);
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 k = lanes(n - j);
            const __m512i sum = _mm512_add_epi32(load(k, x + j, VISE_INT_SUM),
                                                 _mm512_maskz_loadu_epi32(k, plus + j));
            wide p = shift_all(add_all(times(sum, (wide){factor, factor}), half),
                               _mm_cvtsi32_si128(BITS));
            p.even = _mm512_min_epi64(_mm512_max_epi64(p.even, least), most);
            p.odd = _mm512_min_epi64(_mm512_max_epi64(p.odd, least), most);
            _mm512_mask_storeu_ps(y + j, k, _mm512_cvtepi32_ps(narrow(p)));
        }
    }
}

static void lut(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                const vise_int_table *t)
{
    const __m512i base = _mm512_set1_epi32(t->first), zero = _mm512_setzero_si512();
    const __m512i last = _mm512_set1_epi32((int)t->count - 1);
    const __m512i most = _mm512_set1_epi32(VISE_INT_MOST),
                  least = _mm512_set1_epi32(-VISE_INT_MOST);
    const __m512i gain = _mm512_set1_epi32(t->gain);
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 k = lanes(n - j);
            const __m512i v = load(k, x + j, VISE_INT_SUM), i = _mm512_sub_epi32(v, base);
            const __m512 in = _mm512_i32gather_ps(clamp(i, zero, last), t->value, 4);
            const __m512i more = clamp(_mm512_mullo_epi32(v, gain), least, most);
            const __mmask16 out = t->gain ? _mm512_cmpgt_epi32_mask(i, last) : 0;
            _mm512_mask_storeu_ps(y + j, k, _mm512_mask_cvtepi32_ps(in, out, more));
        }
}

/* One row of scores as probabilities; returns their sum. The table is in reach of d step: both are
 * limited, so that their product has 31 bits. */
INLINE int32_t probabilities(uint8_t *q, const float *x, size_t n, const vise_int_softmax *t,
                             uint8_t flip)
{
    const int32_t last = (int32_t)t->n - 1;
    const __m512i step = _mm512_set1_epi32(t->step), end = _mm512_set1_epi32(last);
    const __m512i reach = _mm512_set1_epi32((last << VISE_INT_STEP_BITS) / t->step);
    const __m512i half = _mm512_set1_epi32(1 << (VISE_INT_STEP_BITS - 1));
    const __m128i sign = _mm_set1_epi8((char)flip);
    __m512i max = _mm512_set1_epi32(-VISE_INT_SUM), sum = _mm512_setzero_si512();
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = lanes(n - j);
        max = _mm512_mask_max_epi32(max, k, max, load(k, x + j, VISE_INT_SUM));
    }
    max = _mm512_set1_epi32(_mm512_reduce_max_epi32(max));
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = lanes(n - j);
        const __m512i d = _mm512_sub_epi32(max, load(k, x + j, VISE_INT_SUM));
        const __m512i at = _mm512_mullo_epi32(_mm512_min_epi32(d, reach), step);
        const __m512i i = _mm512_srli_epi32(_mm512_add_epi32(at, half), VISE_INT_STEP_BITS);
        const __m512i e = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), k,
                                                      _mm512_min_epi32(i, end), t->table, 4);
        const __m512i code = _mm512_sub_epi32(e, _mm512_set1_epi32(127));
        _mm_mask_storeu_epi8(q + j, k, _mm_xor_si128(_mm512_cvtepi32_epi8(code), sign));
        sum = _mm512_add_epi32(sum, e);
    }
    return _mm512_reduce_add_epi32(sum);
}

static void softmax(uint8_t *q, size_t ldq, size_t npad, int32_t *sum, const float *x, size_t ldx,
                    size_t rows, size_t n, const vise_int_softmax *t, uint8_t flip)
{
    for (size_t r = 0; r < rows; r++, q += ldq, x += ldx) {
        sum[r] = probabilities(q, x, n, t, flip);
        for (size_t j = n; j < npad; j++)
            q[j] = flip;
    }
}

/* ---- layernorm ---- */

INLINE int64_t sum_of(const float *x, size_t n)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t j = 0; j < n; j += 16) {
        const __m512i v = load(lanes(n - j), x + j, VISE_INT_MOST);
        sum = _mm512_add_epi64(sum, _mm512_srai_epi64(v, 32));
        sum = _mm512_add_epi64(sum, _mm512_srai_epi64(_mm512_slli_epi64(v, 32), 32));
    }
    return _mm512_reduce_add_epi64(sum);
}

INLINE int64_t squares_of(const float *x, size_t n, __m512i mean)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = lanes(n - j);
        const __m512i d = _mm512_maskz_sub_epi32(k, load(k, x + j, VISE_INT_MOST), mean);
        const wide p = times(d, (wide){d, odd_lanes(d)});
        sum = _mm512_add_epi64(sum, _mm512_add_epi64(p.even, p.odd));
    }
    return _mm512_reduce_add_epi64(sum);
}

INLINE void normalise(float *y, const float *x, size_t n, __m512i mean, vise_int_recip root,
                      const vise_int_layernorm *p)
{
    const __m512i r = _mm512_set1_epi32(root.r), lo = _mm512_set1_epi32(p->lo);
    const __m512i hi = _mm512_set1_epi32(p->hi);
    const __m512i half_u = _mm512_set1_epi64((int64_t)1 << (root.bits - 1));
    const __m512i half = _mm512_set1_epi64((int64_t)1 << (p->shift - 1));
    const __m128i bits_u = _mm_cvtsi32_si128(root.bits), bits = _mm_cvtsi32_si128(p->shift);
    const __m128i up = _mm_cvtsi32_si128(p->shift - VISE_INT_BIAS_BITS);
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = lanes(n - j);
        const __m512i d = _mm512_sub_epi32(load(k, x + j, VISE_INT_MOST), mean);
        const __m512i w = _mm512_maskz_loadu_epi32(k, p->w + j);
        const __m512i b = _mm512_maskz_loadu_epi32(k, p->b + j);
        const wide u = shift_all(add_all(times(d, (wide){r, r}), half_u), bits_u);
        const __m512i low = _mm512_srai_epi64(_mm512_slli_epi64(b, 32), 32);
        wide v = {_mm512_mul_epi32(u.even, w), _mm512_mul_epi32(u.odd, odd_lanes(w))};
        v.even = _mm512_add_epi64(v.even, _mm512_sll_epi64(low, up));
        v.odd = _mm512_add_epi64(v.odd, _mm512_sll_epi64(_mm512_srai_epi64(b, 32), up));
        v = shift_all(add_all(v, half), bits);
        _mm512_mask_storeu_ps(y + j, k, _mm512_cvtepi32_ps(clamp(narrow(v), lo, hi)));
    }
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                      const vise_int_layernorm *p)
{
    for (size_t r = 0; r < rows; r++, y += ldy, x += ldx) {
        const int32_t mean = vise_int_mean(sum_of(x, n), n);
        const __m512i m = _mm512_set1_epi32(mean);
        normalise(y, x, n, m, vise_int_rsqrt(squares_of(x, n, m) + p->eps), p);
    }
}

void vise_fixed_avx512(vise_fixed_kern *k)
{
    *k = (vise_fixed_kern){requant, add, ratio, lut, softmax, layernorm};
}
