/* kern_avx2_codes.c - packed codes to bytes for AVX2
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx2.h"

#include <assert.h>

enum {
    LANES = 32,        // bytes of a vector
    NR = 32,           // columns of a panel: 8 in a vector
    BLOCK = 8 * LANES, // bytes of an expanded block
    DEEP = BLOCK / NR, // its elements along k
    FETCH = 8192,      // bytes from codes that are read to those that are fetched
};

/* Codes | the bits of row r of a plane, at bit `first` of each byte. */
AVX2_INLINE __m256i add_bits(__m256i codes, const uint8_t *plane, size_t width, size_t r,
                             size_t first)
{
    const int at = (int)(r * width % 8), to = (int)first;
    const __m256i mask = _mm256_set1_epi8((char)(((1u << width) - 1) << first));
    __m256i x = avx2_load_bytes(plane + r * width / 8 * LANES);
    if (at > to) x = _mm256_srli_epi16(x, at - to);
    if (at < to) x = _mm256_slli_epi16(x, to - at);
    x = _mm256_and_si256(x, mask);
    return first ? _mm256_or_si256(codes, x) : x;
}

/* Row r of a block. */
AVX2_INLINE __m256i codes_of(const uint8_t *block, size_t bits, size_t r)
{
    __m256i codes = _mm256_setzero_si256();
    if (bits & 4) codes = add_bits(codes, block, 4, r, 0);
    if (bits & 2) codes = add_bits(codes, block + bits / 4 * 4 * LANES, 2, r, bits / 4 * 4);
    if (bits & 1) codes = add_bits(codes, block + bits / 2 * 2 * LANES, 1, r, bits / 2 * 2);
    return codes;
}

/* vpshufb knows 16 levels, and gives 0 where the highest bit of a code is set. So from the last 16
 * levels on, XOR leads from each 16 to those before, for codes below them: step [0] is the last 16, [i]
 * leads from 16 i on to 16 (i - 1) on. */
typedef struct levels {
    __m256i step[4];
} levels;

/* Of levels from which `less` is subtracted. */
AVX2_INLINE levels levels_of(const vise_codes *c, size_t bits, int8_t less)
{
    const size_t last = bits < 5 ? 0 : bits == 5 ? 1 : 3;
    __m256i part[4];
    levels t;
    AVX2_UNROLL
    for (size_t i = 0; i <= last; i++)
        part[i] = _mm256_sub_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(
                                      (const __m128i *)(const void *)(c->levels + 16 * i))),
                                  _mm256_set1_epi8(less));
    t.step[0] = part[last];
    AVX2_UNROLL
    for (size_t i = 1; i <= last; i++)
        t.step[i] = _mm256_xor_si256(part[i - 1], part[i]);
    return t;
}

AVX2_INLINE __m256i look(const levels *t, size_t bits, __m256i codes)
{
    const size_t last = bits < 5 ? 0 : bits == 5 ? 1 : 3;
    __m256i x = _mm256_shuffle_epi8(t->step[0], codes);
    AVX2_UNROLL
    for (size_t i = 1; i <= last; i++) {
        const __m256i below = _mm256_add_epi8(codes, _mm256_set1_epi8((char)(0x80 - 16 * i)));
        x = _mm256_xor_si256(x, _mm256_shuffle_epi8(t->step[i], below));
    }
    return x;
}

/* Multipliers of a group, for 8 columns in each vector. Bytes are multiplied in pairs: levels less the
 * least one are not negative, and a product with a multiplier stays below 256, so that it does not reach
 * into the next byte. Then the multiplied least level is added. */
typedef struct multipliers {
    __m256i by[4], plus[4];
} multipliers;

AVX2_INLINE multipliers multipliers_at(const uint8_t *mult, int8_t least)
{
    const __m256i twice = _mm256_set1_epi32(0x00010001), bytes = _mm256_set1_epi32(0x01010101);
    const __m256i by = _mm256_set1_epi32((uint8_t)least);
    multipliers m;
    AVX2_UNROLL
    for (size_t h = 0; h < 4; h++) {
        const __m256i x =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(mult + 8 * h)));
        const __m256i low = _mm256_and_si256(_mm256_mullo_epi16(x, by), _mm256_set1_epi32(255));
        m.by[h] = _mm256_mullo_epi32(x, twice);
        m.plus[h] = _mm256_mullo_epi32(low, bytes);
    }
    return m;
}

AVX2_INLINE void expand_as(size_t bits, bool mult, const vise_expand *x)
{
    const int8_t least = x->codes->least;
    const levels t = levels_of(x->codes, bits, mult ? least : 0);
    const uint8_t *in = x->blocks + x->from * bits * LANES;
    const size_t per = x->codes->group / DEEP;
    int8_t *out = x->out;
    for (size_t b = x->from, end; b < x->to; b = end) { // up to the end of a group
        multipliers m;
        end = x->to;
        if (mult) {
            m = multipliers_at(x->mult + b / per * NR, least);
            end = b / per * per + per < end ? b / per * per + per : end;
        }
        for (size_t i = b; i < end; i++, in += bits * LANES, out += BLOCK) {
            for (size_t line = 0; line < (bits + 1) / 2; line++)
                _mm_prefetch((const char *)in + FETCH + line * 64, _MM_HINT_T0);
            AVX2_UNROLL
            for (size_t r = 0; r < 8; r++) {
                __m256i v = look(&t, bits, codes_of(in, bits, r));
                if (mult) v = _mm256_add_epi8(_mm256_mullo_epi16(v, m.by[r % 4]), m.plus[r % 4]);
                avx2_store_bytes(out + r * LANES, v);
            }
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

static void look_up(float *out, const uint8_t *codes, const float *book, size_t bits,
                    const float *scale, size_t rows, size_t nr)
{
    (void)bits;
    assert(nr % 8 == 0);
    for (size_t q = 0; q < nr; q += 8) {
        const __m256 by = _mm256_loadu_ps(scale + q);
        for (size_t p = 0; p < rows; p++) {
            const __m256i code = _mm256_cvtepu8_epi32(
                _mm_loadl_epi64((const __m128i *)(const void *)(codes + p * nr + q)));
            const __m256 x = _mm256_i32gather_ps(book, code, sizeof *book);
            _mm256_storeu_ps(out + p * nr + q, _mm256_mul_ps(x, by));
        }
    }
}

void vise_kern_avx2_codes(vise_kern *k)
{
    k->look_up = look_up;
    k->gemm_codes = (vise_gemm_codes){.lanes = LANES, .run = vise_codes_run, .expand = expand};
}
