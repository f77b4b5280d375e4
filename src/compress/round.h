/* round.h - a matrix onto a grid of few levels, so that its products with given inputs change least.
 *
 *   nearest   every weight to its nearest level
 *   feedback  GPTQ (Frantar et al., arXiv 2210.17323): column after column, the error of each is made
 *             up for by those not rounded yet. Written as successive cancellation on the Cholesky
 *             factor of H itself, from the last column to the first, which gives GPTQ's very numbers
 *             without an inverse; columns of large H last, so that they come first
 *   polish    coordinate descent (COMQ, arXiv 2403.07134, by Gram matrices): each code in turn moves to
 *             where the error is least, all others as they are
 *   refit     scales, multipliers and centroids to their least-squares values for the codes, and polish
 *             again
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

/* Levels that are chosen, as well: centroids. */
typedef struct vise_palette {
    size_t count;       // 2..256; 0: none, the grid's levels
    size_t rows;        // that share them; 0: all
    bool whole;         // whole numbers in [-127, 127]
    bool scaled;        // every row has a scale of its own; else all the same
    const float *given; // [count] ascending, to be used as they are; or NULL
    float unit;         // of the given ones, in rows of root mean square 1
} vise_palette;

typedef struct vise_rounding {
    vise_grid grid;
    size_t group;      // columns per multiplier; 0: none
    vise_fit_kind fit; // how scales are chosen
    bool feedback, ordered;
    unsigned polish; // sweeps after each of (refit + 1) scales
    unsigned refit;
    vise_palette palette;
} vise_rounding;

/* A matrix on its grid: w[i, j] ~ scale[i] * mult[i, j / group] * level[i, j]; or by a palette:
 * scale[i] * book[i / book_rows][(uint8_t)level[i, j]]. */
typedef struct vise_rounded {
    size_t n, k, groups;
    size_t count, books, book_rows; // count 0: a grid
    float *book;                    // [books, count] ascending
    int8_t *level;                  // [n, k]
    float *scale;                   // [n]
    uint8_t *mult;                  // [n, groups], all 1 without groups
    float *value;                   // [n, k] what it stands for
} vise_rounded;

/* What makes up the error: (w - q) h (w - q)^T. factor: the lower Cholesky factor
 * of h[perm, perm]; NULL without feedback. h NULL: plain squared error. */
typedef struct vise_metric {
    const float *h;       // [k, k]
    const float *factor;  // [k, k]
    const uint32_t *perm; // [k] columns in ascending order of use; the last is rounded first
} vise_metric;

vise_status vise_rounded_open(vise_rounded *r, size_t n, size_t k, const vise_rounding *how,
                              vise_err *e);
void vise_rounded_close(vise_rounded *r);
/*   w  in  [n, k]  VISE_ENOMEM */
vise_status vise_round(vise_rounded *r, const float *w, const vise_metric *m,
                       const vise_rounding *how, vise_dense *d, vise_err *e);

#endif
