/* test_optim.c - steps against the published rules in double, number by number
 * SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "base/rng.h"
#include "shared.h"
#include "train/optim.h"

#include <math.h>
#include <string.h>

/* A matrix of several pieces, a bias, one number. */
enum { TENSORS = 3, STEPS = 6 };
static const size_t sizes[TENSORS] = {20011, 37, 1};
static const char *const names[TENSORS] = {"w", "b", "t"};
static const float rates[TENSORS] = {1, 0.5f, 0.25f}, decays[TENSORS] = {0.1f, 0, 0.2f};
enum { ALL = 20011 + 37 + 1 };

typedef struct tensors {
    float x[ALL], grad[ALL];
    vise_param p[TENSORS];
} tensors;

static void start(tensors *t)
{
    vise_rng r = vise_rng_named(1, "weights");
    size_t at = 0;
    for (size_t i = 0; i < TENSORS; at += sizes[i++])
        t->p[i] = (vise_param){names[i], t->x + at, t->grad + at, sizes[i], rates[i], decays[i]};
    for (size_t i = 0; i < ALL; i++)
        t->x[i] = vise_rng_normal(&r);
}

static void new_gradients(tensors *t, size_t step)
{
    vise_rng r = vise_rng_named(step, "gradients");
    for (size_t i = 0; i < ALL; i++) // some are exactly zero
        t->grad[i] = i % 7 ? 0.1f * vise_rng_normal(&r) * (float)(1 + i % 3) : 0;
}

static double rate_at(size_t step)
{
    return 0.02 / (double)(step + 1);
}

static vise_dense dense_of(size_t threads)
{
    vise_err e;
    vise_dense d;
    MUST(vise_dense_open(&d, threads, NULL, &e));
    return d;
}

static void run(vise_optim *o, tensors *t, size_t from, size_t to, size_t threads)
{
    vise_dense d = dense_of(threads);
    const long before = vise_alloc_count;
    for (size_t s = from; s < to; s++) {
        new_gradients(t, s);
        vise_optim_step(o, &d, rate_at(s));
    }
    assert_int_equal(vise_alloc_count, before);
    vise_dense_close(&d);
}

/* ---- the rules in double ---- */

typedef struct truth {
    double x[ALL], m[ALL], v[ALL], ema[ALL], u[ALL];
} truth;

static void true_direction(truth *w, const vise_optim_opts *h, size_t step, size_t i, double decay)
{
    const double t = (double)step + 1, g = w->u[i];
    if (h->kind == VISE_OPTIM_SGD) {
        const double d = g + decay * w->x[i];
        w->m[i] = h->momentum * w->m[i] + d;
        w->u[i] = h->nesterov ? d + h->momentum * w->m[i] : w->m[i];
        return;
    }
    w->m[i] = h->beta1 * w->m[i] + (1 - h->beta1) * g;
    w->v[i] = h->beta2 * w->v[i] + (1 - h->beta2) * g * g;
    const double m = w->m[i] / (1 - pow(h->beta1, t)), v = w->v[i] / (1 - pow(h->beta2, t));
    w->u[i] = m / (sqrt(v) + h->eps) + decay * w->x[i];
}

static void true_step(truth *w, const tensors *t, const vise_optim_opts *h, size_t step)
{
    size_t at = 0;
    for (size_t k = 0; k < TENSORS; at += sizes[k++]) {
        double xx = 0, uu = 0, ratio = 1;
        for (size_t i = at; i < at + sizes[k]; i++) {
            w->u[i] = (double)t->grad[i];
            true_direction(w, h, step, i, (double)decays[k]);
            xx += w->x[i] * w->x[i];
            uu += w->u[i] * w->u[i];
        }
        if (h->kind == VISE_OPTIM_LAMB && decays[k] > 0) ratio = sqrt(xx / uu);
        for (size_t i = at; i < at + sizes[k]; i++) {
            w->x[i] -= rate_at(step) * (double)rates[k] * ratio * w->u[i];
            w->ema[i] = h->ema * w->ema[i] + (1 - h->ema) * w->x[i];
        }
    }
}

