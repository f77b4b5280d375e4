/* test_loss.c - losses against their formulas in double; gradients against central differences
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "shared.h"
#include "train/loss.h"

#include <math.h>
#include <string.h>

/* Every loss of a test as one function of numbers in double, which central differences are taken of. */
typedef double formula(const double *x, const void *user);

enum { MOST = 512 };
static const double WEIGHT = 0.75;

static void fill(float *x, size_t n, const char *name, float size)
{
    vise_rng r = vise_rng_named(5, name);
    for (size_t i = 0; i < n; i++)
        x[i] = size * vise_rng_normal(&r);
}

/* d must be 1, which it started from, plus WEIGHT times the derivative of f. */
static void check_gradient(const float *d, const float *x, size_t n, formula *f, const void *user)
{
    double at[MOST];
    const double h = 1e-4;
    assert_true(n && n <= MOST);
    for (size_t i = 0; i < n; i++)
        at[i] = (double)x[i];
    for (size_t i = 0; i < n; i++) {
        at[i] = (double)x[i] + h;
        const double up = f(at, user);
        at[i] = (double)x[i] - h;
        const double want = 1 + WEIGHT * (up - f(at, user)) / (2 * h);
        at[i] = (double)x[i];
        // d is near 1: one rounding of it, a few of the gradient, h^2 of the difference
        if (!(fabs((double)d[i] - want) <= 4e-7 * (1 + fabs(want))))
            fail_msg("number %zu: %.9g, the differences say %.9g", i, (double)d[i], want);
    }
}

static void check_value(double got, const float *x, size_t n, formula *f, const void *user)
{
    double at[MOST];
    for (size_t i = 0; i < n; i++)
        at[i] = (double)x[i];
    const double want = f(at, user);
    if (!(fabs(got - want) <= 2e-6 * fabs(want)))
        fail_msg("a loss of %.9g, the formula says %.9g", got, want);
    assert_true(fabs(want) > 1e-3);
}

static void ones(float *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] = 1;
}

/* ---- logits ---- */

enum { ROWS = 3, CLASSES = 7, LOGITS = ROWS * CLASSES };

typedef struct on_logits {
    double target[LOGITS], T; // probabilities
    bool entropy;             // of the targets is taken off
} on_logits;

static double cross(const double *x, const void *user)
{
    const on_logits *o = user;
    double loss = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (size_t c = 0; c < CLASSES; c++)
            sum += exp(x[i * CLASSES + c] / o->T);
        for (size_t c = 0; c < CLASSES; c++) {
            const double p = o->target[i * CLASSES + c];
            loss -= p * log(exp(x[i * CLASSES + c] / o->T) / sum);
            if (o->entropy) loss += p * log(p);
        }
    }
    return o->T * o->T * loss / ROWS;
}

static void test_targets(void **state)
{
    (void)state;
    float x[LOGITS], dx[LOGITS], t[LOGITS];
    const size_t labels[ROWS] = {6, 0, 2};
    on_logits o = {.T = 1};
    fill(x, LOGITS, "logits", 2);
    for (int smooth = 0; smooth < 3; smooth++) {
        vise_targets_of(t, labels, ROWS, CLASSES, 0.1 * smooth);
        for (size_t i = 0; i < LOGITS; i++) {
            const bool hit = labels[i / CLASSES] == i % CLASSES;
            const double want = hit - 0.1 * smooth * (hit - 1.0 / CLASSES);
            assert_true(fabs((double)t[i] - want) <= 1e-7);
            if (smooth == 2) t[i] *= 1.5f; // rows that add to something else than one
            o.target[i] = (double)t[i];
        }
        ones(dx, LOGITS);
        const vise_student s = {x, dx, ROWS, CLASSES, WEIGHT};
        check_value(vise_loss_targets(&s, t), x, LOGITS, cross, &o);
        check_gradient(dx, x, LOGITS, cross, &o);
    }
}

static void test_soft(void **state)
{
    (void)state;
    float x[LOGITS], dx[LOGITS], t[LOGITS];
    fill(x, LOGITS, "logits", 2);
    fill(t, LOGITS, "teacher", 3);
    for (int times = 1; times <= 3; times++) {
        on_logits o = {.T = times, .entropy = true};
        for (size_t i = 0; i < LOGITS; i++) {
            double sum = 0;
            for (size_t c = 0; c < CLASSES; c++)
                sum += exp((double)t[i / CLASSES * CLASSES + c] / o.T);
            o.target[i] = exp((double)t[i] / o.T) / sum;
        }
        ones(dx, LOGITS);
        const vise_student s = {x, dx, ROWS, CLASSES, WEIGHT};
        check_value(vise_loss_soft(&s, t, o.T), x, LOGITS, cross, &o);
        check_gradient(dx, x, LOGITS, cross, &o);
    }
    ones(dx, LOGITS);
    const vise_student s = {t, dx, ROWS, CLASSES, WEIGHT};
    assert_true(fabs(vise_loss_soft(&s, t, 2)) <= 1e-12); // nothing to learn from oneself
    for (size_t i = 0; i < LOGITS; i++)
        assert_true(dx[i] == 1);
}

