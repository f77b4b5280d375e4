/* operand.c - a range for an operand, by its ends, its percentiles or its squared error
 * SPDX-License-Identifier: MIT */
#include "compress/operand.h"

#include <math.h>

enum { BINS = 4096, TRIES = 40 };
static const double PERCENTILE = 0.9995; // of values between the ends
static const double SMALLEST = 0.15;     // range that is tried, relative to the whole

/* How much which values count, in bins between the ends. */
typedef struct histogram {
    double lo, width;
    double count[BINS];
} histogram;

static void count_values(histogram *h, const vise_samples *s)
{
    const float *x = s->x;
    const size_t n = s->n;
    double lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = (double)x[i] < lo ? (double)x[i] : lo;
        hi = (double)x[i] > hi ? (double)x[i] : hi;
    }
    *h = (histogram){.lo = lo, .width = (hi - lo) / BINS};
    for (size_t i = 0; i < n && h->width > 0; i++) {
        const size_t at = (size_t)(((double)x[i] - lo) / h->width);
        h->count[at < BINS ? at : BINS - 1] += s->weight ? (double)s->weight[i % s->cols] : 1;
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

vise_actq vise_static_of(const vise_samples *s, uint32_t bits, bool symmetric, vise_fit_kind fit)
{
    histogram h;
    count_values(&h, s);
    if (fit == VISE_FIT_MSE) return least_error(&h, bits, symmetric);
    double lo = h.lo, hi = h.lo + h.width * BINS;
    if (fit == VISE_FIT_PERCENTILE) cut_tails(&h, &lo, &hi);
    return of_range(lo, hi, bits, symmetric);
}

/* ---- free levels ---- */

enum { CODES = 255, MOST_LEVELS = 32, PARTS = 9 };

/* Sums over codes before each: of counts, of counts times the code, times its square. */
typedef struct sums {
    double n[CODES + 1], x[CODES + 1], xx[CODES + 1];
} sums;

static void sum_codes(sums *s, const histogram *h, const vise_actq *q)
{
    double count[CODES] = {0};
    for (size_t i = 0; i < BINS; i++) {
        const double x = h->lo + ((double)i + 0.5) * h->width;
        const double code = rint(x / (double)q->scale) + q->zero + 127;
        count[code < 0 ? 0 : code > CODES - 1 ? CODES - 1 : (size_t)code] += h->count[i];
    }
    s->n[0] = s->x[0] = s->xx[0] = 0;
    for (size_t i = 0; i < CODES; i++) {
        const double c = (double)i - 127;
        s->n[i + 1] = s->n[i] + count[i];
        s->x[i + 1] = s->x[i] + count[i] * c;
        s->xx[i + 1] = s->xx[i] + count[i] * c * c;
    }
}

/* The best level of codes [a, b), and its squared error. */
static double level_of(const sums *s, size_t a, size_t b, double *level)
{
    const double n = s->n[b] - s->n[a], x = s->x[b] - s->x[a];
    *level = n > 0 ? rint(x / n) : (double)a - 127;
    return s->xx[b] - s->xx[a] - 2 * *level * x + *level * *level * n;
}

/* The best levels, by dynamic programming: least[b] is the error of codes [0, b) with so many levels.
 * Returns the error, in squared codes. */
static double best_levels(int8_t *level, const sums *s, size_t levels)
{
    double least[CODES + 1], next[CODES + 1], at;
    uint8_t from[MOST_LEVELS][CODES + 1];
    for (size_t b = 0; b <= CODES; b++)
        least[b] = b ? (double)INFINITY : 0;
    for (size_t l = 0; l < levels; l++) {
        for (size_t b = 0; b <= CODES; b++) {
            next[b] = (double)INFINITY;
            for (size_t a = l; a < b; a++) {
                const double err = least[a] + level_of(s, a, b, &at);
                if (!(err < next[b])) continue;
                next[b] = err;
                from[l][b] = (uint8_t)a;
            }
        }
        for (size_t b = 0; b <= CODES; b++)
            least[b] = next[b];
    }
    for (size_t l = levels, b = CODES; l-- > 0; b = from[l][b]) {
        level_of(s, from[l][b], b, &at);
        level[l] = (int8_t)at;
    }
    return least[CODES];
}

vise_actq vise_levels_of(int8_t *level, const vise_samples *samples, uint32_t bits, bool symmetric)
{
    histogram h;
    sums s;
    int8_t tried[MOST_LEVELS];
    double least = (double)INFINITY;
    vise_actq best = {0};
    count_values(&h, samples);
    double part = 1;
    for (int i = 0; i < PARTS; i++, part *= 0.7) { // what lies beyond takes the last level
        const vise_actq q = of_range(h.lo * part, (h.lo + h.width * BINS) * part, 8, symmetric);
        sum_codes(&s, &h, &q);
        const double err = best_levels(tried, &s, (size_t)1 << bits);
        const double size = (double)q.scale * (double)q.scale, all = err * size;
        // codes at the ends stand for more than themselves
        const double cut = error_of(&h, &q);
        if (!(all + cut < least)) continue;
        least = all + cut;
        best = q;
        for (size_t l = 0; l < (size_t)1 << bits; l++)
            level[l] = tried[l];
    }
    best.kind = VISE_ACTQ_LEVELS;
    best.bits = bits;
    best.level = level;
    return best;
}
