/* test_rounded.c - sessions of networks whose operands are rounded to codes or bf16
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "tiny.h"
#include "walk.h"
#include "base/cpu.h"

#include <math.h>

enum { BATCH = 3, MOST = 32 * 32 * 3, OUT = 4096, TAPS = 200 };

/* One way of rounding: of weights, linears and convolutions, and of q, k, v. */
typedef struct rounding {
    const char *name, *pass;
    vise_actq linear, q, k, v;
    double most, mean; // how far from the definition, of the largest output
} rounding;

/* A float sum in another order may move a code by one: then a result moves by a step of that
 * operand, which is 1/127 of its range, and more of one with fewer bits. The mean says that this is
 * rare. */
static const rounding ways[] = {
    {"bf16",
     "quantize weights=bf16 acts=f32",
     {.kind = VISE_ACTQ_BF16},
     {.kind = VISE_ACTQ_BF16},
     {.kind = VISE_ACTQ_BF16},
     {.kind = VISE_ACTQ_BF16},
     1e-2,
     2e-3},
    {"sym",
     "quantize weights=int8 acts=f32",
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     2e-2,
     4e-3},
    {"asym",
     "quantize weights=int8 acts=f32",
     {.kind = VISE_ACTQ_ASYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     {.kind = VISE_ACTQ_SYM, .bits = 8},
     2e-2,
     4e-3},
    {"static",
     "quantize weights=int8 acts=f32",
     {VISE_ACTQ_STATIC, 8, 0.03125f, 3},
     {VISE_ACTQ_STATIC, 8, 0.02f, -2},
     {VISE_ACTQ_STATIC, 8, 0.02f, 0},
     {VISE_ACTQ_STATIC, 8, 0.02f, 0},
     2e-2,
     4e-3},
    {"asym of 6 bits, sym of 4",
     "quantize weights=int8 acts=f32",
     {.kind = VISE_ACTQ_ASYM, .bits = 6},
     {.kind = VISE_ACTQ_SYM, .bits = 4},
     {.kind = VISE_ACTQ_SYM, .bits = 4},
     {.kind = VISE_ACTQ_SYM, .bits = 4},
     1e-1,
     2e-2},
    {"sym of 4 bits, static of 6",
     "quantize weights=int8 acts=f32",
     {.kind = VISE_ACTQ_SYM, .bits = 4},
     {VISE_ACTQ_STATIC, 6, 0.08f, -2},
     {VISE_ACTQ_STATIC, 6, 0.08f, 0},
     {VISE_ACTQ_STATIC, 6, 0.08f, 0},
     1e-1,
     2e-2},
    {"static of 4 bits, sym of 2",
     "quantize weights=int8 acts=f32",
     {VISE_ACTQ_STATIC, 4, 0.5f, 1},
     {.kind = VISE_ACTQ_SYM, .bits = 2},
     {.kind = VISE_ACTQ_SYM, .bits = 2},
     {.kind = VISE_ACTQ_SYM, .bits = 2},
     1e-1,
     2e-2},
    {"static q, k, v with zero points", // by the definition
     "quantize weights=f32 acts=f32",
     {0},
     {VISE_ACTQ_STATIC, 8, 0.02f, -2},
     {VISE_ACTQ_STATIC, 8, 0.02f, 4},
     {VISE_ACTQ_STATIC, 8, 0.02f, 1},
     2e-2,
     4e-3},
};

static void set_rounding(vise_model *m, const rounding *r)
{
    vise_err e;
    MUST(vise_apply(m, r->pass, NULL, &e));
    for (size_t i = 0; i < m->graph.nodes; i++) {
        vise_node *n = &m->graph.node[i];
        const vise_conv2d_attr *conv = strcmp(n->op->name, "conv2d") != 0 ? NULL : n->attr;
        if (!strcmp(n->op->name, "linear") || (conv && conv->groups == 1)) n->actq[0] = r->linear;
        if (strcmp(n->op->name, "attention") != 0) continue;
        n->actq[0] = r->q;
        n->actq[1] = r->k;
        n->actq[2] = r->v;
    }
}

static size_t run(const vise_model *m, const vise_session_opts *o, const float *x, size_t B,
                  float *y)
{
    vise_err e;
    vise_session *s;
    float *out[2 + TAPS] = {y};
    MUST(vise_session_new(&s, m, o, &e));
    const size_t n = vise_shape_count(&vise_session_output(s, 0)->shape) * B;
    assert_true(n <= OUT);
    const long allocs = vise_alloc_count;
    vise_session_run(s, B, (const float *[]){x}, out);
    assert_int_equal(vise_alloc_count, allocs); // a run allocates nothing
    vise_session_free(s);
    return n;
}

static void near_definition(const vise_model *m, const rounding *r, const char *level,
                            const float *x, const float *y, size_t n)
{
    float **want = walk(&m->graph, x);
    const float *w = want[m->graph.output[0].value];
    double most = 0, sum = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)w[i]));
        sum += fabs((double)y[i] - (double)w[i]);
        if (!(fabs((double)y[i] - (double)w[i]) <= most)) most = fabs((double)y[i] - (double)w[i]);
    }
    free_values(&m->graph, want);
    if (!(most <= r->most * largest && sum / (double)n <= r->mean * largest))
        fail_msg("%s at %s: off by %g, mean %g, of %g", r->name, level, most, sum / (double)n,
                 largest);
}

