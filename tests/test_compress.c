/* test_compress.c - what compression is made of: products, systems of equations, sums, fits, ranges
 * SPDX-License-Identifier: MIT */
#include "compress/fit.h"
#include "compress/operand.h"
#include "matrices.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- products ---- */

typedef struct sizes {
    size_t m, n, k;
    bool turned, add, lower;
} sizes;

/* c [m, n + 3] with NaN between the rows; b by columns if turned. */
static void multiply(float *c, vise_dense *d, const float *a, const float *b, sizes s)
{
    vise_err e;
    const vise_mat right = s.turned ? (vise_mat){b, 1, s.n} : (vise_mat){b, s.k, 1};
    const vise_product p = {c, s.n + 3, {a, s.k + 2, 1}, right, s.m, s.n, s.k, s.add, s.lower};
    for (size_t i = 0; i < s.m * (s.n + 3); i++)
        c[i] = i % (s.n + 3) >= s.n ? NAN : s.add ? (float)(i % 7) : NAN;
    MUST(vise_dense_mul(d, &p, &e));
}

static void check_product(const float *c, const float *a, const float *b, sizes s)
{
    for (size_t i = 0; i < s.m; i++) {
        for (size_t j = 0; j < s.n && (!s.lower || j <= i); j++) {
            const size_t at = i * (s.n + 3) + j;
            double sum = s.add ? (double)(at % 7) : 0, size = sum;
            for (size_t l = 0; l < s.k; l++) {
                const double x = (double)a[i * (s.k + 2) + l] *
                                 (double)(s.turned ? b[l * s.n + j] : b[j * s.k + l]);
                sum += x;
                size += fabs(x);
            }
            const double limit = (double)(s.k + 2) * (double)FLT_EPSILON / 2 * size + 1e-37;
            if (!(fabs((double)c[at] - sum) <= limit))
                fail_msg("%zu x %zu x %zu: (%zu, %zu) is %g, not %g", s.m, s.n, s.k, i, j,
                         (double)c[at], sum);
        }
        for (size_t j = s.n; j < s.n + 3; j++)
            assert_true(isnan(c[i * (s.n + 3) + j]));
    }
}

static void test_dense(void **state)
{
    (void)state;
    static const struct {
        size_t m, n, k;
    } list[] = {{1, 1, 1},     {3, 5, 7},      {50, 33, 129}, {97, 200, 65},
                {48, 256, 64}, {49, 530, 131}, {145, 1, 2},   {2, 300, 1}};
    vise_dense one = dense_of(1), three = dense_of(3);
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        for (int way = 0; way < 8; way++) {
            const sizes s = {list[k].m, list[k].n, list[k].k, way & 1, way & 2, way & 4};
            const size_t bytes = s.m * (s.n + 3) * sizeof(float);
            float *a = numbers("a", s.m * (s.k + 2)), *b = numbers("b", s.n * s.k);
            float *c = malloc(bytes), *c3 = malloc(bytes);
            assert_true(c && c3);
            multiply(c, &one, a, b, s);
            multiply(c3, &three, a, b, s);
            check_product(c, a, b, s);
            for (size_t i = 0; i < s.m; i++)
                assert_memory_equal(c + i * (s.n + 3), c3 + i * (s.n + 3),
                                    (s.lower && i < s.n ? i + 1 : s.n) * sizeof *c);
            free(c3);
            free(c);
            free(b);
            free(a);
        }
    vise_dense_close(&one);
    vise_dense_close(&three);
}

/* ---- systems of equations ---- */

static void check_factor(const double *l, const float *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t t = 0; t <= j; t++)
                sum += l[i * n + t] * l[j * n + t];
            const double limit = 1e-13 * (double)n * sqrt((double)(a[i * n + i] * a[j * n + j]));
            if (j > i)
                assert_true(l[i * n + j] == (double)a[i * n + j]);
            else if (!(fabs(sum - (double)a[i * n + j]) <= limit))
                fail_msg("n %zu: L L^T is %g at (%zu, %zu), not %g", n, sum, i, j,
                         (double)a[i * n + j]);
        }
}

