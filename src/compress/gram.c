/* gram.c - sums of products by the fast f32 kernels, a chunk of rows at a time
 * SPDX-License-Identifier: MIT */
#include "compress/gram.h"

#include <string.h>

enum { CHUNK = 512 };

vise_status vise_gram_open(vise_gram *g, size_t n, size_t k, unsigned kind, vise_err *e)
{
    const size_t f = sizeof(float), wide = n > k ? n : k;
    const bool alike = kind & VISE_GRAM_ALIKE, residual = kind & VISE_GRAM_RESIDUAL;
    *g = (vise_gram){.n = n, .k = k, .centred = kind & VISE_GRAM_CENTRED};
    VISE_TRY(vise_alloc_or(&g->shift, k, f, "calibration sums", e));
    VISE_TRY(vise_alloc_or(&g->left, CHUNK * wide, f, "calibration sums", e));
    VISE_TRY(vise_alloc_or(&g->right, CHUNK * k, f, "calibration sums", e));
    for (unsigned p = 0; p < VISE_GRAM_PARTS; p++) {
        VISE_TRY(vise_alloc_or(&g->h[p], k * k, f, "calibration sums", e));
        if (!alike) VISE_TRY(vise_alloc_or(&g->c[p], k * k, f, "calibration sums", e));
        if (residual) VISE_TRY(vise_alloc_or(&g->d[p], n * k, f, "calibration sums", e));
        VISE_TRY(vise_alloc_or(&g->x_sum[p], k, sizeof(double), "calibration sums", e));
        VISE_TRY(vise_alloc_or(&g->y_sum[p], k, sizeof(double), "calibration sums", e));
        VISE_TRY(vise_alloc_or(&g->e_sum[p], n, sizeof(double), "calibration sums", e));
    }
    return VISE_OK;
}

void vise_gram_close(vise_gram *g)
{
    for (unsigned p = 0; p < VISE_GRAM_PARTS; p++) {
        vise_free(g->h[p]);
        vise_free(g->c[p]);
        vise_free(g->d[p]);
        vise_free(g->x_sum[p]);
        vise_free(g->y_sum[p]);
        vise_free(g->e_sum[p]);
    }
    vise_free(g->left);
    vise_free(g->right);
    vise_free(g->shift);
    *g = (vise_gram){0};
}

/* The mean of the first rows: subtracting anything near the mean keeps the sums accurate. */
static void choose_shift(vise_gram *g, const float *y, size_t rows)
{
    for (size_t j = 0; j < g->k; j++) {
        double sum = 0;
        for (size_t i = 0; i < rows; i++)
            sum += (double)y[i * g->k + j];
        g->shift[j] = (float)(sum / (double)rows);
    }
}

/* One chunk of rows less shift, transposed and weighted, and its sums.
 *   to  out [cols, rows];  x in [rows, cols];  shift NULL: 0;  weight [rows] or NULL */
typedef struct turn {
    float *to;
    double *sum;
    const float *x, *shift, *weight;
    size_t rows, cols;
} turn;

static void turn_columns(void *ctx, size_t from, size_t to)
{
    const turn *t = ctx;
    for (size_t j = from; j < to; j++) {
        const float shift = t->shift ? t->shift[j] : 0;
        double sum = 0;
        for (size_t i = 0; i < t->rows; i++) {
            float v = t->x[i * t->cols + j] - shift;
            if (t->weight) v *= t->weight[i];
            t->to[j * t->rows + i] = v;
            sum += (double)v;
        }
        t->sum[j] += sum;
    }
}

/* to += a^T y, where g->right holds y's chunk and a's becomes g->left. H is its own mirror image. */
static vise_status add_product(vise_gram *g, vise_dense *d, float *to, turn t, vise_err *e)
{
    t.to = g->left;
    vise_dense_rows(d, t.cols, 16, turn_columns, &t);
    const vise_product p = {.c = to,
                            .ldc = g->k,
                            .a = {g->left, t.rows, 1},
                            .b = {g->right, 1, g->k},
                            .m = t.cols,
                            .n = g->k,
                            .k = t.rows,
                            .add = true,
                            .lower = to == g->h[0] || to == g->h[1]};
    return vise_dense_mul(d, &p, e);
}

vise_status vise_gram_add(vise_gram *g, vise_dense *d, unsigned part, const vise_gram_rows *more,
                          vise_err *e)
{
    const float *x = more->x, *y = more->y;
    const size_t rows = more->rows;
    if (g->centred && g->rows[0] + g->rows[1] == 0) choose_shift(g, y, rows < CHUNK ? rows : CHUNK);
    for (size_t at = 0; at < rows; at += CHUNK) {
        const size_t m = rows - at < CHUNK ? rows - at : CHUNK;
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < g->k; j++)
                g->right[i * g->k + j] = y[(at + i) * g->k + j] - g->shift[j];
        const float *w = more->weight ? more->weight + at : NULL;
        const turn ty = {NULL, g->y_sum[part], y + at * g->k, g->shift, w, m, g->k};
        VISE_TRY(add_product(g, d, g->h[part], ty, e));
        if (g->c[part]) {
            const turn tx = {NULL, g->x_sum[part], x + at * g->k, g->shift, w, m, g->k};
            VISE_TRY(add_product(g, d, g->c[part], tx, e));
        }
        if (!g->d[part]) continue;
        const turn tr = {NULL, g->e_sum[part], more->r + at * g->n, NULL, w, m, g->n};
        VISE_TRY(add_product(g, d, g->d[part], tr, e));
    }
    for (size_t i = 0; i < rows; i++)
        g->rows[part] += more->weight ? (double)more->weight[i] : 1;
    return VISE_OK;
}

/* m -= a b^T / rows */
static void centre(float *m, const double *a, const double *b, size_t n, size_t k, double rows)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            m[i * k + j] = (float)((double)m[i * k + j] - a[i] * b[j] / rows);
}

static void mirror(float *m, size_t k)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < i; j++)
            m[j * k + i] = m[i * k + j];
}

void vise_gram_finish(vise_gram *g)
{
    for (unsigned p = 0; p < VISE_GRAM_PARTS; p++) {
        mirror(g->h[p], g->k);
        if (!g->c[p]) memcpy(g->x_sum[p], g->y_sum[p], g->k * sizeof *g->x_sum[p]);
        if (!g->centred || g->rows[p] == 0) continue;
        centre(g->h[p], g->y_sum[p], g->y_sum[p], g->k, g->k, g->rows[p]);
        if (g->c[p]) centre(g->c[p], g->x_sum[p], g->y_sum[p], g->k, g->k, g->rows[p]);
        if (g->d[p]) centre(g->d[p], g->e_sum[p], g->y_sum[p], g->n, g->k, g->rows[p]);
    }
}

static void add_floats(float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] += b[i];
}

static void add_doubles(double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] += b[i];
}

void vise_gram_merge(vise_gram *g)
{
    add_floats(g->h[0], g->h[1], g->k * g->k);
    if (g->c[0]) add_floats(g->c[0], g->c[1], g->k * g->k);
    if (g->d[0]) add_floats(g->d[0], g->d[1], g->n * g->k);
    add_doubles(g->x_sum[0], g->x_sum[1], g->k);
    add_doubles(g->y_sum[0], g->y_sum[1], g->k);
    add_doubles(g->e_sum[0], g->e_sum[1], g->n);
    g->rows[0] += g->rows[1];
}
