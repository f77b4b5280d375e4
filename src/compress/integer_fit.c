/* integer_fit.c - grids of codes with the least error, from histograms
 *
 * Errors are averages of squares. A number inside of a grid's range is off by delta^2 / 12, one
 * outside by its distance to the range; errors of different channels add up.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/integer.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
static int T(void)
{
    const char *e = getenv("T");
    return e ? atoi(e) : 0;
}
#include <string.h>
static int cmpd(const void*a,const void*b){double x=*(const double*)a,y=*(const double*)b;return x<y?-1:x>y;}
static double KS(void)
{
    const char *e = getenv("KS");
    return e ? atof(e) : 4;
}
static double TA(void)
{
    const char *e = getenv("TA");
    return e ? atof(e) : -1;
}

enum { BINS = VISE_SPREAD_BINS, CODES = 127 };

static const double least = 1e-9;    // of a delta: a channel that is always the same
static const double rounding = 12.0; // a step's square over the average square of its rounding

static double bin_at(const vise_spread *s, size_t c, size_t i)
{
    return (double)s->lo[c] + ((double)s->hi[c] - (double)s->lo[c]) * ((double)i + 0.5) / BINS;
}

/* Error of channel c on a grid. */
static double error_of(const vise_spread *s, size_t c, double delta, double center)
{
    const double reach = (CODES + 0.5) * delta, inside = delta * delta / rounding;
    const uint32_t *bin = s->bin + c * BINS;
    double sum = 0;
    for (size_t i = 0; i < BINS; i++) {
        const double far = fabs(bin_at(s, c, i) - center) - reach;
        sum += bin[i] * (far > 0 ? far * far + inside : inside);
    }
    return sum / s->count;
}

/* ---- one channel ---- */

typedef struct range {
    double center, half;
} range;

/* Nothing nearer to the mean than some standard deviations is cut off: few pictures do not show the
 * range of a class token. */
static range at_least(const vise_spread *s, size_t c, range r)
{
    const double far = KS() * sqrt(fmax(s->square[c] - s->mean[c] * s->mean[c], 0));
    const double lo = fmin(r.center - r.half, s->mean[c] - far);
    const double hi = fmax(r.center + r.half, s->mean[c] + far);
    return (range){(lo + hi) / 2, (hi - lo) / 2};
}

/* lo and hi both come nearer to the mean, in steps. */
static range best_range(const vise_spread *s, size_t c)
{
    enum { STEPS = 8 };
    const double shrink = 0.1, mean = s->mean[c];
    range best = {0};
    double least_error = INFINITY;
    for (int i = 0; i < ((T() & 1) ? 1 : STEPS * STEPS); i++) {
        const double lo = mean + ((double)s->lo[c] - mean) * (1 - shrink * (i / STEPS));
        const double hi = mean + ((double)s->hi[c] - mean) * (1 - shrink * (i % STEPS));
        const range r = {(lo + hi) / 2, fmax((hi - lo) / 2, least)};
        const double error = error_of(s, c, r.half / CODES, r.center);
        if (error >= least_error) continue;
        least_error = error;
        best = r;
    }
    return at_least(s, c, best);
}

void vise_fit_channels(vise_grid *g, const vise_spread *s)
{
    for (size_t c = 0; c < s->channels; c++) {
        const range r = best_range(s, c);
        g->delta[c] = r.half / CODES;
        g->center[c] = r.center;
    }
}

/* ---- the input of a product ---- */

/* What rounding w delta to a scale per row adds to the error of the product. */
static double weight_error(const vise_grid *g, const vise_spread *s, vise_rows_of w)
{
    double codes = 0, scales = 0;
    for (size_t c = 0; c < g->channels; c++) {
        const double d = g->delta[c];
        const double about = s->square[c] - s->mean[c] * s->mean[c]; // biases take up the mean
        codes += fmax(about, 0) / (d * d);
    }
    for (size_t j = 0; j < w.n; j++) {
        double most = 0;
        for (size_t c = 0; c < g->channels; c++)
            most = fmax(most, fabs((double)w.w[j * g->channels + c]) * g->delta[c]);
        scales += most * most / (CODES * CODES);
    }
    return codes * scales / rounding;
}

static void column_squares(double *square, vise_rows_of w, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        square[c] = 0;
    for (size_t j = 0; j < w.n; j++)
        for (size_t c = 0; c < channels; c++)
            square[c] += (double)w.w[j * channels + c] * (double)w.w[j * channels + c];
}

static double input_error(const vise_grid *g, const vise_spread *s, const double *square)
{
    double sum = 0;
    for (size_t c = 0; c < g->channels; c++)
        sum += square[c] * error_of(s, c, g->delta[c], g->center[c]);
    return sum;
}

/* Deltas half^alpha times the least factor at which no channel is cut off, times shrink. */
static void spread_deltas(vise_grid *g, const double *half, double alpha, double shrink)
{
    double factor = 0;
    for (size_t c = 0; c < g->channels; c++)
        factor = fmax(factor, pow(half[c], 1 - alpha));
    for (size_t c = 0; c < g->channels; c++)
        g->delta[c] = fmax(shrink * factor * pow(half[c], alpha) / CODES, least);
}

