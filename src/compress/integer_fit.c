/* integer_fit.c - grids of codes from the ranges of channels
 *
 * Nothing that calibration pictures showed is cut off: what a class token or one neuron does rarely
 * matters more than the step of everything else. docs/QUANTIZATION.md has the numbers.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/integer.h"

#include <math.h>
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

void vise_fit_channels(vise_int_grid *g, const vise_spread *s)
{
    for (size_t c = 0; c < s->channels; c++) {
        const range r = range_of(s, c);
        g->delta[c] = r.half / CODES;
        g->center[c] = r.center;
    }
}

void vise_fit_input(vise_int_grid *g, const vise_spread *s)
{
    enum { EXPONENTS = 7, ROOM = 4 };
    double most = least;
    for (size_t c = 0; c < g->channels; c++) {
        const range r = range_of(s, c);
        g->center[c] = s->mean[c];
        g->delta[c] = r.half + fabs(r.center - s->mean[c]);
        most = fmax(most, g->delta[c]);
    }
    for (size_t c = 0; c < g->channels; c++)
        g->delta[c] = ROOM * sqrt(fmax(g->delta[c], most * 1e-4) * most) / (CODES << EXPONENTS);
    g->exponents = EXPONENTS;
}

void vise_fit_scores(vise_int_grid *gq, vise_int_grid *gk, const vise_spread *q,
                     const vise_spread *k, size_t from, size_t n)
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
