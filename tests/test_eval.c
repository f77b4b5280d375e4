/* test_eval.c - the measures of vise_eval and vise_diff against their textbook formulas
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "tiny.h"

#include <math.h>
#include <unistd.h>

enum { N = 23, SIDE = 8 };

static char dir[] = "/tmp/vise-eval-XXXXXX";
static vise_model *a, *b;
static vise_data *data;

static void write_idx(const char *name, uint32_t magic, uint32_t side, size_t per, uint32_t mod)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    const uint32_t head[] = {magic, N, side, side};
    for (int i = 0; i < (side ? 4 : 2); i++)
        for (int s = 24; s >= 0; s -= 8)
            fputc((int)(head[i] >> s & 255), f);
    vise_rng r = vise_rng_named(5, name);
    for (size_t i = 0; i < N * per; i++) // pictures from dark to bright
        fputc((int)((i / per * 11 * (per > 1) + vise_rng_u64(&r) % 64) % mod), f);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    vise_err e;
    if (!mkdtemp(dir)) return 1;
    write_idx("t10k-images-idx3-ubyte", 0x803, SIDE, SIDE * SIDE, 256);
    write_idx("t10k-labels-idx1-ubyte", 0x801, 0, 1, TINY_CLASSES);
    if (tiny_new(&a, &e) || tiny_new_seed(&b, 12, &e) || vise_data_open(&data, dir, NULL, &e))
        return 1;
    for (int i = 0; i < 3; i++) // strong contrast, so that pictures and not biases decide; and the
        a->recipe.std[i] = b->recipe.std[i] = 0.02f; // two models want different inputs
    b->recipe.mean[0] = 0.4f;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char path[64];
    vise_data_free(data);
    vise_model_free(a);
    vise_model_free(b);
    snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", dir);
    unlink(path);
    return rmdir(dir);
}

/* Logits of picture i, by a session of its own. */
static void logits_of(const vise_model *m, size_t i, float *y)
{
    vise_err e;
    vise_session *s;
    float x[SIDE * SIDE * 3];
    MUST(vise_session_new(&s, m, NULL, &e));
    MUST(vise_data_read(data, i, vise_model_recipe(m), x, &e));
    vise_session_run(s, 1, (const float *[]){x}, (float *[]){y, NULL});
    vise_session_free(s);
}

static void probabilities(const float *y, long double *p)
{
    long double sum = 0;
    for (size_t c = 0; c < TINY_CLASSES; c++)
        sum += p[c] = expl((long double)y[c]);
    for (size_t c = 0; c < TINY_CLASSES; c++)
        p[c] /= sum;
}

static size_t best(const float *y)
{
    size_t c = 0;
    for (size_t i = 1; i < TINY_CLASSES; i++)
        if (y[i] > y[c]) c = i;
    return c;
}

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 + 1e-9 * fabs(want)))
        fail_msg("%s: %.15g, want %.15g", what, got, want);
}

static void test_measures(void **state)
{
    (void)state;
    vise_err e;
    size_t right = 0, same = 0, predicted[N];
    double kl = 0, most = 0, mean = 0;
    for (size_t i = 0; i < N; i++) {
        float y[TINY_CLASSES], z[TINY_CLASSES];
        long double p[TINY_CLASSES], q[TINY_CLASSES];
        logits_of(a, i, y);
        logits_of(b, i, z);
        probabilities(y, q);
        probabilities(z, p); // the reference is the other model
        right += best(y) == vise_data_label(data, i);
        same += best(y) == best(z);
        for (size_t c = 0; c < TINY_CLASSES; c++) {
            kl += (double)(p[c] * logl(p[c] / q[c])) / N;
            most = fmax(most, fabs((double)y[c] - (double)z[c]));
            mean += fabs((double)y[c] - (double)z[c]) / TINY_CLASSES / N;
        }
    }
    assert_true(same > 0 && same < N && right > 0 &&
                kl > 0); // the formulas below have something to count
    for (size_t batch = 1; batch <= 24; batch += 7)
        for (size_t threads = 1; threads <= 2; threads++) {
            vise_eval_result r;
            const vise_eval_opts o = {.against = b,
                                      .data = data,
                                      .batch = batch,
                                      .threads = threads,
                                      .predicted = predicted};
            MUST(vise_eval(&r, a, &o, &e));
            assert_int_equal(r.n, N);
            assert_int_equal(r.correct_top1, right);
            assert_int_equal(r.correct_top5, N); // of five classes
            near("agreement", r.agreement, (double)same / N);
            near("mean_kl", r.mean_kl, kl);
            near("max_abs_logit_error", r.max_abs_logit_error, most);
            near("mean_abs_logit_error", r.mean_abs_logit_error, mean);
            size_t hits = 0;
            for (size_t i = 0; i < N; i++)
                hits += predicted[i] == vise_data_label(data, i);
            assert_int_equal(hits, right);
        }
}

