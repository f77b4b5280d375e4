/* codes512.h - packed codes to bytes, 512 bits at a time
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_CODES512_H
#define VISE_KERN_X86_CODES512_H

#include "kern/x86/avx512.h"

enum {
    X512_BLOCK = 8 * 64,              // bytes of an expanded block
    X512_DEEP = X512_BLOCK / X512_NR, // its elements along k
    X512_FETCH = 8192,                // bytes from codes that are read to those that are fetched
};

/* How levels are looked up: the tables that it takes, and the levels of codes. `less` is subtracted
 * from all of them. stray: higher bits of a byte of codes may be anything. */
typedef struct x512_levels {
    __m512i table[4];
} x512_levels;
typedef struct x512_look {
    x512_levels (*levels)(const vise_codes *c, size_t bits, int8_t less);
    __m512i (*look)(const x512_levels *t, size_t bits, __m512i codes);
    bool stray;
} x512_look;

/* Row r of a plane, whose bits come to lie at bit `first` of each byte. */
X512_INLINE __m512i x512_bits(const uint8_t *plane, size_t width, size_t r, size_t first)
{
    const unsigned at = r * width % 8, to = (unsigned)first;
    const __m512i x = _mm512_loadu_si512(plane + r * width / 8 * 64);
    return at > to ? _mm512_srli_epi16(x, at - to) : at < to ? _mm512_slli_epi16(x, to - at) : x;
}

/* Row r of a block: two planes at most. */
X512_INLINE __m512i x512_codes(const uint8_t *block, size_t bits, size_t r, bool stray)
{
    const size_t width = bits < 4 ? 2 : 4, rest = bits - width;
    const __m512i low = x512_bits(block, width, r, 0);
    const __m512i mask = _mm512_set1_epi8((char)((1u << width) - 1));
    const __m512i codes = stray ? low : _mm512_and_si512(low, mask);
    if (!rest) return codes;
    const __m512i high = x512_bits(block + width * 64, rest, r, width);
    const __m512i of_high = _mm512_set1_epi8((char)(((1u << rest) - 1) << width));
    return _mm512_ternarylogic_epi64(of_high, high, codes, 0xca); // of_high ? high : codes
}

/* Multipliers of a group, for columns 0 and 16 on. Bytes are multiplied in pairs: levels less the
 * least one are not negative, and a product with a multiplier stays below 256, so that it does not reach
 * into the next byte. Then the multiplied least level is added. */
typedef struct x512_mult {
    __m512i by[2], plus[2];
} x512_mult;

X512_INLINE x512_mult x512_mult_at(const uint8_t *mult, int8_t least)
{
    const __m512i twice = _mm512_set1_epi32(0x00010001), bytes = _mm512_set1_epi32(0x01010101);
    const __m512i by = _mm512_set1_epi32((uint8_t)least);
    x512_mult m;
    for (size_t h = 0; h < 2; h++) {
        const __m512i x =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(mult + 16 * h)));
        const __m512i low = _mm512_and_si512(_mm512_mullo_epi16(x, by), _mm512_set1_epi32(255));
        m.by[h] = _mm512_mullo_epi32(x, twice);
        m.plus[h] = _mm512_mullo_epi32(low, bytes);
    }
    return m;
}

#define X512_EXPAND_ROW(r)                                                                         \
    {                                                                                              \
        __m512i v = how->look(&t, bits, x512_codes(in, bits, r, how->stray));                      \
        if (mult) {                                                                                \
            v = _mm512_mullo_epi16(v, m.by[(r) % 2]);                                              \
            v = _mm512_add_epi8(v, m.plus[(r) % 2]);                                               \
        }                                                                                          \
        _mm512_store_si512(out + 64 * (r), v);                                                     \
    }

X512_INLINE void x512_expand_as(size_t bits, bool mult, const x512_look *how, const vise_expand *x)
{
    const int8_t least = x->codes->least;
    const x512_levels t = how->levels(x->codes, bits, mult ? least : 0);
    const uint8_t *in = x->blocks + x->from * bits * 64;
    const size_t per = x->codes->group / X512_DEEP;
    int8_t *out = x->out;
    for (size_t b = x->from, end; b < x->to; b = end) { // up to the end of a group
        x512_mult m;
        end = x->to;
        if (mult) {
            m = x512_mult_at(x->mult + b / per * X512_NR, least);
            end = b / per * per + per < end ? b / per * per + per : end;
        }
        for (size_t i = b; i < end; i++, in += bits * 64, out += X512_BLOCK) {
            for (size_t line = 0; line < bits; line++)
                _mm_prefetch((const char *)in + X512_FETCH + line * 64, _MM_HINT_T0);
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
            x512_expand_as(bits, true, how, x);                                                    \
        else                                                                                       \
            x512_expand_as(bits, false, how, x);                                                   \
        break;

/* vise_gemm_codes.expand, with a way to look up levels. */
X512_INLINE void x512_expand(const x512_look *how, const vise_expand *x)
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
