/* matrices.h - random matrices, and what computes with them
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_MATRICES_H
#define TESTS_MATRICES_H

#include "base/rng.h"
#include "compress/blas.h"
#include "exec/dense.h"
#include "shared.h"

/* n numbers about mean 0 of deviation 1. Freed by the caller. */
static inline float *numbers(const char *name, size_t n)
{
    vise_rng r = vise_rng_named(3, name);
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = vise_rng_normal(&r);
    return x;
}

static inline void *zeros(size_t n, size_t size)
{
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

static inline vise_dense dense_of(size_t threads)
{
    vise_err e;
    vise_dense d;
    MUST(vise_dense_open(&d, threads, NULL, &e));
    return d;
}

static inline vise_blas blas_of(void)
{
    vise_err e;
    vise_blas b;
    MUST(vise_blas_load(&b, &e));
    return b;
}

/* A symmetric positive definite matrix: y^T y / rows + damp I, y's columns of unequal size and not
 * independent. */
static inline float *definite(size_t k, float damp)
{
    const size_t rows = 2 * k + 5;
    float *y = numbers("y", rows * k), *h = zeros(k * k, sizeof *h);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 1; j < k; j++)
            y[i * k + j] = (y[i * k + j] + y[i * k + j - 1]) * (j % 5 == 1 ? 1.0f : 0.6f);
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) {
            double sum = 0;
            for (size_t i = 0; i < rows; i++)
                sum += (double)y[i * k + a] * (double)y[i * k + b];
            h[a * k + b] = (float)(sum / (double)rows) + (a == b ? damp : 0);
        }
    free(y);
    return h;
}

#endif
