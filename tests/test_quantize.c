/* test_quantize.c - quantizing with pictures: channels evened out, both networks side by side, the whole
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "compress/fold.h"
#include "compress/prefix.h"
#include "compress/select.h"
#include "tiny.h"
#include "uneven.h"

static vise_model *small(void)
{
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    return m;
}

/* ---- folding ---- */

static bool same_const(const vise_model *a, const vise_model *b, const char *name)
{
    const vise_const *x = const_of(&a->graph, name), *y = const_of(&b->graph, name);
    return x->enc.type == y->enc.type &&
           !memcmp(x->data, y->data, vise_shape_count(&x->shape) * vise_dtype_size(x->enc.type));
}

static void fold(vise_model *m, double strength, bool fixed, const char *skipped)
{
    vise_err e;
    vise_change c;
    vise_data *d = pictures();
    const vise_eval_opts o = {.data = d, .threads = 2};
    bool *skip = calloc(m->graph.nodes, sizeof *skip);
    assert_non_null(skip);
    for (size_t i = 0; i < m->graph.nodes; i++)
        skip[i] = skipped && strstr(m->graph.node[i].name, skipped);
    MUST(vise_change_open(&c, m, &o, &e));
    MUST(vise_fold(&c, skip, strength, fixed, &e));
    MUST(vise_change_commit(&c, m, "folded", &e));
    vise_change_close(&c);
    free(skip);
    vise_data_free(d);
}

/* The function stays the same whatever is folded; something is. */
static void check_fold(vise_model *(*make)(void), double strength, bool fixed, const char *norm,
                       const char *matrix)
{
    char weight[64], bias[64], gamma[64], beta[64];
    snprintf(weight, sizeof weight, "%s.weight", matrix);
    snprintf(bias, sizeof bias, "%s.bias", matrix);
    snprintf(gamma, sizeof gamma, "%s.weight", norm);
    snprintf(beta, sizeof beta, "%s.bias", norm);
    vise_model *a = make(), *b = make();
    fold(b, strength, fixed, NULL);
    assert_true(distance(logits_of(a), logits_of(b)) <= 1e-4);
    assert_true(!same_const(a, b, beta) && !same_const(a, b, bias));
    assert_true(strength == 0 || (!same_const(a, b, gamma) && !same_const(a, b, weight)));
    assert_true(strength != 0 || same_const(a, b, gamma));
    vise_model_free(a);
    vise_model_free(b);
}

static void test_fold(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        check_fold(vit, 0.5 * (i / 2), i & 1, "blocks.1.norm2", "blocks.1.mlp.fc1");
        check_fold(vit, 0.5 * (i / 2), i & 1, "blocks.0.norm1", "blocks.0.attn.qkv");
        check_fold(small, 0.5 * (i / 2), i & 1, "norm", "qkv");
    }
}

