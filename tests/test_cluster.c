/* test_cluster.c - palettes: k-means, whole centroids, their fit, and the pass on a small network
 * SPDX-License-Identifier: MIT */
#include "compress/books.h"
#include "matrices.h"
#include "uneven.h"

#include <float.h>

/* ---- k-means ---- */

enum { POINTS = 60 };

/* The least error of points [0, n) in k intervals, by trying all. */
static double best_error(const double *x, const double *w, size_t n, size_t k)
{
    double least[POINTS + 1], next[POINTS + 1];
    for (size_t b = 0; b <= n; b++)
        least[b] = b ? (double)INFINITY : 0;
    for (size_t level = 0; level < k; level++) {
        for (size_t b = 0; b <= n; b++) {
            next[b] = least[b];
            for (size_t a = 0; a < b; a++) {
                double sw = 0, sx = 0, err = 0;
                for (size_t i = a; i < b; i++) {
                    sw += w[i];
                    sx += w[i] * x[i];
                }
                for (size_t i = a; i < b; i++)
                    err += w[i] * (x[i] - sx / sw) * (x[i] - sx / sw);
                next[b] = fmin(next[b], least[a] + err);
            }
        }
        memcpy(least, next, sizeof least);
    }
    return least[n];
}

static void test_kmeans(void **state)
{
    (void)state;
    static vise_points p;
    vise_rng r = vise_rng_named(1, "points");
    for (size_t k = 2; k <= 40; k += k < 8 ? 1 : 16) {
        double x[POINTS], w[POINTS], err = 0;
        float book[40];
        vise_err e;
        vise_points_open(&p, -4, 4);
        for (size_t i = 0; i < POINTS; i++) { // ascending, each in a bin of its own
            x[i] = -4 + 8 * ((double)i + (double)vise_rng_uniform(&r)) / POINTS;
            w[i] = 0.1 + (double)vise_rng_uniform(&r);
            vise_points_add(&p, x[i], w[i]);
        }
        MUST(vise_kmeans(book, k, &p, &e));
        for (size_t i = 0; i < POINTS; i++) {
            const double d = x[i] - (double)book[vise_nearest_in(book, k, (float)x[i])];
            err += w[i] * d * d;
        }
        assert_true(fabs(err - best_error(x, w, POINTS, k)) <= 1e-5);
        for (size_t i = 1; i < k; i++)
            assert_true(book[i - 1] < book[i]);
    }
}

static void test_few_points(void **state)
{
    (void)state;
    static vise_points p;
    float book[8];
    vise_err e;
    vise_points_open(&p, 0, 0);
    MUST(vise_kmeans(book, 8, &p, &e)); // none at all
    for (size_t i = 0; i < 8; i++)
        assert_true(book[i] == 0);
    vise_points_open(&p, -1, 3);
    vise_points_add(&p, 3, 2);
    vise_points_add(&p, -1, 1);
    vise_points_add(&p, 9, 0); // beyond, and of no weight
    MUST(vise_kmeans(book, 8, &p, &e));
    assert_true(book[0] == -1);
    for (size_t i = 1; i < 8; i++)
        assert_true(book[i] == 3);
}

static void test_nearest(void **state)
{
    (void)state;
    vise_rng r = vise_rng_named(2, "nearest");
    float book[256];
    for (size_t k = 2; k <= 256; k = k * 3 / 2) {
        book[0] = -2;
        for (size_t i = 1; i < k; i++)
            book[i] = book[i - 1] + (i % 5 ? vise_rng_uniform(&r) : 0); // some twice
        for (size_t t = 0; t < 500; t++) {
            const float x = book[0] - 1 + (book[k - 1] - book[0] + 2) * vise_rng_uniform(&r);
            const float at = book[vise_nearest_in(book, k, x)];
            for (size_t i = 0; i < k; i++)
                assert_true(fabsf(x - at) <= fabsf(x - book[i]) * (1 + 4 * FLT_EPSILON));
        }
    }
}

