/* kern_neon_codes.c - packed codes to bytes: tbl knows up to 64 levels
 * SPDX-License-Identifier: MIT */
#include "kern/arm/neon.h"

enum { LANES = 16, BLOCK = 8 * LANES };

/* Codes | the bits of row r of a plane, at bit `first` of each byte. */
INLINE uint8x16_t add_bits(uint8x16_t code, const uint8_t *plane, size_t width, size_t r,
                           size_t first)
{
    const int at = (int)(r * width % 8), to = (int)first;
    const uint8x16_t mask = vdupq_n_u8((uint8_t)(((1u << width) - 1) << first));
    const uint8x16_t x = vld1q_u8(plane + r * width / 8 * LANES);
    const uint8x16_t bits = vandq_u8(vshlq_u8(x, vdupq_n_s8((int8_t)(to - at))), mask);
    return first ? vorrq_u8(code, bits) : bits;
}

/* Row r of a block. */
INLINE uint8x16_t codes_of(const uint8_t *block, size_t bits, size_t r)
{
    uint8x16_t code = vdupq_n_u8(0);
    if (bits & 4) code = add_bits(code, block, 4, r, 0);
    if (bits & 2) code = add_bits(code, block + bits / 4 * 4 * LANES, 2, r, bits / 4 * 4);
    if (bits & 1) code = add_bits(code, block + bits / 2 * 2 * LANES, 1, r, bits / 2 * 2);
    return code;
}

INLINE int8x16_t look(const int8x16x4_t *t, size_t bits, uint8x16_t code)
{
    const int8x16x2_t half = {{t->val[0], t->val[1]}};
    return bits < 5    ? vqtbl1q_s8(t->val[0], code)
           : bits == 5 ? vqtbl2q_s8(half, code)
                       : vqtbl4q_s8(*t, code);
}

/* The multipliers of the bytes of a block's rows: columns have `unit` bytes each, and come again after
 * nr of them. */
static inline void multipliers_at(int8x16_t m[8], const vise_expand *x, size_t group)
{
    uint8_t mult[16] = {0}, lane[LANES];
    memcpy(mult, x->mult + group * x->nr, x->nr);
    for (size_t i = 0; i < LANES; i++)
        lane[i] = (uint8_t)(i / x->unit);
    for (size_t r = 0; r < 8; r++) {
        const uint8x16_t from = vdupq_n_u8((uint8_t)(r * LANES / x->unit % x->nr));
        const uint8x16_t v = vqtbl1q_u8(vld1q_u8(mult), vaddq_u8(from, vld1q_u8(lane)));
        m[r] = vreinterpretq_s8_u8(v);
    }
}

INLINE void expand_as(size_t bits, bool mult, const vise_expand *x)
{
    const int8x16x4_t t = {{vld1q_s8(x->codes->levels), vld1q_s8(x->codes->levels + 16),
                            vld1q_s8(x->codes->levels + 32), vld1q_s8(x->codes->levels + 48)}};
    const uint8_t *in = x->blocks + x->from * bits * LANES;
    const size_t per = x->codes->group * x->nr / BLOCK; // blocks of a group
    int8_t *out = x->out;
    for (size_t b = x->from, end; b < x->to; b = end) { // up to the end of a group
        int8x16_t m[8];
        end = x->to;
        if (mult) {
            multipliers_at(m, x, b / per);
            end = least(b / per * per + per, end);
        }
        for (size_t i = b; i < end; i++, in += bits * LANES, out += BLOCK)
            for (size_t r = 0; r < 8; r++) {
                int8x16_t v = look(&t, bits, codes_of(in, bits, r));
                if (mult) v = vmulq_s8(v, m[r]);
                vst1q_s8(out + r * LANES, v);
            }
    }
}

#define EXPAND(bits)                                                                               \
    case bits:                                                                                     \
        if (x->codes->group)                                                                       \
            expand_as(bits, true, x);                                                              \
        else                                                                                       \
            expand_as(bits, false, x);                                                             \
        break;

static void expand(const vise_expand *x)
{
    switch (x->codes->bits) {
        EXPAND(2)
        EXPAND(3)
        EXPAND(4)
        EXPAND(5)
        EXPAND(6)
    }
}

/* Floats are looked up byte by byte: four tables of 64, of the first bytes of all, the second, ... */
static void look_up(float *out, const uint8_t *codes, const float *book, size_t bits,
                    const float *scale, size_t rows, size_t nr)
{
    enum { NR = 8 };
    uint8_t plane[4][64] = {0};
    uint8x16x4_t t[4];
    assert(nr == NR);
    for (size_t i = 0; i < (size_t)4 << bits; i++)
        plane[i % 4][i / 4] = ((const uint8_t *)book)[i];
    for (size_t b = 0; b < 4; b++)
        t[b] = vld1q_u8_x4(plane[b]);
    const float32x4_t by[2] = {vld1q_f32(scale), vld1q_f32(scale + 4)};
    size_t i = 0;
    for (; i + 16 <= rows * NR; i += 16) {
        const uint8x16_t code = vld1q_u8(codes + i);
        uint8x16x4_t x;
        for (size_t b = 0; b < 4; b++)
            x.val[b] = vqtbl4q_u8(t[b], code);
        uint8_t bytes[64];
        vst4q_u8(bytes, x); // interleaved: 16 floats
        for (size_t q = 0; q < 4; q++) {
            const float32x4_t v = vreinterpretq_f32_u8(vld1q_u8(bytes + 16 * q));
            vst1q_f32(out + i + 4 * q, vmulq_f32(v, by[q % 2]));
        }
    }
    for (; i < rows * NR; i++)
        out[i] = book[codes[i]] * scale[i % NR];
}

void vise_kern_neon_codes(vise_kern *k)
{
    k->look_up = look_up;
    k->gemm_codes = (vise_gemm_codes){.lanes = LANES, .run = vise_codes_run, .expand = expand};
}