static void test_hard(void **state)
{
    (void)state;
    float x[LOGITS], dx[LOGITS], t[LOGITS] = {0};
    const size_t largest[ROWS] = {0, 4, 3}; // the first row has none: all are equal
    on_logits o = {.T = 1};
    fill(x, LOGITS, "logits", 2);
    for (size_t i = 0; i < ROWS; i++) {
        o.target[i * CLASSES + largest[i]] = 1;
        if (i) t[i * CLASSES + largest[i]] = t[i * CLASSES + 5] = 2;
    }
    ones(dx, LOGITS);
    const vise_student s = {x, dx, ROWS, CLASSES, WEIGHT};
    check_value(vise_loss_hard(&s, t), x, LOGITS, cross, &o);
    check_gradient(dx, x, LOGITS, cross, &o);
}

/* Logits of any size have a finite loss; a NaN is not hidden; without dx nothing is written. */
static void test_extremes(void **state)
{
    (void)state;
    float x[] = {1e30f, -1e30f, 0}, dx[3] = {0};
    const float t[] = {0, 1, 0}, teacher[] = {-1e30f, 0, 1e30f};
    const vise_student s = {x, dx, 1, 3, 1}, only = {x, NULL, 1, 3, 1};
    assert_true(fabs(vise_loss_targets(&s, t) - 2e30) <= 1e24);
    assert_true(dx[0] == 1 && dx[1] == -1 && dx[2] == 0);
    assert_true(fabs(vise_loss_soft(&s, teacher, 2) - 2e30) <= 1e24);
    assert_true(vise_loss_targets(&only, t) == vise_loss_targets(&s, t));
    assert_true(isfinite(vise_loss_hard(&only, teacher)) &&
                isfinite(vise_loss_mse(&only, t, true)));
    x[2] = NAN;
    assert_true(isnan(vise_loss_targets(&only, t)) && isnan(vise_loss_soft(&only, teacher, 1)) &&
                isnan(vise_loss_hard(&only, teacher)) && isnan(vise_loss_mse(&only, t, false)));
}

/* ---- values ---- */

typedef struct on_values {
    const double *x, *w, *target; // x or w NULL: the argument
    size_t rows, in, out;
    bool normalise;
} on_values;