static void test_whole(void **state)
{
    (void)state;
    static vise_points p;
    vise_rng r = vise_rng_named(3, "whole");
    vise_err e;
    float book[32], exact[32];
    vise_points_open(&p, -5, 5);
    for (size_t i = 0; i < 5000; i++)
        vise_points_add(&p, (double)vise_rng_normal(&r), 1);
    MUST(vise_kmeans(exact, 32, &p, &e));
    memcpy(book, exact, sizeof book);
    const float unit = vise_book_whole(book, 32, &p);
    for (size_t i = 0; i < 32; i++) {
        assert_true(book[i] == rintf(book[i]) && fabsf(book[i]) <= 127);
        if (i > 0 && i < 31) assert_true(fabsf(book[i] * unit - exact[i]) <= 0.51f * unit);
    }
}

/* ---- fits ---- */

enum { N = 20, KC = 48 };

/* (w - q) h (w - q)^T */
static double loss(const vise_rounded *r, const float *w, const float *h)
{
    double sum = 0;
    for (size_t i = 0; i < r->n; i++)
        for (size_t a = 0; a < r->k; a++)
            for (size_t b = 0; b < r->k; b++)
                sum += (double)(w[i * r->k + a] - r->value[i * r->k + a]) *
                       (double)h[a * r->k + b] * (double)(w[i * r->k + b] - r->value[i * r->k + b]);
    return sum;
}

static void check_values(const vise_rounded *r, bool whole)
{
    for (size_t i = 0; i < r->n * r->k; i++) {
        const size_t row = i / r->k;
        const float *book = r->book + row / r->book_rows * r->count;
        assert_true((uint8_t)r->level[i] < r->count);
        assert_true(r->value[i] == r->scale[row] * book[(uint8_t)r->level[i]]);
    }
    for (size_t b = 0; b < r->books; b++)
        for (size_t i = 0; i < r->count; i++) {
            const float *book = r->book + b * r->count;
            assert_true(!i || book[i - 1] <= book[i]);
            assert_true(!whole || (book[i] == rintf(book[i]) && fabsf(book[i]) <= 127));
        }
}

/* What follows rounding: sweeps, scales and centroids. */
static double rounded_loss(const float *w, const vise_metric *m, vise_rounding how, size_t threads)
{
    vise_err e;
    vise_rounded r;
    vise_dense d = dense_of(threads);
    MUST(vise_rounded_open(&r, N, KC, &how, &e));
    MUST(vise_round(&r, w, m, &how, &d, &e));
    check_values(&r, how.palette.whole);
    const double got = loss(&r, w, m->h);
    vise_rounded_close(&r);
    vise_dense_close(&d);
    return got;
}

/* Each step makes the error less, for any kind of palette. */
static void test_fit(void **state)
{
    (void)state;
    float *w = numbers("w", (size_t)N * KC), *h = definite(KC, 0.01f);
    uint32_t perm[KC];
    for (uint32_t i = 0; i < KC; i++)
        perm[i] = i;
    const vise_metric m = {.h = h, .perm = perm};
    for (int way = 0; way < 8; way++) {
        vise_rounding how = {.grid = vise_grid_of(4)};
        how.palette = (vise_palette){
            .count = 11, .rows = way & 1 ? 8 : 0, .whole = way & 2, .scaled = way & 4};
        const double nearest = rounded_loss(w, &m, how, 1);
        how.polish = 3;
        const double polished = rounded_loss(w, &m, how, 1);
        how.refit = 2;
        const double refitted = rounded_loss(w, &m, how, 1);
        assert_true(polished < 0.9 * nearest && refitted < 0.99 * polished);
        assert_true(rounded_loss(w, &m, how, 3) == refitted);
        const float given[] = {-2, -1, 0, 1, 2};
        how.palette.count = 5;
        how.palette.given = given;
        how.palette.unit = 0.5f;
        assert_true(isfinite(rounded_loss(w, &m, how, 1)));
    }
    free(w);
    free(h);
}