/* The ranges of a value's channels; n of them. */
static void ranges_of(vise_range *range, const vise_model *m, const char *name)
{
    vise_err e;
    vise_change c;
    vise_data *d = pictures();
    const vise_eval_opts o = {.data = d};
    vise_range **list = calloc(m->graph.values, sizeof(vise_range *));
    assert_non_null(list);
    list[vise_graph_find(&m->graph, name)] = range;
    MUST(vise_change_open(&c, m, &o, &e));
    MUST(vise_calib_channels(list, &c, &e));
    vise_change_close(&c);
    free(list);
    vise_data_free(d);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* All of it: every channel of a norm reaches as far as the others, both ways; and the channel behind
 * GELU that reached too far is divided by a node of its own, where one scale has to do. */
static void test_even(void **state)
{
    (void)state;
    enum { DIM = 24, MLP = 48 };
    vise_model *m = vit(), *t = vit();
    vise_range was[DIM] = {{0, 0}}, is[DIM] = {{0, 0}}, far[MLP] = {{0, 0}}, near[MLP] = {{0, 0}};
    fold(m, 1, true, NULL);
    ranges_of(was, t, "blocks.1.norm1");
    ranges_of(is, m, "blocks.1.norm1");
    float least = INFINITY, most = 0;
    for (size_t c = 0; c < DIM; c++) {
        least = fminf(least, was[c].hi - was[c].lo);
        most = fmaxf(most, was[c].hi - was[c].lo);
        assert_true(fabsf(is[c].hi - is[0].hi) <= 1e-3f * is[0].hi);
        assert_true(fabsf(is[c].hi + is[c].lo) <= 1e-3f * is[0].hi);
    }
    assert_true(most > 4 * least); // it was needed
    ranges_of(far, t, "blocks.0.mlp.act");
    ranges_of(near, m, "blocks.0.mlp.act");
    assert_true(vise_graph_find(&m->graph, "blocks.0.mlp.act.raw") != VISE_NONE);
    assert_true(near[5].hi < far[5].hi / 3 && fabsf(near[4].hi / far[4].hi - 1) <= 1e-3f);
    float size[MLP];
    for (size_t c = 0; c < MLP; c++)
        size[c] = far[c].hi - far[c].lo;
    qsort(size, MLP, sizeof *size, by_size);
    for (size_t c = 0; c < MLP; c++) // twice the median is as far as any reaches
        assert_true(near[c].hi - near[c].lo <= 2.001f * size[MLP / 2]);
    vise_model_free(m);
    m = vit();
    fold(m, 1, false, NULL);
    assert_true(vise_graph_find(&m->graph, "blocks.0.mlp.act.raw") == VISE_NONE);
    vise_model_free(m);
    vise_model_free(t);
}

/* What is to stay stays, and so does what it reads. */
static void test_fold_skip(void **state)
{
    (void)state;
    vise_model *m = vit(), *t = vit();
    fold(m, 1, true, "blocks.0.");
    assert_true(distance(logits_of(m), logits_of(t)) <= 1e-4);
    for (size_t v = 0; v < t->graph.values; v++) {
        const vise_value *x = &t->graph.value[v];
        if (x->kind == VISE_VALUE_CONST && !strncmp(x->name, "blocks.0.", 9))
            assert_true(same_const(m, t, x->name));
    }
    assert_true(same_const(m, t, "norm.weight")); // not only a matrix reads it
    assert_false(same_const(m, t, "blocks.1.attn.qkv.weight"));
    vise_model_free(m);
    vise_model_free(t);
}

/* Attention whose q and k share columns with a third reader of the product. */
static vise_model *overlapping(void)
{
    vise_err e;
    vise_model *m, *from = small();
    MUST(vise_model_alloc(&m, &e));
    tiny t = {m, &m->graph, &e, 7};
    vise_graph *g = t.g;
    const size_t C = TINY_DIM;
    const vise_shape in = {3, {TINY_SIZE, TINY_SIZE, TINY_CHANNELS}};
    m->family = "tiny";
    m->recipe = from->recipe;
    vise_model_free(from);
    vise_graph_init(g, &e);
    vise_id x = vise_graph_input(g, "pixels", &in);
    x = tiny_reshape(&t, "tokens", x, (vise_ints){2, {TINY_SIZE * TINY_SIZE, TINY_CHANNELS}});
    x = vise_graph_add(g, "linear", "embed", NULL, 2,
                       (vise_id[]){x, tiny_mat(&t, "embed.weight", VISE_F32, C, TINY_CHANNELS)});
    const vise_id y = tiny_attention(&t, x), qkv = vise_graph_find(g, "attn.qkv");
    x = vise_graph_add(g, "slice", "third",
                       &(vise_slice_attr){-1, TINY_DIM / 2, 3 * TINY_DIM / 2, 1}, 1, &qkv);
    x = vise_graph_add(g, "add", "sum", NULL, 2, (vise_id[]){x, y});
    x = vise_graph_add(g, "mean", "pool", &(vise_mean_attr){{1, {0}}}, 1, &x);
    x = vise_graph_add(g, "linear", "head", NULL, 3,
                       (vise_id[]){x, tiny_mat(&t, "head.weight", VISE_F32, TINY_CLASSES, C),
                                   tiny_vec(&t, "head.bias", TINY_CLASSES)});
    vise_graph_output(g, "logits", x);
    MUST(vise_graph_finish(g));
    return m;
}

static void test_fold_apart(void **state)
{
    (void)state;
    vise_model *m = overlapping(), *t = overlapping();
    fold(m, 1, true, NULL);
    assert_true(distance(logits_of(m), logits_of(t)) <= 1e-4);
    assert_true(same_const(m, t, "qkv.weight") && same_const(m, t, "qkv.bias"));
    vise_model_free(m);
    vise_model_free(t);
    check_fold(small, 1, true, "norm", "qkv"); // with slices of their own columns it is done
}

/* ---- both networks side by side ---- */

/* All values that nodes make, [PICTURES, shape] by id; as a session with taps gives them. */
static float **values_of(const vise_model *m)
{
    vise_err e;
    vise_data *d = pictures();
    const vise_graph *g = &m->graph;
    float **value = calloc(g->values, sizeof *value), x[PIXELS];
    assert_non_null(value);
    for (vise_id v = 0; v < g->values; v++) {
        vise_session *s;
        if (g->value[v].kind != VISE_VALUE_NODE) continue;
        const size_t n = vise_shape_count(&g->value[v].shape);
        value[v] = calloc(PICTURES * n, sizeof **value);
        assert_non_null(value[v]);
        MUST(vise_session_new(&s, m, &(vise_session_opts){.taps = &g->value[v].name, .ntaps = 1},
                              &e));
        const size_t last = vise_session_outputs(s) - 1;
        float *out[4] = {NULL};
        assert_true(last < 4);
        for (size_t i = 0; i < PICTURES; i++) {
            MUST(vise_data_read(d, i, vise_model_recipe(m), x, &e));
            out[last] = value[v] + i * n;
            vise_session_run(s, 1, (const float *[]){x}, out);
        }
        vise_session_free(s);
    }
    vise_data_free(d);
    return value;
}

static void free_values(float **value, const vise_model *m)
{
    for (size_t v = 0; v < m->graph.values; v++)
        free(value[v]);
    free(value);
}

/* What a pass does at node i: another weight, and codes for the operand. */
static void change_node(vise_change *c, size_t i)
{
    vise_err e;
    const vise_node *n = &c->from->graph.node[i];
    if (strcmp(n->op->name, "linear") != 0) return;
    vise_const *w = &c->data[n->in[1]];
    const size_t count = vise_shape_count(&w->shape);
    float *to;
    MUST(vise_change_alloc(c, &to, count, sizeof *to, &e));
    vise_decode(to, w);
    for (size_t k = 0; k < count; k++)
        to[k] *= 1.25f;
    *w = (vise_const){.shape = w->shape, .enc = {.type = VISE_F32}, .data = to};
    c->actq[i][0] = (vise_actq){.kind = VISE_ACTQ_ASYM, .bits = 5};
}

/* Is v there before node i, and read from there on? */
static bool is_needed(const vise_graph *g, vise_id v, size_t i)
{
    const vise_value *x = &g->value[v];
    if (x->kind == VISE_VALUE_CONST || (x->kind == VISE_VALUE_NODE && x->node >= i)) return false;
    for (size_t k = i; k < g->nodes; k++)
        for (uint32_t in = 0; in < g->node[k].nin; in++)
            if (g->node[k].in[in] == v) return true;
    return false;
}

static void check_stage(const vise_prefix *p, float **original, float **compressed)
{
    const vise_graph *g = &p->c->from->graph;
    for (vise_id v = 0; v < g->values; v++) {
        const vise_value *x = &g->value[v];
        const bool needed = is_needed(g, v, p->at);
        for (vise_side side = VISE_ORIGINAL; side <= VISE_COMPRESSED; side++) {
            const float *got = vise_prefix_value(p, side, v);
            float *const *want = side == VISE_ORIGINAL ? original : compressed;
            // what does not depend on the picture is part of every session
            if ((got != NULL) != needed && (x->batched || !needed))
                fail_msg("node %zu, side %d: %s is%s there", p->at, (int)side, x->name,
                         got ? "" : " not");
            if (!got || x->kind != VISE_VALUE_NODE) continue;
            const size_t n = vise_shape_count(&x->shape) * (x->batched ? PICTURES : 1);
            assert_memory_equal(got, want[v], n * sizeof *got);
        }
    }
}

/* Stops at every `stride`th node that rounds something. */
static void check_prefix(vise_model *(*make)(void), size_t stride)
{
    vise_err e;
    vise_change c;
    vise_prefix p;
    vise_data *d = pictures();
    const vise_eval_opts o = {.data = d, .threads = 2};
    vise_model *t = make(), *m = make();
    const vise_graph *g = &t->graph;
    MUST(vise_change_open(&c, m, &o, &e));
    for (size_t i = 0; i < g->nodes; i++)
        change_node(&c, i);
    MUST(vise_change_commit(&c, m, "changed", &e));
    vise_change_close(&c);
    assert_int_equal(m->graph.values, g->values); // the same ids, as no node was added
    float **original = values_of(t), **compressed = values_of(m);
    MUST(vise_change_open(&c, t, &o, &e));
    MUST(vise_prefix_open(&p, &c, 3, &e));
    assert_int_equal(p.pictures, 3);
    vise_prefix_close(&p);
    c.opts = &(vise_eval_opts){.data = d, .threads = 2, .limit = PICTURES};
    MUST(vise_prefix_open(&p, &c, 3, &e));
    for (size_t i = 0, stops = 0; i < g->nodes; i++) {
        if (vise_rounded_operands(g, &g->node[i]) && stops++ % stride == 0) {
            MUST(vise_prefix_to(&p, i, &e));
            assert_int_equal(p.at, i);
            check_stage(&p, original, compressed);
        }
        change_node(&c, i);
    }
    assert_true(p.at > 0);
    vise_prefix_close(&p);
    vise_change_close(&c);
    free_values(original, t);
    free_values(compressed, m);
    vise_model_free(t);
    vise_model_free(m);
    vise_data_free(d);
}

static void test_prefix(void **state)
{
    (void)state;
    check_prefix(vit, 1);
    check_prefix(vit, 2);
    check_prefix(small, 1);
    check_prefix(small, 2);
}

/* ---- the whole ---- */

static void test_identity(void **state)
{
    (void)state;
    vise_model *m = vit(), *q = vit_after("quantize weights=f32 acts=f32", 1);
    float *y = logits_of(m), *z = logits_of(q);
    assert_memory_equal(y, z, sizeof *y * PICTURES * CLASSES);
    free(y);
    free(z);
    vise_model_free(m);
    vise_model_free(q);
}

/* More bits, less error, in weights and in operands; and calibration is worth it. */
static void test_errors(void **state)
{
    (void)state;
    static const char *const more[] = {
        "quantize acts=f32 ends=same weights=int2", "quantize acts=f32 ends=same weights=int3",
        "quantize acts=f32 ends=same weights=int4", "quantize acts=f32 ends=same weights=int5",
        "quantize acts=f32 ends=same weights=int6", "quantize acts=f32 ends=same weights=int7",
        "quantize acts=f32 ends=same weights=int8"};
    static const char *const acts[] = {
        "quantize weights=f32 acts=static3", "quantize weights=f32 acts=static4",
        "quantize weights=f32 acts=static6", "quantize weights=f32 acts=static",
        "quantize weights=f32 acts=int8"};
    double err[7];
    for (size_t i = 0; i < 7; i++) {
        err[i] = error_of(more[i]);
        const bool less = (i < 1 || err[i] < 1.15 * err[i - 1]) && // by luck, a bit less is better
                          (i < 2 || err[i] < 0.7 * err[i - 2]);
        if (!less || !(err[i] > 0)) fail_msg("%s: %g after %g", more[i], err[i], err[i - 1]);
    }
    assert_true(err[6] < 0.02);
    for (size_t i = 0; i < 5; i++) {
        err[i] = error_of(acts[i]);
        if (!(err[i] > 0 && (i < 1 || err[i] < err[i - 1])))
            fail_msg("%s: %g after %g", acts[i], err[i], err[i - 1]);
    }
    const double nearest = error_of("quantize weights=int3 acts=f32 method=nearest");
    const double gptq = error_of("quantize weights=int3 acts=f32 method=gptq");
    const double full = error_of("quantize weights=int3 acts=f32");
    assert_true(full < gptq && gptq < nearest);
}

/* The same line and the same pictures make the same file, by any number of threads. */
static void test_repeatable(void **state)
{
    (void)state;
    static const char *const lines[] = {"quantize weights=int4 acts=static",
                                        "quantize weights=int3 group=32 acts=int4"};
    for (size_t i = 0; i < 2; i++)
        for (size_t threads = 1; threads <= 3; threads++) {
            make_file(path_a, lines[i], 1);
            make_file(path_b, lines[i], threads);
            if (!same_files()) fail_msg("%s: another file by %zu threads", lines[i], threads);
        }
}

/* Every value of every option works, and what comes out is a file that gives the same answers. */
static void test_options(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "quantize weights=int2 acts=int3 method=gptq",
        "quantize weights=int2 group=32 acts=static3 method=full probs=0",
        "quantize weights=int3 group=64 acts=static4 clip=percentile probs=1",
        "quantize weights=int4 group=128 acts=static5 clip=minmax method=nearest",
        "quantize weights=int5 group=32 acts=static6 clip=mse range=minmax",
        "quantize weights=int6 group=32 acts=int6 range=percentile order=off",
        "quantize weights=int7 group=32 acts=int5 polish=0 refit=off bias=off",
        "quantize weights=int8 acts=bf16 fold=0 target=0 damp=0.05 rest=f32",
        "quantize weights=int8 acts=static fold=1 target=1 ends=same",
        "quantize weights=bf16 acts=static keep=blocks.0.*",
        "quantize weights=f16 acts=int4 skip=head",
        "quantize weights=int4 acts=static keep=blocks.* skip=*.fc2"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        vise_err e;
        vise_model *m = vit_after(lines[i], 1), *r;
        MUST(vise_model_save(m, path_a, &e));
        MUST(vise_model_open(&r, path_a, NULL, &e));
        float *y = logits_of(m), *z = logits_of(r);
        for (size_t k = 0; k < PICTURES * CLASSES; k++)
            if (!isfinite(y[k])) fail_msg("%s: %g", lines[i], (double)y[k]);
        assert_memory_equal(y, z, sizeof *y * PICTURES * CLASSES);
        free(y);
        free(z);
        vise_model_free(m);
        vise_model_free(r);
    }
}

