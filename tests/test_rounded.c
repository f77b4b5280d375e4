/* test_rounded.c - sessions of networks whose operands are rounded to codes or bf16
 * SPDX-License-Identifier: MIT */
#include "coded.h"
#include "shared.h"
#include "tiny.h"
#include "walk.h"
#include "base/cpu.h"

#include <math.h>

enum { BATCH = 3, MOST = 32 * 32 * 3, OUT = 4096, TAPS = 200 };

/* One way of rounding: of weights, linears and convolutions, and of q, k, v and probabilities. */
typedef struct rounding {
    const char *name, *pass;
    vise_actq linear, q, k, v;
    int64_t prob_bits; // 0: 8
    double prob_step;
    double most, mean; // how far from the definition, of the largest output
} rounding;

static const int8_t level2[] = {-127, -9, 20, 127},
                    level4[] = {-120, -90, -70, -50, -36, -24, -14, -5,
                                0,    4,   12,  23,  39,  58,  83,  127};

#define CODES8 "quantize weights=int8 acts=f32"
#define SYM(n)                                                                                     \
    {                                                                                              \
        .kind = VISE_ACTQ_SYM, .bits = (n)                                                         \
    }
#define ASYM(n)                                                                                    \
    {                                                                                              \
        .kind = VISE_ACTQ_ASYM, .bits = (n)                                                        \
    }
#define STATIC(n, s, z)                                                                            \
    {                                                                                              \
        .kind = VISE_ACTQ_STATIC, .bits = (n), .scale = (s), .zero = (z)                           \
    }
#define LEVELS(n, s, z)                                                                            \
    {                                                                                              \
        VISE_ACTQ_LEVELS, (n), (s), (z), level##n                                                  \
    }
#define ALL(...) .q = __VA_ARGS__, .k = __VA_ARGS__, .v = __VA_ARGS__

/* A float sum in another order may move a code by one: then a result moves by a step of that
 * operand, which is 1/127 of its range, and more of one with fewer bits. The mean says that this is
 * rare. */
static const rounding ways[] = {
    {.name = "bf16",
     .pass = "quantize weights=bf16 acts=f32",
     .linear = {.kind = VISE_ACTQ_BF16},
     ALL({.kind = VISE_ACTQ_BF16}),
     .most = 1e-2,
     .mean = 2e-3},
    {"sym", CODES8, .linear = SYM(8), ALL(SYM(8)), .most = 2e-2, .mean = 4e-3},
    {"asym", CODES8, .linear = ASYM(8), ALL(SYM(8)), .most = 2e-2, .mean = 4e-3},
    {.name = "static",
     .pass = CODES8,
     .linear = STATIC(8, 0.03125f, 3),
     .q = STATIC(8, 0.02f, -2),
     .k = STATIC(8, 0.02f, 0),
     .v = STATIC(8, 0.02f, 0),
     .most = 2e-2,
     .mean = 4e-3},
    {"asym of 6 bits, sym of 4", CODES8, .linear = ASYM(6), ALL(SYM(4)), .most = 1e-1,
     .mean = 2e-2},
    {.name = "sym of 4 bits, static of 6, probabilities of 4",
     .pass = CODES8,
     .linear = SYM(4),
     .q = STATIC(6, 0.08f, -2),
     .k = STATIC(6, 0.08f, 0),
     .v = STATIC(6, 0.08f, 0),
     .prob_bits = 4,
     .most = 1e-1,
     .mean = 2e-2},
    {.name = "static of 4 bits, sym of 2, probabilities by octaves",
     .pass = CODES8,
     .linear = STATIC(4, 0.5f, 1),
     ALL(SYM(2)),
     .prob_bits = 3,
     .prob_step = 1,
     .most = 1e-1,
     .mean = 2e-2},
    {.name = "levels",
     .pass = CODES8,
     .linear = LEVELS(4, 0.03125f, -5),
     .q = LEVELS(4, 0.02f, 11),
     .k = LEVELS(2, 0.02f, 0),
     .v = LEVELS(4, 0.02f, 0),
     .prob_bits = 8,
     .prob_step = 0.5,
     .most = 1e-1,
     .mean = 2e-2},
    {.name = "static and levels for q, k, v with zero points", // by the definition
     .pass = "quantize weights=f32 acts=f32",
     .q = STATIC(8, 0.02f, -2),
     .k = STATIC(8, 0.02f, 4),
     .v = LEVELS(4, 0.02f, 1),
     .prob_bits = 5,
     .prob_step = 0.7,
     .most = 2e-2,
     .mean = 4e-3},
    {.name = "codes times floats", // by the definition, behind fast layernorms
     .pass = "quantize weights=f32 acts=f32",
     .linear = STATIC(8, 0.03125f, 3),
     .most = 2e-2,
     .mean = 4e-3},
};

