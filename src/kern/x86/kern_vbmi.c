/* kern_vbmi.c - packed codes to bytes for AVX-512 with permutations of bytes
 * SPDX-License-Identifier: MIT */
#include "kern/x86/codes512.h"

X512_INLINE __m512i look(const x512_levels *t, size_t bits, __m512i codes)
{
    (void)bits;
    return _mm512_permutexvar_epi8(codes, t->all);
}

static void expand(const vise_expand *x)
{
    x512_expand(look, x);
}

void vise_kern_vbmi(vise_kern *k)
{
    k->gemm_codes.expand = expand;
}
