/* test_tape.c - gradients of a whole network against central differences of its sessions
 * SPDX-License-Identifier: MIT */
#include "edit.h"
#include "tiny.h"
#include "graph/ops.h"
#include "train/attention.h"
#include "train/tape.h"

#include <math.h>

enum { IMAGES = 3, PIXELS = TINY_SIZE * TINY_SIZE * TINY_CHANNELS };

static float pixels[IMAGES * PIXELS], dlogits[IMAGES * TINY_CLASSES];

static int setup(void **state)
{
    (void)state;
    vise_rng r = vise_rng_named(3, "tape");
    for (size_t i = 0; i < IMAGES * PIXELS; i++)
        pixels[i] = vise_rng_normal(&r);
    for (size_t i = 0; i < IMAGES * TINY_CLASSES; i++)
        dlogits[i] = vise_rng_normal(&r);
    return 0;
}

static vise_model *tiny_model(void)
{
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    return m;
}

static vise_dense dense_of(size_t threads)
{
    vise_err e;
    vise_dense d;
    MUST(vise_dense_open(&d, threads, NULL, &e));
    return d;
}

/* sum dlogits * logits, what the gradients are of. */
static double loss_of(const vise_model *m)
{
    vise_err e;
    vise_session *s;
    float logits[IMAGES * TINY_CLASSES];
    const float *in = pixels;
    double sum = 0;
    MUST(vise_session_new(&s, m, &(vise_session_opts){.batch = IMAGES, .cpu = "c"}, &e));
    vise_session_run(s, IMAGES, &in, (float *[]){logits, NULL});
    for (size_t i = 0; i < IMAGES * TINY_CLASSES; i++)
        sum += (double)dlogits[i] * (double)logits[i];
    vise_session_free(s);
    return sum;
}

static const char *const tuned[] = {"head.weight", "head.bias", "norm.weight", "norm.bias",
                                    "ls.gamma",    "qkv.bias",  "dw.weight",   "stem.bias",
                                    "cls_token",   "pos_embed"}; // the last two serve all pictures
enum { TUNED = sizeof tuned / sizeof *tuned };

/* All gradients of `tuned`, one after the other; returns how many numbers. cuts: see vise_tape_opts. */
static size_t gradients_of(float *to, const vise_model *m, size_t threads, size_t times,
                           size_t cuts)
{
    vise_err e;
    vise_tape t;
    vise_dense d = dense_of(threads);
    bool want[256] = {false};
    size_t n = 0;
    assert_true(m->graph.values <= 256);
    for (size_t i = 0; i < TUNED; i++)
        want[vise_graph_find(&m->graph, tuned[i])] = true;
    const vise_tape_opts o = {.batch = IMAGES + 1, .threads = threads, .want = want, .cuts = cuts};
    MUST(vise_tape_open(&t, m, &d, &o, &e));
    assert_true(cuts ? t.parts > 1 && t.parts <= cuts + 1 : t.parts == 1);
    for (size_t i = 0; i < times; i++) {
        vise_tape_forward(&t, IMAGES, pixels);
        MUST(vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, dlogits}, 1, &e));
    }
    for (size_t i = 0; i < TUNED; i++) {
        const vise_id v = vise_graph_find(&m->graph, tuned[i]);
        const size_t size = vise_shape_count(&m->graph.value[v].shape);
        memcpy(to + n, t.grad[v], size * sizeof *to);
        n += size;
    }
    vise_tape_close(&t);
    vise_dense_close(&d);
    return n;
}

static size_t gradients(float *to, const vise_model *m, size_t threads, size_t times)
{
    return gradients_of(to, m, threads, times, 0);
}