/* Centroids settle where no one of them can gain: the slope of the error is nothing. */
static void test_refit(void **state)
{
    (void)state;
    vise_err e;
    vise_rounded r;
    vise_dense d = dense_of(2);
    float *w = numbers("w", (size_t)N * KC), *h = definite(KC, 0.01f), rest[N * KC];
    const vise_rounding how = {.grid = vise_grid_of(4), .palette = {.count = 7, .scaled = true}};
    uint32_t perm[KC] = {0};
    MUST(vise_rounded_open(&r, N, KC, &how, &e));
    MUST(vise_round(&r, w, &(vise_metric){.h = h, .perm = perm}, &how, &d, &e));
    double slope[7] = {0}, size[7] = {0};
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < N; i++)
            for (size_t a = 0; a < KC; a++) {
                double sum = 0;
                for (size_t b = 0; b < KC; b++)
                    sum += (double)(w[i * KC + b] - r.value[i * KC + b]) * (double)h[b * KC + a];
                rest[i * KC + a] = (float)sum;
                slope[(uint8_t)r.level[i * KC + a]] += turn ? sum * (double)r.scale[i] : 0;
                size[(uint8_t)r.level[i * KC + a]] += turn ? fabs(sum * (double)r.scale[i]) : 0;
            }
        if (!turn) MUST(vise_books_refit(&r, rest, h, &how.palette, &d, &e));
    }
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(slope[i]) <= 2e-3 * size[i]);
    check_values(&r, false);
    vise_rounded_close(&r);
    vise_dense_close(&d);
    free(w);
    free(h);
}

/* ---- the pass ---- */

static void test_identity(void **state)
{
    (void)state;
    assert_true(error_of("cluster k=0 acts=f32 rest=f32") == 0);
}

static void test_more_is_better(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "",           " codebook=model", " scales=off",
        " acts=int8", " method=kmeans",  " method=weighted codebook=rows64"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char line[80];
        double last = (double)INFINITY;
        for (int k = 4; k <= 256; k *= 4) {
            snprintf(line, sizeof line, "cluster k=%d%s%s", k, i == 3 ? "" : " acts=f32", kinds[i]);
            const double err = error_of(line);
            assert_true(err < last || (k == 256 && err < 1.5 * last));
            last = err;
        }
    }
    assert_true(error_of("cluster k=16 acts=f32") <
                0.9 * error_of("cluster k=16 acts=f32 method=kmeans"));
}

/* The same file whatever the threads, and it comes back. */
static void test_repeatable(void **state)
{
    (void)state;
    static const char *const lines[] = {"cluster k=16", "cluster k=9 acts=f32 codebook=rows64",
                                        "cluster k=64 codebook=model scales=off ends=int8"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        vise_err e;
        vise_model *again;
        make_file(path_a, lines[i], 1);
        make_file(path_b, lines[i], 3);
        assert_true(same_files());
        MUST(vise_model_open(&again, path_a, NULL, &e));
        MUST(vise_model_save(again, path_b, &e));
        assert_true(same_files());
        vise_model_free(again);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *say;
    } wrong[] = {
        {"cluster k=1", "cluster k: a whole number from 2 to 256, or 0"},
        {"cluster k=300", "cluster k: a whole number from 2 to 256, or 0"},
        {"cluster k=6.5", "cluster k: a whole number from 2 to 256, or 0"},
        {"cluster skip=nothing", "cluster skip=nothing: no layer has such a name"},
        {"cluster", "cluster to 6 bits rounds by calibration pictures (--calib), and none are "
                    "given; method=kmeans goes without"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vise_err e;
        vise_model *m = vit();
        assert_int_equal(vise_apply(m, wrong[i].line, NULL, &e), VISE_EARG);
        assert_string_equal(e.msg, wrong[i].say);
        vise_model_free(m);
    }
}

static void test_starved(void **state)
{
    (void)state;
    const char *line = "cluster k=5 codebook=model";
    vise_data *d = pictures();
    for (long n = 0;; n += 1 + n / 20) {
        vise_err e;
        vise_model *m = vit();
        const vise_eval_opts o = {.data = d, .threads = 1, .limit = 2};
        vise_alloc_fail_at = n;
        const vise_status s = vise_apply(m, line, &o, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
        vise_model_free(m);
        if (!reached) break;
    }
    vise_data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kmeans),     cmocka_unit_test(test_few_points),
        cmocka_unit_test(test_nearest),    cmocka_unit_test(test_whole),
        cmocka_unit_test(test_fit),        cmocka_unit_test(test_refit),
        cmocka_unit_test(test_identity),   cmocka_unit_test(test_more_is_better),
        cmocka_unit_test(test_repeatable), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
