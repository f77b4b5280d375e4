/* test_grad.c - every backward against central differences of its operator in double
 * SPDX-License-Identifier: MIT */
#include "act_oracle.h"
#include "base/rng.h"
#include "graph/ops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 512, ROUNDS = 24 }; // numbers of one operand; problems per operator

/* An operator with operands small enough to perturb every number of them. The loss is
 * sum dout * y, so that its derivatives are what backward adds. */
typedef struct problem {
    vise_rng rng;
    size_t batch;
    const void *attr;
    uint32_t nin;
    vise_shape in[3], out;
    bool batched[3], absent[3];
    double x[3][MOST];
    float f[3][MOST], d[3][MOST]; // inputs and gradients as backward sees them
    float dout[MOST];
} problem;

static size_t pick(problem *p, size_t n)
{
    return (size_t)(vise_rng_u64(&p->rng) % n);
}

static bool out_batched(const problem *p)
{
    bool b = false;
    for (uint32_t i = 0; i < p->nin; i++)
        b |= !p->absent[i] && p->batched[i];
    return b;
}

static size_t count(const problem *p, const vise_shape *s, bool batched)
{
    return vise_shape_count(s) * (batched ? p->batch : 1);
}

static const double *at(const problem *p, unsigned i, size_t b)
{
    return p->absent[i] ? NULL : p->x[i] + (p->batched[i] ? b * vise_shape_count(&p->in[i]) : 0);
}

/* ---- each operator once more, in double: out y [shape] of image b ---- */

static void act_make(problem *p)
{
    static vise_act_attr attrs[VISE_ACT_TANH + 1];
    const size_t kind = pick(p, VISE_ACT_TANH + 1);
    attrs[kind].kind = (int)kind;
    p->attr = &attrs[kind];
    p->nin = 1;
    p->in[0] = p->out = (vise_shape){2, {1 + pick(p, 4), 1 + pick(p, 9)}};
}

static void act_in_double(const problem *p, double *y, size_t b)
{
    for (size_t i = 0; i < vise_shape_count(&p->out); i++)
        y[i] = act_oracle(((const vise_act_attr *)p->attr)->kind, at(p, 0, b)[i]);
}

static void add_make(problem *p)
{
    p->nin = 2;
    p->out = (vise_shape){3, {2, 1 + pick(p, 3), 1 + pick(p, 5)}};
    p->in[0] = p->in[1] = p->out;
    if (pick(p, 2)) p->in[0].dim[0] = 1;
    if (pick(p, 2)) p->in[1].dim[2] = 1;
    if (pick(p, 3) == 0) p->in[1] = (vise_shape){1, {p->out.dim[2]}};
}

static double add_part(const problem *p, unsigned i, size_t b, const size_t *index)
{
    const vise_shape *s = &p->in[i];
    size_t offset = 0;
    for (uint32_t a = 0; a < s->rank; a++)
        offset = offset * s->dim[a] + (s->dim[a] == 1 ? 0 : index[3 - s->rank + a]);
    return at(p, i, b)[offset];
}

static void add_in_double(const problem *p, double *y, size_t b)
{
    const size_t m = p->out.dim[1], n = p->out.dim[2];
    for (size_t i = 0; i < vise_shape_count(&p->out); i++) {
        const size_t index[] = {i / n / m, i / n % m, i % n};
        y[i] = add_part(p, 0, b, index) + add_part(p, 1, b, index);
    }
}

static void layernorm_make(problem *p)
{
    static const vise_norm_attr eps = {1e-3};
    p->attr = &eps;
    p->nin = 3;
    p->in[0] = p->out = (vise_shape){2, {1 + pick(p, 4), 2 + pick(p, 9)}};
    p->in[1] = p->in[2] = (vise_shape){1, {p->out.dim[1]}};
    p->batched[1] = p->batched[2] = false;
    p->absent[1] = pick(p, 3) == 0;
    p->absent[2] = pick(p, 3) == 0;
}

static void layernorm_in_double(const problem *p, double *y, size_t b)
{
    const size_t C = p->out.dim[1];
    const double *w = at(p, 1, b), *shift = at(p, 2, b);
    for (size_t r = 0; r < p->out.dim[0]; r++) {
        const double *x = at(p, 0, b) + r * C;
        double mean = 0, var = 0;
        for (size_t i = 0; i < C; i++)
            mean += x[i] / (double)C;
        for (size_t i = 0; i < C; i++)
            var += (x[i] - mean) * (x[i] - mean) / (double)C;
        for (size_t i = 0; i < C; i++)
            y[r * C + i] =
                (x[i] - mean) / sqrt(var + 1e-3) * (w ? w[i] : 1) + (shift ? shift[i] : 0);
    }
}

static void linear_make(problem *p)
{
    const size_t N = 1 + pick(p, 7), K = 1 + pick(p, 9);
    p->nin = 3;
    p->in[0] = p->out = (vise_shape){2, {1 + pick(p, 4), K}};
    p->out.dim[1] = N;
    p->in[1] = (vise_shape){2, {N, K}};
    p->in[2] = (vise_shape){1, {N}};
    p->batched[1] = p->batched[2] = false;
    p->absent[2] = pick(p, 3) == 0;
}

