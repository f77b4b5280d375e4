/* test_fast.c - gradients of whole batches by fast kernels against each operator's own backward
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"
#include "ops_oracles.h"
#include "train/fast.h"
#include "train/matrices.h"

enum { MOST = 1 << 15, ROUNDS = 40 };

/* A map with more pixels than patches are made of at once. */
static void make_large(problem *p)
{
    vise_conv2d_attr *a = (vise_conv2d_attr *)p->attr;
    p->batch = 2;
    a->pad = (vise_ints){1, {1}};
    p->out = shape_of(3, 64, 70, 2, 0);
    operand_add(p, shape_of(3, 64, 70, 2, 0), false)->batched = true;
    operand_add(p, shape_of(4, 2, 2, 3, 3), false);
    operand_add(p, shape_of(1, 2, 0, 0, 0), false);
}

/* More numbers than slopes at once. */
static void make_many(problem *p)
{
    ((vise_act_attr *)p->attr)->kind = VISE_ACT_GELU;
    p->out = operand_add(p, shape_of(2, 99, 101, 0, 0), true)->shape;
}

/* More rows than are summed at once. */
static void make_long(problem *p)
{
    p->batch = 3;
    p->out = shape_of(2, 197, 17, 0, 0);
    operand_add(p, shape_of(2, 197, 33, 0, 0), false)->batched = true;
    operand_add(p, shape_of(2, 17, 33, 0, 0), false);
    operand_add(p, shape_of(1, 17, 0, 0, 0), false);
}

static const oracle large[] = {
    {"act", make_many, NULL},
    {"conv2d", make_large, NULL},
    {"linear", make_long, NULL},
};

typedef struct gradients {
    float d[VISE_MAX_IN][MOST];
} gradients;

static gradients want, got, again;
static float dout[MOST], rounded[MOST];
static double want_scale, got_scale; // of the first operand
static vise_kern plain;

static size_t count(const problem *p, uint32_t i)
{
    return p->in[i].present ? count_of(&p->in[i].shape, p->in[i].batched, p->batch) : 0;
}

static bool small(const problem *p)
{
    bool fits = count_of(&p->out, true, p->batch) <= MOST;
    for (uint32_t i = 0; i < p->nin; i++)
        fits = fits && count_of(&p->in[i].shape, p->in[i].batched, p->batch) <= MOST;
    return fits;
}

/* All gradients 1 before; those of the wanted operands. */
static void start(const problem *p, gradients *g, float *din[], unsigned wanted)
{
    for (uint32_t i = 0; i < p->nin; i++) {
        din[i] = p->in[i].present && wanted >> i & 1 ? g->d[i] : NULL;
        for (size_t k = 0; k < MOST; k++)
            g->d[i][k] = 1;
    }
}

/* By the operator's own backward, of the rounded first operand; what the range cuts off stays. */
static void definition(const problem *p, const vise_op *op, const vise_call *c, unsigned wanted)
{
    float *din[VISE_MAX_IN] = {NULL};
    vise_call own = *c;
    const size_t n = count(p, 0);
    own.actq = NULL;
    start(p, &want, din, wanted);
    if (c->actq) {
        vise_actq_apply(c->actq, rounded, p->in[0].data, n, 1, n);
        own.in[0].data = rounded;
    }
    vise_op_backward(op)(&own, dout, din);
    for (size_t i = 0; din[0] && i < n; i++)
        want.d[0][i] -= 1;
    want_scale = 0;
    if (c->actq && din[0])
        want_scale = vise_cut_gradient(&plain, c->actq, din[0], p->in[0].data, n);
    for (size_t i = 0; din[0] && i < n; i++)
        want.d[0][i] += 1;
}

/* Into `to`, by a fast version; false: there is none. */
static bool fast(const problem *p, vise_fast f, gradients *to, unsigned wanted, size_t threads,
                 const char *cpu)
{
    vise_err e;
    vise_dense d;
    vise_work w = {0};
    assert_int_equal(vise_dense_open(&d, threads, cpu, &e), VISE_OK);
    f.dense = &d;
    f.work = &w;
    got_scale = 0;
    f.dscale = &got_scale;
    start(p, to, f.din, wanted);
    const bool knows = vise_fast_knows(&f);
    if (knows) assert_int_equal(vise_fast_backward(&f, &e), VISE_OK);
    vise_work_free(&w);
    vise_dense_close(&d);
    return knows;
}