static void test_blas(void **state)
{
    (void)state;
    enum { ROWS = 3 };
    static const size_t extents[] = {1, 2, 17, 64, 150};
    const vise_blas blas = blas_of();
    for (size_t s = 0; s < sizeof extents / sizeof *extents; s++) {
        const size_t n = extents[s];
        float *a = definite(n, 0.1f), *b = numbers("right", ROWS * n);
        double *l = zeros(n * n, sizeof *l), *x = zeros(ROWS * n, sizeof *x);
        for (size_t i = 0; i < n * n; i++)
            l[i] = (double)a[i];
        for (size_t i = 0; i < ROWS * n; i++)
            x[i] = (double)b[i];
        assert_true(vise_blas_cholesky(&blas, l, n));
        check_factor(l, a, n);
        vise_blas_solve(&blas, l, x, n, ROWS);
        for (size_t r = 0; r < ROWS; r++)
            for (size_t i = 0; i < n; i++) {
                double sum = -(double)b[r * n + i];
                for (size_t j = 0; j < n; j++)
                    sum += (double)a[i * n + j] * x[r * n + j];
                assert_true(fabs(sum) <= 1e-10);
            }
        free(x);
        free(l);
        free(b);
        free(a);
    }
}

/* Whatever is not positive definite, at any place, is refused; so is what is no number. */
static void test_indefinite(void **state)
{
    (void)state;
    static const struct {
        size_t n, at;
    } places[] = {{1, 0}, {2, 1}, {64, 63}, {150, 0}, {150, 75}, {150, 149}};
    static const double bad[] = {-1, 0, (double)NAN, -(double)INFINITY};
    const vise_blas blas = blas_of();
    for (size_t s = 0; s < sizeof places / sizeof *places; s++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            const size_t n = places[s].n;
            float *a = definite(n, 0.1f);
            double *l = zeros(n * n, sizeof *l);
            for (size_t i = 0; i < n * n; i++)
                l[i] = (double)a[i];
            l[places[s].at * n + places[s].at] = bad[b];
            if (vise_blas_cholesky(&blas, l, n))
                fail_msg("n %zu: %g at %zu passes", n, bad[b], places[s].at);
            free(l);
            free(a);
        }
}

/* ---- sums ---- */

enum { N = 3, K = 5, FITTED = 703, HELD = 130 };

/* Sum over rows of (a - mean) (b - mean)^T, in double; without means if not centred. size: of the
 * numbers that vise_gram adds, which are a and b less its shift. */
typedef struct plain {
    double sum, size;
} plain;

/* a [rows, na] and b [rows, K] */
typedef struct pair {
    const float *a;
    size_t na;
    const float *b;
    size_t rows;
    bool centred;
} pair;

static plain sum_of(const pair *s, size_t i, size_t j)
{
    double ma = 0, mb = 0;
    plain p = {0, 0};
    for (size_t t = 0; t < s->rows && s->centred; t++) {
        ma += (double)s->a[t * s->na + i] / (double)s->rows;
        mb += (double)s->b[t * K + j] / (double)s->rows;
    }
    for (size_t t = 0; t < s->rows; t++) {
        const double x = (double)s->a[t * s->na + i] - ma, y = (double)s->b[t * K + j] - mb;
        p.sum += x * y;
        p.size += (fabs(x) + fabs(ma) / 4 + 1) * (fabs(y) + 1); // the shift is near the mean
    }
    return p;
}

static void check_sums(const float *got, pair s, const char *what)
{
    for (size_t i = 0; i < s.na; i++)
        for (size_t j = 0; j < K; j++) {
            const plain p = sum_of(&s, i, j);
            const double limit = 512 * (double)FLT_EPSILON * p.size;
            if (!(fabs((double)got[i * K + j] - p.sum) <= limit))
                fail_msg("%s (%zu, %zu): %g, not %g", what, i, j, (double)got[i * K + j], p.sum);
        }
}

