/* test_round.c - matrices on grids of few levels: nearest, with feedback, polished, refitted
 * SPDX-License-Identifier: MIT */
#include "compress/round.h"
#include "matrices.h"

#include <math.h>
#include <string.h>

/* Rounds w [n, k]. */
static vise_rounded rounded(const float *w, size_t n, size_t k, const vise_metric *m,
                            vise_rounding how)
{
    vise_err e;
    vise_rounded r;
    vise_dense d = dense_of(1);
    MUST(vise_rounded_open(&r, n, k, &how, &e));
    MUST(vise_round(&r, w, m, &how, &d, &e));
    vise_dense_close(&d);
    return r;
}

static float step_of(const vise_rounded *r, const vise_rounding *how, size_t i, size_t c)
{
    const size_t q = how->group ? c / how->group : 0;
    return r->scale[i] * (float)r->mult[i * r->groups + q];
}

/* Every level is one of the grid, and what it stands for is what scale, multiplier and level say. */
static void check_rounded(const vise_rounded *r, const vise_rounding *how)
{
    const vise_grid *g = &how->grid;
    for (size_t i = 0; i < r->n; i++)
        for (size_t c = 0; c < r->k; c++) {
            const int level = r->level[i * r->k + c], at = level - g->first;
            const int mult = r->mult[i * r->groups + (how->group ? c / how->group : 0)];
            assert_true(at >= 0 && at % g->step == 0 && at / g->step < g->count);
            assert_true(mult >= 1 && abs(level) * mult <= 127 && (how->group || mult == 1));
            assert_true(isfinite(r->scale[i]));
            assert_true(r->value[i * r->k + c] == step_of(r, how, i, c) * (float)level);
        }
}

static void test_grids(void **state)
{
    (void)state;
    for (unsigned bits = 2; bits <= 8; bits++) {
        const vise_grid g = vise_grid_of(bits);
        assert_true(g.count == (bits == 8 ? 255 : 1 << bits));
        assert_true(g.first >= -127 && g.first + g.step * (g.count - 1) <= 127);
    }
}

/* No other level is nearer, for every way to choose a scale. */
static void test_nearest(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 75 };
    float *w = numbers("weights", (size_t)ROWS * COLS);
    for (unsigned bits = 2; bits <= 8; bits++)
        for (unsigned way = 0; way < 6; way++) {
            const vise_rounding how = {.grid = vise_grid_of(bits),
                                       .group = way >= 3 && bits <= 6 ? 32 : 0,
                                       .fit = (vise_fit_kind)(way % 3)};
            vise_rounded r = rounded(w, ROWS, COLS, &(vise_metric){0}, how);
            check_rounded(&r, &how);
            for (size_t i = 0; i < (size_t)ROWS * COLS; i++) {
                const double s = (double)step_of(&r, &how, i / COLS, i % COLS), x = (double)w[i];
                double least = (double)INFINITY;
                for (int32_t l = 0; l < how.grid.count; l++)
                    least = fmin(least, fabs(x - s * (how.grid.first + l * how.grid.step)));
                assert_true(s != 0 && fabs(x - (double)r.value[i]) <= least + 1e-6 * fabs(x));
            }
            vise_rounded_close(&r);
        }
    free(w);
}

static double squares(const float *w, vise_fit_kind fit, unsigned bits)
{
    enum { ROWS = 16, COLS = 256 };
    double sum = 0;
    const vise_rounding how = {.grid = vise_grid_of(bits), .fit = fit};
    vise_rounded r = rounded(w, ROWS, COLS, &(vise_metric){0}, how);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        sum += pow((double)w[i] - (double)r.value[i], 2);
    vise_rounded_close(&r);
    return sum;
}

/* Scales: minmax reaches the largest weight; mse is worth it; a lopsided row takes the longer side. */
static void test_scales(void **state)
{
    (void)state;
    float *w = numbers("wide", (size_t)16 * 256);
    for (unsigned bits = 2; bits <= 8; bits++) {
        const double mse = squares(w, VISE_FIT_MSE, bits), all = squares(w, VISE_FIT_MINMAX, bits);
        assert_true(mse < all);
        assert_true(all > 1.5 * squares(w, VISE_FIT_MINMAX, bits + 1 > 8 ? 8 : bits + 1) ||
                    bits == 8);
    }
    const vise_rounding how = {.grid = vise_grid_of(4), .fit = VISE_FIT_MINMAX};
    vise_rounded r = rounded(w, 16, 256, &(vise_metric){0}, how);
    for (size_t i = 0; i < 16; i++) {
        float most = 0;
        for (size_t c = 0; c < 256; c++)
            most = fmaxf(most, fabsf(w[i * 256 + c]));
        assert_true(r.scale[i] == most / 7);
    }
    vise_rounded_close(&r);
    const float up[] = {8, 7, 6, -7, -3, 0, 1, 8};
    const vise_rounding mse = {.grid = vise_grid_of(4), .fit = VISE_FIT_MSE};
    r = rounded(up, 1, 8, &(vise_metric){0}, mse);
    for (size_t c = 0; c < 8; c++)
        assert_true(r.scale[0] < 0 && fabsf(r.value[c] - up[c]) < 0.1f);
    vise_rounded_close(&r);
    free(w);
}

