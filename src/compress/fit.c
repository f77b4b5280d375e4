/* fit.c - targets, and the choice between ways to round them
 * SPDX-License-Identifier: MIT */
#include "compress/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    vise_rounded *r;
    const float *w;
    vise_gram *g;
    const vise_fitting *how;
    vise_dense *d;
    unsigned part;   // sums that are fitted to
    float *h;        // [k, k] damped
    float *factor;   // [k, k]
    double *wide;    // [k, k] for Cholesky
    double *towards; // [n, k] W* - W
    float *target;   // [n, k]
    uint32_t *perm;  // [k]
} job;

static vise_status open_job(job *j, vise_err *e)
{
    const size_t n = j->g->n, k = j->g->k;
    VISE_TRY(vise_alloc_or(&j->h, k * k, sizeof(float), "fitting weights", e));
    VISE_TRY(vise_alloc_or(&j->factor, k * k, sizeof(float), "fitting weights", e));
    VISE_TRY(vise_alloc_or(&j->wide, k * k, sizeof(double), "fitting weights", e));
    VISE_TRY(vise_alloc_or(&j->towards, n * k, sizeof(double), "fitting weights", e));
    VISE_TRY(vise_alloc_or(&j->target, n * k, sizeof(float), "fitting weights", e));
    return vise_alloc_or(&j->perm, k, sizeof *j->perm, "fitting weights", e);
}

static void close_job(job *j)
{
    vise_free(j->h);
    vise_free(j->factor);
    vise_free(j->wide);
    vise_free(j->towards);
    vise_free(j->target);
    vise_free(j->perm);
}

/* ---- H, damped, and its factor ---- */

static double mean_diagonal(const float *h, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += (double)h[i * k + i];
    return sum / (double)k;
}

/* h = H + damp mean(diag H) I. A column that is always 0 gets the mean itself. */
static void damped(job *j, float damp)
{
    const size_t k = j->g->k;
    const double mean = mean_diagonal(j->g->h[j->part], k);
    memcpy(j->h, j->g->h[j->part], k * k * sizeof *j->h);
    for (size_t i = 0; i < k; i++)
        j->h[i * k + i] += (float)(mean > 0 ? mean * (double)damp : 1);
}

typedef struct column {
    float size;
    uint32_t at;
} column;

static int by_size(const void *a, const void *b)
{
    const column *x = a, *y = b;
    return x->size != y->size ? (x->size > y->size) - (x->size < y->size)
                              : (x->at > y->at) - (x->at < y->at);
}

/* Columns by their diagonal, the largest last, or backwards: the first is rounded first. */
static void order(job *j)
{
    const size_t k = j->g->k;
    column *c = (column *)(void *)j->wide; // free until the next factor is made
    for (size_t i = 0; i < k; i++)
        c[i] = (column){j->how->rounding.ordered ? j->h[i * k + i] : -(float)i, (uint32_t)i};
    qsort(c, k, sizeof *c, by_size);
    for (size_t i = 0; i < k; i++)
        j->perm[i] = c[i].at;
}

static vise_status factorize(job *j, bool permuted, vise_err *e)
{
    const size_t k = j->g->k;
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++)
            j->wide[a * k + b] =
                (double)(permuted ? j->h[j->perm[a] * k + j->perm[b]] : j->h[a * k + b]);
    if (!vise_blas_cholesky(j->how->blas, j->wide, k))
        return vise_fail(e, VISE_EFORMAT, "the inputs' products are not positive definite");
    return VISE_OK;
}

/* ---- target ---- */

/* towards = (W (C - H) + D) H^-1, before any rounding. */
static vise_status find_towards(job *j, vise_err *e)
{
    const size_t n = j->g->n, k = j->g->k;
    const float *h = j->g->h[j->part], *c = j->g->c[j->part], *d = j->g->d[j->part];
    if (c) {
        for (size_t i = 0; i < k * k; i++)
            j->factor[i] = c[i] - h[i];
        const vise_product p = {j->target, k,     {j->w, k, 1}, {j->factor, 1, k}, n, k,
                                k,         false, false};
        VISE_TRY(vise_dense_mul(j->d, &p, e));
    }
    for (size_t i = 0; i < n * k; i++)
        j->towards[i] = (double)((c ? j->target[i] : 0) + (d ? d[i] : 0));
    VISE_TRY(factorize(j, false, e));
    vise_blas_solve(j->how->blas, j->wide, j->towards, k, n);
    return VISE_OK;
}

static void set_target(job *j, float a)
{
    for (size_t i = 0; i < j->g->n * j->g->k; i++)
        j->target[i] = j->w[i] + a * (float)j->towards[i];
}

