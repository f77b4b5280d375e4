/* dense.h - products of large float matrices, by the fast kernels and all threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_DENSE_H
#define VISE_EXEC_DENSE_H

#include "base/pool.h"
#include "kern/kern.h"

typedef struct vise_dense {
    vise_kern kern;
    vise_pool *pool; // NULL: one thread
    void *panels;    // of the largest second operand so far
    size_t room;
} vise_dense;

/* threads 0: 1; cpu NULL: the best level. VISE_ECPU, VISE_ENOMEM, VISE_EIO */
vise_status vise_dense_open(vise_dense *d, size_t threads, const char *cpu, vise_err *e);
void vise_dense_close(vise_dense *d); // safe on a zeroed one

/* A matrix of floats: element (i, j) at p[i row + j col]. */
typedef struct vise_mat {
    const float *p;
    size_t row, col;
} vise_mat;

/* c = a b^T, or with add: c += a b^T. lower: only what lies on the diagonal or below is asked for; of
 * the rest some is written.
 *   c out [m, n] row stride ldc;  a [m, k] with col 1;  b [n, k] with row or col 1.  VISE_ENOMEM */
typedef struct vise_product {
    float *c;
    size_t ldc;
    vise_mat a, b;
    size_t m, n, k;
    bool add, lower;
} vise_product;
vise_status vise_dense_mul(vise_dense *d, const vise_product *p, vise_err *e);

/* The same on this thread alone.   panels  scratch of vise_panels_bytes(gemm_f32, n, k), 64-byte aligned */
void vise_product_run(const vise_kern *k, const vise_product *p, void *panels);

/* Runs fn for rows [0, n) by pieces of at most `step`. */
typedef void vise_rows_fn(void *ctx, size_t from, size_t to);
void vise_dense_rows(vise_dense *d, size_t n, size_t step, vise_rows_fn *fn, void *ctx);

#endif