static void linear_in_double(const problem *p, double *y, size_t b)
{
    const size_t N = p->in[1].dim[0], K = p->in[1].dim[1];
    for (size_t i = 0; i < vise_shape_count(&p->out); i++) {
        y[i] = p->absent[2] ? 0 : at(p, 2, b)[i % N];
        for (size_t k = 0; k < K; k++)
            y[i] += at(p, 0, b)[i / N * K + k] * at(p, 1, b)[i % N * K + k];
    }
}

static const struct pair {
    const char *op;
    void (*make)(problem *p);
    void (*forward)(const problem *p, double *y, size_t b);
} pairs[] = {
    {"act", act_make, act_in_double},
    {"add", add_make, add_in_double},
    {"layernorm", layernorm_make, layernorm_in_double},
    {"linear", linear_make, linear_in_double},
};

/* ---- the check ---- */

static double loss(const problem *p, const struct pair *f)
{
    const size_t n = vise_shape_count(&p->out), images = out_batched(p) ? p->batch : 1;
    double y[MOST], sum = 0;
    for (size_t b = 0; b < images; b++) {
        f->forward(p, y, b);
        for (size_t i = 0; i < n; i++)
            sum += (double)p->dout[b * n + i] * y[i];
    }
    return sum;
}

static void fill(problem *p)
{
    for (uint32_t i = 0; i < p->nin; i++) {
        const size_t n = count(p, &p->in[i], p->batched[i]);
        assert_true(n <= MOST);
        for (size_t j = 0; j < n; j++) {
            p->f[i][j] = 2 * vise_rng_normal(&p->rng);
            p->x[i][j] = (double)p->f[i][j];
            p->d[i][j] = 1; // backward adds to what is there
        }
    }
    assert_true(count(p, &p->out, true) <= MOST);
    for (size_t j = 0; j < MOST; j++)
        p->dout[j] = vise_rng_normal(&p->rng);
}

static bool near_kink(const problem *p, const struct pair *f, double x)
{
    if (f->forward != act_in_double) return false;
    const int kind = ((const vise_act_attr *)p->attr)->kind;
    const bool kinks =
        kind == VISE_ACT_RELU || kind == VISE_ACT_RELU6 || kind == VISE_ACT_HARDSWISH;
    return kinks && (fabs(x) < 1e-3 || fabs(fabs(x) - 3) < 1e-3 || fabs(x - 6) < 1e-3);
}

static size_t check(problem *p, const struct pair *f, unsigned round)
{
    const double h = 1e-4;
    size_t checked = 0;
    for (uint32_t i = 0; i < p->nin; i++) {
        const size_t n = p->absent[i] ? 0 : count(p, &p->in[i], p->batched[i]);
        for (size_t j = 0; j < n; j++, checked++) {
            const double keep = p->x[i][j];
            if (near_kink(p, f, keep)) continue;
            p->x[i][j] = keep + h;
            double want = loss(p, f);
            p->x[i][j] = keep - h;
            want = 1 + (want - loss(p, f)) / (2 * h);
            p->x[i][j] = keep;
            // a sum of at most 200 float terms of size ~10, and h squared times the third derivative
            const double tol = 200 * (double)FLT_EPSILON * (10 + fabs(want)) + 1e-5;
            if (!(fabs((double)p->d[i][j] - want) <= tol))
                fail_msg("%s, round %u: d[%u][%zu] is %.9g, not %.9g +- %.3g", f->op, round, i, j,
                         (double)p->d[i][j], want, tol);
        }
    }
    return checked;
}

static void test_backward(void **state)
{
    (void)state;
    static problem p; // too large for a stack
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        vise_backward_fn *backward = vise_op_backward(vise_op_find(pairs[k].op));
        assert_non_null(backward);
        for (unsigned round = 0; round < ROUNDS; round++) {
            memset(&p, 0, sizeof p);
            p.rng = vise_rng_named(round, pairs[k].op);
            p.batch = 1 + round % 3;
            for (size_t i = 0; i < 3; i++)
                p.batched[i] = pick(&p, 2);
            pairs[k].make(&p);
            fill(&p);
            vise_call c = {.attr = p.attr, .batch = p.batch, .nin = p.nin, .nout = 1};
            c.out[0] = (vise_arg){&p.out, NULL, out_batched(&p)};
            float *din[3] = {NULL};
            for (uint32_t i = 0; i < p.nin; i++) {
                if (p.absent[i]) continue;
                c.in[i] = (vise_arg){&p.in[i], p.f[i], p.batched[i]};
                din[i] = p.d[i];
            }
            backward(&c, p.dout, din);
            assert_true(check(&p, &pairs[k], round) > 0);
            backward(&c, p.dout, (float *[3]){NULL}); // nothing wanted: nothing written
        }
    }
}

/* Who has a backward is who is tested above. */
static void test_tables(void **state)
{
    (void)state;
    size_t have = 0;
    for (size_t i = 0; vise_op_at(i); i++) {
        bool tested = false;
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
            tested |= !strcmp(pairs[k].op, vise_op_at(i)->name);
        have += tested;
        assert_int_equal(tested, vise_op_backward(vise_op_at(i)) != NULL);
    }
    assert_int_equal(have, sizeof pairs / sizeof *pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
