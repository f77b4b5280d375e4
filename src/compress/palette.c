/* palette.c - k-means of numbers on a line, exactly but for the width of a bin
 * SPDX-License-Identifier: MIT */
#include "compress/palette.h"

#include <math.h>
#include <string.h>

void vise_points_open(vise_points *p, double lo, double hi)
{
    memset(p, 0, sizeof *p);
    p->lo = lo;
    p->hi = hi > lo ? hi : lo + 1;
}

void vise_points_add(vise_points *p, double x, double weight)
{
    const double at = (x - p->lo) / (p->hi - p->lo) * VISE_PALETTE_BINS;
    const size_t i = at < VISE_PALETTE_BINS ? at > 0 ? (size_t)at : 0 : VISE_PALETTE_BINS - 1;
    p->n[i] += weight;
    p->x[i] += weight * x;
    p->xx[i] += weight * x * x;
}

/* Sums over the occupied bins before each. */
typedef struct job {
    size_t bins;
    double n[VISE_PALETTE_BINS + 1], x[VISE_PALETTE_BINS + 1], xx[VISE_PALETTE_BINS + 1];
    double least[2][VISE_PALETTE_BINS + 1]; // error of bins [0, b) in so many intervals
    uint16_t *from;                         // [k, bins + 1] where the last interval begins
} job;

static void sum_up(job *j, const vise_points *p)
{
    for (size_t i = 0; i < VISE_PALETTE_BINS; i++) {
        if (!(p->n[i] > 0)) continue;
        const size_t b = j->bins++;
        j->n[b + 1] = j->n[b] + p->n[i];
        j->x[b + 1] = j->x[b] + p->x[i];
        j->xx[b + 1] = j->xx[b] + p->xx[i];
    }
}

static double error_of(const job *j, size_t a, size_t b)
{
    const double n = j->n[b] - j->n[a], x = j->x[b] - j->x[a], xx = j->xx[b] - j->xx[a];
    return fmax(xx - x * x / n, 0);
}

/* least[to][b] for b in [b0, b1), whose last intervals begin in [a0, a1]. */
static void divide(job *j, size_t level, size_t b0, size_t b1, size_t a0, size_t a1)
{
    if (b0 >= b1) return;
    const size_t b = b0 + (b1 - b0) / 2, last = a1 < b - 1 ? a1 : b - 1;
    const double *before = j->least[(level - 1) % 2];
    double best = (double)INFINITY;
    size_t at = a0;
    for (size_t a = a0; a <= last; a++) {
        const double err = before[a] + error_of(j, a, b);
        if (!(err < best)) continue;
        best = err;
        at = a;
    }
    j->least[level % 2][b] = best;
    j->from[level * (VISE_PALETTE_BINS + 1) + b] = (uint16_t)at;
    divide(j, level, b0, b, a0, at);
    divide(j, level, b + 1, b1, at, a1);
}

static void find_centroids(job *j, float *book, size_t k)
{
    const size_t levels = k < j->bins ? k : j->bins;
    for (size_t b = 1; b <= j->bins; b++)
        j->least[0][b] = error_of(j, 0, b);
    for (size_t level = 1; level < levels; level++)
        divide(j, level, level + 1, j->bins + 1, level, j->bins);
    for (size_t level = levels, b = j->bins; level-- > 0;) {
        const size_t a = level ? j->from[level * (VISE_PALETTE_BINS + 1) + b] : 0;
        book[level] = (float)((j->x[b] - j->x[a]) / (j->n[b] - j->n[a]));
        b = a;
    }
    for (size_t i = levels; i < k; i++)
        book[i] = levels ? book[levels - 1] : 0;
}

vise_status vise_kmeans(float *book, size_t k, const vise_points *p, vise_err *e)
{
    job *j;
    VISE_TRY(vise_alloc_or(&j, 1, sizeof *j, "a palette", e));
    vise_status s =
        vise_alloc_or(&j->from, k * (VISE_PALETTE_BINS + 1), sizeof *j->from, "a palette", e);
    if (!s) {
        sum_up(j, p);
        find_centroids(j, book, k);
    }
    vise_free(j->from);
    vise_free(j);
    return s;
}