static void search_input(vise_grid *g, const vise_spread *s, vise_rows_of w, const double *square,
                         const double *half)
{
    enum { ALPHAS = 11, SHRINKS = 8 };
    double least_error = INFINITY, alpha = 1, shrink = 1;
    for (int i = 0; i < ALPHAS; i++) {
        spread_deltas(g, half, i / 10.0, 1);
        const double of_w = weight_error(g, s, w);
        for (int k = 0; k < SHRINKS; k++) { // which changes w delta and the codes alike
            spread_deltas(g, half, i / 10.0, 1 - k / 10.0);
            const double error = of_w + input_error(g, s, square);
            if (error >= least_error) continue;
            least_error = error;
            alpha = i / 10.0;
            shrink = 1 - k / 10.0;
        }
    }
    if (getenv("TV")) fprintf(stderr, "alpha %g shrink %g n %zu\n", alpha, shrink, w.n);
    alpha = TA() >= 0 ? TA() : alpha;
    shrink = (T() & 4) ? 1 : shrink;
    spread_deltas(g, half, alpha, shrink);
}

vise_status vise_fit_input(vise_grid *g, const vise_spread *s, vise_rows_of w, vise_err *e)
{
    double *half, *square;
    VISE_TRY(vise_alloc_or(&half, 2 * g->channels, sizeof *half, "fitting codes", e));
    square = half + g->channels;
    double most = 0;
    for (size_t c = 0; c < g->channels; c++) {
        const range r = best_range(s, c);
        half[c] = r.half;
        g->center[c] = r.center;
        most = fmax(most, r.half);
    }
    for (size_t c = 0; c < g->channels; c++) // one that never changes gets no grid of its own
        half[c] = fmax(half[c], most * 1e-4);
    column_squares(square, w, g->channels);
    if (getenv("QF")) {
        double q = atof(getenv("QQ")), f = atof(getenv("QF"));
        memcpy(square, half, g->channels * 8);
        qsort(square, g->channels, 8, cmpd);
        double H = f * square[(size_t)(q * (double)(g->channels - 1))];
        for (size_t c = 0; c < g->channels; c++)
            g->delta[c] = fmax(half[c], H) / CODES;
    } else
        search_input(g, s, w, square, half);
    vise_free(half);
    return VISE_OK;
}

/* ---- one grid for all channels ---- */

static double tensor_error(const vise_spread *s, const double *square, double lo, double hi)
{
    double sum = 0;
    for (size_t c = 0; c < s->channels; c++)
        sum += square[c] * error_of(s, c, fmax((hi - lo) / 2 / CODES, least), (lo + hi) / 2);
    return sum;
}

/* The lower end stays: behind an activation it is where most numbers are. */
void vise_fit_tensor(vise_grid *g, const vise_spread *s, vise_rows_of w)
{
    enum { STEPS = 40 };
    double lo = 0, hi = 0, least_error = INFINITY, best = 0;
    column_squares(g->delta, w, s->channels); // until they are known
    for (size_t c = 0; c < s->channels; c++) {
        lo = fmin(lo, (double)s->lo[c]);
        hi = fmax(hi, (double)s->hi[c]);
    }
    for (int i = 0; i < ((T() & 2) ? 1 : STEPS); i++) {
        const double to = hi * pow(0.92, i), error = tensor_error(s, g->delta, lo, to);
        if (error >= least_error) continue;
        least_error = error;
        best = to;
    }
    for (size_t c = 0; c < s->channels; c++) {
        g->delta[c] = fmax((best - lo) / 2 / CODES, least);
        g->center[c] = (best + lo) / 2;
    }
}

/* ---- scores ---- */

double vise_fit_scores(vise_grid *gq, vise_grid *gk, const vise_spread *q, const vise_spread *k,
                       size_t from, size_t n)
{
    double most = least * least;
    for (size_t c = from; c < from + n; c++) {
        const range rq = best_range(q, c), rk = best_range(k, c);
        gq->center[c] = 0;
        gk->center[c] = rk.center;
        gq->delta[c] = fmax(fabs(rq.center) + rq.half, least) / CODES;
        gk->delta[c] = rk.half / CODES;
        most = fmax(most, gq->delta[c] * gk->delta[c]);
    }
    for (size_t c = from; c < from + n; c++) {
        const double ratio = fmin(fmax(gq->delta[c] / gk->delta[c], 1e-6), 1e6);
        gq->delta[c] = sqrt(most * ratio);
        gk->delta[c] = sqrt(most / ratio);
    }
    return most;
}

/* ---- rows of weights ---- */

double vise_fit_row(int8_t *code, const double *w, const double *square, size_t n)
{
    enum { STEPS = 40 };
    double most = 0, best = 1, least_error = INFINITY;
    for (size_t c = 0; c < n; c++)
        most = fmax(most, fabs(w[c]));
    for (int i = 0; i < ((T() & 8) ? 1 : STEPS) && most > 0; i++) {
        const double scale = most / CODES * (1 - i / 80.0);
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