static void check_column(const double *got, const float *shift, const float *a, size_t na,
                         size_t rows)
{
    for (size_t i = 0; i < na; i++) {
        double sum = 0;
        for (size_t t = 0; t < rows; t++)
            sum += (double)a[t * na + i];
        const double whole = got[i] + (shift ? (double)shift[i] * (double)rows : 0);
        assert_true(fabs(whole - sum) <= 1e-5 * (double)rows);
    }
}

static void check_grams(unsigned kind)
{
    const bool residual = kind & VISE_GRAM_RESIDUAL, centred = kind & VISE_GRAM_CENTRED;
    const bool alike = kind & VISE_GRAM_ALIKE;
    const size_t rows = FITTED + HELD;
    vise_err e;
    vise_gram g;
    vise_dense d = dense_of(2);
    float *x = numbers("gram x", rows * K), *y = numbers("gram y", rows * K),
          *r = numbers("gram r", rows * N);
    for (size_t i = 0; i < rows * K; i++) { // means far from 0, and x and y not independent
        y[i] += (float)(i % K) - 1;
        x[i] = 0.5f * x[i] + y[i];
    }
    MUST(vise_gram_open(&g, N, K, kind, &e));
    const size_t at[] = {0, 3, 3 + 600, FITTED}, n[] = {3, 600, 100, HELD};
    for (size_t i = 0; i < 4; i++) {
        const vise_gram_rows more = {.x = alike ? NULL : x + at[i] * K,
                                     .y = y + at[i] * K,
                                     .r = residual ? r + at[i] * N : NULL,
                                     .rows = n[i]};
        MUST(vise_gram_add(&g, &d, i == 3, &more, &e));
    }
    vise_gram_finish(&g);
    float h[2][K * K];
    for (size_t p = 0; p < 2; p++) {
        const size_t from = p ? FITTED : 0, count = p ? HELD : FITTED;
        const float *yp = y + from * K;
        assert_true(g.rows[p] == (double)count);
        check_sums(g.h[p], (pair){yp, K, yp, count, centred}, "H");
        assert_true((g.c[p] == NULL) == alike);
        if (!alike) check_sums(g.c[p], (pair){x + from * K, K, yp, count, centred}, "C");
        assert_true((g.d[p] != NULL) == residual);
        if (residual) check_sums(g.d[p], (pair){r + from * N, N, yp, count, centred}, "D");
        check_column(g.y_sum[p], g.shift, yp, K, count);
        check_column(g.x_sum[p], g.shift, alike ? yp : x + from * K, K, count);
        if (residual) check_column(g.e_sum[p], NULL, r + from * N, N, count);
        memcpy(h[p], g.h[p], sizeof h[p]);
    }
    vise_gram_merge(&g);
    assert_true(g.rows[0] == (double)rows);
    for (size_t i = 0; i < (size_t)K * K; i++)
        assert_true(g.h[0][i] == h[0][i] + h[1][i]);
    check_column(g.y_sum[0], g.shift, y, K, rows);
    if (!centred && !alike) check_sums(g.c[0], (pair){x, K, y, rows, false}, "merged C");
    if (residual && !centred) check_sums(g.d[0], (pair){r, N, y, rows, false}, "merged D");
    free(r);
    free(y);
    free(x);
    vise_gram_close(&g);
    vise_dense_close(&d);
}