static bool check(const vise_op *op, const oracle *o, unsigned round)
{
    const vise_actq codes = {.kind = VISE_ACTQ_STATIC, .bits = 6, .scale = 0.0625f, .zero = 3};
    problem p;
    vise_sig s;
    vise_call c;
    vise_rng rng = vise_rng_named(round, op->name);
    do {
        p = (problem){.rng = rng, .batch = 1 + round % 3};
        vise_attr_defaults(op, p.attr);
        o->make(&p);
        rng = p.rng;
    } while (!small(&p));
    operands_fill(&p, op, &s, &c);
    for (size_t i = 0; i < MOST; i++)
        dout[i] = vise_rng_normal(&p.rng);
    const unsigned wanted = (unsigned)pick(&p, 1u << p.nin);
    vise_actq actq[VISE_MAX_IN] = {codes};
    if (op->actq && pick(&p, 2)) c.actq = actq;
    const vise_fast f = {.op = op, .call = c, .dout = dout};
    const bool knows = fast(&p, f, &got, wanted, 1, NULL);
    for (unsigned k = 0; knows && k < 2; k++) {
        if (k) fast(&p, f, &got, wanted, 1, "c");
        fast(&p, f, &again, wanted, 3, k ? "c" : NULL);
        definition(&p, op, &c, wanted);
        if (!(fabs(got_scale - want_scale) <= 1e-3 * (4 + fabs(want_scale))))
            fail_msg("%s, round %u: the scale's gradient is %g, not %g", op->name, round, got_scale,
                     want_scale);
        for (uint32_t i = 0; i < p.nin; i++)
            for (size_t j = 0; j < MOST; j++) {
                const float a = got.d[i][j], b = want.d[i][j];
                assert_true(a == again.d[i][j]);
                if (!(fabsf(a - b) <= 2e-4f * (4 + fabsf(b))))
                    fail_msg("%s, round %u: d[%u][%zu] is %g, not %g", op->name, round, i, j,
                             (double)a, (double)b);
            }
    }
    operands_free(&p);
    return knows;
}

/* What is inside of the range moves a scale by its rounding error, what is beyond by the last level. */
static void test_cut(void **state)
{
    (void)state;
    static const int8_t level[4] = {-10, -1, 2, 11};
    const vise_actq codes = {.kind = VISE_ACTQ_STATIC, .bits = 3, .scale = 0.5f, .zero = 1};
    const vise_actq levels = {
        .kind = VISE_ACTQ_LEVELS, .bits = 2, .scale = 0.1f, .zero = 1, .level = level};
    const vise_actq dynamic = {.kind = VISE_ACTQ_SYM, .bits = 3};
    const float x[4] = {-2.6f, 0.6f, 0.9f, 1.3f};
    // codes -4 to 3 are -2.5 to 1: rounded -2.5, 0.5, 1, 1
    float d[4] = {1, 2, -3, 5};
    double expected = 1 * -2.5 + 2 * (0.5 - 0.6) - 3 * (1 - 0.9) + 5 * 1;
    assert_true(fabs(vise_cut_gradient(&plain, &codes, d, x, 4) - expected) <= 1e-5);
    assert_true(d[0] == 0 && d[1] == 2 && d[2] == -3 && d[3] == 0);
    // levels are -1.1, -0.2, 0.1, 1: rounded -1.1, 1, 1, 1
    memcpy(d, (float[4]){1, 2, -3, 5}, sizeof d);
    expected = 1 * -1.1 + 2 * (1 - 0.6) - 3 * (1 - 0.9) + 5 * 1;
    assert_true(fabs(vise_cut_gradient(&plain, &levels, d, x, 4) - expected) <= 1e-5);
    assert_true(d[0] == 0 && d[1] == 2 && d[2] == -3 && d[3] == 0);
    assert_true(vise_cut_gradient(&plain, &dynamic, d, x, 4) == 0 && d[1] == 2);
}

static void test_definition(void **state)
{
    (void)state;
    size_t known = 0;
    const vise_op *op;
    for (size_t i = 0; (op = vise_op_at(i)); i++) {
        if (!vise_op_backward(op)) continue;
        bool knows = false;
        for (unsigned round = 0; round < ROUNDS && (round < 32 || knows); round++)
            knows |= check(op, oracle_find(op->name), round);
        known += knows;
    }
    assert_int_equal(known, 4); // all but them know nothing
}

static void test_large(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        for (unsigned round = 0; round < 6; round++)
            assert_true(check(vise_op_find(large[i].op), &large[i], round));
}

int main(void)
{
    vise_kern_c(&plain);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