/* ---- trying ---- */

/* tr(Q H Q^T) - 2 tr(Q (W C + D)^T) by the sums held out: the error less a constant.   scratch [n, k] */
static vise_status held_out(double *err, const job *j, const float *q, float *scratch, vise_err *e)
{
    const size_t n = j->g->n, k = j->g->k;
    const unsigned p = VISE_GRAM_PARTS - 1;
    const float *c = j->g->c[p] ? j->g->c[p] : j->g->h[p];
    double sum = 0;
    vise_product x = {scratch, k, {q, k, 1}, {j->g->h[p], k, 1}, n, k, k, false, false};
    VISE_TRY(vise_dense_mul(j->d, &x, e));
    for (size_t i = 0; i < n * k; i++)
        sum += (double)scratch[i] * (double)q[i];
    x = (vise_product){scratch, k, {j->w, k, 1}, {c, 1, k}, n, k, k, false, false};
    VISE_TRY(vise_dense_mul(j->d, &x, e));
    for (size_t i = 0; i < n * k; i++)
        sum -= 2 * (double)(scratch[i] + (j->g->d[p] ? j->g->d[p][i] : 0)) * (double)q[i];
    *err = sum;
    return VISE_OK;
}

static vise_status prepare(job *j, float damp, vise_err *e)
{
    const size_t k = j->g->k;
    damped(j, damp);
    VISE_TRY(find_towards(j, e));
    order(j);
    VISE_TRY(factorize(j, true, e));
    for (size_t i = 0; i < k * k; i++)
        j->factor[i] = (float)j->wide[i];
    return VISE_OK;
}

static vise_status round_target(job *j, float a, const vise_rounding *how, vise_err *e)
{
    const vise_metric m = {j->h, j->factor, j->perm};
    set_target(j, a);
    return vise_round(j->r, j->target, &m, how, j->d, e);
}

static size_t count(const float *list)
{
    size_t n = 0;
    while (n < 8 && list[n] >= 0)
        n++;
    return n;
}

/* The best by pictures held out. */
static vise_status choose(job *j, vise_fit_result *best, float *scratch, vise_err *e)
{
    const vise_fitting *how = j->how;
    vise_rounding quick = how->rounding;
    if (!how->refine) quick.polish = quick.refit = 0;
    best->error = (double)INFINITY;
    for (size_t b = 0; b < count(how->damp); b++) {
        VISE_TRY(prepare(j, how->damp[b], e));
        for (size_t a = 0; a < count(how->target); a++) {
            double err;
            VISE_TRY(round_target(j, how->target[a], &quick, e));
            VISE_TRY(held_out(&err, j, j->r->value, scratch, e));
            if (!(err < best->error)) continue;
            *best = (vise_fit_result){how->target[a], how->damp[b], err};
        }
    }
    return VISE_OK;
}

static vise_status fit(job *j, vise_fit_result *result, vise_err *e)
{
    *result = (vise_fit_result){j->how->target[0], j->how->damp[0], (double)INFINITY};
    if (count(j->how->target) * count(j->how->damp) > 1 && j->g->rows[0] > 0 && j->g->rows[1] > 0) {
        float *scratch;
        VISE_TRY(vise_alloc_or(&scratch, j->g->n * j->g->k, sizeof *scratch, "fitting weights", e));
        const vise_status s = choose(j, result, scratch, e);
        vise_free(scratch);
        if (s) return s;
    }
    vise_gram_merge(j->g);
    VISE_TRY(prepare(j, result->damp, e));
    return round_target(j, result->target, &j->how->rounding, e);
}

vise_status vise_fit(vise_rounded *r, vise_fit_result *result, const float *w, vise_gram *g,
                     const vise_fitting *how, vise_dense *d, vise_err *e)
{
    job j = {.r = r, .w = w, .g = g, .how = how, .d = d};
    vise_status s = open_job(&j, e);
    if (!s) s = fit(&j, result, e);
    close_job(&j);
    return s;
}

void vise_fit_bias(float *bias, const float *old, const float *w, const float *q,
                   const vise_gram *g)
{
    const double rows = g->rows[0] > 0 ? g->rows[0] : 1;
    for (size_t i = 0; i < g->n; i++) {
        double sum = (old ? (double)old[i] : 0) + g->e_sum[0][i] / rows;
        for (size_t c = 0; c < g->k; c++) {
            const double x = g->x_sum[0][c] / rows + (double)g->shift[c];
            const double y = g->y_sum[0][c] / rows + (double)g->shift[c];
            sum += (double)w[i * g->k + c] * x - (double)q[i * g->k + c] * y;
        }
        bias[i] = (float)sum;
    }
}