/* A row of weight w is w rows: 0, 1, 2, 0, 1, ... */
static void test_weights(void **state)
{
    (void)state;
    enum { ROWS = 600 };
    vise_err e;
    vise_gram a, b;
    vise_dense d = dense_of(2);
    float *x = numbers("weighted x", ROWS * K), *y = numbers("weighted y", ROWS * K),
          *r = numbers("weighted r", ROWS * N), weight[ROWS];
    MUST(vise_gram_open(&a, N, K, VISE_GRAM_RESIDUAL | VISE_GRAM_CENTRED, &e));
    MUST(vise_gram_open(&b, N, K, VISE_GRAM_RESIDUAL | VISE_GRAM_CENTRED, &e));
    for (size_t i = 0; i < ROWS; i++)
        weight[i] = (float)(i % 3);
    const vise_gram_rows all = {x, y, r, ROWS, weight};
    MUST(vise_gram_add(&a, &d, 0, &all, &e));
    for (size_t i = 0; i < ROWS; i++)
        for (size_t n = 0; n < i % 3; n++) {
            const vise_gram_rows one = {x + i * K, y + i * K, r + i * N, 1, NULL};
            MUST(vise_gram_add(&b, &d, 0, &one, &e));
        }
    vise_gram_finish(&a);
    vise_gram_finish(&b);
    assert_true(a.rows[0] == ROWS && b.rows[0] == ROWS);
    for (size_t i = 0; i < (size_t)K * K; i++) {
        assert_true(fabsf(a.h[0][i] - b.h[0][i]) <= 1e-4f * ROWS);
        assert_true(fabsf(a.c[0][i] - b.c[0][i]) <= 1e-4f * ROWS);
    }
    for (size_t i = 0; i < (size_t)N * K; i++)
        assert_true(fabsf(a.d[0][i] - b.d[0][i]) <= 1e-4f * ROWS);
    for (size_t i = 0; i < K; i++) { // each less a shift of its own
        const double sum_a = a.x_sum[0][i] + (double)a.shift[i] * ROWS;
        const double sum_b = b.x_sum[0][i] + (double)b.shift[i] * ROWS;
        assert_true(fabs(sum_a - sum_b) <= 1e-4 * ROWS);
    }
    free(r);
    free(y);
    free(x);
    vise_gram_close(&a);
    vise_gram_close(&b);
    vise_dense_close(&d);
}

static void test_gram(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 8; kind++)
        check_grams(kind);
}

/* ---- fitting ---- */

enum { OUT = 12, IN = 24, TOKENS = 600 };

/* Inputs of a layer in both networks, and what its output should have besides. */
typedef struct layer {
    float *w, *x, *y, *r;
    bool alike; // w (x - y) is handed over as a part of r
} layer;

/* y = x A + shift, A invertible; r = V y with V much like W. */
static layer layer_of(bool strayed)
{
    layer l = {numbers("w", (size_t)OUT * IN), numbers("x", (size_t)TOKENS * IN),
               zeros((size_t)TOKENS * IN, sizeof(float)),
               zeros((size_t)TOKENS * OUT, sizeof(float)), false};
    float *a = numbers("a", (size_t)IN * IN), *v = numbers("v", (size_t)OUT * IN);
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < IN; i++) {
            l.x[t * IN + i] += 0.5f;
            l.y[t * IN + i] = l.x[t * IN + i];
        }
        for (size_t i = 0; strayed && i < IN; i++) {
            for (size_t j = 0; j < IN; j++)
                l.y[t * IN + i] += 0.08f * a[j * IN + i] * l.x[t * IN + j];
            l.y[t * IN + i] += 0.25f;
        }
        for (size_t o = 0; o < OUT; o++)
            for (size_t i = 0; i < IN; i++)
                l.r[t * OUT + o] += v[o * IN + i] * l.y[t * IN + i];
    }
    free(v);
    free(a);
    return l;
}

static void free_layer(layer *l)
{
    free(l->w);
    free(l->x);
    free(l->y);
    free(l->r);
}

typedef struct outcome {
    vise_rounded r;
    vise_fit_result result;
    float bias[OUT];
} outcome;

