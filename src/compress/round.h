/* round.h - a matrix onto a grid of few levels, so that its products with given inputs change least.
 *
 *   nearest   every weight to its nearest level
 *   feedback  GPTQ (Frantar et al., arXiv 2210.17323): column after column, the error of each is made
 *             up for by those not rounded yet. Written as successive cancellation on the Cholesky
 *             factor of H itself, from the last column to the first, which gives GPTQ's very numbers
 *             without an inverse; columns of large H last, so that they come first
 *   polish    coordinate descent (COMQ, arXiv 2403.07134, by Gram matrices): each code in turn moves to
 *             where the error is least, all others as they are
 *   refit     scales and multipliers to their least-squares values for the codes, and polish again
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_ROUND_H
#define VISE_COMPRESS_ROUND_H

#include "compress/blas.h"
#include "exec/dense.h"

/* Levels first, first + step, ... of a grid; in [-127, 127]. */
typedef struct vise_grid {
    int32_t first, step, count;
} vise_grid;
vise_grid vise_grid_of(unsigned bits); // 2..8

typedef enum vise_fit_kind { VISE_FIT_MINMAX, VISE_FIT_PERCENTILE, VISE_FIT_MSE } vise_fit_kind;

typedef struct vise_rounding {
    vise_grid grid;
    size_t group;      // columns per multiplier; 0: none
    vise_fit_kind fit; // how scales are chosen
    bool feedback, ordered;
    unsigned polish; // sweeps after each of (refit + 1) scales
    unsigned refit;
} vise_rounding;

/* A matrix on its grid: w[i, j] ~ scale[i] * mult[i, j / group] * level[i, j]. */
typedef struct vise_rounded {
    size_t n, k, groups;
    int8_t *level; // [n, k]
    float *scale;  // [n]
    uint8_t *mult; // [n, groups], all 1 without groups
    float *value;  // [n, k] what it stands for
} vise_rounded;

/* What makes up the error: (w - q) h (w - q)^T. factor: the lower Cholesky factor
 * of h[perm, perm]; NULL without feedback. h NULL: plain squared error. */
typedef struct vise_metric {
    const float *h;       // [k, k]
    const float *factor;  // [k, k]
    const uint32_t *perm; // [k] columns in ascending order of use; the last is rounded first
} vise_metric;

vise_status vise_rounded_open(vise_rounded *r, size_t n, size_t k, size_t group, vise_err *e);
void vise_rounded_close(vise_rounded *r);
/*   w  in  [n, k]  VISE_ENOMEM */
vise_status vise_round(vise_rounded *r, const float *w, const vise_metric *m,
                       const vise_rounding *how, vise_dense *d, vise_err *e);

#endif
