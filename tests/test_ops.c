/* test_ops.c - every operator's forward against an oracle that computes one element at a time, from
 * coordinates, in double; and every shape rule's refusals
 * SPDX-License-Identifier: MIT */
#include "ops_oracles.h"

enum { ROUNDS = 60, CANARY = 16 };

/* ---- running a problem ---- */

/* Shape rule and forward, into y. */
static float *run(problem *p, const vise_op *op, size_t *images)
{
    vise_sig s;
    vise_call c;
    vise_err e = {0};
    vise_shape shape = {0};
    operands_fill(p, op, &s, &c);
    if (op->shape(&s, &shape, &e)) fail_msg("%s: %s", op->name, e.msg);
    if (!vise_shape_same(&shape, &p->out)) {
        char got[VISE_SHAPE_TEXT], want[VISE_SHAPE_TEXT];
        fail_msg("%s: shape %s, expected %s", op->name, vise_shape_text(got, sizeof got, &shape),
                 vise_shape_text(want, sizeof want, &p->out));
    }
    *images = c.out[0].batched ? p->batch : 1;
    const size_t n = vise_shape_count(&shape) * *images;
    const size_t room = op->scratch ? op->scratch(&s, &shape) : 0;
    float *y = malloc((n + CANARY) * sizeof *y); // sanitizers watch its end as well
    assert_non_null(y);
    memset(y, 0xa5, (n + CANARY) * sizeof *y);
    c.scratch = vise_alloc(room + CANARY, sizeof(float));
    assert_non_null(c.scratch);
    memset(c.scratch, 0xa5, (room + CANARY) * sizeof(float));
    c.out[0].data = y;
    op->forward(&c);
    for (size_t i = 0; i < CANARY * sizeof(float); i++) {
        assert_int_equal(((unsigned char *)(y + n))[i], 0xa5);
        assert_int_equal(((unsigned char *)(c.scratch + room))[i], 0xa5);
    }
    vise_free(c.scratch);
    return y;
}

static void check_op(const vise_op *op, const oracle *o)
{
    size_t checked = 0, batched = 0, plain = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        problem p = {.rng = vise_rng_named(round, op->name), .batch = round % 2 ? 3 : 1};
        size_t images, each;
        assert_true(op->attr_size <= sizeof p.attr);
        vise_attr_defaults(op, p.attr);
        o->make(&p);
        float *y = run(&p, op, &images);
        each = vise_shape_count(&p.out);
        *(p.in[0].batched ? &batched : &plain) += 1;
        for (size_t i = 0; i < images * each; i++, checked++) {
            size_t at[VISE_MAX_RANK] = {0};
            double mag = 0;
            coordinates(at, &p.out, i % each);
            const double want = o->want(&p, i / each, at, &mag);
            // oracles sum in double, too: 1e-11 of the magnitude is theirs
            const double tol =
                ((double)FLT_EPSILON + 1e-11) * mag + (mag > 0 ? (double)FLT_MIN : 0);
            if (!(fabs((double)y[i] - want) <= tol))
                fail_msg("%s, round %u: y[%zu] is %.9g, not %.9g +- %.3g", op->name, round, i,
                         (double)y[i], want, tol);
        }
        operands_free(&p);
        free(y);
    }
    assert_true(checked >= ROUNDS && batched && plain);
}

/* Operators of integers have rules that are exact, and tests of their own: test_integer.c. */
static bool is_integer(const vise_op *op)
{
    return !strncmp(op->name, "int_", 4);
}

static void test_forward(void **state)
{
    (void)state;
    size_t ops = 0, integers = 0;
    for (const vise_op *op; (op = vise_op_at(ops + integers));) {
        if (is_integer(op)) {
            integers++;
            continue;
        }
        ops++;
        const oracle *o = oracle_find(op->name);
        if (!o) fail_msg("operator %s has no oracle here", op->name);
        assert_ptr_equal(vise_op_find(op->name), op);
        check_op(op, o);
    }
    assert_int_equal(ops, sizeof oracles / sizeof *oracles);
}

