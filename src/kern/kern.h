/* kern.h - the kernel table: one function pointer per hot loop.
 *
 * A kernel is pure arithmetic: it does not allocate, fail, log or lock. Its caller has checked the
 * shapes; the kernel only asserts them. Contracts:
 *   exact    every implementation returns the same bits as the plain C one, for every legal input;
 *   bounded  every implementation stays within c eps S of the real-valued result, where S is the
 *            same formula evaluated on absolute values. NaN in gives NaN out.
 * At one CPU level every result is independent of how the caller splits rows among threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_KERN_H
#define VISE_KERN_KERN_H

#include <stddef.h>

/* c[m,n] = a[m,k] * w[n,k]^T + bias[n]                                  (bounded: 2 k eps S)
 *
 *   c     out  [m, n]  f32  row stride ldc >= n
 *   a     in   [m, k]  f32  row stride lda >= k
 *   w     in   panels  f32  from vise_pack_f32 with the nr of the SAME bundle, covering [n, k]
 *   bias  in   [n]     f32  or NULL for none
 *
 * m, n, k >= 1, any. c overlaps nothing. The terms are added in ascending k, starting from bias, so
 * row i of c depends on row i of a alone, to the bit. */
typedef struct vise_gemm_f32 {
    size_t nr; // columns per packed panel
    void (*run)(float *c, size_t ldc, const float *a, size_t lda, const float *w, const float *bias,
                size_t m, size_t n, size_t k);
} vise_gemm_f32;

typedef struct vise_kern {
    vise_gemm_f32 gemm_f32; // replaced as a whole: run and nr belong together
    /* Rows of y = (x - mean) / sqrt(var + eps) * w + b.
     * (bounded: the mean by (n + 2) eps avg|x|, every difference by that and its rounding, rstd by
     * (n + 8) eps; tests/test_kern.c adds them up)
     *   y out, x in [rows, n] f32 tight; w, b in [n] or NULL. y may be x. */
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, size_t rows,
                      size_t n, float eps);
    /* In place, softmax of z = scale * x per row.
     * (bounded: relative eps (2 |z| + 2 |max z| + n + 4))
     *   x inout [rows, n] f32, row stride ld >= n */
    void (*softmax)(float *x, size_t ld, size_t rows, size_t n, float scale);
    /* y = x/2 (1 + erf(x / sqrt 2)).                                        (bounded: 4 eps |x|)
     *   y out, x in [n] f32. y may be x. */
    void (*gelu)(float *y, const float *x, size_t n);
} vise_kern;

/* The table for a mask of CPU levels (base/cpu.h): plain C, improved level by level. */
void vise_kern_init(vise_kern *k, unsigned cpu);

/* Floats that a packed [n, k] matrix takes. */
size_t vise_pack_f32_size(size_t nr, size_t n, size_t k);
/* Panels of nr columns: element (j, p) of w goes to panel j / nr, at p * nr + j % nr; the last
 * panel is filled up with zeros.
 *   w  in  [n, k]  f32  element (j, p) at w[j * ldn + p * ldk] */
void vise_pack_f32(float *panels, size_t nr, const float *w, size_t ldn, size_t ldk, size_t n,
                   size_t k);

/* One function per level, each overwriting the entries it improves. */
void vise_kern_c(vise_kern *k);
void vise_kern_avx2(vise_kern *k);
void vise_kern_avx512(vise_kern *k);

#endif
