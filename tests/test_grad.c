/* test_grad.c - every backward against central differences of its operator's oracle, in double
 * SPDX-License-Identifier: MIT */
#include "ops_oracles.h"

enum {
    MOST = 512,  // numbers of one operand, and of the output
    SAMPLE = 48, // about how many numbers of an operand are moved
    ROUNDS = 24, // problems per operator
    CANARY = 16,
};

/* ---- what test_ops has no problem for ---- */

/* A kernel as large as the image, as of patch embeddings. */
static void make_patch(problem *p)
{
    vise_conv2d_attr *a = (vise_conv2d_attr *)p->attr;
    const size_t side = 7 + pick(p, 3), N = extent(p, 2);
    a->groups = 1;
    a->pad = (vise_ints){1, {(int64_t)pick(p, 2)}};
    p->out = shape_of(3, 1 + 2 * pair_get(&a->pad, 0, 0), 1 + 2 * pair_get(&a->pad, 1, 0), N, 0);
    operand_add(p, shape_of(3, side, side, 3, 0), false)->batched = p->batch == 2;
    operand_add(p, shape_of(4, N, 3, side, side), false);
    optional_add(p, shape_of(1, N, 0, 0, 0), false);
}

/* Rows that are often shorter than eps. */
static void make_short(problem *p)
{
    ((vise_norm_attr *)p->attr)->eps = 1;
    p->out = operand_add(p, shape_of(2, 4 + pick(p, 5), 1 + pick(p, 2), 0, 0), true)->shape;
}

static const oracle more[] = {
    {"conv2d", make_patch, want_conv2d},
    {"l2norm", make_short, want_l2norm},
};

/* ---- slopes ---- */

/* The loss is sum dout * y, so that its derivatives are what backward adds. */
typedef struct trial {
    const oracle *oracle;
    const vise_op *op;
    problem p;
    vise_call c;
    size_t images;
    float dout[MOST];
    float d[VISE_MAX_IN][MOST + CANARY];
} trial;

static void outputs(const trial *t, size_t from, size_t to, double *y)
{
    const size_t each = vise_shape_count(&t->p.out);
    for (size_t i = from * each; i < to * each; i++) {
        size_t at[VISE_MAX_RANK] = {0};
        double mag = 0;
        coordinates(at, &t->p.out, i % each);
        y[i] = t->oracle->want(&t->p, i / each, at, &mag);
    }
}