/* NaN must come through wherever a comparison could swallow it. */
static void test_nan(void **state)
{
    (void)state;
    float x[8] = {1, NAN, 2, 3, -1, 0, 5, 7}, y[8];
    const vise_shape s = {3, {2, 2, 2}}, small = {3, {1, 1, 2}};
    for (int kind = 0; vise_act_names[kind]; kind++) {
        const vise_act_attr a = {kind};
        const vise_call c = {&a, 1, 1, 1, {{&s, x, true}}, {{&s, y, true}}, NULL, NULL};
        vise_op_find("act")->forward(&c);
        assert_true(isnan(y[1]) && !isnan(y[0]));
    }
    const vise_pool_attr pool = {.kernel = {1, {2}}};
    const vise_call max = {&pool, 1, 1, 1, {{&s, x, true}}, {{&small, y, true}}, NULL, NULL};
    vise_op_find("pool")->forward(&max);
    assert_true(isnan(y[1]) && !isnan(y[0]));
    const vise_call soft = {NULL, 1, 1, 1, {{&s, x, true}}, {{&s, y, true}}, NULL, NULL};
    vise_op_find("softmax")->forward(&soft);
    assert_true(isnan(y[0]) && isnan(y[1]) && !isnan(y[2]));
}

/* ---- what shape rules refuse ---- */

#define SHAPE(...)                                                                                 \
    {                                                                                              \
        sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t),                                          \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define ATTR(type, ...)                                                                            \
    &(const type)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* The first input depends on the image, the others do if all_batched. */
typedef struct bad {
    const char *op;
    const void *attr; // NULL: defaults
    uint32_t nin;
    vise_shape in[3];
    bool all_batched;
} bad;