static void test_differences(void **state)
{
    (void)state;
    static float got[1 << 12];
    const double h = 1.0 / 64;
    vise_model *m = tiny_model();
    const size_t n = gradients(got, m, 2, 1);
    size_t at = 0;
    for (size_t i = 0; i < TUNED; i++) {
        const vise_value *v = &m->graph.value[vise_graph_find(&m->graph, tuned[i])];
        float *x = (float *)(uintptr_t)v->data.data; // the model's own block
        assert_true(v->data.enc.type == VISE_F32 && !v->data.enc.bits);
        for (size_t k = 0; k < vise_shape_count(&v->shape); k++, at++) {
            const float was = x[k];
            x[k] = was + (float)h;
            const double up = loss_of(m);
            x[k] = was - (float)h;
            const double down = loss_of(m);
            x[k] = was;
            const double want = (up - down) / (2 * h);
            // h^2 times third derivatives, and rounding of two losses over 2 h
            if (!(fabs((double)got[at] - want) <= 2e-3 * (1 + fabs(want))))
                fail_msg("%s[%zu]: %g, the differences say %g", tuned[i], k, (double)got[at], want);
        }
    }
    assert_true(at == n && n > 200);
    vise_model_free(m);
}

/* The same bits for any number of threads; a second time adds as much again. */
static void test_sums(void **state)
{
    (void)state;
    static float one[1 << 12], three[1 << 12], twice[1 << 12];
    vise_model *m = tiny_model();
    const size_t n = gradients(one, m, 1, 1);
    assert_int_equal(gradients(three, m, 3, 1), n);
    assert_int_equal(gradients(twice, m, 2, 2), n);
    assert_memory_equal(one, three, n * sizeof *one);
    for (size_t i = 0; i < n; i++)
        assert_true(fabsf(twice[i] - 2 * one[i]) <= 1e-4f * (1 + fabsf(one[i])));
    vise_model_free(m);
}

/* Parts that are run again give the same bits. */
static void test_parts(void **state)
{
    (void)state;
    static float whole[1 << 12], parts[1 << 12];
    vise_model *m = tiny_model();
    const size_t n = gradients(whole, m, 2, 2);
    for (size_t cuts = 1; cuts < 6; cuts++) {
        assert_int_equal(gradients_of(parts, m, 2, 2, cuts), n);
        assert_memory_equal(whole, parts, n * sizeof *whole);
    }
    vise_model_free(m);
}

/* Other numbers in the model's constants, and it is as if the tape had been opened with them. */
static void test_refresh(void **state)
{
    (void)state;
    static float fresh[1 << 12];
    float logits[2][IMAGES * TINY_CLASSES];
    vise_err e;
    vise_tape t;
    vise_dense d = dense_of(2);
    bool want[256] = {false};
    vise_model *m = tiny_model();
    const vise_id w = vise_graph_find(&m->graph, "head.weight");
    const vise_id c = vise_graph_find(&m->graph, "cls_token");
    want[w] = true;
    MUST(vise_tape_open(&t, m, &d, &(vise_tape_opts){.batch = IMAGES, .want = want}, &e));
    vise_tape_forward(&t, IMAGES, pixels);
    memcpy(logits[0], t.logits, sizeof logits[0]);
    for (size_t i = 0; i < TINY_DIM; i++)
        ((float *)(uintptr_t)m->graph.value[c].data.data)[i] += 0.5f; // the model's own block
    for (size_t i = 0; i < TINY_DIM * TINY_CLASSES; i++)
        ((float *)(uintptr_t)m->graph.value[w].data.data)[i] *= -1.5f;
    MUST(vise_tape_refresh(&t, &e));
    vise_tape_forward(&t, IMAGES, pixels);
    MUST(vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, dlogits}, 1, &e));
    memcpy(logits[1], t.logits, sizeof logits[1]);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    gradients(fresh, m, 2, 1); // head.weight comes first
    assert_memory_equal(fresh, t.grad[w], TINY_DIM * TINY_CLASSES * sizeof *fresh);
    vise_tape_clear(&t);
    for (size_t i = 0; i < TINY_DIM * TINY_CLASSES; i++)
        assert_true(t.grad[w][i] == 0);
    vise_tape_close(&t);
    vise_dense_close(&d);
    vise_model_free(m);
}

typedef struct sight {
    size_t calls, last;
    float head[IMAGES * TINY_CLASSES];
} sight;

static void see(void *user, size_t node, const float *dout)
{
    sight *s = user;
    assert_true(!s->calls || node < s->last);
    if (!s->calls++) memcpy(s->head, dout, sizeof s->head);
    s->last = node;
}

