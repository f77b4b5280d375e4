/* gram.h - what a layer's inputs are like: products of all pairs of columns, summed over rows.
 *
 * X are the rows that reach the layer in the original network, Y those that reach it in the compressed
 * one, rounded as the layer will round them, and E is what the layer's output should have besides:
 * how far the value that it is added to has strayed. Then, for weights Q in the place of W,
 *
 *   |W X + E - Q Y|^2 = tr(Q H Q^T) - 2 tr(Q (W C + D)^T) + const
 *   H = sum y y^T [k, k],  C = sum x y^T [k, k],  D = sum e y^T [n, k]
 *
 * over rows, each as often as its weight says, less their means, which a bias takes care of. Sums of
 * every fourth picture are kept apart, so that choices can be made on what they were not fitted to.
 *
 * What X and Y differ in may be part of E instead, as E + W (X - Y): then X is Y, and C is H. That costs
 * n k sums per row and not k k.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_GRAM_H
#define VISE_COMPRESS_GRAM_H

#include "exec/dense.h"

enum { VISE_GRAM_PARTS = 2, VISE_GRAM_HELD = 4 }; // fitted, held out; every fourth

typedef struct vise_gram {
    size_t n, k;
    float *h[VISE_GRAM_PARTS];
    float *c[VISE_GRAM_PARTS]; // NULL: X is Y
    float *d[VISE_GRAM_PARTS]; // NULL: no E
    double rows[VISE_GRAM_PARTS];
    double *x_sum[VISE_GRAM_PARTS], *y_sum[VISE_GRAM_PARTS]; // [k] of rows less shift
    double *e_sum[VISE_GRAM_PARTS];                          // [n]
    float *shift;                                            // [k] about the mean of y
    float *left, *right; // [k or n, chunk] and [chunk, k]: rows less shift, the former transposed
    bool centred;
} vise_gram;

enum {
    VISE_GRAM_CENTRED = 1,  // means are taken out at the end
    VISE_GRAM_RESIDUAL = 2, // there is E
    VISE_GRAM_ALIKE = 4,    // X is Y
};
/* VISE_ENOMEM */
vise_status vise_gram_open(vise_gram *g, size_t n, size_t k, unsigned kind, vise_err *e);
void vise_gram_close(vise_gram *g);

/* Some rows of X, Y and E.   x, y  in  [rows, k]  tight; x is not read where X is Y
 *   r  in  [rows, n]  tight; NULL: no E
 *   weight  in  [rows], >= 0: how often a row counts; NULL: once */
typedef struct vise_gram_rows {
    const float *x, *y, *r;
    size_t rows;
    const float *weight;
} vise_gram_rows;

/* VISE_ENOMEM */
vise_status vise_gram_add(vise_gram *g, vise_dense *d, unsigned part, const vise_gram_rows *more,
                          vise_err *e);
/* Takes the means out. After this the sums are complete. */
void vise_gram_finish(vise_gram *g);
/* Part 1 into part 0. */
void vise_gram_merge(vise_gram *g);

#endif
