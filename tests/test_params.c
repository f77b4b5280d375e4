/* test_params.c - masters, scales and centroids: codes are the nearest ones, and gradients are those of
 * the numbers that the network has
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "base/rng.h"
#include "train/params.h"

#include <math.h>
#include <string.h>

enum { COLS = 96, ROWS = 130, KINDS = 11, MOST = ROWS * COLS };

/* What codes are made of; a name per kind. */
static const struct kind {
    const char *name;
    vise_encoding enc;
    bool whole, half; // codebook of whole numbers; scales of f16
} kinds[KINDS] = {
    {"s8", {VISE_U8, 8, VISE_AFFINE, 128, 0, 0, false}, false, false},
    {"odd8", {VISE_U8, 8, VISE_AFFINE, 100, 0, 0, false}, false, false}, // codes above 227 are none
    {"u4", {VISE_U8, 4, VISE_AFFINE, 8, 32, 0, false}, false, false},
    {"u3", {VISE_U8, 3, VISE_AFFINE, 3, 20, 0, false}, false, true}, // a last group of 16
    {"u2", {VISE_U8, 2, VISE_AFFINE, 2, 0, 0, false}, false, false},
    {"m4", {VISE_U8, 4, VISE_AFFINE, 8, 64, 0, true}, false, true}, // a last group of 32
    {"b4", {VISE_U8, 4, VISE_CODEBOOK, 0, 0, 0, false}, false, false},
    {"b3", {VISE_U8, 3, VISE_CODEBOOK, 0, 0, 64, false}, false, false}, // 3 books
    {"w5", {VISE_U8, 5, VISE_CODEBOOK, 0, 32, 64, false}, true, true},
    {"w8", {VISE_U8, 8, VISE_CODEBOOK, 0, 0, 0, false}, true, false},
    {"mb3", {VISE_U8, 3, VISE_CODEBOOK, 0, 32, 0, true}, true, false},
};

/* ---- a model of one linear layer per kind ---- */

typedef struct fixture {
    vise_model m;
    vise_change c;
    vise_params p;
    vise_dense d;
    vise_tape t; // values and gradients alone
    uint8_t code[KINDS][MOST], mult[KINDS][ROWS * 4];
    float scale[KINDS][ROWS * 8], book[KINDS][3 * 256], lonely[4];
    float value[KINDS][MOST], grad[KINDS][MOST];
} fixture;

static float grain(vise_rng *r, float unit) // a multiple of it
{
    return (float)((int)(vise_rng_u64(r) % 201) - 100) * unit;
}

static vise_id add_const(fixture *f, size_t i, vise_rng *r)
{
    const struct kind *k = &kinds[i];
    vise_const c = {{2, {ROWS, COLS}}, k->enc, f->code[i], f->scale[i], NULL, NULL};
    const vise_code_layout l = vise_code_layout_of(&c.shape, &c.enc);
    const size_t books = vise_books_of(&c.shape, &c.enc) << k->enc.bits;
    for (size_t n = 0; n < l.rows * l.stride; n++)
        f->code[i][n] = (uint8_t)(k->enc.bits < 8 ? vise_rng_u64(r) : 1 + vise_rng_u64(r) % 200);
    for (size_t n = 0; n < l.rows * l.scales; n++) {
        f->scale[i][n] = 0.001f + 0.01f * fabsf(vise_rng_normal(r));
        if (k->half) f->scale[i][n] = (float)(1 + vise_rng_u64(r) % 64) / 4096;
    }
    for (size_t n = 0; n < l.rows * l.groups; n++)
        f->mult[i][n] = (uint8_t)(1 + vise_rng_u64(r) % 7);
    for (size_t n = 0; n < books; n++)
        f->book[i][n] = k->whole ? grain(r, 1) / (k->enc.multiplied ? 6 : 1) : grain(r, 0.013f);
    for (size_t n = 0; k->enc.multiplied && n < books; n++)
        f->book[i][n] = rintf(f->book[i][n]);
    if (k->enc.multiplied) c.mult = f->mult[i];
    if (k->enc.levels == VISE_CODEBOOK) c.codebook = f->book[i];
    return vise_graph_const(&f->m.graph, k->name, &c);
}

/* fixed: codes stay. */
static fixture *open(bool fixed)
{
    vise_err e;
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    vise_graph *g = &f->m.graph;
    vise_rng r = vise_rng_named(5, "params");
    vise_graph_init(g, &e);
    const vise_id x = vise_graph_input(g, "x", &(vise_shape){2, {1, COLS}});
    vise_graph_const(g, "lonely",
                     &(vise_const){{1, {4}}, {.type = VISE_F32}, f->lonely, NULL, NULL, NULL});
    for (size_t i = 0; i < KINDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%zu", i);
        const vise_id w = add_const(f, i, &r);
        vise_graph_output(g, name, vise_graph_add(g, "linear", name, NULL, 2, (vise_id[]){x, w}));
    }
    MUST(vise_graph_finish(g));
    MUST(vise_dense_open(&f->d, 2, NULL, &e));
    MUST(vise_change_open(&f->c, &f->m, NULL, &e));
    MUST(vise_params_open(&f->p, &f->c, &(vise_params_opts){"", "", fixed, 0, 1, 1}, &e));
    const size_t values = f->p.net.graph.values;
    f->t = (vise_tape){.value = calloc(values, sizeof(float *)),
                       .grad = calloc(values, sizeof(float *))};
    assert_true(f->t.value && f->t.grad);
    assert_int_equal(f->p.count, KINDS); // not what no node reads
    vise_params_connect(&f->p, &f->t);
    for (size_t i = 0; i < KINDS; i++) {
        const vise_id v = vise_graph_find(&f->p.net.graph, kinds[i].name);
        f->t.value[v] = f->value[i];
        f->t.grad[v] = f->grad[i];
    }
    return f;
}