/* r, or r + w (x - y). */
static float *missing_of(const layer *l, bool residual)
{
    float *all = zeros((size_t)TOKENS * OUT, sizeof *all);
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t o = 0; o < OUT; o++) {
            float sum = residual ? l->r[t * OUT + o] : 0;
            for (size_t i = 0; l->alike && i < IN; i++)
                sum += l->w[o * IN + i] * (l->x[t * IN + i] - l->y[t * IN + i]);
            all[t * OUT + o] = sum;
        }
    return all;
}

static vise_status fit(outcome *o, const layer *l, vise_fitting how, bool residual)
{
    vise_err e;
    const vise_blas blas = blas_of();
    vise_gram g;
    vise_dense d = dense_of(2);
    how.blas = &blas;
    const bool some = residual || l->alike;
    float *missing = missing_of(l, residual);
    MUST(vise_gram_open(&g, OUT, IN,
                        VISE_GRAM_CENTRED | (some ? VISE_GRAM_RESIDUAL : 0) |
                            (l->alike ? VISE_GRAM_ALIKE : 0),
                        &e));
    for (size_t t = 0; t < TOKENS; t += 50) {
        const vise_gram_rows more = {.x = l->alike ? NULL : l->x + t * IN,
                                     .y = l->y + t * IN,
                                     .r = some ? missing + t * OUT : NULL,
                                     .rows = 50};
        MUST(vise_gram_add(&g, &d, t / 50 % 4 == 3, &more, &e));
    }
    vise_gram_finish(&g);
    MUST(vise_rounded_open(&o->r, OUT, IN, &how.rounding, &e));
    const vise_status s = vise_fit(&o->r, &o->result, l->w, &g, &how, &d, &e);
    if (!s) vise_fit_bias(o->bias, NULL, l->w, o->r.value, &g);
    free(missing);
    vise_gram_close(&g);
    vise_dense_close(&d);
    return s;
}

static outcome must_fit(const layer *l, vise_fitting how, bool residual)
{
    outcome o;
    assert_int_equal(fit(&o, l, how, residual), VISE_OK);
    return o;
}

static vise_fitting eight_bits(float target, float damp)
{
    return (vise_fitting){{vise_grid_of(8), 0, VISE_FIT_MSE, true, true, 2, 1, {0}},
                          {target, -1},
                          {damp, -1},
                          false,
                          NULL};
}

/* |W x + r - Q y - bias|^2 / |W x + r|^2, and no mean is left in any output. */
static double output_error(const outcome *o, const layer *l, bool residual)
{
    double sum = 0, size = 0, mean[OUT] = {0};
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < OUT; i++) {
            double want = residual ? (double)l->r[t * OUT + i] : 0, got = (double)o->bias[i];
            for (size_t c = 0; c < IN; c++) {
                want += (double)l->w[i * IN + c] * (double)l->x[t * IN + c];
                got += (double)o->r.value[i * IN + c] * (double)l->y[t * IN + c];
            }
            sum += (want - got) * (want - got);
            size += want * want;
            mean[i] += (want - got) / TOKENS;
        }
    for (size_t i = 0; i < OUT; i++)
        assert_true(fabs(mean[i]) <= 1e-4);
    return sum / size;
}

/* The full target undoes what happened to the inputs; none leaves it. */
static void test_target(void **state)
{
    (void)state;
    layer l = layer_of(true);
    for (int way = 0; way < 4; way++) {
        const bool residual = way & 1;
        l.alike = way & 2;
        outcome none = must_fit(&l, eight_bits(0, 1e-6f), residual),
                half = must_fit(&l, eight_bits(0.5f, 1e-6f), residual),
                full = must_fit(&l, eight_bits(1, 1e-6f), residual);
        const double left = output_error(&none, &l, residual),
                     some = output_error(&half, &l, residual);
        // half a step, evenly spread, of weights that reach 4 deviations: (4 / 127)^2 / 12
        assert_true(output_error(&full, &l, residual) <= 1e-4);
        assert_true(left > 0.05 && some > 0.15 * left && some < 0.35 * left);
        assert_true(full.result.target == 1 && isinf(full.result.error)); // no choice
        vise_rounded_close(&none.r);
        vise_rounded_close(&half.r);
        vise_rounded_close(&full.r);
    }
    free_layer(&l);
}

