/* finish512.h - the last steps of products whose sums lie in memory
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_FINISH512_H
#define VISE_KERN_X86_FINISH512_H

#include "kern/x86/avx512.h"

/* [rows, 32] of c at row i, column j from the sums, which are overwritten if there is an f. */
static inline void x512_finish_s8(const vise_gemm_args *g, size_t i, size_t j, size_t rows,
                                  void *sums)
{
    const x512_tile t = x512_open(g, i, j, sums);
    const x512_scales c0 = x512_scales_at(g, j), c1 = x512_scales_at(g, j + 16);
    const char *sum = sums;
    for (size_t r = 0; r < rows; r++, sum += X512_NR * 4) {
        const __m512i s0 = _mm512_load_si512(sum), s1 = _mm512_load_si512(sum + 64);
        x512_store(&t, r, 0, x512_scaled(s0, g->rowq[i + r], &c0));
        x512_store(&t, r, 1, x512_scaled(s1, g->rowq[i + r], &c1));
    }
    x512_close(g, &t, i, j, rows);
}

/* The same from float sums: bias, f and add. */
static inline void x512_finish_float(const vise_gemm_args *g, size_t i, size_t j, size_t rows,
                                     float *sums)
{
    const x512_tile t = x512_open(g, i, j, sums);
    __m512 b0 = _mm512_setzero_ps(), b1 = b0;
    if (g->bias) {
        b0 = _mm512_maskz_loadu_ps(t.keep[0], g->bias + j);
        b1 = _mm512_maskz_loadu_ps(t.keep[1], g->bias + j + 16);
    }
    for (size_t r = 0; r < rows; r++, sums += X512_NR) {
        x512_store(&t, r, 0, _mm512_add_ps(_mm512_load_ps(sums), b0));
        x512_store(&t, r, 1, _mm512_add_ps(_mm512_load_ps(sums + 16), b1));
    }
    x512_close(g, &t, i, j, rows);
}

#endif