static const bad bads[] = {
    {"act", ATTR(vise_act_attr, 99), 1, {SHAPE(2, 3)}, false},
    {"act", ATTR(vise_act_attr, -1), 1, {SHAPE(2, 3)}, false},
    {"act", NULL, 2, {SHAPE(2, 3), SHAPE(2, 3)}, false},
    {"add", NULL, 2, {SHAPE(2, 3), SHAPE(2, 4)}, false},
    {"add", NULL, 2, {SHAPE(3), SHAPE(3, 2)}, false},
    {"add", NULL, 1, {SHAPE(3)}, false},
    {"attention",
     ATTR(vise_attention_attr, 3, 0, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(6, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 6), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 8, 0),
     3,
     {SHAPE(2, 5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 0, 0, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, -1, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 8, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 7)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 1, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 9, 0),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 4, -1),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"attention",
     ATTR(vise_attention_attr, 2, 0, 4, 17),
     3,
     {SHAPE(5, 8), SHAPE(5, 8), SHAPE(5, 8)},
     false},
    {"concat", ATTR(vise_concat_attr, 2), 2, {SHAPE(2, 3), SHAPE(2, 3)}, false},
    {"concat", ATTR(vise_concat_attr, 0), 2, {SHAPE(2, 3), SHAPE(2, 4)}, false},
    {"concat", ATTR(vise_concat_attr, 0), 2, {SHAPE(2, 3), SHAPE(3)}, false},
    {"conv2d", NULL, 2, {SHAPE(4, 4, 3), SHAPE(8, 4, 1, 1)}, false},
    {"conv2d", NULL, 2, {SHAPE(4, 4, 3), SHAPE(8, 3, 5, 1)}, false},
    {"conv2d", NULL, 2, {SHAPE(4, 3), SHAPE(8, 3, 1, 1)}, false},
    {"conv2d", NULL, 3, {SHAPE(4, 4, 3), SHAPE(8, 3, 1, 1), SHAPE(7)}, false},
    {"conv2d", NULL, 2, {SHAPE(4, 4, 3), SHAPE(8, 3, 1, 1)}, true},
    {"conv2d", ATTR(vise_conv2d_attr, .groups = 2), 2, {SHAPE(4, 4, 3), SHAPE(8, 1, 1, 1)}, false},
    {"conv2d",
     ATTR(vise_conv2d_attr, .stride = {3, {1, 1, 1}}, .groups = 1),
     2,
     {SHAPE(4, 4, 3), SHAPE(8, 3, 1, 1)},
     false},
    {"conv2d",
     ATTR(vise_conv2d_attr, .stride = {1, {0}}, .groups = 1),
     2,
     {SHAPE(4, 4, 3), SHAPE(8, 3, 1, 1)},
     false},
    {"embed_add",
     ATTR(vise_embed_add_attr, 0, 2, 2, false),
     2,
     {SHAPE(3, 3, 4), SHAPE(5, 4)},
     false},
    {"embed_add",
     ATTR(vise_embed_add_attr, 1, 2, 2, false),
     2,
     {SHAPE(3, 3, 4), SHAPE(5, 3)},
     false},
    {"embed_add",
     ATTR(vise_embed_add_attr, 1, 2, 2, false),
     2,
     {SHAPE(3, 3, 4), SHAPE(2, 5, 4)},
     false},
    {"embed_add", ATTR(vise_embed_add_attr, 1, 2, 2, false), 2, {SHAPE(9, 4), SHAPE(5, 4)}, false},
    {"groupnorm", ATTR(vise_groupnorm_attr, 1e-5, 3), 1, {SHAPE(4, 8)}, false},
    {"groupnorm", ATTR(vise_groupnorm_attr, 1e-5, 2), 2, {SHAPE(4, 8), SHAPE(4)}, false},
    {"groupnorm", ATTR(vise_groupnorm_attr, 1e-5, 0), 1, {SHAPE(4, 8)}, false},
    {"l2norm", ATTR(vise_norm_attr, 2), 1, {SHAPE(4, 8)}, false},
    {"l2norm", ATTR(vise_norm_attr, (double)NAN), 1, {SHAPE(4, 8)}, false},
    {"layernorm", NULL, 2, {SHAPE(4, 8), SHAPE(4)}, false},
    {"layernorm", NULL, 3, {SHAPE(4, 8), SHAPE(8), SHAPE(1, 8)}, false},
    {"layernorm", NULL, 2, {SHAPE(4, 8), SHAPE(8)}, true},
    {"layernorm", ATTR(vise_norm_attr, -1), 1, {SHAPE(4, 8)}, false},
    {"linear", NULL, 2, {SHAPE(4, 8), SHAPE(3, 7)}, false},
    {"linear", NULL, 3, {SHAPE(4, 8), SHAPE(3, 8), SHAPE(8)}, false},
    {"linear", NULL, 2, {SHAPE(4, 8), SHAPE(3, 8)}, true},
    {"linear", NULL, 2, {SHAPE(4, 8), SHAPE(1, 3, 8)}, false},
    {"matmul", NULL, 2, {SHAPE(2, 3), SHAPE(2, 3)}, false},
    {"matmul", NULL, 2, {SHAPE(3), SHAPE(3, 2)}, false},
    {"matmul", NULL, 2, {SHAPE(2, 2, 3), SHAPE(3, 3, 2)}, false},
    {"matmul", ATTR(vise_matmul_attr, true), 2, {SHAPE(2, 3), SHAPE(3, 2)}, false},
    {"mean", NULL, 1, {SHAPE(2, 3)}, false},
    {"mean", ATTR(vise_mean_attr, {1, {2}}), 1, {SHAPE(2, 3)}, false},
    {"mean", ATTR(vise_mean_attr, {2, {1, -1}}), 1, {SHAPE(2, 3)}, false},
    {"mul", NULL, 2, {SHAPE(2, 3), SHAPE(2, 4)}, false},
    {"mul", NULL, 2, {SHAPE(3), SHAPE(3, 2)}, false},
    {"pad", ATTR(vise_pad_attr, .before = {1, {1}}), 1, {SHAPE(2, 3)}, false},
    {"pad", ATTR(vise_pad_attr, .after = {2, {1, -1}}), 1, {SHAPE(2, 3)}, false},
    {"pad", ATTR(vise_pad_attr, .after = {2, {0, VISE_MAX_DIM}}), 1, {SHAPE(2, 3)}, false},
    {"permute", ATTR(vise_permute_attr, {1, {0}}), 1, {SHAPE(2, 3)}, false},
    {"permute", ATTR(vise_permute_attr, {2, {0, -2}}), 1, {SHAPE(2, 3)}, false},
    {"permute", ATTR(vise_permute_attr, {2, {0, 2}}), 1, {SHAPE(2, 3)}, false},
    {"pool", NULL, 1, {SHAPE(4, 4, 3)}, false},
    {"pool", ATTR(vise_pool_attr, .kernel = {1, {5}}), 1, {SHAPE(4, 4, 3)}, false},
    {"pool", ATTR(vise_pool_attr, .kernel = {1, {2}}), 1, {SHAPE(4, 4)}, false},
    {"pool", ATTR(vise_pool_attr, .kernel = {1, {2}}, .pad = {1, {2}}), 1, {SHAPE(4, 4, 3)}, false},
    {"reshape", ATTR(vise_reshape_attr, {2, {4, 2}}), 1, {SHAPE(2, 3)}, false},
    {"reshape", ATTR(vise_reshape_attr, {2, {-1, -1}}), 1, {SHAPE(2, 3)}, false},
    {"reshape", ATTR(vise_reshape_attr, {2, {4, -1}}), 1, {SHAPE(2, 3)}, false},
    {"reshape", ATTR(vise_reshape_attr, {3, {1, 6, 0}}), 1, {SHAPE(2, 3)}, false},
    {"reshape", ATTR(vise_reshape_attr, {1, {3}}), 1, {SHAPE(2, 3)}, false},
    {"resize", NULL, 1, {SHAPE(4, 4, 3)}, false},
    {"resize", ATTR(vise_resize_attr, .size = {1, {4}}), 1, {SHAPE(4, 4, 3)}, false},
    {"resize", ATTR(vise_resize_attr, .scale = {1, {2}}), 1, {SHAPE(4, 4)}, false},
    {"resize",
     ATTR(vise_resize_attr, .scale = {1, {2}}),
     2,
     {SHAPE(4, 4, 3), SHAPE(8, 8, 3)},
     false},
    {"resize",
     ATTR(vise_resize_attr, .antialias = true, .scale = {1, {2}}),
     1,
     {SHAPE(4, 4, 3)},
     false},
    {"rmsnorm", NULL, 2, {SHAPE(4, 8), SHAPE(4)}, false},
    {"rmsnorm", NULL, 2, {SHAPE(4, 8), SHAPE(8)}, true},
    {"roll", ATTR(vise_roll_attr, {1, {2}}, {1, {1}}), 1, {SHAPE(2, 3)}, false},
    {"roll", ATTR(vise_roll_attr, {1, {0}}, {2, {1, 1}}), 1, {SHAPE(2, 3)}, false},
    {"slice", ATTR(vise_slice_attr, 0, 0, 3, 1), 1, {SHAPE(2, 3)}, false},
    {"slice", ATTR(vise_slice_attr, 0, 1, 1, 1), 1, {SHAPE(2, 3)}, false},
    {"slice", ATTR(vise_slice_attr, 0, -3, VISE_SLICE_END, 1), 1, {SHAPE(2, 3)}, false},
    {"slice", ATTR(vise_slice_attr, 2, 0, 1, 1), 1, {SHAPE(2, 3)}, false},
    {"slice", ATTR(vise_slice_attr, 0, 0, 1, 0), 1, {SHAPE(2, 3)}, false},
    {"softmax", NULL, 0, {SHAPE(2)}, false},
    {"softmax", NULL, 2, {SHAPE(2, 3), SHAPE(2, 3)}, false},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const bad *t = &bads[i];
        static const char *const names[] = {"a", "b", "c"};
        vise_id in[3];
        vise_err e = {0};
        vise_graph g;
        vise_graph_init(&g, &e);
        for (uint32_t j = 0; j < t->nin; j++)
            in[j] = !j || t->all_batched
                        ? vise_graph_input(&g, names[j], &t->in[j])
                        : vise_graph_const(&g, names[j], &(vise_const){.shape = t->in[j]});
        assert_int_equal(g.status, VISE_OK);
        const vise_id out = vise_graph_add(&g, t->op, "blocks.3.bad", t->attr, t->nin, in);
        if (out != VISE_NONE || g.status != VISE_EFORMAT || !strstr(e.msg, "blocks.3.bad"))
            fail_msg("bad signature %zu of %s: status %d, \"%s\"", i, t->op, g.status, e.msg);
        vise_graph_free(&g);
    }
    for (size_t i = 0; vise_op_at(i); i++) {
        size_t n = 0;
        for (size_t j = 0; j < sizeof bads / sizeof *bads; j++)
            n += !strcmp(bads[j].op, vise_op_at(i)->name);
        if (n < 2 && !is_integer(vise_op_at(i)))
            fail_msg("%s has %zu bad signatures", vise_op_at(i)->name, n);
    }
}