/* Where inputs are what they were the target is W, and as much of it as one likes. */
static void test_same_inputs(void **state)
{
    (void)state;
    layer l = layer_of(false);
    outcome none = must_fit(&l, eight_bits(0, 0.01f), false),
            full = must_fit(&l, eight_bits(1, 0.01f), false);
    assert_memory_equal(none.r.level, full.r.level, (size_t)OUT * IN);
    assert_memory_equal(none.r.scale, full.r.scale, sizeof(float) * OUT);
    assert_true(output_error(&full, &l, false) <= 1e-4);
    vise_rounded_close(&none.r);
    vise_rounded_close(&full.r);
    free_layer(&l);
}

/* Rows held out tell which target helps. */
static void test_choice(void **state)
{
    (void)state;
    layer l = layer_of(true);
    vise_fitting how = eight_bits(0, 0.01f);
    how.target[1] = 1;
    how.target[2] = 0.5f;
    how.target[3] = -1;
    how.damp[1] = 10; // hardly anything of the target is left
    how.damp[2] = -1;
    for (int way = 0; way < 4; way++) {
        how.refine = way & 1;
        l.alike = way & 2;
        outcome o = must_fit(&l, how, true), same = must_fit(&l, eight_bits(1, 0.01f), true);
        assert_true(o.result.target == 1 && o.result.damp == 0.01f && isfinite(o.result.error));
        assert_memory_equal(o.r.level, same.r.level, (size_t)OUT * IN);
        vise_rounded_close(&o.r);
        vise_rounded_close(&same.r);
    }
    free_layer(&l);
}

/* Inputs that are all 0 are no reason to fail; those that are no numbers are. */
static void test_odd_inputs(void **state)
{
    (void)state;
    outcome o;
    layer l = layer_of(true);
    for (size_t t = 0; t < TOKENS; t++) {
        l.y[t * IN + 5] = l.x[t * IN + 5] = 0;
        l.y[t * IN + 6] = l.y[t * IN + 7];
    }
    o = must_fit(&l, eight_bits(1, 0.01f), false);
    for (size_t i = 0; i < (size_t)OUT * IN; i++)
        assert_true(isfinite(o.r.value[i]));
    vise_rounded_close(&o.r);
    memset(l.x, 0, sizeof(float) * TOKENS * IN);
    memset(l.y, 0, sizeof(float) * TOKENS * IN);
    o = must_fit(&l, eight_bits(1, 0.01f), false);
    for (size_t i = 0; i < (size_t)OUT * IN; i++)
        assert_true(fabsf(o.r.value[i] - l.w[i]) < 0.02f); // as without inputs
    vise_rounded_close(&o.r);
    l.y[100 * IN + 3] = NAN;
    assert_int_equal(fit(&o, &l, eight_bits(1, 0.01f), false), VISE_EFORMAT);
    vise_rounded_close(&o.r);
    free_layer(&l);
}

/* ---- operands ---- */

/* What x becomes. */
static double rounded_by(const vise_actq *q, double x)
{
    const vise_quant c = vise_actq_quant(q, 0);
    const double code = rint(x / (double)q->scale) + q->zero;
    return (double)q->scale * (fmin(fmax(code, c.lo), c.hi) - q->zero);
}

static double squares_of(const vise_actq *q, const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow(rounded_by(q, (double)x[i]) - (double)x[i], 2);
    return sum;
}