static void test_itself(void **state)
{
    (void)state;
    vise_err e;
    vise_eval_result r;
    vise_diff_row *rows;
    size_t n;
    const vise_eval_opts o = {.against = a, .data = data, .limit = 5};
    MUST(vise_eval(&r, a, &o, &e));
    assert_true(r.n == 5 && r.agreement == 1 && r.mean_kl == 0 && r.max_abs_logit_error == 0);
    MUST(vise_diff(&rows, &n, a, a, &o, &e));
    assert_true(n > 10);
    for (size_t i = 0; i < n; i++) {
        assert_true(rows[i].relative_error == 0);
        near(rows[i].name, rows[i].cosine, 1);
    }
    vise_diff_free(rows);
}

/* The last row of the difference is the head: its formula from the logits. */
static void test_diff(void **state)
{
    (void)state;
    vise_err e;
    vise_diff_row *rows;
    size_t n;
    double aa = 0, bb = 0, ab = 0, dd = 0;
    for (size_t i = 0; i < N; i++) {
        float y[TINY_CLASSES], z[TINY_CLASSES];
        logits_of(a, i, y);
        logits_of(b, i, z);
        for (size_t c = 0; c < TINY_CLASSES; c++) {
            const double u = (double)y[c], v = (double)z[c];
            aa += u * u;
            bb += v * v;
            ab += u * v;
            dd += (u - v) * (u - v);
        }
    }
    MUST(vise_diff(&rows, &n, a, b, &(vise_eval_opts){.data = data, .batch = 4, .threads = 2}, &e));
    assert_string_equal(rows[n - 1].name, "head");
    near("relative_error", rows[n - 1].relative_error, sqrt(dd / aa));
    near("cosine", rows[n - 1].cosine, ab / sqrt(aa * bb));
    vise_diff_free(rows);
}

static bool stop_soon(void *user, const char *what, size_t done, size_t total)
{
    (void)what;
    (void)total;
    ++*(size_t *)user;
    return done < 6;
}

static void test_stops_and_refuses(void **state)
{
    (void)state;
    vise_err e;
    vise_eval_result r;
    vise_diff_row *rows = (vise_diff_row *)&e;
    size_t calls = 0, n;
    vise_eval_opts o = {.data = data, .batch = 3, .progress = stop_soon, .user = &calls};
    assert_int_equal(vise_eval(&r, a, &o, &e), VISE_ECANCEL);
    assert_true(calls == 3 && r.n == 0 && strstr(e.msg, "6 of 23"));
    calls = 0;
    assert_int_equal(vise_diff(&rows, &n, a, b, &o, &e), VISE_ECANCEL);
    assert_true(!rows && n == 0);
    const float std = b->recipe.std[1];
    b->recipe.std[1] = 1e-44f; // pixels become infinite, logits not a number
    assert_int_equal(vise_eval(&r, b, &(vise_eval_opts){.data = data}, &e), VISE_EFORMAT);
    assert_true(strstr(e.msg, "logit 0 is") != NULL);
    b->recipe.std[1] = std;
    for (long fail = 0;; fail++) {
        o = (vise_eval_opts){.data = data, .against = b, .limit = 2, .threads = 2};
        vise_alloc_fail_at = fail;
        vise_status s = vise_eval(&r, a, &o, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_true(reached ? s == VISE_ENOMEM && r.n == 0 : !s && r.n == 2);
        if (!reached) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_itself),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_stops_and_refuses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
