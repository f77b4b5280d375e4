/* check_rows.c - checks of the kernels on rows of floats, against double
 * SPDX-License-Identifier: MIT */
#include "kern/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double eps = (double)FLT_EPSILON;

/* A matrix of floats with canaries between its rows. */
typedef struct matrix {
    float *p;
    size_t rows, n, ld;
} matrix;

static matrix matrix_new(vise_checker *t, size_t rows, size_t n, bool input)
{
    matrix a = {.rows = rows, .n = n, .ld = n + vise_check_pick(t, 4)};
    const size_t bytes = ((rows - 1) * a.ld + n) * sizeof *a.p;
    a.p = input ? vise_check_in(t, bytes, sizeof *a.p) : vise_check_out(t, bytes, sizeof *a.p);
    return a;
}

static void copy_rows(const matrix *to, const matrix *from)
{
    for (size_t r = 0; r < to->rows; r++)
        memcpy(to->p + r * to->ld, from->p + r * from->ld, to->n * sizeof *to->p);
}

/* Inputs x to fill, and y: either a matrix of its own or, in place, another copy of x. */
typedef struct pair {
    matrix x, y;
    bool in_place;
} pair;

static pair pair_new(vise_checker *t, size_t rows, size_t n)
{
    pair p = {.x = matrix_new(t, rows, n, true), .in_place = vise_check_pick(t, 2)};
    p.y = matrix_new(t, rows, n, false);
    for (size_t r = 0; r < rows; r++)
        vise_check_fill(t, p.x.p + r * p.x.ld, n);
    return p;
}

/* After x was filled. Returns what the kernel gets as x. */
static matrix pair_start(vise_checker *t, const pair *p)
{
    if (p->in_place) copy_rows(&p->y, &p->x);
    vise_check_seal(t);
    return p->in_place ? p->y : p->x;
}

static void pair_end(vise_checker *t, const pair *p)
{
    vise_check_edges(t);
    vise_check_gaps(t, p->y.p, p->y.n * sizeof *p->y.p, p->y.ld * sizeof *p->y.p, p->y.rows);
}

static bool has_nan(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i])) return true;
    return false;
}

/* NaN somewhere, in one round of three. */
static void spoil(vise_checker *t, const matrix *a)
{
    if (!vise_check_pick(t, 3))
        a->p[vise_check_pick(t, a->rows) * a->ld + vise_check_pick(t, a->n)] = NAN;
}

static float *vector(vise_checker *t, size_t n)
{
    float *x = vise_check_in(t, n * sizeof *x, sizeof *x);
    vise_check_fill(t, x, n);
    return x;
}

/* ---- layernorm: sums of n floats in any order, so errors of up to n eps of the magnitudes ---- */

typedef struct norm {
    const float *w, *b;
    float e;
} norm;

static void compare_norm(vise_checker *t, const norm *s, const pair *p, size_t r)
{
    const float *x = p->x.p + r * p->x.ld, *y = p->y.p + r * p->y.ld;
    const double n = (double)p->x.n;
    double mean = 0, mag = 0, var = 0;
    for (size_t i = 0; i < p->x.n; i++) {
        mean += (double)x[i] / n;
        mag += fabs((double)x[i]) / n;
    }
    for (size_t i = 0; i < p->x.n; i++)
        var += pow((double)x[i] - mean, 2) / n;
    const double rstd = 1 / sqrt(var + (double)s->e);
    // the mean is off by n eps mag, every difference by that and its own rounding
    const double off = (n + 2) * eps * mag;
    const double relative = (n + 8) * eps + off * off * rstd * rstd; // of rstd
    for (size_t i = 0; i < p->x.n; i++) {
        const double dev = fabs((double)x[i] - mean);
        const double w = s->w ? (double)s->w[i] : 1, b = s->b ? (double)s->b[i] : 0;
        const double want = ((double)x[i] - mean) * rstd * w + b;
        const double tol = fabs(w) * rstd * (2 * off + eps * dev + relative * dev) +
                           4 * eps * (fabs(want) + fabs(b)) + (double)FLT_MIN;
        vise_check_near(t, y[i], want, tol, r, i);
    }
}