static void test_operand(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    vise_err e;
    float *x = numbers("operand", COUNT), *cubes = numbers("cubes", COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        x[i] += 1.5f;
        cubes[i] *= cubes[i] * cubes[i]; // long tails
    }
    for (uint32_t bits = 3; bits <= 8; bits++)
        for (int symmetric = 0; symmetric < 2; symmetric++) {
            const float *const sets[] = {x, cubes};
            for (size_t s = 0; s < 2; s++) {
                vise_actq q[3];
                for (int fit = 0; fit < 3; fit++) {
                    q[fit] = vise_static_of(&(vise_samples){.x = sets[s], .n = COUNT}, bits,
                                            symmetric, (vise_fit_kind)fit);
                    MUST(vise_actq_check(&q[fit], 1, "node", &e));
                    assert_true(q[fit].kind == VISE_ACTQ_STATIC && q[fit].bits == bits);
                    assert_true(!symmetric || q[fit].zero == 0);
                }
                // the zero point is a whole number: an end may be half a step further out
                for (size_t i = 0; i < COUNT; i++)
                    assert_true(fabs(rounded_by(&q[VISE_FIT_MINMAX], (double)sets[s][i]) -
                                     (double)sets[s][i]) <=
                                1.001 * (double)q[VISE_FIT_MINMAX].scale);
                const double all = squares_of(&q[VISE_FIT_MINMAX], sets[s], COUNT);
                const double mse = squares_of(&q[VISE_FIT_MSE], sets[s], COUNT);
                assert_true(mse <= all * 1.02); // counted in bins
                if (s == 0) continue;
                assert_true(bits > 6 || mse < 0.9 * all);
                assert_true(q[VISE_FIT_PERCENTILE].scale < q[VISE_FIT_MINMAX].scale);
            }
        }
    free(cubes);
    free(x);
}

/* Levels lie where the columns that matter have their values. */
static void test_weighted_levels(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    const float even[] = {1, 0.001f};
    int8_t level[2][8];
    double err[2] = {0};
    float *x = numbers("levels", COUNT);
    for (size_t i = 1; i < COUNT; i += 2)
        x[i] *= 6;
    for (int way = 0; way < 2; way++) {
        const vise_samples s = {x, COUNT, way ? even : NULL, 2};
        const vise_actq q = vise_levels_of(level[way], &s, 3, false);
        for (size_t i = 0; i < COUNT; i += 2) {
            double least = (double)INFINITY;
            for (int l = 0; l < 8; l++)
                least =
                    fmin(least, fabs((double)x[i] - (double)q.scale * (level[way][l] - q.zero)));
            err[way] += least * least;
        }
    }
    assert_true(err[1] < 0.4 * err[0]);
    free(x);
}

static void test_odd_operands(void **state)
{
    (void)state;
    vise_err e;
    static const float sets[][4] = {
        {0, 0, 0, 0}, {1e-38f, 0, 0, 0}, {3, 3, 3, 3}, {-2, -2, -2, -1}, {-3e38f, 0, 3e38f, 1}};
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++)
        for (int way = 0; way < 6; way++) {
            const vise_actq q = vise_static_of(&(vise_samples){.x = sets[s], .n = 4}, 8, way & 1,
                                               (vise_fit_kind)(way / 2));
            MUST(vise_actq_check(&q, 1, "node", &e));
            for (size_t i = 0; i < 4; i++)
                assert_true(fabs(rounded_by(&q, (double)sets[s][i]) - (double)sets[s][i]) <=
                            0.02 * fabs((double)sets[s][i]) + 3e36 * (s == 4) + 1e-37);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),        cmocka_unit_test(test_blas),
        cmocka_unit_test(test_indefinite),   cmocka_unit_test(test_gram),
        cmocka_unit_test(test_weights),      cmocka_unit_test(test_target),
        cmocka_unit_test(test_same_inputs),  cmocka_unit_test(test_choice),
        cmocka_unit_test(test_odd_inputs),   cmocka_unit_test(test_operand),
        cmocka_unit_test(test_odd_operands), cmocka_unit_test(test_weighted_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