/* Optional operands of attention that do not fit, and an absent one where none may be. */
static void test_refused_optionals(void **state)
{
    (void)state;
    const vise_shape q = SHAPE(5, 8), k = SHAPE(6, 8), bias = SHAPE(3, 5, 6), size = SHAPE(5);
    const vise_shape good_bias = SHAPE(1, 6), good_size = SHAPE(6);
    const vise_attention_attr a = {.heads = 2, .prob_bits = 8};
    vise_err e = {0};
    vise_shape out;
    vise_sig s = {"node", &a, 5, {&q, &k, &k, &good_bias, &good_size}, {false}, NULL};
    const vise_op *op = vise_op_find("attention");
    assert_int_equal(op->shape(&s, &out, &e), VISE_OK);
    s.in[3] = &bias;
    assert_int_equal(op->shape(&s, &out, &e), VISE_EFORMAT);
    s.in[3] = NULL;
    s.in[4] = &size;
    assert_int_equal(op->shape(&s, &out, &e), VISE_EFORMAT);
    s = (vise_sig){"node", &(vise_concat_attr){0}, 3, {&q, NULL, &k}, {false}, NULL};
    assert_int_equal(vise_op_find("concat")->shape(&s, &out, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "node"));
}

/* ---- costs ---- */

static uint64_t macs_of(const char *name, const void *attr, uint32_t nin, const vise_shape *in)
{
    const vise_op *op = vise_op_find(name);
    vise_sig s = {.name = "node", .attr = attr, .nin = nin};
    vise_shape out;
    vise_err e;
    for (uint32_t i = 0; i < nin; i++)
        s.in[i] = &in[i];
    assert_int_equal(op->shape(&s, &out, &e), VISE_OK);
    return op->macs(&s, &out);
}