void vise_check_layernorm(vise_checker *t)
{
    const size_t rows = vise_check_extent(t, 9, 4), n = vise_check_extent(t, 400, 16);
    const float far = vise_check_pick(t, 3) ? 0 : 100; // a mean far from 0
    pair p = pair_new(t, rows, n);
    norm s = {.e = vise_check_pick(t, 2) ? 1e-6f : 1e-2f};
    if (vise_check_pick(t, 3)) s.w = vector(t, n);
    if (vise_check_pick(t, 3)) s.b = vector(t, n);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            p.x.p[r * p.x.ld + i] += far;
    spoil(t, &p.x);
    vise_check_shape(t, "rows %zu, n %zu%s%s%s", rows, n, s.w ? ", w" : "", s.b ? ", b" : "",
                     p.in_place ? ", in place" : "");
    const matrix x = pair_start(t, &p);
    t->kern->layernorm(p.y.p, p.y.ld, x.p, x.ld, s.w, s.b, rows, n, s.e);
    pair_end(t, &p);
    for (size_t r = 0; r < rows; r++)
        compare_norm(t, &s, &p, r);
}

/* ---- softmax ---- */

static void compare_softmax(vise_checker *t, const pair *p, size_t r, double scale)
{
    const float *x = p->x.p + r * p->x.ld, *y = p->y.p + r * p->y.ld;
    double top = -HUGE_VAL, sum = 0;
    for (size_t i = 0; i < p->x.n; i++)
        top = fmax(top, scale * (double)x[i]);
    for (size_t i = 0; i < p->x.n; i++)
        sum += exp(scale * (double)x[i] - top);
    if (has_nan(x, p->x.n)) sum = (double)NAN;
    for (size_t i = 0; i < p->x.n; i++) {
        const double z = scale * (double)x[i], want = exp(z - top) / sum;
        const double size = isinf(z) ? 0 : fabs(z) + fabs(top); // a masked one is exactly 0
        const double relative = eps * (2 * size + (double)p->x.n + 5);
        vise_check_near(t, y[i], want, want * relative + (double)FLT_MIN, r, i);
    }
}

/* Scores: of a usual size, all equal, or far apart; some masked, but never a whole row. */
static void scores(vise_checker *t, const matrix *a)
{
    static const float sizes[] = {8, 8, 8, 0, 300};
    const float size = sizes[vise_check_pick(t, 5)];
    const bool masks = !vise_check_pick(t, 3);
    for (size_t r = 0; r < a->rows; r++) {
        float *x = a->p + r * a->ld;
        for (size_t i = 0; i < a->n; i++)
            x[i] = masks && vise_check_pick(t, 2) ? -INFINITY : size * vise_rng_normal(&t->rng);
        x[vise_check_pick(t, a->n)] = 1;
    }
}

void vise_check_softmax(vise_checker *t)
{
    const size_t rows = vise_check_extent(t, 9, 4), n = vise_check_extent(t, 260, 16);
    const float scale = vise_check_pick(t, 2) ? 0.125f : 1;
    pair p = pair_new(t, rows, n);
    p.in_place = true;
    scores(t, &p.x);
    spoil(t, &p.x);
    vise_check_shape(t, "rows %zu, n %zu, scale %g", rows, n, (double)scale);
    pair_start(t, &p);
    t->kern->softmax(p.y.p, p.y.ld, rows, n, scale);
    pair_end(t, &p);
    for (size_t r = 0; r < rows; r++)
        compare_softmax(t, &p, r, (double)scale);
}

/* ---- activations ---- */

static void activation(vise_checker *t, vise_act_fn *f, const float *param, pair *p)
{
    const size_t rows = vise_check_extent(t, 9, 4), n = vise_check_extent(t, 200, 16);
    *p = pair_new(t, rows, n);
    const float wide = vise_check_pick(t, 2) ? 3 : 30;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            p->x.p[r * p->x.ld + i] *= wide;
    spoil(t, &p->x);
    vise_check_shape(t, "rows %zu, n %zu%s", rows, n, p->in_place ? ", in place" : "");
    const matrix x = pair_start(t, p);
    f(p->y.p, p->y.ld, x.p, x.ld, rows, n, param);
    pair_end(t, p);
}

void vise_check_gelu(vise_checker *t)
{
    pair p;
    activation(t, t->kern->gelu, NULL, &p);
    for (size_t r = 0; r < p.x.rows; r++)
        for (size_t i = 0; i < p.x.n; i++) {
            const double x = (double)p.x.p[r * p.x.ld + i], want = x / 2 * erfc(-x / sqrt(2));
            vise_check_near(t, p.y.p[r * p.y.ld + i], want, 4 * eps * fabs(x) + (double)FLT_MIN, r,
                            i);
        }
}