static void shut(fixture *f)
{
    free(f->t.value);
    free(f->t.grad);
    vise_params_close(&f->p);
    vise_change_close(&f->c);
    vise_dense_close(&f->d);
    vise_graph_free(&f->m.graph);
    free(f);
}

static vise_trained *trained(fixture *f, size_t i)
{
    for (size_t k = 0; k < f->p.count; k++)
        if (!strcmp(f->p.trained[k].name, kinds[i].name)) return &f->p.trained[k];
    fail_msg("%s is not trained", kinds[i].name);
    return NULL;
}

static const vise_const *net_const(const fixture *f, size_t i)
{
    const vise_graph *g = &f->p.net.graph;
    return &g->value[vise_graph_find(g, kinds[i].name)].data;
}

/* ---- codes ---- */

/* All that the number in a row's group may be. */
static size_t choices(float to[256], const vise_const *c, size_t row, size_t group)
{
    const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
    size_t n = 0;
    for (int code = 0; code < 1 << c->enc.bits; code++) {
        float level = (float)(code - c->enc.zero);
        if (c->enc.levels == VISE_CODEBOOK)
            level = c->codebook[(c->enc.book_rows ? row / c->enc.book_rows << c->enc.bits : 0) +
                                (size_t)code];
        else if (level < -127 || level > 127)
            continue;
        if (c->enc.multiplied) level *= c->mult[row * l.groups + group];
        to[n++] = level * c->scale[row * l.scales + (c->enc.multiplied ? 0 : group)];
    }
    return n;
}

static void assert_nearest(const fixture *f, size_t i, const float *x)
{
    static float got[MOST];
    float can[256];
    const vise_const *c = net_const(f, i);
    const size_t group = c->enc.group ? c->enc.group : COLS;
    vise_decode(got, c);
    for (size_t at = 0; at < MOST; at++) {
        const size_t n = choices(can, c, at / COLS, at % COLS / group);
        float least = INFINITY;
        bool is_one = false;
        for (size_t k = 0; k < n; k++) {
            least = fminf(least, fabsf(can[k] - x[at]));
            is_one = is_one || can[k] == got[at];
        }
        if (!is_one || !(fabsf(got[at] - x[at]) <= least * 1.0001f + 1e-7f))
            fail_msg("%s[%zu]: %g became %g, %g away is another", kinds[i].name, at, (double)x[at],
                     (double)got[at], (double)least);
    }
}

/* Masters, scales and centroids are moved: codes are the nearest of what the network then has; what is
 * whole and what is f16 stays so; what is not moved does not change. */
static void test_codes(void **state)
{
    (void)state;
    static float was[MOST], got[MOST];
    fixture *f = open(false);
    vise_rng r = vise_rng_named(6, "moves");
    vise_params_encode(&f->p, &f->d);
    for (size_t i = 0; i < KINDS; i++) {
        vise_trained *t = trained(f, i);
        vise_decode(was, &f->m.graph.value[t->from].data);
        vise_decode(got, net_const(f, i));
        assert_memory_equal(was, got, sizeof was);
        assert_memory_equal(was, t->x, sizeof was);
        for (size_t k = 0; k < t->n; k++)
            t->x[k] = t->x[k] * 1.2f + 0.01f * vise_rng_normal(&r);
        for (size_t k = 0; k < t->scales; k++)
            t->log_scale[k] += 0.1f * vise_rng_normal(&r);
        for (size_t k = 0; !t->enc.multiplied && k < t->levels; k++)
            t->book[k] *= 1 + 0.1f * vise_rng_normal(&r);
    }
    vise_params_encode(&f->p, &f->d);
    for (size_t i = 0; i < KINDS; i++) {
        const vise_trained *t = trained(f, i);
        assert_nearest(f, i, t->x);
        for (size_t k = 0; kinds[i].whole && k < t->levels; k++)
            assert_true(t->codebook[k] == rintf(t->codebook[k]) && fabsf(t->codebook[k]) <= 127);
        for (size_t k = 0; kinds[i].half && k < t->scales; k++) {
            uint16_t half;
            float back;
            vise_from_f32(&half, VISE_F16, &t->scale[k], 1);
            vise_to_f32(&back, VISE_F16, &half, 1);
            assert_true(back == t->scale[k]);
        }
    }
    shut(f);
}