/* Weights and channels of zeros are no reason to fail. */
static void test_zeros(void **state)
{
    (void)state;
    static const char *const lines[] = {"quantize weights=int4 acts=static",
                                        "quantize weights=int2 group=32",
                                        "quantize weights=int8 method=nearest"};
    for (size_t i = 0; i < 3; i++) {
        vise_err e;
        vise_model *m = vit(), *r;
        const vise_const *qkv = const_of(&m->graph, "blocks.1.attn.qkv.weight"),
                         *gamma = const_of(&m->graph, "blocks.1.norm2.weight"),
                         *beta = const_of(&m->graph, "blocks.1.norm2.bias"),
                         *fc2 = const_of(&m->graph, "blocks.1.mlp.fc2.weight");
        memset((void *)(uintptr_t)qkv->data, 0, 5 * 24 * sizeof(float));
        memset((void *)(uintptr_t)gamma->data, 0, 3 * sizeof(float));
        memset((void *)(uintptr_t)beta->data, 0, 3 * sizeof(float));
        memset((void *)(uintptr_t)fc2->data, 0, 24 * 48 * sizeof(float));
        float *was = logits_of(m);
        MUST(apply(m, lines[i], 1, &e));
        MUST(vise_model_save(m, path_a, &e));
        MUST(vise_model_open(&r, path_a, NULL, &e));
        assert_true(distance(was, logits_of(r)) < 0.9);
        vise_model_free(m);
        vise_model_free(r);
    }
}

