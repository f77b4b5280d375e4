/* kern_avx512_codes.c - packed codes to bytes for AVX-512
 * SPDX-License-Identifier: MIT */
#include "kern/x86/codes512.h"

/* vpshufb knows 16 levels, and gives 0 where the highest bit of a code is set. So from the last 16
 * levels on, XOR leads from each 16 to those before, for codes below them. */
X512_INLINE __m512i look(const x512_levels *t, size_t bits, __m512i codes)
{
    const size_t last = bits < 5 ? 0 : bits == 5 ? 1 : 3;
    __m512i x = _mm512_shuffle_epi8(t->part[last], codes);
    X512_UNROLL
    for (size_t i = 0; i < last; i++) {
        const __m512i step = _mm512_xor_si512(t->part[i], t->part[i + 1]);
        const __m512i below = _mm512_add_epi8(codes, _mm512_set1_epi8((char)(0x70 - 16 * i)));
        x = _mm512_xor_si512(x, _mm512_shuffle_epi8(step, below));
    }
    return x;
}

static void expand(const vise_expand *x)
{
    x512_expand(look, x);
}

void vise_kern_avx512_codes(vise_kern *k)
{
    k->gemm_codes = (vise_gemm_codes){.lanes = 64, .run = vise_codes_run, .expand = expand};
}
