/* operand.c - a range for an operand, by its ends, its percentiles or its squared error
 * SPDX-License-Identifier: MIT */
#include "compress/operand.h"

#include <math.h>

enum { BINS = 4096, TRIES = 40 };
static const double PERCENTILE = 0.9995; // of values between the ends
static const double SMALLEST = 0.15;     // range that is tried, relative to the whole

/* How often which values occur, in bins between the ends. */
typedef struct histogram {
    double lo, width;
    double count[BINS];
} histogram;

static void count_values(histogram *h, const float *x, size_t n)
{
    double lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = (double)x[i] < lo ? (double)x[i] : lo;
        hi = (double)x[i] > hi ? (double)x[i] : hi;
    }
    *h = (histogram){.lo = lo, .width = (hi - lo) / BINS};
    for (size_t i = 0; i < n && h->width > 0; i++) {
        const size_t at = (size_t)(((double)x[i] - lo) / h->width);
        h->count[at < BINS ? at : BINS - 1]++;
    }
}

static vise_actq of_range(double lo, double hi, uint32_t bits, bool symmetric)
{
    const vise_actq q = {.kind = VISE_ACTQ_STATIC, .bits = bits, .scale = 1};
    const vise_quant c = vise_actq_quant(&q, 0);
    vise_actq r = q;
    const double most = hi > -lo ? hi : -lo;
    r.scale = (float)(symmetric ? most / c.hi : (hi - lo) / (c.hi - c.lo));
    if (!(r.scale >= 1e-30f)) return q; // nothing but zeros was seen
    const double zero = symmetric ? 0 : rint(c.lo - lo / (double)r.scale);
    r.zero = (int32_t)(zero < c.lo ? c.lo : zero > c.hi ? c.hi : zero);
    return r;
}

static double error_of(const histogram *h, const vise_actq *q)
{
    const vise_quant c = vise_actq_quant(q, 0);
    const double s = (double)q->scale;
    double sum = 0;
    for (size_t i = 0; i < BINS; i++) {
        if (h->count[i] == 0) continue;
        const double x = h->lo + ((double)i + 0.5) * h->width;
        double code = rint(x / s) + q->zero;
        code = code < c.lo ? c.lo : code > c.hi ? c.hi : code;
        const double d = x - s * (code - q->zero);
        sum += h->count[i] * d * d;
    }
    return sum;
}

static vise_actq least_error(const histogram *h, uint32_t bits, bool symmetric)
{
    const double lo = h->lo, hi = h->lo + h->width * BINS;
    vise_actq best = of_range(lo, hi, bits, symmetric);
    double least = error_of(h, &best);
    for (int a = 0; a < TRIES; a++)
        for (int b = 0; b < (symmetric ? 1 : TRIES); b++) {
            const double below = 1 - (1 - SMALLEST) * (symmetric ? a : b) / TRIES;
            const double above = 1 - (1 - SMALLEST) * a / TRIES;
            const vise_actq q = of_range(lo * below, hi * above, bits, symmetric);
            const double err = error_of(h, &q);
            if (err >= least) continue;
            least = err;
            best = q;
        }
    return best;
}

/* The ends between which the percentile's share of all values lies. */
static void cut_tails(const histogram *h, double *lo, double *hi)
{
    double all = 0, below = 0;
    for (size_t i = 0; i < BINS; i++)
        all += h->count[i];
    for (size_t i = 0; i < BINS; i++) {
        const double x = h->lo + ((double)i + 0.5) * h->width;
        below += h->count[i];
        if (below < (1 - PERCENTILE) * all && x < 0) *lo = x;
        if (below <= PERCENTILE * all && x > 0) *hi = x;
    }
}

vise_actq vise_static_of(const float *x, size_t n, uint32_t bits, bool symmetric, vise_fit_kind fit)
{
    histogram h;
    count_values(&h, x, n);
    if (fit == VISE_FIT_MSE) return least_error(&h, bits, symmetric);
    double lo = h.lo, hi = h.lo + h.width * BINS;
    if (fit == VISE_FIT_PERCENTILE) cut_tails(&h, &lo, &hi);
    return of_range(lo, hi, bits, symmetric);
}