/* ---- gradients ---- */

/* What the gradients are of: a sum of all numbers that the network has, with random weights. */
static double loss_of(const fixture *f, size_t i)
{
    static float x[MOST];
    double sum = 0;
    vise_decode(x, net_const(f, i));
    for (size_t k = 0; k < MOST; k++)
        sum += (double)f->grad[i][k] * (double)x[k];
    return sum;
}

static void fill(fixture *f, uint64_t seed)
{
    vise_rng r = vise_rng_named(seed, "gradients");
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t k = 0; k < MOST; k++)
            f->grad[i][k] = vise_rng_normal(&r);
        vise_decode(f->value[i], net_const(f, i));
    }
}

/* One number of a parameter a little more and a little less. */
static void assert_slope(fixture *f, size_t i, float *x, float h, float got)
{
    const float was = *x;
    *x = was + h;
    vise_params_encode(&f->p, &f->d);
    const double up = loss_of(f, i);
    *x = was - h;
    vise_params_encode(&f->p, &f->d);
    const double want = (up - loss_of(f, i)) / (2 * (double)h);
    *x = was;
    if (!(fabs((double)got - want) <= 2e-3 * (1 + fabs(want))))
        fail_msg("%s: %g, the differences say %g", kinds[i].name, (double)got, want);
}

/* With codes held, the numbers are a smooth function of scales and centroids. */
static void test_slopes(void **state)
{
    (void)state;
    fixture *f = open(true);
    fill(f, 1);
    vise_params_gradients(&f->p, &f->t, &f->d);
    for (size_t i = 0; i < KINDS; i++) {
        vise_trained *t = trained(f, i);
        // what is rounded to f16 or to whole numbers moves in steps of these
        for (size_t k = 0; k < t->scales; k += 29)
            if (!kinds[i].half) assert_slope(f, i, &t->log_scale[k], 0x1p-7f, t->dlog_scale[k]);
        for (size_t k = 0; !t->enc.multiplied && k < t->levels; k += 5)
            if (!kinds[i].whole || fabsf(t->book[k]) < 100)
                assert_slope(f, i, &t->book[k], kinds[i].whole ? 1 : 0x1p-7f, t->dbook[k]);
    }
    shut(f);
}

/* Straight through inside of the levels: the master's gradient is the number's; beyond it has none, and
 * the scale is pulled. Inside, a scale moves its number but not the master (LSQ). */
static void test_cut(void **state)
{
    (void)state;
    static float was[MOST];
    fixture *f = open(false);
    vise_rng r = vise_rng_named(7, "beyond");
    for (size_t i = 0; i < KINDS; i++)
        for (size_t k = 0; k < MOST; k++)
            trained(f, i)->x[k] *= 1 + 0.5f * vise_rng_normal(&r);
    vise_params_encode(&f->p, &f->d);
    fill(f, 2);
    for (size_t i = 0; i < KINDS; i++) {
        const vise_trained *t = trained(f, i);
        const vise_const *c = net_const(f, i);
        const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
        const size_t group = c->enc.group ? c->enc.group : COLS;
        double want[ROWS * 8] = {0}, size[ROWS * 8] = {0};
        size_t beyond = 0;
        memcpy(was, f->grad[i], sizeof was);
        vise_params one = f->p;
        one.trained = (vise_trained *)(uintptr_t)t;
        one.count = 1;
        vise_params_gradients(&one, &f->t, &f->d);
        for (size_t at = 0; at < MOST; at++) {
            float can[256];
            const size_t n = choices(can, c, at / COLS, at % COLS / group);
            float lo = INFINITY, hi = -INFINITY, gap_lo = INFINITY, gap_hi = INFINITY;
            for (size_t k = 0; k < n; k++) {
                lo = fminf(lo, can[k]);
                hi = fmaxf(hi, can[k]);
            }
            for (size_t k = 0; k < n; k++) {
                if (can[k] > lo) gap_lo = fminf(gap_lo, can[k] - lo);
                if (can[k] < hi) gap_hi = fminf(gap_hi, hi - can[k]);
            }
            const float x = t->x[at], edge = 1e-4f * (hi - lo);
            const bool in = x >= lo - gap_lo / 2 + edge && x <= hi + gap_hi / 2 - edge;
            const bool out = x < lo - gap_lo / 2 - edge || x > hi + gap_hi / 2 + edge;
            if (in) assert_true(f->grad[i][at] == was[at]);
            if (out) assert_true(f->grad[i][at] == 0);
            beyond += out;
            const size_t s = at / COLS * l.scales + (l.scales > 1 ? at % COLS / group : 0);
            const double d = (double)f->value[i][at] - (f->grad[i][at] != 0 ? (double)x : 0);
            want[s] += (double)was[at] * d;
            size[s] += fabs((double)was[at] * d);
        }
        for (size_t s = 0; s < t->scales; s++)
            assert_true(fabs((double)t->dlog_scale[s] - want[s]) <= 1e-5 * size[s] + 1e-7);
        assert_true(beyond > 0);
    }
    shut(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
