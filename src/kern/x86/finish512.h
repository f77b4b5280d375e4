/* finish512.h - the last steps of products whose sums lie in memory
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_FINISH512_H
#define VISE_KERN_X86_FINISH512_H

#include "kern/x86/avx512.h"

/* [rows, 32] of c from sums in f32, plus add. What never changes is in registers, and what a row
 * needs is read before anything is stored. */
X512_INLINE void x512_rows(bool codes, bool zeros, bool add, const x512_tile *t,
                           const x512_scales s[2], const vise_rowq *row, const float *sums,
                           size_t rows)
{
    x512_scales s0 = s[0], s1 = s[1];
    const __mmask16 k0 = t->keep[0], k1 = t->keep[1];
    s0.zeros = s1.zeros = zeros;
    const size_t ld = t->ld, ldadd = t->ldadd;
    const float *plus = t->add, *end = sums + rows * X512_NR;
    for (float *to = t->to; sums != end; sums += X512_NR, to += ld) {
        __m512 v0 = _mm512_load_ps(sums), v1 = _mm512_load_ps(sums + 16);
        if (codes) {
            v0 = x512_scaled(_mm512_castps_si512(v0), *row, &s0);
            v1 = x512_scaled(_mm512_castps_si512(v1), *row, &s1);
            row++;
        } else {
            v0 = _mm512_add_ps(v0, s0.bias);
            v1 = _mm512_add_ps(v1, s1.bias);
        }
        if (add) {
            v0 = _mm512_add_ps(v0, _mm512_maskz_loadu_ps(k0, plus));
            v1 = _mm512_add_ps(v1, _mm512_maskz_loadu_ps(k1, plus + 16));
            plus += ldadd;
        }
        _mm512_mask_storeu_ps(to, k0, v0);
        _mm512_mask_storeu_ps(to + 16, k1, v1);
    }
}

/* Rows i.., columns j.. (up to 32) of c from their sums, which are overwritten if there is an f. */
X512_INLINE void x512_finish(bool codes, const vise_gemm_args *g, size_t i, size_t j, size_t rows,
                             float *sums)
{
    const x512_tile t = x512_open(g, i, j, sums);
    const bool zeros = codes && g->zeros, add = t.add;
    const x512_scales s[2] = {codes ? x512_scales_at(g, j) : x512_bias_at(g, j),
                              codes ? x512_scales_at(g, j + 16) : x512_bias_at(g, j + 16)};
    const vise_rowq *row = codes ? g->rowq + i : NULL;
    if (zeros && add) x512_rows(codes, true, true, &t, s, row, sums, rows);
    if (zeros && !add) x512_rows(codes, true, false, &t, s, row, sums, rows);
    if (!zeros && add) x512_rows(codes, false, true, &t, s, row, sums, rows);
    if (!zeros && !add) x512_rows(codes, false, false, &t, s, row, sums, rows);
    x512_close(g, &t, i, j, rows);
}

#endif