/* d loss / d number j of operand i, and the sum of what its terms measure. */
static double slope(trial *t, uint32_t i, size_t j, double h, double *size)
{
    static double hi[MOST], lo[MOST];
    operand *o = &t->p.in[i];
    const size_t each = vise_shape_count(&t->p.out), image = j / vise_shape_count(&o->shape);
    const size_t from = o->batched ? image : 0, to = o->batched ? image + 1 : t->images;
    const float keep = o->data[j];
    o->data[j] = (float)((double)keep + h);
    double sum = 0, step = (double)o->data[j];
    outputs(t, from, to, hi);
    o->data[j] = (float)((double)keep - h);
    step -= (double)o->data[j];
    outputs(t, from, to, lo);
    o->data[j] = keep;
    *size = 0;
    for (size_t k = from * each; k < to * each; k++) {
        const double term = (double)t->dout[k] * (hi[k] - lo[k]) / step;
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Does a maximum that number j of a feature map may take part in have another number this near? */
static bool near_other(const problem *p, size_t j, size_t C, double near)
{
    const operand *x = &p->in[0];
    if (((const vise_pool_attr *)p->attr)->kind) return false; // an average
    const size_t n = vise_shape_count(&x->shape), image = j / n * n;
    for (size_t i = image + j % C; i < image + n; i += C)
        if (i != j && fabs((double)x->data[i] - (double)x->data[j]) < near) return true;
    return false;
}

/* Does number j lie where the operator has no derivative, or too near for a difference? */
static bool near_kink(const trial *t, size_t j)
{
    const double near = 1e-3, x = (double)t->p.in[0].data[j];
    if (!strcmp(t->op->name, "act")) {
        const int kind = ((const vise_act_attr *)t->p.attr)->kind;
        const bool kinks =
            kind == VISE_ACT_RELU || kind == VISE_ACT_RELU6 || kind == VISE_ACT_HARDSWISH;
        return kinks && (fabs(x) < near || fabs(fabs(x) - 3) < near || fabs(x - 6) < near);
    }
    const size_t C = t->p.out.rank ? t->p.out.dim[t->p.out.rank - 1] : 1;
    if (!strcmp(t->op->name, "pool")) return near_other(&t->p, j, C, near);
    if (strcmp(t->op->name, "l2norm")) return false;
    const float *row = t->p.in[0].data + j / C * C;
    double squares = 0;
    for (size_t k = 0; k < C; k++)
        squares += (double)row[k] * (double)row[k];
    return fabs(sqrt(squares) - ((const vise_norm_attr *)t->p.attr)->eps) < near;
}

static size_t check_operand(trial *t, uint32_t i, unsigned round)
{
    const operand *o = &t->p.in[i];
    const size_t n = count_of(&o->shape, o->batched, t->p.batch), stride = 1 + n / SAMPLE;
    size_t checked = 0;
    for (size_t j = pick(&t->p, stride < n ? stride : n); j < n; j += stride) {
        if (i == 0 && near_kink(t, j)) continue;
        double size;
        const double h = 0x1p-12, wide = slope(t, i, j, h, &size);
        const double fine = slope(t, i, j, h / 2, &size), want = 1 + (4 * fine - wide) / 3;
        // differences err by what halving their step changes; backward sums float terms of size ~10
        const double tol = fabs(fine - wide) + 200 * (double)FLT_EPSILON * (10 + size);
        if (!(fabs((double)t->d[i][j] - want) <= tol))
            fail_msg("%s, round %u: d[%u][%zu] is %.9g, not %.9g +- %.3g", t->op->name, round, i, j,
                     (double)t->d[i][j], want, tol);
        checked++;
    }
    for (size_t j = n; j < MOST + CANARY; j++)
        assert_true(t->d[i][j] == 1);
    return checked;
}

/* ---- trials ---- */

static bool small(const problem *p)
{
    bool fits = vise_shape_count(&p->out) * p->batch <= MOST;
    for (uint32_t i = 0; i < p->nin; i++)
        fits = fits && count_of(&p->in[i].shape, p->in[i].batched, p->batch) <= MOST;
    return fits;
}

/* Backward of the wanted operands into t->d, all 1 before. */
static void run(trial *t, unsigned wanted, const vise_actq *actq)
{
    float *din[VISE_MAX_IN] = {NULL};
    t->c.actq = actq;
    for (uint32_t i = 0; i < t->p.nin; i++) {
        for (size_t j = 0; j < MOST + CANARY; j++)
            t->d[i][j] = 1;
        if (t->p.in[i].present && wanted >> i & 1) din[i] = t->d[i];
    }
    vise_op_backward(t->op)(&t->c, t->dout, din);
}

/* What one operand receives depends neither on who else does nor on how operands are rounded. */
static void check_wanted(trial *t)
{
    static const vise_actq codes = {.kind = VISE_ACTQ_SYM, .bits = 8};
    static float all[VISE_MAX_IN][MOST + CANARY];
    vise_actq actq[VISE_MAX_IN];
    const unsigned wanted = (unsigned)pick(&t->p, 1u << t->p.nin);
    for (size_t i = 0; i < VISE_MAX_IN; i++)
        actq[i] = codes;
    memcpy(all, t->d, sizeof all);
    run(t, wanted, actq);
    for (uint32_t i = 0; i < t->p.nin; i++)
        for (size_t j = 0; j < MOST; j++)
            assert_true(t->d[i][j] == (wanted >> i & 1 ? all[i][j] : 1));
    run(t, 0, NULL);
    for (uint32_t i = 0; i < t->p.nin; i++)
        for (size_t j = 0; j < MOST; j++)
            assert_true(t->d[i][j] == 1);
}

static void check_backward(const vise_op *op, const oracle *o, unsigned round)
{
    static trial t; // too large for a stack
    vise_sig s;
    vise_shape shape;
    t = (trial){.oracle = o, .op = op};
    vise_rng rng = vise_rng_named(round, op->name);
    do {
        t.p = (problem){.rng = rng, .batch = 1 + round % 3};
        vise_attr_defaults(op, t.p.attr);
        o->make(&t.p);
        rng = t.p.rng;
    } while (!small(&t.p));
    operands_fill(&t.p, op, &s, &t.c);
    for (size_t i = 0; i < MOST; i++)
        t.dout[i] = vise_rng_normal(&t.p.rng);
    t.images = t.c.out[0].batched ? t.p.batch : 1;
    assert_int_equal(op->shape(&s, &shape, NULL), VISE_OK);
    assert_true(vise_shape_same(&shape, &t.p.out));
    const size_t room = op->scratch ? op->scratch(&s, &shape) : 0;
    t.c.scratch = malloc(room * sizeof(float) + 1); // sanitizers watch its end
    assert_non_null(t.c.scratch);
    memset(t.c.scratch, 0xff, room * sizeof(float));
    size_t checked = 0;
    run(&t, ~0u, NULL);
    for (uint32_t i = 0; i < t.p.nin; i++)
        if (t.p.in[i].present) checked += check_operand(&t, i, round);
    assert_true(checked > 0);
    check_wanted(&t);
    free(t.c.scratch);
    operands_free(&t.p);
}

static void test_backward(void **state)
{
    (void)state;
    const vise_op *op;
    for (size_t i = 0; (op = vise_op_at(i)); i++) {
        const bool integer = !strncmp(op->name, "int_", 4);
        if (integer == !!vise_op_backward(op))
            fail_msg("operator %s %s", op->name, integer ? "has a backward" : "has no backward");
        if (integer) continue;
        const oracle *o = oracle_find(op->name);
        if (!o) fail_msg("operator %s has no oracle", op->name);
        for (unsigned round = 0; round < ROUNDS; round++)
            check_backward(op, o, round);
    }
}

static void test_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        for (unsigned round = 0; round < ROUNDS; round++)
            check_backward(vise_op_find(more[i].op), &more[i], round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
