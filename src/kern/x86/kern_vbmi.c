/* kern_vbmi.c - packed codes to bytes for AVX-512 with permutations of bytes
 * SPDX-License-Identifier: MIT */
#include "kern/x86/codes512.h"

/* vpermb knows 64 levels, and takes the low 6 bits of a code: where codes have fewer, levels repeat. */
X512_INLINE x512_levels levels_of(const vise_codes *c, size_t bits, int8_t less)
{
    const __m512i all = _mm512_sub_epi8(_mm512_loadu_si512(c->levels), _mm512_set1_epi8(less));
    const __m128i few = _mm512_castsi512_si128(all);
    x512_levels t;
    t.table[0] = bits == 2   ? _mm512_broadcastd_epi32(few)
                 : bits == 3 ? _mm512_broadcastq_epi64(few)
                 : bits == 4 ? _mm512_broadcast_i32x4(few)
                 : bits == 5 ? _mm512_broadcast_i64x4(_mm512_castsi512_si256(all))
                             : all;
    return t;
}

X512_INLINE __m512i look(const x512_levels *t, size_t bits, __m512i codes)
{
    (void)bits;
    return _mm512_permutexvar_epi8(codes, t->table[0]);
}

static void expand(const vise_expand *x)
{
    static const x512_look how = {levels_of, look, true};
    x512_expand(&how, x);
}

void vise_kern_vbmi(vise_kern *k)
{
    k->gemm_codes.expand = expand;
}
