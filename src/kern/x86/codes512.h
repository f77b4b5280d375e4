/* codes512.h - packed codes to bytes, 512 bits at a time
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_CODES512_H
#define VISE_KERN_X86_CODES512_H

#include "kern/x86/avx512.h"

enum {
    X512_BLOCK = 8 * 64,              // bytes of an expanded block
    X512_DEEP = X512_BLOCK / X512_NR, // its elements along k
};

/* The level of every code: 64 of them, 16 in each vector, repeated. */
typedef struct x512_levels {
    __m512i part[4], all;
} x512_levels;
typedef __m512i x512_look_fn(const x512_levels *t, size_t bits, __m512i codes);

/* With `offset`, levels + 128. */
X512_INLINE x512_levels x512_levels_of(const vise_codes *c, bool offset)
{
    const __m512i flip = _mm512_set1_epi8((char)(offset ? 0x80 : 0));
    x512_levels t = {.all = _mm512_xor_si512(_mm512_loadu_si512(c->levels), flip)};
    t.part[0] = _mm512_shuffle_i32x4(t.all, t.all, 0x00);
    t.part[1] = _mm512_shuffle_i32x4(t.all, t.all, 0x55);
    t.part[2] = _mm512_shuffle_i32x4(t.all, t.all, 0xaa);
    t.part[3] = _mm512_shuffle_i32x4(t.all, t.all, 0xff);
    return t;
}

/* Codes | the bits of row r of a plane, at bit `first` of each byte. */
X512_INLINE __m512i x512_add_bits(__m512i codes, const uint8_t *plane, size_t width, size_t r,
                                  size_t first)
{
    const unsigned at = r * width % 8;
    const __m512i mask = _mm512_set1_epi8((char)(((1u << width) - 1) << first));
    __m512i x = _mm512_loadu_si512(plane + r * width / 8 * 64);
    if (at > first) x = _mm512_srli_epi16(x, at - (unsigned)first);
    if (at < first) x = _mm512_slli_epi16(x, (unsigned)first - at);
    return first ? _mm512_ternarylogic_epi64(codes, x, mask, 0xf8) : _mm512_and_si512(x, mask);
}

/* Row r of a block. */
X512_INLINE __m512i x512_codes(const uint8_t *block, size_t bits, size_t r)
{
    __m512i codes = _mm512_setzero_si512();
    if (bits & 4) codes = x512_add_bits(codes, block, 4, r, 0);
    if (bits & 2) codes = x512_add_bits(codes, block + bits / 4 * 4 * 64, 2, r, bits / 4 * 4);
    if (bits & 1) codes = x512_add_bits(codes, block + bits / 2 * 2 * 64, 1, r, bits / 2 * 2);
    return codes;
}

/* Multipliers of a group, for columns 0 and 16 on. Bytes are multiplied in pairs: with
 * W = (a + 128) + 256 (b + 128), W m + 128 - 0x8080 m = (a m + 128) + 256 b m, whose low byte does not
 * reach into its high byte. */
typedef struct x512_mult {
    __m512i by[2], plus[2];
} x512_mult;

X512_INLINE x512_mult x512_mult_at(const uint8_t *mult)
{
    x512_mult m;
    for (size_t h = 0; h < 2; h++) {
        const __m512i x =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(mult + 16 * h)));
        m.by[h] = _mm512_or_si512(x, _mm512_slli_epi32(x, 16));
        m.plus[h] = _mm512_sub_epi16(_mm512_set1_epi16(128),
                                     _mm512_mullo_epi16(m.by[h], _mm512_set1_epi16(-0x7f80)));
    }
    return m;
}

#define X512_EXPAND_ROW(r)                                                                         \
    {                                                                                              \
        __m512i v = look(&t, bits, x512_codes(in, bits, r));                                       \
        if (mult)                                                                                  \
            v = _mm512_xor_si512(                                                                  \
                _mm512_add_epi16(_mm512_mullo_epi16(v, m.by[(r) % 2]), m.plus[(r) % 2]),           \
                _mm512_set1_epi16(128));                                                           \
        _mm512_store_si512(out + 64 * (r), v);                                                     \
    }

X512_INLINE void x512_expand_as(size_t bits, bool mult, x512_look_fn *look, const vise_expand *x)
{
    const x512_levels t = x512_levels_of(x->codes, mult);
    const uint8_t *in = x->blocks + x->from * bits * 64;
    const size_t per = x->codes->group / X512_DEEP;
    int8_t *out = x->out;
    for (size_t b = x->from, end; b < x->to; b = end) { // up to the end of a group
        x512_mult m;
        end = x->to;
        if (mult) {
            m = x512_mult_at(x->mult + b / per * X512_NR);
            end = b / per * per + per < end ? b / per * per + per : end;
        }
        for (size_t i = b; i < end; i++, in += bits * 64, out += X512_BLOCK) {
            X512_EXPAND_ROW(0)
            X512_EXPAND_ROW(1)
            X512_EXPAND_ROW(2)
            X512_EXPAND_ROW(3)
            X512_EXPAND_ROW(4)
            X512_EXPAND_ROW(5)
            X512_EXPAND_ROW(6)
            X512_EXPAND_ROW(7)
        }
    }
}

#define X512_EXPAND_CASE(bits)                                                                     \
    case bits:                                                                                     \
        if (x->codes->group)                                                                       \
            x512_expand_as(bits, true, look, x);                                                   \
        else                                                                                       \
            x512_expand_as(bits, false, look, x);                                                  \
        break;

/* vise_gemm_codes.expand, with a way to look up levels. */
X512_INLINE void x512_expand(x512_look_fn *look, const vise_expand *x)
{
    switch (x->codes->bits) {
        X512_EXPAND_CASE(2)
        X512_EXPAND_CASE(3)
        X512_EXPAND_CASE(4)
        X512_EXPAND_CASE(5)
        X512_EXPAND_CASE(6)
    }
}

#endif
