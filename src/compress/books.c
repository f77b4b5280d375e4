/* books.c - centroids from the weights alone, and from weights and inputs
 * SPDX-License-Identifier: MIT */
#include "compress/books.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNITS = 10,  // tried for whole centroids
    CHUNKS = 8,  // of rows whose sums are made side by side
    SWEEPS = 50, // of coordinate descent over the centroids
    MOST = 127,  // of whole centroids
};

/* ---- whole numbers ---- */

static double error_of(const float *book, size_t k, float unit, const vise_points *p)
{
    double sum = 0;
    for (size_t i = 0; i < VISE_PALETTE_BINS; i++) {
        if (!(p->n[i] > 0)) continue;
        const double x = p->x[i] / p->n[i];
        const double d = x - (double)(unit * book[vise_nearest_in(book, k, (float)x / unit)]);
        sum += p->n[i] * d * d;
    }
    return sum;
}

static float to_whole(float x)
{
    return fminf(fmaxf(rintf(x), -MOST), MOST);
}

float vise_book_whole(float *book, size_t k, const vise_points *p)
{
    const float most = fmaxf(fabsf(book[0]), fabsf(book[k - 1]));
    float best = most > 0 ? most / MOST : 1, tried[256] = {0};
    double least = (double)INFINITY;
    for (int u = 0; u < UNITS && most > 0; u++) {
        const float unit = most / MOST * (1 - 0.06f * (float)u);
        for (size_t i = 0; i < k; i++)
            tried[i] = to_whole(book[i] / unit);
        const double err = error_of(tried, k, unit, p);
        if (!(err < least)) continue;
        least = err;
        best = unit;
    }
    for (size_t i = 0; i < k; i++)
        book[i] = to_whole(book[i] / best);
    return best;
}

/* ---- from weights ---- */

float vise_rows_size(const float *w, const float *weight, size_t n, size_t k)
{
    double sum = 0, all = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < k; c++) {
            const double by = weight ? (double)weight[c] : 1;
            sum += by * (double)w[i * k + c] * (double)w[i * k + c];
            all += by;
        }
    return all > 0 ? (float)sqrt(sum / all) : 0;
}

/* The scaled weights of rows [from, to). */
static void gather(vise_points *p, const vise_rounded *r, const float *w, const float *weight,
                   size_t from, size_t to)
{
    double lo = 0, hi = 0;
    for (size_t i = from; i < to; i++)
        for (size_t c = 0; c < r->k && r->scale[i] > 0; c++) {
            const double x = (double)w[i * r->k + c] / (double)r->scale[i];
            lo = fmin(lo, x);
            hi = fmax(hi, x);
        }
    vise_points_open(p, lo, hi);
    for (size_t i = from; i < to; i++) {
        const double s = (double)r->scale[i];
        for (size_t c = 0; c < r->k && s > 0; c++)
            vise_points_add(p, (double)w[i * r->k + c] / s, s * s * (double)weight[c]);
    }
}

vise_status vise_books_choose(vise_rounded *r, const float *w, const float *weight,
                              const vise_palette *how, vise_err *e)
{
    vise_points *p = NULL;
    vise_status s = vise_alloc_or(&p, 1, sizeof *p, "a palette", e);
    const float all = how->scaled || how->given ? 1 : vise_rows_size(w, weight, r->n, r->k);
    for (size_t i = 0; i < r->n; i++) {
        r->scale[i] = how->scaled ? vise_rows_size(w + i * r->k, weight, 1, r->k) : all;
        r->mult[i] = 1;
    }
    for (size_t b = 0; !s && b < r->books; b++) {
        float *book = r->book + b * r->count, unit = how->unit;
        const size_t from = b * r->book_rows,
                     to = from + r->book_rows < r->n ? from + r->book_rows : r->n;
        if (how->given) {
            memcpy(book, how->given, r->count * sizeof *book);
        } else {
            gather(p, r, w, weight, from, to);
            s = vise_kmeans(book, r->count, p, e);
            unit = !s && how->whole ? vise_book_whole(book, r->count, p) : 1;
        }
        for (size_t i = from; i < to; i++)
            r->scale[i] *= unit;
    }
    vise_free(p);
    return s;
}

/* ---- from weights and inputs ---- */

typedef struct refit {
    const vise_rounded *r;
    const float *rest, *h;
    size_t from, rows; // of the book
    double *gram;      // [chunks, count, count] A^T H A, A the 0s and 1s of codes, scaled
    double *slope;     // [chunks, count] A^T (w - q) H
    float *part;       // [chunks, count, k] A^T H of a row
} refit;