static const vise_optim_opts ways[] = {
    {.kind = VISE_OPTIM_ADAMW, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .ema = 0.7},
    {.kind = VISE_OPTIM_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
    {.kind = VISE_OPTIM_SGD},
    {.kind = VISE_OPTIM_SGD, .momentum = 0.9, .ema = 0.9},
    {.kind = VISE_OPTIM_SGD, .momentum = 0.8, .nesterov = true},
    {.kind = VISE_OPTIM_LAMB, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-6, .ema = 0.5},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void check(const char *what, size_t way, const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++) // a few roundings per step, of numbers up to about 4
        if (!(fabs((double)got[i] - want[i]) <= 3e-6 * (1 + fabs(want[i]))))
            fail_msg("way %zu, %s[%zu]: %.9g, not %.9g", way, what, i, (double)got[i], want[i]);
}

static void test_rules(void **state)
{
    (void)state;
    static tensors t;
    static truth w;
    for (size_t way = 0; way < WAYS; way++) {
        vise_err e;
        vise_optim o;
        start(&t);
        memset(&w, 0, sizeof w);
        for (size_t i = 0; i < ALL; i++)
            w.x[i] = w.ema[i] = (double)t.x[i];
        MUST(vise_optim_open(&o, &ways[way], t.p, TENSORS, &e));
        for (size_t s = 0; s < STEPS; s++) {
            run(&o, &t, s, s + 1, 2);
            true_step(&w, &t, &ways[way], s);
        }
        assert_int_equal(o.steps, STEPS);
        check("x", way, t.x, w.x, ALL);
        size_t found = 0, at = 0;
        for (size_t k = 0; k < TENSORS; at += sizes[k++])
            for (size_t i = 0; i < o.states; i++) {
                const char *dot = strchr(o.state[i].name, '.');
                if (strcmp(dot + 1, names[k]) != 0) continue;
                const double *want = *o.state[i].name == 'm'   ? w.m
                                     : *o.state[i].name == 'v' ? w.v
                                                               : w.ema;
                assert_int_equal(o.state[i].n, sizes[k]);
                check(o.state[i].name, way, o.state[i].x, want + at, sizes[k]);
                found++;
            }
        assert_int_equal(found, o.states);
        const vise_optim_opts *h = &ways[way];
        assert_int_equal(o.states, TENSORS * ((h->kind != VISE_OPTIM_SGD || h->momentum > 0) +
                                              (h->kind != VISE_OPTIM_SGD) + (h->ema > 0)));
        vise_optim_close(&o);
    }
}

/* Any number of threads, and a stop in the middle: the same bits. */
static void test_same(void **state)
{
    (void)state;
    static tensors one, two;
    for (size_t way = 0; way < WAYS; way++) {
        vise_err e;
        vise_optim o, later;
        start(&one);
        MUST(vise_optim_open(&o, &ways[way], one.p, TENSORS, &e));
        run(&o, &one, 0, STEPS, 1);
        vise_optim_close(&o);
        start(&two);
        MUST(vise_optim_open(&o, &ways[way], two.p, TENSORS, &e));
        run(&o, &two, 0, 2, 3);
        MUST(vise_optim_open(&later, &ways[way], two.p, TENSORS, &e));
        for (size_t i = 0; i < o.states; i++)
            memcpy(later.state[i].x, o.state[i].x, o.state[i].n * sizeof(float));
        later.steps = o.steps;
        vise_optim_close(&o);
        run(&later, &two, 2, STEPS, 2);
        assert_memory_equal(one.x, two.x, sizeof one.x);
        vise_optim_close(&later);
    }
}

/* A tensor of zeros that decays has no length to scale LAMB's step by: it moves nevertheless. */
static void test_zeros(void **state)
{
    (void)state;
    vise_err e;
    vise_optim o;
    vise_dense d = dense_of(1);
    float x[2] = {0}, g[2] = {1, -1};
    const vise_param p = {"x", x, g, 2, 1, 0.1f};
    MUST(vise_optim_open(&o, &(vise_optim_opts){.kind = VISE_OPTIM_LAMB}, &p, 1, &e));
    vise_optim_step(&o, &d, 0.5);
    assert_true(fabsf(x[0] + 0.5f) <= 1e-5f && fabsf(x[1] - 0.5f) <= 1e-5f);
    vise_optim_close(&o);
    vise_dense_close(&d);
}

static void test_clip(void **state)
{
    (void)state;
    static tensors t;
    static float kept[ALL];
    vise_err e;
    vise_optim o;
    vise_dense one = dense_of(1), three = dense_of(3);
    start(&t);
    new_gradients(&t, 1);
    memcpy(kept, t.grad, sizeof kept);
    double sum = 0;
    for (size_t i = 0; i < ALL; i++)
        sum += (double)kept[i] * (double)kept[i];
    const double length = sqrt(sum);
    MUST(vise_optim_open(&o, &ways[0], t.p, TENSORS, &e));
    assert_true(fabs(vise_optim_clip(&o, &one, 2 * length) - length) <= 1e-9 * length);
    assert_memory_equal(kept, t.grad, sizeof kept);
    const double before = vise_optim_clip(&o, &three, length / 4);
    assert_true(fabs(before - length) <= 1e-9 * length);
    for (size_t i = 0; i < ALL; i++)
        assert_true(fabsf(t.grad[i] - kept[i] / 4) <= 1e-6f * fabsf(kept[i]));
    memcpy(t.grad, kept, sizeof kept);
    assert_true(vise_optim_clip(&o, &one, length / 4) == before);
    for (int bad = 0; bad < 2; bad++) { // left as they are
        memcpy(t.grad, kept, sizeof kept);
        t.grad[ALL - 1] = bad ? NAN : INFINITY;
        assert_false(isfinite(vise_optim_clip(&o, &one, 1)));
        assert_memory_equal(kept, t.grad, sizeof kept - sizeof *kept);
    }
    vise_optim_close(&o);
    vise_dense_close(&one);
    vise_dense_close(&three);
}

static void test_schedule(void **state)
{
    (void)state;
    const vise_schedule s = {.rate = 1, .last = 0.1, .warmup = 4, .steps = 24}, flat = {.rate = 1};
    for (size_t k = 0; k < 4; k++)
        assert_true(fabs(vise_schedule_at(&s, k) - 0.2 * (double)(k + 1)) <= 1e-15);
    assert_true(vise_schedule_at(&s, 4) == 1);
    assert_true(fabs(vise_schedule_at(&s, 14) - 0.55) <= 1e-15); // half way
    assert_true(fabs(vise_schedule_at(&s, 9) - (0.1 + 0.9 * (1 + sqrt(0.5)) / 2)) <= 1e-15);
    for (size_t k = 5; k <= 24; k++)
        assert_true(vise_schedule_at(&s, k) < vise_schedule_at(&s, k - 1));
    assert_true(vise_schedule_at(&s, 24) == 0.1 && vise_schedule_at(&s, 1000) == 0.1);
    assert_true(vise_schedule_at(&flat, 0) == 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        vise_optim_opts how;
        const char *msg;
    } cases[] = {{{.beta1 = 1}, "beta1 1 is not in [0, 1)"},
                 {{.beta2 = -0.5}, "beta2 -0.5 is not in [0, 1)"},
                 {{.beta2 = (double)NAN}, "beta2 nan is not in [0, 1)"},
                 {{.eps = -1}, "eps -1 is not in (0, 1)"},
                 {{.momentum = 1.5}, "momentum 1.5 is not in [0, 1)"},
                 {{.ema = 1}, "ema 1 is not in [0, 1)"},
                 {{.nesterov = true}, "nesterov needs a momentum"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e;
        vise_optim o;
        assert_int_equal(vise_optim_open(&o, &cases[i].how, NULL, 0, &e), VISE_EARG);
        assert_string_equal(e.msg, cases[i].msg);
        vise_optim_close(&o);
    }
}

static void test_starved(void **state)
{
    (void)state;
    static tensors t;
    vise_err e;
    vise_optim o;
    start(&t);
    vise_alloc_fail_at = 0;
    assert_int_equal(vise_optim_open(&o, &ways[0], t.p, TENSORS, &e), VISE_ENOMEM);
    assert_int_equal(vise_alloc_fail_at, -1);
    vise_optim_close(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_same),
        cmocka_unit_test(test_zeros),    cmocka_unit_test(test_clip),
        cmocka_unit_test(test_schedule), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