static void set_attention(vise_node *n, const rounding *r)
{
    vise_attention_attr *a;
    memcpy(&a, &n->attr, sizeof a);
    if (r->prob_bits) a->prob_bits = r->prob_bits;
    a->prob_step = r->prob_step;
    n->actq[0] = r->q;
    n->actq[1] = r->k;
    n->actq[2] = r->v;
}

static void set_rounding(vise_model *m, const rounding *r)
{
    vise_err e;
    MUST(vise_apply(m, r->pass, NULL, &e));
    for (size_t i = 0; i < m->graph.nodes; i++) {
        vise_node *n = &m->graph.node[i];
        const vise_conv2d_attr *conv = strcmp(n->op->name, "conv2d") != 0 ? NULL : n->attr;
        if (!strcmp(n->op->name, "linear") || (conv && conv->groups == 1)) n->actq[0] = r->linear;
        if (!strcmp(n->op->name, "attention")) set_attention(n, r);
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

/* The levels that a session rounds to are its own: the model may be freed first. */
static void test_own_levels(void **state)
{
    (void)state;
    static float x[MOST], y[OUT], z[OUT];
    int8_t level[16];
    vise_err e;
    vise_model *m;
    vise_session *s;
    vise_rng rng = vise_rng_named(4, "pixels");
    for (size_t i = 0; i < MOST; i++)
        x[i] = vise_rng_normal(&rng);
    rounding r = {.pass = CODES8, .linear = {VISE_ACTQ_LEVELS, 4, 0.03125f, 0, level}};
    r.q = r.k = r.v = r.linear;
    for (int definition = 0; definition < 2; definition++) {
        if (definition) r.k.zero = 7;
        memcpy(level, level4, sizeof level);
        MUST(tiny_new(&m, &e));
        set_rounding(m, &r);
        const size_t n = run(m, NULL, x, 1, y);
        MUST(vise_session_new(&s, m, NULL, &e));
        memset(level, 0, sizeof level);
        vise_session_run(s, 1, (const float *[]){x}, (float *[2]){z});
        assert_memory_equal(y, z, n * sizeof *z);
        vise_session_free(s);
        run(m, NULL, x, 1, z);
        assert_memory_not_equal(y, z, n * sizeof *z);
        vise_model_free(m);
    }
}

/* A layer norm, read by linears whose roundings differ in one thing
 * each: no two of them share an operand. */
static void test_readers_differ(void **state)
{
    (void)state;
    static const int8_t one[] = {-120, -30, 40, 127}, other[] = {-127, -60, 0, 90};
    static const vise_actq roundings[] = {
        {VISE_ACTQ_LEVELS, 2, 0.02f, 0, one},
        {VISE_ACTQ_LEVELS, 2, 0.02f, 0, other},
        {VISE_ACTQ_LEVELS, 2, 0.03f, 0, one},
        {VISE_ACTQ_LEVELS, 2, 0.02f, 9, one},
        SYM(8),
        SYM(4),
        STATIC(8, 0.02f, 0),
        STATIC(4, 0.02f, 0),
    };
    enum { N = sizeof roundings / sizeof *roundings, FLOATS = CODED_SIZE * CODED_SIZE * CODED_DIM };
    const vise_shape in = {3, {CODED_SIZE, CODED_SIZE, CODED_DIM}};
    static float x[FLOATS], y[N][FLOATS];
    float *out[N];
    vise_err e;
    vise_model *m;
    vise_session *s;
    MUST(vise_model_alloc(&m, &e));
    coded c = {m, &m->graph, &e, vise_rng_named(12, "readers")};
    for (size_t i = 0; i < FLOATS; i++)
        x[i] = vise_rng_normal(&c.rng);
    vise_graph_init(&m->graph, &e);
    vise_id v = vise_graph_input(&m->graph, "pixels", &in);
    v = vise_graph_add(&m->graph, "layernorm", "norm", &(vise_norm_attr){1e-5}, 1, &v);
    for (size_t i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "reader%zu", i);
        const vise_id r = coded_linear(&c, name, v, coded_affine(8, 0), roundings[i]);
        vise_graph_output(&m->graph, name, r);
        out[i] = y[i];
    }
    MUST(vise_graph_finish(&m->graph));
    MUST(vise_session_new(&s, m, NULL, &e));
    vise_session_run(s, 1, (const float *[]){x}, out);
    float **want = walk(&m->graph, x);
    for (size_t i = 0; i < N; i++) {
        const float *w = want[m->graph.output[i].value];
        float largest = 0;
        for (size_t k = 0; k < FLOATS; k++)
            largest = fmaxf(largest, fabsf(w[k]));
        for (size_t k = 0; k < FLOATS; k++) // products of codes are exact, but for their scaling
            if (!(fabsf(y[i][k] - w[k]) <= 1e-5f * largest))
                fail_msg("reader %zu, %zu: %g, wanted %g", i, k, (double)y[i][k], (double)w[k]);
    }
    free_values(&m->graph, want);
    vise_session_free(s);
    vise_model_free(m);
}

/* Attention alone, with scores so far apart that every operand decides the probabilities. */
static void test_attention(void **state)
{
    (void)state;
    static const int8_t few[] = {-110, -20, 50, 127};
    static const vise_actq roundings[] = {
        SYM(2), SYM(4), STATIC(5, 0.2f, 0), {VISE_ACTQ_LEVELS, 2, 0.03f, 0, few}};
    enum { FLOATS = CODED_SIZE * CODED_SIZE * CODED_DIM };
    static float x[FLOATS], y[FLOATS];
    vise_err e;
    vise_model *m;
    vise_session *s;
    for (size_t i = 0; i < sizeof roundings / sizeof *roundings; i++) {
        MUST(vise_model_alloc(&m, &e));
        coded c = {m, &m->graph, &e, vise_rng_named(13, "attention")};
        for (size_t k = 0; k < FLOATS; k++)
            x[k] = 2 * vise_rng_normal(&c.rng);
        vise_graph_init(&m->graph, &e);
        const vise_shape in = {3, {CODED_SIZE, CODED_SIZE, CODED_DIM}};
        const vise_id v = vise_graph_input(&m->graph, "pixels", &in);
        const vise_attention_attr a = {.heads = 2, .scale = 0.5, .prob_bits = 4, .prob_step = 0.5};
        vise_graph_output(&m->graph, "y", coded_attention(&c, "attn", v, roundings[i], a));
        MUST(vise_graph_finish(&m->graph));
        float **want = walk(&m->graph, x);
        const float *w = want[m->graph.output[0].value];
        for (size_t l = 0; vise_cpu_level(l); l++) {
            unsigned mask;
            if (vise_cpu_parse(&mask, vise_cpu_level(l), NULL)) continue;
            MUST(vise_session_new(&s, m, &(vise_session_opts){.cpu = vise_cpu_level(l)}, &e));
            vise_session_run(s, 1, (const float *[]){x}, (float *[]){y});
            vise_session_free(s);
            double off = 0, all = 0;
            for (size_t k = 0; k < FLOATS; k++) {
                off += fabs((double)y[k] - (double)w[k]);
                all += fabs((double)w[k]);
            }
            if (!(off <= 1e-3 * all)) // a code of a probability may be another level
                fail_msg("%zu at %s: %g of %g", i, vise_cpu_level(l), off, all);
        }
        free_values(&m->graph, want);
        vise_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_vit),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_own_levels),
        cmocka_unit_test(test_readers_differ),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