/* Rows that have no range to speak of. */
static void test_odd_rows(void **state)
{
    (void)state;
    enum { ROWS = 6, COLS = 70 };
    static float w[ROWS * COLS];
    static const float all[ROWS] = {0, 0.3f, -0.3f, 1e-35f, -1e-30f, 1e30f};
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        w[i] = all[i / COLS];
    for (unsigned bits = 2; bits <= 8; bits++)
        for (unsigned way = 0; way < 6; way++) {
            const vise_rounding how = {.grid = vise_grid_of(bits),
                                       .group = way >= 3 && bits <= 6 ? 32 : 0,
                                       .fit = (vise_fit_kind)(way % 3)};
            vise_rounded r = rounded(w, ROWS, COLS, &(vise_metric){0}, how);
            check_rounded(&r, &how);
            for (size_t i = 0; i < (size_t)ROWS * COLS; i++) {
                const float x = w[i], off = fabsf(r.value[i] - x);
                assert_true(x == 0 ? off == 0 : off <= 0.3f * fabsf(x) || fabsf(x) < 1e-29f);
                assert_true(off <= 2e-30f || fabsf(x) > 1e-29f);
            }
            vise_rounded_close(&r);
        }
}

/* ---- error feedback, polish, refit ---- */

/* (w - q) h (w - q)^T of row i */
static double row_error(const float *w, const vise_rounded *r, const float *h, size_t i)
{
    const size_t k = r->k;
    double sum = 0;
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++)
            sum += ((double)w[i * k + a] - (double)r->value[i * k + a]) * (double)h[a * k + b] *
                   ((double)w[i * k + b] - (double)r->value[i * k + b]);
    return sum;
}

typedef struct problem {
    size_t n, k;
    float *w, *h, *factor;
    uint32_t *perm;
} problem;

/* Columns in an order that is nobody's. */
static problem problem_of(size_t n, size_t k)
{
    const vise_blas blas = blas_of();
    problem p = {n,
                 k,
                 numbers("problem", n * k),
                 definite(k, 0.02f),
                 zeros(k * k, sizeof(float)),
                 zeros(k, sizeof(uint32_t))};
    double *wide = zeros(k * k, sizeof *wide);
    for (size_t i = 0; i < k; i++)
        p.perm[i] = (uint32_t)((i * 7 + 3) % k); // k is no multiple of 7
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++)
            wide[a * k + b] = (double)p.h[p.perm[a] * k + p.perm[b]];
    assert_true(vise_blas_cholesky(&blas, wide, k));
    for (size_t i = 0; i < k * k; i++)
        p.factor[i] = (float)wide[i];
    free(wide);
    return p;
}

static void free_problem(problem *p)
{
    free(p->perm);
    free(p->factor);
    free(p->h);
    free(p->w);
}

static vise_rounded solve(const problem *p, vise_rounding how)
{
    const vise_metric m = {p->h, p->factor, p->perm};
    vise_rounded r = rounded(p->w, p->n, p->k, &m, how);
    check_rounded(&r, &how);
    return r;
}

/* The inverse of a symmetric positive definite matrix, in place, by Gauss and Jordan. */
static void invert(double *a, size_t k)
{
    for (size_t p = 0; p < k; p++) {
        const double d = 1 / a[p * k + p];
        a[p * k + p] = 1;
        for (size_t c = 0; c < k; c++)
            a[p * k + c] *= d;
        for (size_t r = 0; r < k; r++) {
            const double by = a[r * k + p];
            if (r == p) continue;
            a[r * k + p] = 0;
            for (size_t c = 0; c < k; c++)
                a[r * k + c] -= by * a[p * k + c];
        }
    }
}

/* GPTQ as its paper tells it: column by column, the rest takes the error by the inverse of H over
 * what is left. inv [k, k]: of H; is used up.  want [n, k]: what each column was rounded from. */