/* Nodes are told from the last to the first, each once, with the gradient of what they give. */
static void test_seen(void **state)
{
    (void)state;
    vise_err e;
    vise_tape t;
    sight s = {0};
    vise_model *m = tiny_model();
    vise_dense d = dense_of(1);
    MUST(vise_tape_open(&t, m, &d, &(vise_tape_opts){.batch = IMAGES}, &e));
    t.seen = see;
    t.user = &s;
    vise_tape_forward(&t, IMAGES, pixels);
    MUST(vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, dlogits}, 1, &e));
    assert_memory_equal(s.head, dlogits, sizeof s.head);
    assert_int_equal(s.last, 0); // down to the first convolution
    vise_tape_close(&t);
    vise_dense_close(&d);
    vise_model_free(m);
}

static void keep_first(void *user, size_t node, const float *dout)
{
    if (!node) memcpy(user, dout, 4 * sizeof *dout);
}

/* y = round(x) w^T of one picture, behind an act that gives x: only x within the range has a gradient,
 * and w's is of the rounded x. */
static void test_rounded(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    MUST(vise_model_alloc(&m, &e));
    tiny b = {m, &m->graph, &e, 5};
    const vise_shape in = {2, {1, 4}};
    vise_graph_init(&m->graph, &e);
    vise_id x = vise_graph_input(&m->graph, "pixels", &in);
    const vise_id ramp =
        vise_graph_add(&m->graph, "act", "ramp", &(vise_act_attr){VISE_ACT_RELU}, 1, &x);
    const vise_id w = tiny_mat(&b, "w", VISE_F32, 3, 4);
    const vise_id y = vise_graph_add(&m->graph, "linear", "y", NULL, 2, (vise_id[]){ramp, w});
    vise_actq q[2] = {{.kind = VISE_ACTQ_STATIC, .bits = 8, .scale = 0.5f}};
    vise_graph_set_actq(&m->graph, y, q);
    vise_graph_output(&m->graph, "logits", y);
    MUST(vise_graph_finish(&m->graph));
    const float picture[4] = {1.2f, 63.4f, 64.2f, 3}, dy[3] = {1, -2, 0.5f};
    const float rounded[4] = {1, 63.5f, 63.5f, 3};
    const float *weight = m->graph.value[w].data.data;
    bool want[8] = {false};
    vise_tape t;
    vise_dense d = dense_of(1);
    float ramp_gradient[4];
    want[w] = true;
    MUST(vise_tape_open(&t, m, &d, &(vise_tape_opts){.batch = 1, .want = want}, &e));
    t.seen = keep_first;
    t.user = ramp_gradient;
    vise_tape_forward(&t, 1, picture);
    MUST(vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, dy}, 1, &e));
    double scale = 0;
    for (size_t k = 0; k < 4; k++) {
        double through = 0;
        for (size_t i = 0; i < 3; i++) {
            assert_true(fabsf(t.grad[w][i * 4 + k] - dy[i] * rounded[k]) <= 1e-4f);
            through += (double)dy[i] * (double)weight[i * 4 + k];
        }
        scale += through * (double)(rounded[k] - (k == 2 ? 0 : picture[k]));
        if (k == 2) through = 0; // 64.2 is beyond 63.5
        assert_true(fabs((double)ramp_gradient[k] - through) <= 1e-5);
    }
    assert_true(fabs(t.dscale[1][0] - scale) <= 1e-4 * fabs(scale));
    vise_tape_close(&t);
    vise_dense_close(&d);
    vise_model_free(m);
}