static void sum_row(const refit *f, size_t i, double *gram, double *slope, float *part)
{
    const vise_rounded *r = f->r;
    const size_t k = r->k, count = r->count;
    const uint8_t *code = (const uint8_t *)r->level + i * k;
    const double s = (double)r->scale[i];
    memset(part, 0, count * k * sizeof *part);
    for (size_t c = 0; c < k; c++) {
        float *restrict to = part + code[c] * k;
        const float *restrict h = f->h + c * k;
        for (size_t b = 0; b < k; b++)
            to[b] += h[b];
        slope[code[c]] += s * (double)f->rest[i * k + c];
    }
    for (size_t a = 0; a < count; a++)
        for (size_t c = 0; c < k; c++)
            gram[a * count + code[c]] += s * s * (double)part[a * k + c];
}

static void sum_chunks(void *ctx, size_t from, size_t to)
{
    const refit *f = ctx;
    const size_t count = f->r->count, each = (f->rows + CHUNKS - 1) / CHUNKS;
    for (size_t t = from; t < to; t++) {
        const size_t end = (t + 1) * each < f->rows ? (t + 1) * each : f->rows;
        for (size_t i = t * each; i < end; i++)
            sum_row(f, f->from + i, f->gram + t * count * count, f->slope + t * count,
                    f->part + t * count * f->r->k);
    }
}

/* The sums of all chunks, in the first. */
static void add_chunks(double *sum, size_t n)
{
    for (size_t t = 1; t < CHUNKS; t++)
        for (size_t i = 0; i < n; i++)
            sum[i] += sum[t * n + i];
}

/* Each centroid in turn to where the error is least. */
static void descend(float *book, size_t count, const double *gram, double *slope, bool whole)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        bool moved = false;
        for (size_t a = 0; a < count; a++) {
            const double g = gram[a * count + a];
            if (!(g > 0)) continue;
            float to = (float)((double)book[a] + slope[a] / g);
            if (whole) to = to_whole(to);
            const double by = (double)to - (double)book[a];
            if (!(fabs(by) > 1e-5 * fabs((double)book[a]))) continue;
            for (size_t b = 0; b < count; b++)
                slope[b] -= by * gram[b * count + a];
            book[a] = to;
            moved = true;
        }
        if (!moved) break;
    }
}

typedef struct centroid {
    float x;
    size_t at;
} centroid;

static int by_number(const void *a, const void *b)
{
    const centroid *x = a, *y = b;
    return x->x != y->x ? (x->x > y->x) - (x->x < y->x) : (x->at > y->at) - (x->at < y->at);
}

/* Brings the book into order again, and its rows' codes and values to it. */
static void settle(vise_rounded *r, float *book, size_t from, size_t rows)
{
    centroid c[256];
    uint8_t now[256];
    for (size_t i = 0; i < r->count; i++)
        c[i] = (centroid){book[i], i};
    qsort(c, r->count, sizeof *c, by_number);
    for (size_t i = 0; i < r->count; i++) {
        book[i] = c[i].x;
        now[c[i].at] = (uint8_t)i;
    }
    for (size_t i = from * r->k; i < (from + rows) * r->k; i++) {
        const uint8_t code = now[(uint8_t)r->level[i]];
        r->level[i] = (int8_t)code;
        r->value[i] = r->scale[i / r->k] * book[code];
    }
}

static vise_status open_sums(refit *f, vise_err *e)
{
    const size_t count = f->r->count;
    VISE_TRY(vise_alloc_or(&f->gram, CHUNKS * count * count, sizeof(double), "a palette", e));
    VISE_TRY(vise_alloc_or(&f->slope, CHUNKS * count, sizeof(double), "a palette", e));
    return vise_alloc_or(&f->part, CHUNKS * count * f->r->k, sizeof(float), "a palette", e);
}

vise_status vise_books_refit(vise_rounded *r, const float *rest, const float *h,
                             const vise_palette *how, vise_dense *d, vise_err *e)
{
    const size_t count = r->count;
    refit f = {.r = r, .rest = rest, .h = h};
    const vise_status s = open_sums(&f, e);
    for (size_t b = 0; !s && b < r->books; b++) {
        float *book = r->book + b * count;
        f.from = b * r->book_rows;
        f.rows = r->n - f.from < r->book_rows ? r->n - f.from : r->book_rows;
        memset(f.gram, 0, CHUNKS * count * count * sizeof *f.gram);
        memset(f.slope, 0, CHUNKS * count * sizeof *f.slope);
        vise_dense_rows(d, CHUNKS, 1, sum_chunks, &f);
        add_chunks(f.gram, count * count);
        add_chunks(f.slope, count);
        descend(book, count, f.gram, f.slope, how->whole);
        settle(r, book, f.from, f.rows);
    }
    vise_free(f.gram);
    vise_free(f.slope);
    vise_free(f.part);
    return s;
}