static void textbook(double *want, const problem *p, const vise_rounded *r, double *inv)
{
    const size_t k = p->k;
    for (size_t i = 0; i < p->n * k; i++)
        want[i] = (double)p->w[i];
    for (size_t at = k; at-- > 0;) {
        const size_t c = p->perm[at];
        const double d = inv[c * k + c];
        for (size_t i = 0; i < p->n; i++) {
            const double error = (want[i * k + c] - (double)r->value[i * k + c]) / d;
            for (size_t left = 0; left < at; left++)
                want[i * k + p->perm[left]] -= error * inv[c * k + p->perm[left]];
        }
        for (size_t a = 0; a < at; a++)
            for (size_t b = 0; b < at; b++)
                inv[p->perm[a] * k + p->perm[b]] -=
                    inv[p->perm[a] * k + c] * inv[c * k + p->perm[b]] / d;
    }
}

/* Every code is the one that GPTQ gives after the same codes before; ties may go either way. */
static void test_feedback(void **state)
{
    (void)state;
    problem p = problem_of(24, 300); // more than two blocks of columns
    for (unsigned bits = 2; bits <= 8; bits += 2) {
        const vise_rounding how = {
            .grid = vise_grid_of(bits), .fit = VISE_FIT_MSE, .feedback = true};
        vise_rounded r = solve(&p, how);
        double *inv = zeros(p.k * p.k, sizeof *inv), *want = zeros(p.n * p.k, sizeof *want);
        size_t ties = 0;
        for (size_t i = 0; i < p.k * p.k; i++)
            inv[i] = (double)p.h[i];
        invert(inv, p.k);
        textbook(want, &p, &r, inv);
        for (size_t i = 0; i < p.n * p.k; i++) {
            const vise_grid *g = &how.grid;
            const double at = (want[i] / (double)r.scale[i / p.k] - g->first) / g->step;
            const double inside = fmin(fmax(at, 0), g->count - 1);
            const double off = fabs(inside - (double)(r.level[i] - g->first) / g->step);
            if (!(off <= 0.5 + 2e-3)) fail_msg("%u bits: code %zu is %g steps off", bits, i, off);
            ties += off > 0.5;
        }
        assert_true(ties <= p.n * p.k / 500);
        free(want);
        free(inv);
        vise_rounded_close(&r);
    }
    free_problem(&p);
}

/* Each way is better than the one before it: feedback on the whole, the others for every row. */
static void test_never_worse(void **state)
{
    (void)state;
    problem p = problem_of(33, 150);
    for (unsigned way = 0; way < 14; way++) {
        const unsigned bits = 2 + way % 7;
        vise_rounding how = {.grid = vise_grid_of(bits),
                             .group = way >= 7 && bits <= 6 ? 32 : 0,
                             .fit = VISE_FIT_MSE};
        vise_rounded base = solve(&p, how), r[5];
        for (unsigned i = 0; i < 5; i++) {
            how.feedback = true;
            how.polish = i < 2 ? i : 4;
            how.refit = i < 3 ? 0 : i == 3 ? 1 : 3;
            r[i] = solve(&p, how);
        }
        double first = 0, all[5] = {0};
        for (size_t row = 0; row < p.n; row++) {
            first += row_error(p.w, &base, p.h, row);
            for (unsigned i = 0; i < 5; i++) {
                const double err = row_error(p.w, &r[i], p.h, row);
                all[i] += err;
                if (!(!i || err <= row_error(p.w, &r[i - 1], p.h, row) * (1 + 1e-4)))
                    fail_msg("%u bits, row %zu: step %u made it worse", bits, row, i);
            }
        }
        assert_true(all[0] < 0.8 * first && all[1] < all[0] && all[2] < all[1] && all[3] < all[2]);
        vise_rounded_close(&base);
        for (unsigned i = 0; i < 5; i++)
            vise_rounded_close(&r[i]);
    }
    free_problem(&p);
}

/* Threads share rows out; the numbers are the same. */
static void test_round_threads(void **state)
{
    (void)state;
    problem p = problem_of(50, 141);
    const vise_metric m = {p.h, p.factor, p.perm};
    const vise_rounding how = {vise_grid_of(3), 64, VISE_FIT_MSE, true, true, 2, 2, {0}};
    vise_rounded a = solve(&p, how), b;
    vise_err e;
    vise_dense d = dense_of(3);
    MUST(vise_rounded_open(&b, p.n, p.k, &how, &e));
    MUST(vise_round(&b, p.w, &m, &how, &d, &e));
    assert_memory_equal(a.level, b.level, p.n * p.k);
    assert_memory_equal(a.value, b.value, p.n * p.k * sizeof *a.value);
    assert_memory_equal(a.scale, b.scale, p.n * sizeof *a.scale);
    assert_memory_equal(a.mult, b.mult, p.n * a.groups);
    vise_rounded_close(&a);
    vise_rounded_close(&b);
    vise_dense_close(&d);
    free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),         cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_scales),        cmocka_unit_test(test_odd_rows),
        cmocka_unit_test(test_feedback),      cmocka_unit_test(test_never_worse),
        cmocka_unit_test(test_round_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