/* The sum of dy times what an attention of static operands gives, and gradients of their scales. */
static double attention_sum(double dlog[3], const vise_model *m, const float *x, const float *dy)
{
    vise_err e;
    vise_tape t;
    vise_dense d = dense_of(2);
    const vise_graph *g = &m->graph;
    double sum = 0;
    MUST(vise_tape_open(&t, m, &d, &(vise_tape_opts){.batch = 2, .threads = 2}, &e));
    vise_tape_forward(&t, 2, x);
    for (size_t i = 0; i < 2 * 40; i++)
        sum += (double)dy[i] * (double)t.logits[i];
    for (size_t k = 0; k < 2; k++) // sums over runs, until they are cleared
        MUST(vise_tape_backward(&t, &(vise_seed){g->output[0].value, dy}, 1, &e));
    for (size_t k = 0; k < 3; k++)
        dlog[k] = t.dscale[g->nodes - 1][k] / 2;
    vise_tape_clear(&t);
    for (size_t k = 0; k < 3; k++)
        assert_true(t.dscale[g->nodes - 1][k] == 0);
    vise_tape_close(&t);
    vise_dense_close(&d);
    return sum;
}

/* Of operands that lie beyond their range nearly everywhere what is rounded is linear in the scale. */
static void test_scales(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    MUST(vise_model_alloc(&m, &e));
    tiny b = {m, &m->graph, &e, 5};
    vise_graph *g = &m->graph;
    const vise_attention_attr two = {.heads = 2, .scale = 90, .prob_bits = 8};
    const char *const name[] = {"q", "k", "v"}, *const weight[] = {"wq", "wk", "wv"};
    vise_actq actq[VISE_MAX_IN] = {{0}};
    vise_id in[3];
    float x[2 * 40], dy[2 * 40];
    double dlog[3], unused[3];
    vise_rng r = vise_rng_named(3, "scales");
    vise_graph_init(g, &e);
    const vise_id pixels_in = vise_graph_input(g, "pixels", &(vise_shape){2, {5, 8}});
    for (size_t k = 0; k < 3; k++) {
        in[k] = vise_graph_add(g, "linear", name[k], NULL, 2,
                               (vise_id[]){pixels_in, tiny_mat(&b, weight[k], VISE_F32, 8, 8)});
        actq[k] = (vise_actq){.kind = VISE_ACTQ_STATIC, .bits = 8, .scale = 0.0004f};
    }
    const vise_id y = vise_graph_add(g, "attention", "y", &two, 3, in);
    vise_graph_set_actq(g, y, actq);
    vise_graph_output(g, "logits", y);
    MUST(vise_graph_finish(g));
    for (size_t i = 0; i < 2 * 40; i++) {
        x[i] = 8 * vise_rng_normal(&r);
        dy[i] = vise_rng_normal(&r);
    }
    attention_sum(dlog, m, x, dy);
    for (size_t k = 0; k < 3; k++) {
        float *scale = &g->node[g->nodes - 1].actq[k].scale;
        const float was = *scale, nudge = k < 2 ? 1.2f : 1.01f;
        *scale = was * nudge;
        const double up = attention_sum(unused, m, x, dy);
        *scale = was / nudge;
        const double down = attention_sum(unused, m, x, dy);
        *scale = was;
        const double slope = (up - down) / (2 * log((double)nudge));
        if (!(fabs(slope - dlog[k]) <= 0.03 * fabs(slope) + 1e-4))
            fail_msg("%s: the gradient of the scale is %g, not %g", name[k], dlog[k], slope);
    }
    vise_model_free(m);
}

/* x, three times through an act; then its first columns times those of a table that serves all pictures
 * and was made before: its columns lie with gaps. */
static vise_model *table_model(void)
{
    vise_err e;
    vise_model *m;
    MUST(vise_model_alloc(&m, &e));
    tiny b = {m, &m->graph, &e, 5};
    vise_graph *g = &m->graph;
    const vise_shape in = {2, {2, 8}};
    const vise_act_attr act = {VISE_ACT_SILU};
    const vise_slice_attr half = {-1, 0, 4, 1};
    vise_graph_init(g, &e);
    vise_id x = vise_graph_input(g, "pixels", &in), c = tiny_mat(&b, "c", VISE_F32, 2, 8);
    const vise_id u = vise_graph_add(g, "act", "u", &act, 1, &c);
    const vise_id table = vise_graph_add(g, "slice", "table", &half, 1, &u);
    const char *const names[] = {"x0", "x1", "x2"};
    for (size_t i = 0; i < 3; i++)
        x = vise_graph_add(g, "act", names[i], &act, 1, &x);
    x = vise_graph_add(g, "slice", "columns", &half, 1, &x);
    x = vise_graph_add(g, "mul", "y", NULL, 2, (vise_id[]){x, table});
    vise_graph_output(g, "logits", vise_graph_add(g, "act", "z", &act, 1, &x));
    MUST(vise_graph_finish(g));
    return m;
}

