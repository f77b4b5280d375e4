/* test_repair.c - the pass repair: closer to the original, with the same encodings, to the same bits
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "model/model.h"

#include <string.h>
#include <unistd.h>

#define CALIBRATION "scenes:count=256,size=16"
#define HELD_OUT "scenes:count=128,size=16,seed=9"

enum { FEW = 32, ALL = 256 }; // pictures to calibrate with

static char path[64];
static vise_model *original; // trained, so that its answers differ; a copy lies at path
static vise_data *calibration, *held_out;

static vise_model *vit(uint64_t seed, uint32_t depth, uint32_t size)
{
    vise_err e;
    vise_model *m;
    const vise_new dims = {.seed = seed,
                           .dim = 32,
                           .depth = depth,
                           .heads = 2,
                           .patch = size / 4,
                           .height = size,
                           .width = size,
                           .classes = 10,
                           .mlp_ratio = 2};
    MUST(vise_model_new(&m, "vit", &dims, &e));
    return m;
}

static int open_all(void **state)
{
    vise_err e;
    (void)state;
    snprintf(path, sizeof path, "/tmp/vise_repair_%d.vise", (int)getpid());
    MUST(vise_data_open(&calibration, CALIBRATION, NULL, &e));
    MUST(vise_data_open(&held_out, HELD_OUT, NULL, &e));
    original = vit(1, 2, 16);
    const vise_train_opts o = {.data = calibration, .threads = 2, .seed = 3};
    MUST(vise_train(original, "train steps=400 batch=32 rate=0.005 smoothing=0", &o, &e));
    MUST(vise_model_save(original, path, &e));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    remove(path);
    vise_model_free(original);
    vise_data_free(calibration);
    vise_data_free(held_out);
    return 0;
}

/* The original, compressed. */
static vise_model *compressed(const char *pass)
{
    vise_err e;
    vise_model *m;
    MUST(vise_model_open(&m, path, NULL, &e));
    MUST(vise_apply(m, pass, &(vise_eval_opts){.data = calibration, .limit = 8}, &e));
    return m;
}

static vise_status repair(vise_model *m, const char *line, size_t pictures, size_t threads,
                          vise_err *e)
{
    const vise_eval_opts o = {
        .data = calibration, .against = original, .limit = pictures, .threads = threads};
    return vise_apply(m, line, &o, e);
}

static double kl_of(const vise_model *m)
{
    vise_err e;
    vise_eval_result r;
    MUST(vise_eval(&r, m, &(vise_eval_opts){.data = held_out, .against = original, .batch = 16},
                   &e));
    return r.mean_kl;
}

/* Constants as numbers, and how they are stored. */
static void assert_same(const vise_model *a, const vise_model *b, bool same)
{
    static float x[1 << 14], y[1 << 14];
    bool equal = true;
    assert_int_equal(a->graph.values, b->graph.values);
    for (vise_id v = 0; v < a->graph.values; v++) {
        const vise_const *c = &a->graph.value[v].data, *d = &b->graph.value[v].data;
        if (a->graph.value[v].kind != VISE_VALUE_CONST) continue;
        const size_t n = vise_shape_count(&c->shape);
        assert_true(n <= 1 << 14 && vise_shape_same(&c->shape, &d->shape));
        assert_memory_equal(&c->enc, &d->enc, sizeof c->enc);
        vise_decode(x, c);
        vise_decode(y, d);
        equal = equal && !memcmp(x, y, n * sizeof *x);
    }
    assert_int_equal(equal, same);
}

/* How many constants have other codes. */
static size_t count_codes(const vise_model *a, const vise_model *b)
{
    size_t n = 0;
    for (vise_id v = 0; v < a->graph.values; v++) {
        const vise_const *c = &a->graph.value[v].data, *d = &b->graph.value[v].data;
        if (a->graph.value[v].kind != VISE_VALUE_CONST || !c->enc.bits) continue;
        const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
        n += memcmp(c->data, d->data, l.rows * l.stride) != 0;
    }
    return n;
}

