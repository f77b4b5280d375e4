/* blas.c - LAPACK's routines by their Fortran names: matrices by columns, so a row-major lower
 * triangle is their upper one
 * SPDX-License-Identifier: MIT */
#include "compress/blas.h"
#include "base/lazy.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>

vise_status vise_blas_load(vise_blas *b, vise_err *e)
{
    static const vise_lazy_symbol symbols[] = {
        {"dpotrf_", offsetof(vise_blas, potrf)},
        {"dpotrs_", offsetof(vise_blas, potrs)},
        {"openblas_set_num_threads", offsetof(vise_blas, threads)},
    };
    VISE_TRY(vise_lazy_load(b, "libopenblas.so.0", symbols, sizeof symbols / sizeof *symbols,
                            "passes that calibrate", e));
    b->threads(1);
    return VISE_OK;
}

bool vise_blas_cholesky(const vise_blas *b, double *a, size_t n)
{
    assert(n <= INT_MAX);
    const int size = (int)n;
    int info = 0;
    b->potrf("U", &size, a, &size, &info, 1);
    for (size_t i = 0; i < n;
         i++) // what is no number, anywhere in row i, ends here, and passes as positive
        if (!isfinite(a[i * n + i])) return false;
    return info == 0;
}

void vise_blas_solve(const vise_blas *b, const double *a, double *x, size_t n, size_t rows)
{
    assert(n <= INT_MAX && rows <= INT_MAX);
    const int size = (int)n, count = (int)rows;
    int info = 0;
    b->potrs("U", &size, &count, a, &size, x, &size, &info, 1);
    assert(info == 0);
}