/* What serves all pictures and is read behind a cut is there when its readers are. */
static void test_table(void **state)
{
    (void)state;
    vise_model *m = table_model();
    const vise_id c = vise_graph_find(&m->graph, "c");
    float one[16];
    for (size_t cuts = 0; cuts < 6; cuts++) {
        vise_err e;
        vise_tape t;
        vise_dense d = dense_of(1);
        bool want[16] = {false};
        want[c] = true;
        MUST(vise_tape_open(&t, m, &d,
                            &(vise_tape_opts){.batch = IMAGES, .want = want, .cuts = cuts}, &e));
        vise_tape_forward(&t, IMAGES, pixels);
        MUST(vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, pixels}, 1, &e));
        if (!cuts) memcpy(one, t.grad[c], sizeof one);
        assert_memory_equal(one, t.grad[c], sizeof one);
        vise_tape_close(&t);
        vise_dense_close(&d);
    }
    assert_true(one[0] != 0);
    vise_model_free(m);
}

/* A range of nodes may read a table that was made before it. */
static void test_table_before(void **state)
{
    (void)state;
    vise_model *m = table_model();
    const vise_graph *g = &m->graph;
    float x[IMAGES * 16], logits[IMAGES * 8];
    for (size_t k = 0; k < 2; k++) { // all, and from x1 on: with x0 as the input
        vise_err e;
        vise_tape t;
        vise_dense d = dense_of(1);
        const size_t from = k ? g->value[vise_graph_find(g, "x1")].node : 0;
        const vise_id x0 = vise_graph_find(g, "x0"), z = g->output[0].value;
        MUST(vise_tape_open(&t, m, &d,
                            &(vise_tape_opts){.batch = IMAGES, .from = from, .to = g->nodes}, &e));
        vise_tape_forward(&t, IMAGES, k ? x : pixels);
        if (!k) memcpy(x, t.value[x0], sizeof x);
        if (!k) memcpy(logits, t.logits, sizeof logits);
        assert_memory_equal(logits, t.logits, sizeof logits);
        MUST(vise_tape_backward(&t, &(vise_seed){z, pixels}, 1, &e));
        vise_tape_close(&t);
        vise_dense_close(&d);
    }
    vise_model_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_tape t;
    vise_dense d = dense_of(1);
    MUST(vise_model_alloc(&m, &e));
    const vise_shape in = {3, {4, 4, 1}};
    vise_graph_init(&m->graph, &e);
    vise_id x = vise_graph_input(&m->graph, "pixels", &in);
    x = vise_graph_add(&m->graph, "act", "relu", &(vise_act_attr){VISE_ACT_RELU}, 1, &x);
    x = vise_graph_add(&m->graph, "int_dequant", "codes", &(vise_int_dequant_attr){0.5}, 1, &x);
    vise_graph_output(&m->graph, "logits", x);
    MUST(vise_graph_finish(&m->graph));
    assert_int_equal(vise_tape_open(&t, m, &d, &(vise_tape_opts){0}, &e), VISE_EARG);
    assert_string_equal(e.msg, "codes: there is no gradient of int_dequant");
    vise_tape_close(&t);
    vise_dense_close(&d);
    vise_model_free(m);
}

static void test_starved(void **state)
{
    (void)state;
    vise_model *m = tiny_model();
    for (long n = 0;; n++) {
        vise_err e;
        vise_tape t;
        vise_dense d = dense_of(1);
        vise_alloc_fail_at = n;
        vise_status s = vise_tape_open(&t, m, &d, &(vise_tape_opts){.batch = IMAGES}, &e);
        if (!s) {
            vise_tape_forward(&t, IMAGES, pixels);
            s = vise_tape_backward(&t, &(vise_seed){m->graph.output[0].value, dlogits}, 1, &e);
        }
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
        vise_tape_close(&t);
        vise_dense_close(&d);
        if (!reached) break;
    }
    vise_model_free(m);
}