void vise_check_gelu_slope(vise_checker *t)
{
    pair p;
    activation(t, t->kern->gelu_slope, NULL, &p);
    for (size_t r = 0; r < p.x.rows; r++)
        for (size_t i = 0; i < p.x.n; i++) {
            const double x = (double)p.x.p[r * p.x.ld + i];
            const double want = erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
            vise_check_near(t, p.y.p[r * p.y.ld + i], want, 4 * eps, r, i);
        }
}

void vise_check_swish(vise_checker *t)
{
    // SiLU, quick GELU, tanh GELU
    static const float params[][2] = {{1, 0}, {1.702f, 0}, {1.5957691216f, 0.0713548163f}};
    const float *param = params[vise_check_pick(t, 3)];
    pair p;
    activation(t, t->kern->swish, param, &p);
    for (size_t r = 0; r < p.x.rows; r++)
        for (size_t i = 0; i < p.x.n; i++) {
            const float got = p.y.p[r * p.y.ld + i];
            const double x = (double)p.x.p[r * p.x.ld + i];
            const double a = (double)param[0] * x, b = (double)param[1] * x * x * x;
            const double tol = fabs(x) * eps * (8 + 4 * (fabs(a) + fabs(b))) + (double)FLT_MIN;
            vise_check_near(t, got, x / (1 + exp(-(a + b))), tol, r, i);
            if (fabs((double)got) > fabs(x))
                vise_check_fail(t, "[%zu, %zu] is %.9g, more than its input %.9g", r, i,
                                (double)got, x);
        }
}

/* ---- depthwise ---- */

enum { MAX_TAPS = 25 };

typedef struct taps {
    const float *x[MAX_TAPS], *w, *bias;
    size_t count, n;
    bool sequence; // all products are exact, so that the sum's order decides its bits
} taps;

static float *tap(vise_checker *t, size_t n, bool sequence)
{
    float *x = vector(t, n);
    for (size_t i = 0; sequence && i < n; i++) // 11 bits each: a product is exact
        x[i] = ldexpf((float)vise_check_pick(t, 4095) - 2047, -(int)vise_check_pick(t, 12));
    return x;
}

static void compare_pixel(vise_checker *t, const taps *s, float got, size_t c)
{
    double sum = s->bias ? (double)s->bias[c] : 0, all = fabs(sum);
    float in_order = s->bias ? s->bias[c] : 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!s->x[i]) continue;
        const float x = s->x[i][c], w = s->w[i * s->n + c];
        in_order += x * w;
        sum += (double)x * (double)w;
        all += fabs((double)x * (double)w);
    }
    const double tol = 2 * (double)(s->count + 1) * eps * (all + (double)FLT_MIN);
    if (s->sequence)
        vise_check_near(t, got, (double)in_order, 0, 0, c);
    else
        vise_check_near(t, got, sum, tol + (double)FLT_TRUE_MIN * (double)s->count, 0, c);
}

void vise_check_depthwise(vise_checker *t)
{
    taps s = {.sequence = !vise_check_pick(t, 3)};
    s.count = vise_check_pick(t, 2) ? 9 : 1 + vise_check_pick(t, MAX_TAPS);
    s.n = vise_check_extent(t, 200, 16);
    s.w = tap(t, s.count * s.n, s.sequence);
    if (vise_check_pick(t, 2)) s.bias = vector(t, s.n);
    size_t missing = 0;
    for (size_t i = 0; i < s.count; i++) {
        float *x = vise_check_pick(t, 5) ? tap(t, s.n, s.sequence) : NULL;
        if (x && !vise_check_pick(t, 20)) x[vise_check_pick(t, s.n)] = NAN;
        missing += !x;
        s.x[i] = x;
    }
    float *y = vise_check_out(t, s.n * sizeof *y, sizeof *y);
    vise_check_shape(t, "n %zu, %zu taps, %zu of them NULL%s", s.n, s.count, missing,
                     s.bias ? ", bias" : "");
    vise_check_seal(t);
    t->kern->depthwise(y, s.x, s.w, s.bias, s.count, s.n);
    vise_check_edges(t);
    for (size_t c = 0; c < s.n; c++)
        compare_pixel(t, &s, y[c], c);
}
