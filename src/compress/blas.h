/* blas.h - symmetric systems of equations, solved by OpenBLAS, which is loaded when a pass needs it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_BLAS_H
#define VISE_COMPRESS_BLAS_H

#include "base/status.h"

#include <stdbool.h>

typedef struct vise_blas {
    void (*potrf)(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
    void (*potrs)(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda,
                  double *b, const int *ldb, int *info, size_t);
    void (*threads)(int n);
} vise_blas;

/* VISE_EIO: the library is not there. It runs one thread: its results vary with the number. */
vise_status vise_blas_load(vise_blas *b, vise_err *e);

/* The lower triangle of a, row-major and symmetric, becomes the Cholesky factor L with a = L L^T; the
 * rest stays. False if a is not finite and positive definite.   a  inout  [n, n] */
bool vise_blas_cholesky(const vise_blas *b, double *a, size_t n);
/* x of a x = b for rows of right sides, in place, from a's factor.   x  inout  [rows, n] */
void vise_blas_solve(const vise_blas *b, const double *a, double *x, size_t n, size_t rows);

#endif