/* The same bits for any threads, any batch, and with every value given out, which keeps steps from
 * fusing. */
static void same_bits(const vise_model *m, const char *level, const float *x, size_t pixels,
                      const float *y, size_t n)
{
    static float z[OUT];
    const char *taps[TAPS];
    for (size_t threads = 2; threads <= 4; threads++) {
        run(m, &(vise_session_opts){.batch = BATCH, .cpu = level, .threads = threads}, x, BATCH, z);
        assert_memory_equal(y, z, n * BATCH * sizeof *z);
    }
    run(m, &(vise_session_opts){.cpu = level}, x + pixels, 1, z);
    assert_memory_equal(y + n, z, n * sizeof *z);
    assert_true(m->graph.nodes <= TAPS);
    for (size_t i = 0; i < m->graph.nodes; i++)
        taps[i] = m->graph.node[i].name;
    run(m, &(vise_session_opts){.cpu = level, .taps = taps, .ntaps = m->graph.nodes}, x, 1, z);
    assert_memory_equal(y, z, n * sizeof *z);
}

typedef vise_status make_fn(vise_model **m, vise_err *e);

static void check_model(make_fn *make, size_t pixels)
{
    vise_err e;
    vise_model *m;
    static float x[BATCH * MOST], y[OUT];
    vise_rng rng = vise_rng_named(3, "pixels");
    size_t checked = 0;
    assert_true(pixels <= MOST);
    for (size_t i = 0; i < BATCH * pixels; i++)
        x[i] = vise_rng_normal(&rng);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        MUST(make(&m, &e));
        set_rounding(m, &ways[w]);
        for (size_t l = 0; vise_cpu_level(l); l++) {
            const char *level = vise_cpu_level(l);
            unsigned mask;
            if (vise_cpu_parse(&mask, level, NULL)) continue;
            const vise_session_opts o = {.batch = BATCH, .cpu = level};
            const size_t n = run(m, &o, x, BATCH, y) / BATCH;
            for (size_t b = 0; b < BATCH; b++)
                near_definition(m, &ways[w], level, x + b * pixels, y + b * n, n);
            same_bits(m, level, x, pixels, y, n);
            checked++;
        }
        vise_model_free(m);
    }
    assert_true(checked >= sizeof ways / sizeof *ways);
}

static vise_status small_vit(vise_model **m, vise_err *e)
{
    const vise_new small = {.dim = 48,
                            .depth = 2,
                            .heads = 3,
                            .patch = 8,
                            .height = 32,
                            .width = 32,
                            .classes = 100,
                            .mlp_ratio = 4,
                            .seed = 5};
    return vise_model_new(m, "vit", &small, e);
}

static void test_vit(void **state)
{
    (void)state;
    check_model(small_vit, (size_t)32 * 32 * 3);
}

static void test_tiny(void **state)
{
    (void)state;
    check_model(tiny_new, (size_t)TINY_SIZE * TINY_SIZE * TINY_CHANNELS);
}

/* A number that is not finite reaches the outputs as NaN, however it is rounded on the way. */
static void test_nan(void **state)
{
    (void)state;
    static float x[MOST], y[OUT];
    vise_err e;
    vise_model *m;
    x[5] = NAN;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        MUST(tiny_new(&m, &e));
        set_rounding(m, &ways[w]);
        const size_t n = run(m, NULL, x, 1, y);
        for (size_t i = 0; i < n; i++)
            if (!isnan(y[i])) fail_msg("%s: %g", ways[w].name, (double)y[i]);
        vise_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_vit),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
