/* kern_avx512_codes.c - packed codes to bytes for AVX-512
 * SPDX-License-Identifier: MIT */
#include "kern/x86/codes512.h"

#include <assert.h>

/* vpshufb knows 16 levels, and gives 0 where the highest bit of a code is set. So from the last 16
 * levels on, XOR leads from each 16 to those before, for codes below them: table [0] is the last 16,
 * [i] leads from 16 i on to 16 (i - 1) on. */
X512_INLINE size_t steps_of(size_t bits)
{
    return bits < 5 ? 0 : bits == 5 ? 1 : 3;
}

X512_INLINE x512_levels levels_of(const vise_codes *c, size_t bits, int8_t less)
{
    const __m512i all = _mm512_sub_epi8(_mm512_loadu_si512(c->levels), _mm512_set1_epi8(less));
    const __m512i part[4] = {
        _mm512_shuffle_i32x4(all, all, 0x00), _mm512_shuffle_i32x4(all, all, 0x55),
        _mm512_shuffle_i32x4(all, all, 0xaa), _mm512_shuffle_i32x4(all, all, 0xff)};
    x512_levels t;
    t.table[0] = part[steps_of(bits)];
    for (size_t i = 1; i <= steps_of(bits); i++)
        t.table[i] = _mm512_xor_si512(part[i - 1], part[i]);
    return t;
}

X512_INLINE __m512i look(const x512_levels *t, size_t bits, __m512i codes)
{
    __m512i x = _mm512_shuffle_epi8(t->table[0], codes);
    X512_UNROLL
    for (size_t i = 1; i <= steps_of(bits); i++) {
        const __m512i below = _mm512_add_epi8(codes, _mm512_set1_epi8((char)(0x80 - 16 * i)));
        x = _mm512_xor_si512(x, _mm512_shuffle_epi8(t->table[i], below));
    }
    return x;
}

static void expand(const vise_expand *x)
{
    static const x512_look how = {levels_of, look, false};
    x512_expand(&how, x);
}

/* Floats from `first` on, 16 at most, of n; zeros behind them. */
X512_INLINE __m512 some_floats(const float *x, size_t n, size_t first)
{
    if (n <= first) return _mm512_setzero_ps();
    const unsigned mask = n - first < 16 ? (1u << (n - first)) - 1 : 0xffff;
    return _mm512_maskz_loadu_ps((__mmask16)mask, x + first);
}

/* Of 64 floats two registers are looked up in each half, and the highest bit of the code chooses. */
static void look_up(float *out, const uint8_t *codes, const float *book, size_t bits,
                    const float *scale, size_t rows, size_t nr)
{
    const size_t n = (size_t)1 << bits;
    const __m512 a = some_floats(book, n, 0), b = some_floats(book, n, 16),
                 c = some_floats(book, n, 32), d = some_floats(book, n, 48);
    assert(nr % 16 == 0);
    for (size_t q = 0; q < nr; q += 16) {
        const __m512 by = _mm512_loadu_ps(scale + q);
        for (size_t p = 0; p < rows; p++) {
            const __m512i code = _mm512_cvtepu8_epi32(
                _mm_loadu_si128((const __m128i *)(const void *)(codes + p * nr + q)));
            __m512 x = _mm512_permutex2var_ps(a, code, b);
            if (bits > 5) {
                const __mmask16 high = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32));
                x = _mm512_mask_blend_ps(high, x, _mm512_permutex2var_ps(c, code, d));
            }
            _mm512_storeu_ps(out + p * nr + q, _mm512_mul_ps(x, by));
        }
    }
}

void vise_kern_avx512_codes(vise_kern *k)
{
    k->look_up = look_up;
    k->gemm_codes = (vise_gemm_codes){.lanes = 64, .run = vise_codes_run, .expand = expand};
}