/* On pictures that it has not seen, much of the difference is gone; no encoding changes. */
static void test_closer(void **state)
{
    (void)state;
    static const struct {
        const char *pass, *codes;
        double most; // share that is left
    } cases[] = {
        {"quantize weights=int3 acts=int8", "move", 0.7},
        {"quantize weights=int2 acts=f32 ends=same group=32", "move", 0.8},
        {"cluster k=4 codebook=rows64 scales=off acts=f32", "move", 0.95},
        {"quantize weights=int3 acts=int8", "stay", 0.9},
        {"quantize weights=int4 acts=static4 ends=same", "stay", 0.9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e;
        char line[96];
        vise_model *m = compressed(cases[i].pass), *was = compressed(cases[i].pass);
        snprintf(line, sizeof line, "repair epochs=15 rate=0.001 batch=4 scales=1 codes=%s",
                 cases[i].codes);
        MUST(repair(m, line, ALL, 2, &e));
        assert_int_equal(count_codes(m, was) == 0, !strcmp(cases[i].codes, "stay"));
        assert_same(m, was, false);
        const double before = kl_of(was), after = kl_of(m);
        if (!(before > 1e-3 && after < cases[i].most * before))
            fail_msg("%s: KL went from %g to %g", cases[i].pass, before, after);
        assert_non_null(strstr(vise_model_history(m, 3), "repair epochs=15 rate=0.001 scales=1"));
        vise_model_free(m);
        vise_model_free(was);
    }
}

#define PASS "quantize weights=int3 acts=int8"

/* The same bits for any number of threads; no epoch changes none. */
static void test_bits(void **state)
{
    (void)state;
    vise_err e;
    vise_model *was = compressed(PASS), *one = compressed(PASS), *three = compressed(PASS);
    MUST(repair(one, "repair epochs=0", FEW, 2, &e));
    assert_same(was, one, true);
    MUST(repair(one, "repair epochs=8 rate=0.001 batch=4", ALL, 1, &e));
    MUST(repair(three, "repair epochs=8 rate=0.001 batch=4", ALL, 3, &e));
    assert_same(one, three, true);
    assert_same(was, one, false);
    vise_model_free(was);
    vise_model_free(one);
    vise_model_free(three);
}

/* What is told to stay stays, and a rate that ruins everything is not kept. */
static void test_kept(void **state)
{
    (void)state;
    vise_err e;
    vise_model *was = compressed(PASS), *m = compressed(PASS);
    MUST(repair(m, "repair epochs=8 rate=0.001 scales=1 batch=4 skip=blocks.0.*,head.*", ALL, 2,
                &e));
    const vise_graph *a = &was->graph, *b = &m->graph;
    size_t moved = 0;
    for (vise_id v = 0; v < a->values; v++) {
        float x[4096], y[4096];
        const vise_value *c = &a->value[v];
        if (c->kind != VISE_VALUE_CONST) continue;
        const size_t n = vise_shape_count(&c->shape);
        assert_true(n <= 4096);
        vise_decode(x, &c->data);
        vise_decode(y, &b->value[v].data);
        const bool same = !memcmp(x, y, n * sizeof *x);
        moved += !same;
        if (!strncmp(c->name, "blocks.0.", 9) || !strncmp(c->name, "head.", 5)) assert_true(same);
    }
    assert_true(moved > 4);
    vise_model_free(m);
    m = compressed(PASS);
    MUST(repair(m, "repair epochs=3 rate=1 scales=1000 codes=move", FEW, 2, &e));
    assert_true(kl_of(m) <= 1.001 * kl_of(was));
    vise_model_free(m);
    vise_model_free(was);
}

/* ---- what goes wrong ---- */

static bool stop(void *user, const char *what, size_t done, size_t total)
{
    (void)user;
    return strcmp(what, "repairing blocks") != 0 || done + 2 < total;
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"repair batch=0", "repair batch=0 epochs=10: whole numbers from 1 to 4096"},
        {"repair batch=2.5", "batch=2.5"},
        {"repair batch=auto", "batch=nan"},
        {"repair epochs=auto", "epochs=nan"},
        {"repair epochs=20000", "epochs=20000"},
        {"repair rate=auto", "rate=nan"},
        {"repair scales=auto", "scales=nan"},
        {"repair skip=nothing*", "skip=nothing*: no tensor has such a name"},
        {"repair skip=*", "nothing is left to train"},
        {"repair speed=1", "speed: no such option"},
    };
    vise_err e;
    vise_model *m = compressed(PASS), *was = compressed(PASS);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (repair(m, lines[i][0], FEW, 1, &e) != VISE_EARG || !strstr(e.msg, lines[i][1]))
            fail_msg("%s: %s", lines[i][0], e.msg);
    vise_model *deep = vit(1, 3, 16), *large = vit(1, 2, 32);
    vise_eval_opts o = {.data = calibration};
    assert_int_equal(vise_apply(m, "repair", &o, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "repair needs the original model"));
    const struct {
        const vise_model *original;
        const char *says;
    } cases[] = {
        {large, "the original sees pictures of 32 x 32 x 3, the model of 16 x 16 x 3"},
        {deep, "the original's block 2 is missing"},
    };
    for (size_t i = 0; i < 2; i++) {
        o.against = cases[i].original;
        assert_int_equal(vise_apply(m, "repair", &o, &e), VISE_EARG);
        if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
    }
    o = (vise_eval_opts){.against = original};
    assert_int_equal(vise_apply(m, "repair", &o, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "needs calibration pictures"));
    o = (vise_eval_opts){.against = original, .data = calibration, .limit = 1};
    assert_int_equal(vise_apply(m, "repair", &o, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "at least 2 calibration pictures"));
    o = (vise_eval_opts){.against = original, .data = calibration, .progress = stop};
    assert_int_equal(vise_apply(m, "repair epochs=3", &o, &e), VISE_ECANCEL);
    assert_non_null(strstr(e.msg, "stopped in part 3 of 3"));
    assert_same(m, was, true);
    vise_model_free(m);
    vise_model_free(was);
    vise_model_free(deep);
    vise_model_free(large);
}

static void test_starved(void **state)
{
    (void)state;
    vise_model *m = compressed(PASS);
    for (long n = 0, step = 1;; n += step) {
        vise_err e;
        const vise_eval_opts o = {.data = calibration, .against = original, .limit = 4};
        step = 1 + n / 32; // every one of the first, then fewer
        vise_alloc_fail_at = n;
        const vise_status s = vise_apply(m, "repair epochs=1 batch=2", &o, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
        if (!reached) break;
    }
    vise_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closer),  cmocka_unit_test(test_bits),    cmocka_unit_test(test_kept),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