static void test_macs(void **state)
{
    (void)state;
    const vise_shape linear[] = {SHAPE(197, 192), SHAPE(576, 192), SHAPE(576)};
    assert_int_equal(macs_of("linear", NULL, 3, linear), 197 * 192 * 576);
    const vise_conv2d_attr patch = {.stride = {1, {16}}, .groups = 1};
    const vise_shape patches[] = {SHAPE(224, 224, 3), SHAPE(192, 3, 16, 16)};
    assert_int_equal(macs_of("conv2d", &patch, 2, patches), 14 * 14 * 192 * 3 * 16 * 16);
    const vise_conv2d_attr depthwise = {.pad = {1, {1}}, .groups = 64};
    const vise_shape depth[] = {SHAPE(14, 14, 64), SHAPE(64, 1, 3, 3)};
    assert_int_equal(macs_of("conv2d", &depthwise, 2, depth), 14 * 14 * 64 * 9);
    const vise_shape product[] = {SHAPE(4, 1, 5, 6), SHAPE(3, 6, 7)};
    assert_int_equal(macs_of("matmul", &(vise_matmul_attr){false}, 2, product), 4 * 3 * 5 * 6 * 7);
    const vise_attention_attr heads = {.heads = 3,
                                       .prob_bits = 8}; // windows 16, T 49, S 50, H Dk 96, H Dv 48
    const vise_shape attention[] = {SHAPE(16, 49, 96), SHAPE(16, 50, 96), SHAPE(16, 50, 48)};
    assert_int_equal(macs_of("attention", &heads, 3, attention), 16 * 49 * 50 * (96 + 48));
    const vise_shape huge[] = {SHAPE(1 << 20, 1 << 20), SHAPE(1, 1 << 20)};
    assert_true(macs_of("linear", NULL, 2, huge) == (uint64_t)1 << 40);
    const vise_shape giant[] = {SHAPE(1 << 24, 1 << 16), SHAPE(1 << 24, 1 << 16)};
    assert_true(macs_of("matmul", &(vise_matmul_attr){true}, 2, giant) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),           cmocka_unit_test(test_nan),
        cmocka_unit_test(test_refusals),          cmocka_unit_test(test_macs),
        cmocka_unit_test(test_refused_optionals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