/* ---- attention ---- */

/* q [2, T, 3 Dk], k [2, S, 3 Dk], v [2, S, 3 Dv] and the gradient of y; their gradients add to ones. */
enum { T = 5, S = 21, DK = 4, DV = 7, HEADS = 3, LEAD = 2 };

typedef struct heads {
    float q[LEAD * T * HEADS * DK], k[LEAD * S * HEADS * DK], v[LEAD * S * HEADS * DV];
} heads;

static void fill(float *x, size_t n, vise_rng *r)
{
    for (size_t i = 0; i < n; i++)
        x[i] = vise_rng_normal(r);
}

/* Both ways, with the gradients that `wanted` has a bit for. */
static void compare(const vise_kern *kern, const vise_call *c, const float *dy, unsigned wanted)
{
    heads a, b;
    float *const x[] = {a.q, a.k, a.v}, *const y[] = {b.q, b.k, b.v};
    const size_t n[] = {LEAD * T * HEADS * DK, LEAD * S * HEADS * DK, LEAD * S * HEADS * DV};
    float *da[3], *db[3], *room;
    vise_err e;
    const vise_sig sig = {
        .attr = c->attr, .nin = 3, .in = {c->in[0].shape, c->in[1].shape, c->in[2].shape}};
    MUST(vise_alloc_or(&room, vise_fast_attention_room(kern, &sig), sizeof *room, "room", &e));
    for (size_t i = 0; i < 3; i++) {
        da[i] = wanted >> i & 1 ? x[i] : NULL;
        db[i] = wanted >> i & 1 ? y[i] : NULL;
        for (size_t t = 0; t < n[i]; t++)
            x[i][t] = y[i][t] = 1;
    }
    vise_op_backward(vise_op_find("attention"))(c, dy, da);
    vise_fast_attention(kern, c, dy, db, room);
    for (size_t i = 0; i < 3; i++)
        for (size_t t = 0; t < n[i]; t++) {
            assert_true(fabsf(x[i][t] - y[i][t]) <= 2e-5f);
            assert_true((x[i][t] != 1) == (da[i] != NULL));
        }
    vise_free(room);
}

static void test_attention(void **state)
{
    (void)state;
    static heads x;
    static float dy[LEAD * T * HEADS * DV], scratch[S];
    const vise_shape q = {3, {LEAD, T, HEADS * DK}}, k = {3, {LEAD, S, HEADS * DK}},
                     v = {3, {LEAD, S, HEADS * DV}}, y = {3, {LEAD, T, HEADS * DV}};
    vise_attention_attr attr = {.heads = HEADS, .prob_bits = 8};
    vise_rng r = vise_rng_named(4, "attention");
    fill(x.q, sizeof x.q / sizeof(float), &r);
    fill(x.k, sizeof x.k / sizeof(float), &r);
    fill(x.v, sizeof x.v / sizeof(float), &r);
    fill(dy, sizeof dy / sizeof(float), &r);
    const vise_call c = {.attr = &attr,
                         .batch = 1,
                         .nin = 3,
                         .nout = 1,
                         .in = {{&q, x.q, true}, {&k, x.k, true}, {&v, x.v, true}},
                         .out = {{&y, NULL, true}},
                         .scratch = scratch};
    vise_kern plain, best;
    vise_kern_init(&plain, 0);
    vise_dense d = dense_of(1);
    best = d.kern;
    for (unsigned wanted = 0; wanted < 8; wanted++) {
        attr.scale = wanted & 1 ? 0.7 : 0;
        compare(&plain, &c, dy, wanted);
        compare(&best, &c, dy, wanted);
    }
    vise_dense_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences),  cmocka_unit_test(test_sums),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_scales),       cmocka_unit_test(test_seen),
        cmocka_unit_test(test_rounded),      cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_before), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_starved),      cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
