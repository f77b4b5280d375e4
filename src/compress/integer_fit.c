/* integer_fit.c - grids of codes from the ranges of channels
 *
 * Nothing that calibration pictures showed is cut off: what a class token or one neuron does rarely
 * matters more than the step of everything else. docs/QUANTIZATION.md has the numbers.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/integer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 127 };

static const double least = 1e-9; // of a range: a channel that is always the same
static const double sigmas = 3;   // of a channel that every grid covers

typedef struct range {
    double center, half;
} range;

/* What was seen, and what has to be expected of a class token that few pictures showed. */
static range range_of(const vise_spread *s, size_t c)
{
    const double mean = s->mean[c], far = sigmas * sqrt(fmax(s->square[c] - mean * mean, 0));
    const double lo = fmin((double)s->lo[c], mean - far), hi = fmax((double)s->hi[c], mean + far);
    return (range){(lo + hi) / 2, fmax((hi - lo) / 2, least)};
}

void vise_fit_channels(vise_grid *g, const vise_spread *s)
{
    for (size_t c = 0; c < s->channels; c++) {
        const range r = range_of(s, c);
        g->delta[c] = r.half / CODES;
        g->center[c] = r.center;
    }
}

void vise_fit_input(vise_grid *g, const vise_spread *s)
{
    double most = least;
    for (size_t c = 0; c < g->channels; c++) {
        const range r = range_of(s, c);
        g->delta[c] = r.half;
        g->center[c] = r.center;
        most = fmax(most, r.half);
    }
    for (size_t c = 0; c < g->channels; c++)
        g->delta[c] = sqrt(fmax(g->delta[c], most * 1e-4) * most) / CODES;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

vise_status vise_fit_sparse(vise_grid *g, const vise_spread *s, vise_err *e)
{
    const double most_are_below = 0.99, headroom = 1.5;
    double *half;
    VISE_TRY(vise_alloc_or(&half, g->channels, sizeof *half, "fitting codes", e));
    for (size_t c = 0; c < g->channels; c++) {
        const range r = range_of(s, c);
        g->delta[c] = half[c] = r.half;
        g->center[c] = r.center;
    }
    qsort(half, g->channels, sizeof *half, ascending);
    const double common = headroom * half[(size_t)(most_are_below * (double)(g->channels - 1))];
    for (size_t c = 0; c < g->channels; c++)
        g->delta[c] = fmax(g->delta[c], common) / CODES;
    vise_free(half);
    return VISE_OK;
}

void vise_fit_scores(vise_grid *gq, vise_grid *gk, const vise_spread *q, const vise_spread *k,
                     size_t from, size_t n)
{
    const double extreme = 1e6; // of a ratio
    double most = least * least;
    for (size_t c = from; c < from + n; c++) {
        const range rq = range_of(q, c), rk = range_of(k, c);
        gq->center[c] = 0;
        gk->center[c] = rk.center;
        gq->delta[c] = (fabs(rq.center) + rq.half) / CODES;
        gk->delta[c] = rk.half / CODES;
        most = fmax(most, gq->delta[c] * gk->delta[c]);
    }
    for (size_t c = from; c < from + n; c++) {
        const double ratio = fmin(fmax(gq->delta[c] / gk->delta[c], 1 / extreme), extreme);
        gq->delta[c] = sqrt(most * ratio);
        gk->delta[c] = sqrt(most / ratio);
    }
}

double vise_fit_row(int8_t *code, const double *w, const double *square, size_t n)
{
    enum { STEPS = 40 };
    double most = 0, best = 1, least_error = HUGE_VAL;
    for (size_t c = 0; c < n; c++)
        most = fmax(most, fabs(w[c]));
    for (int i = 0; i < STEPS && most > 0; i++) {
        const double scale = most / CODES * (1 - i / (2.0 * STEPS));
        double error = 0;
        for (size_t c = 0; c < n; c++) {
            const double q = fmin(fmax(nearbyint(w[c] / scale), -CODES), CODES);
            error += square[c] * (w[c] - q * scale) * (w[c] - q * scale);
        }
        if (error >= least_error) continue;
        least_error = error;
        best = scale;
    }
    for (size_t c = 0; c < n; c++)
        code[c] = (int8_t)fmin(fmax(nearbyint(w[c] / best), -CODES), CODES);
    return best;
}