/* Mean square of x w^T - target; in 0: of x - target. */
static double square(const double *at, const void *user)
{
    const on_values *o = user;
    const double *x = o->x ? o->x : at, *w = o->w ? o->w : at;
    const size_t n = o->rows * o->out;
    double loss = 0, mean = 0, var = 0;
    for (size_t i = 0; i < n; i++) {
        double y = o->in ? 0 : x[i];
        for (size_t k = 0; k < o->in; k++)
            y += x[i / o->out * o->in + k] * w[i % o->out * o->in + k];
        loss += (y - o->target[i]) * (y - o->target[i]);
        mean += o->target[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        var += (o->target[i] - mean) * (o->target[i] - mean) / (double)n;
    return loss / (double)n / (o->normalise ? var : 1);
}

static void to_double(double *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
}

static void test_mse(void **state)
{
    (void)state;
    enum { N = 33 };
    float x[N], dx[N], t[N];
    double target[N];
    fill(x, N, "x", 1);
    fill(t, N, "t", 2);
    for (size_t i = 0; i < N; i++)
        t[i] += 3;
    to_double(target, t, N);
    for (int normalise = 0; normalise < 2; normalise++) {
        const on_values o = {NULL, target, target, 1, 0, N, normalise};
        ones(dx, N);
        const vise_student s = {x, dx, 3, N / 3, WEIGHT};
        check_value(vise_loss_mse(&s, t, normalise), x, N, square, &o);
        check_gradient(dx, x, N, square, &o);
    }
    ones(t, N); // no variance: nothing to divide by
    const vise_student s = {x, NULL, 3, N / 3, WEIGHT};
    assert_true(vise_loss_mse(&s, t, true) == vise_loss_mse(&s, t, false));
}

enum { TOKENS = 5, STUDENT = 6, TEACHER = 9 };

static void test_projected(void **state)
{
    (void)state;
    float x[TOKENS * STUDENT], dx[TOKENS * STUDENT], w[TEACHER * STUDENT], dw[TEACHER * STUDENT];
    float t[TOKENS * TEACHER], room[2 * TOKENS * TEACHER];
    double xd[TOKENS * STUDENT], wd[TEACHER * STUDENT], td[TOKENS * TEACHER], loss, alone;
    vise_err e;
    vise_dense d;
    MUST(vise_dense_open(&d, 2, NULL, &e));
    fill(x, TOKENS * STUDENT, "x", 1);
    fill(w, TEACHER * STUDENT, "w", 0.5f);
    fill(t, TOKENS * TEACHER, "t", 2);
    to_double(xd, x, TOKENS * STUDENT);
    to_double(wd, w, TEACHER * STUDENT);
    to_double(td, t, TOKENS * TEACHER);
    for (int normalise = 0; normalise < 2; normalise++) {
        ones(dx, TOKENS * STUDENT);
        ones(dw, TEACHER * STUDENT);
        vise_student s = {x, dx, TOKENS, STUDENT, WEIGHT};
        vise_projected p = {w, t, dw, room, TEACHER, normalise};
        MUST(vise_loss_projected(&loss, &d, &s, &p, &e));
        const on_values of_x = {NULL, wd, td, TOKENS, STUDENT, TEACHER, normalise},
                        of_w = {xd, NULL, td, TOKENS, STUDENT, TEACHER, normalise};
        check_value(loss, x, TOKENS * STUDENT, square, &of_x);
        check_gradient(dx, x, TOKENS * STUDENT, square, &of_x);
        check_gradient(dw, w, TEACHER * STUDENT, square, &of_w);
        s.dx = p.dw = NULL;
        MUST(vise_loss_projected(&alone, &d, &s, &p, &e));
        assert_true(alone == loss);
    }
    vise_dense_close(&d);
}

/* ---- relations ---- */

enum { PICTURES = 2, HEADS = 3 };

typedef struct relations {
    double p[PICTURES * HEADS * TOKENS * TOKENS]; // the teacher's
} relations;

/* Row i of softmax(x x^T / sqrt(width)) of a head. */
static void relation_row(double *p, const double *x, size_t dim, size_t head, size_t i)
{
    const size_t width = dim / HEADS;
    double sum = 0;
    for (size_t k = 0; k < TOKENS; k++) {
        double z = 0;
        for (size_t c = head * width; c < (head + 1) * width; c++)
            z += x[i * dim + c] * x[k * dim + c];
        sum += p[k] = exp(z / sqrt((double)width));
    }
    for (size_t k = 0; k < TOKENS; k++)
        p[k] /= sum;
}

static double divergence(const double *x, const void *user)
{
    const relations *r = user;
    const double *p = r->p;
    double loss = 0, q[TOKENS];
    for (size_t n = 0; n < PICTURES * HEADS * TOKENS; n++, p += TOKENS) {
        const size_t picture = n / (HEADS * TOKENS), head = n / TOKENS % HEADS;
        relation_row(q, x + picture * TOKENS * STUDENT, STUDENT, head, n % TOKENS);
        for (size_t k = 0; k < TOKENS; k++)
            loss += p[k] * log(p[k] / q[k]);
    }
    return loss / (PICTURES * HEADS * TOKENS);
}

static void teacher_relations(relations *r, const float *t)
{
    double td[PICTURES * TOKENS * TEACHER];
    to_double(td, t, PICTURES * TOKENS * TEACHER);
    for (size_t n = 0; n < PICTURES * HEADS * TOKENS; n++)
        relation_row(r->p + n * TOKENS, td + n / (HEADS * TOKENS) * TOKENS * TEACHER, TEACHER,
                     n / TOKENS % HEADS, n % TOKENS);
}

static double relation_loss(float *dx, const float *x, const float *t, size_t dim, size_t threads)
{
    vise_err e;
    vise_dense d;
    vise_relation r = {.teacher = t, .dim = dim, .heads = HEADS, .pictures = PICTURES};
    const vise_student s = {x, dx, PICTURES * TOKENS, STUDENT, WEIGHT};
    MUST(vise_dense_open(&d, threads, NULL, &e));
    MUST(vise_alloc_or(&r.room, vise_relation_room(&d, &s, &r), sizeof(float), "room", &e));
    const double loss = vise_loss_relation(&d, &s, &r);
    vise_free(r.room);
    vise_dense_close(&d);
    return loss;
}

static void test_relation(void **state)
{
    (void)state;
    enum { N = PICTURES * TOKENS * STUDENT };
    static relations r;
    float x[N], dx[N], again[N], t[PICTURES * TOKENS * TEACHER];
    fill(x, N, "x", 1);
    fill(t, PICTURES * TOKENS * TEACHER, "t", 1.2f);
    teacher_relations(&r, t);
    ones(dx, N);
    ones(again, N);
    const double loss = relation_loss(dx, x, t, TEACHER, 1);
    check_value(loss, x, N, divergence, &r);
    check_gradient(dx, x, N, divergence, &r);
    assert_true(relation_loss(again, x, t, TEACHER, 3) == loss);
    assert_memory_equal(dx, again, sizeof dx);
    assert_true(relation_loss(NULL, x, t, TEACHER, 2) == loss);
    ones(dx, N);
    assert_true(fabs(relation_loss(dx, x, x, STUDENT, 1)) <= 1e-6);
    for (size_t i = 0; i < N; i++)
        assert_true(dx[i] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),  cmocka_unit_test(test_soft),
        cmocka_unit_test(test_hard),     cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_mse),      cmocka_unit_test(test_projected),
        cmocka_unit_test(test_relation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