/* ---- failures ---- */

static void same_model(const vise_model *m) // as at path_a
{
    vise_err e;
    MUST(vise_model_save(m, path_b, &e));
    assert_true(same_files());
}

static void test_refused(void **state)
{
    (void)state;
    vise_err e;
    static const char *const lines[] = {
        "quantize polish=auto", "quantize polish=101", "quantize probs=auto", "quantize probs=17",
        "quantize fold=1.5",    "quantize target=2",   "quantize keep=hood"};
    vise_model *m = vit();
    MUST(vise_model_save(m, path_a, &e));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (apply(m, lines[i], 1, &e) != VISE_EARG) fail_msg("%s passes", lines[i]);
        same_model(m);
    }
    assert_int_equal(vise_apply(m, "quantize weights=int4", NULL, &e), VISE_EARG);
    assert_true(strstr(e.msg, "method=nearest") != NULL);
    assert_int_equal(vise_apply(m, "quantize method=full", NULL, &e), VISE_EARG);
    assert_true(strstr(e.msg, "calibration pictures") != NULL);
    same_model(m);
    vise_model_free(m);
}

/* A weight that is no number is named, with pictures or without; nothing changes. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    static const char *const lines[] = {"quantize", "quantize method=nearest",
                                        "quantize weights=int4 acts=static"};
    for (size_t i = 0; i < 6; i++) {
        vise_err e;
        vise_model *m = vit();
        float *w = (float *)(uintptr_t)const_of(&m->graph, "head.weight")->data;
        w[30] = bad[i % 2];
        MUST(vise_model_save(m, path_a, &e));
        if (apply(m, lines[i / 2], 1, &e) != VISE_EFORMAT) fail_msg("%s passes", lines[i / 2]);
        if (!strstr(e.msg, "head.weight: element 30")) fail_msg("%s: %s", lines[i / 2], e.msg);
        same_model(m);
        vise_model_free(m);
    }
}

typedef struct patience {
    size_t left, calls;
} patience;

static bool give_up(void *user, const char *what, size_t done, size_t total)
{
    patience *p = user;
    assert_true(*what && done <= total);
    p->calls++;
    return p->left && p->left--;
}

/* Stopped wherever it asks. */
static void test_cancel(void **state)
{
    (void)state;
    vise_err e;
    vise_data *d = pictures();
    vise_model *m = vit();
    size_t n = 0;
    MUST(vise_model_save(m, path_a, &e));
    for (;; n++) {
        patience p = {.left = n};
        const vise_eval_opts o = {.data = d, .progress = give_up, .user = &p};
        const vise_status s = vise_apply(m, "quantize weights=int4 acts=static", &o, &e);
        if (!s) break;
        assert_int_equal(s, VISE_ECANCEL);
        assert_true(p.calls == n + 1 || p.calls == n + 2); // of what is done it is only told
        same_model(m);
    }
    assert_true(n > 10); // a matrix each, at least
    vise_model_free(m);
    vise_data_free(d);
}

/* Any allocation may fail; the model stays what it was. Beyond the first hundreds, every 7th. */
static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    vise_data *d = pictures();
    const vise_eval_opts o = {.data = d};
    vise_model *m = vit();
    MUST(vise_model_save(m, path_a, &e));
    long n = 0;
    for (;; n += n < 400 ? 1 : 7) {
        vise_alloc_fail_at = n;
        const vise_status s = vise_apply(m, "quantize weights=int4 group=32 acts=static", &o, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        if (s != (reached ? VISE_ENOMEM : VISE_OK)) fail_msg("%ld: status %d", n, (int)s);
        if (!reached) break;
        same_model(m);
    }
    assert_true(n > 300);
    vise_model_free(m);
    vise_data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),      cmocka_unit_test(test_even),
        cmocka_unit_test(test_fold_skip), cmocka_unit_test(test_fold_apart),
        cmocka_unit_test(test_prefix),    cmocka_unit_test(test_identity),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_options),   cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_cancel),    cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
