/* test_session.c - sessions give what the operators' definitions give, whatever the plan
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "tiny.h"
#include "walk.h"
#include "base/cpu.h"

#include <float.h>
#include <math.h>

enum { BATCH = 5, PIXELS = TINY_SIZE * TINY_SIZE * TINY_CHANNELS };

static void make_pixels(float *x)
{
    vise_rng r = vise_rng_named(3, "pixels");
    for (size_t i = 0; i < (size_t)BATCH * PIXELS; i++)
        x[i] = vise_rng_normal(&r);
}

/* Rounding of a network this deep and narrow, relative to the largest value. */
static void check_close(const char *what, const float *y, const float *want, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmaxf(max, fabsf(want[i]));
    assert_true(max > 0);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(y[i] - want[i]) <= 256 * FLT_EPSILON * max))
            fail_msg("%s[%zu]: %g, want %g", what, i, (double)y[i], (double)want[i]);
}

typedef struct outputs {
    float logits[BATCH * TINY_CLASSES], map[BATCH * 16 * TINY_DIM];
} outputs;

static void run(const vise_model *m, const vise_session_opts *o, const float *x, size_t B,
                outputs *y)
{
    vise_err e;
    vise_session *s;
    MUST(vise_session_new(&s, m, o, &e));
    assert_int_equal(vise_session_inputs(s), 1);
    assert_int_equal(vise_session_outputs(s), 2);
    assert_string_equal(vise_session_input(s, 0)->name, "pixels");
    assert_string_equal(vise_session_output(s, 0)->name, "logits");
    assert_string_equal(vise_session_output(s, 1)->name, "map");
    assert_null(vise_session_output(s, 2));
    const long allocs = vise_alloc_count;
    vise_session_run(s, B, (const float *[]){x}, (float *[]){y->logits, y->map});
    assert_int_equal(vise_alloc_count, allocs); // a run allocates nothing
    vise_session_free(s);
}

static void test_against_definitions(void **state)
{
    (void)state;
    static float x[BATCH * PIXELS];
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    make_pixels(x);
    size_t checked = 0;
    for (size_t l = 0; vise_cpu_level(l); l++) {
        const char *level = vise_cpu_level(l);
        unsigned mask;
        if (vise_cpu_parse(&mask, level, NULL)) continue;
        static outputs y, z;
        run(m, &(vise_session_opts){.batch = BATCH, .cpu = level}, x, BATCH, &y);
        for (size_t b = 0; b < BATCH; b++) {
            float **want = walk(&m->graph, x + b * PIXELS);
            check_close("logits", y.logits + b * TINY_CLASSES, want[m->graph.output[0].value],
                        TINY_CLASSES);
            check_close("map", y.map + b * 16 * TINY_DIM, want[m->graph.output[1].value],
                        (size_t)16 * TINY_DIM);
            free_values(&m->graph, want);
        }
        for (size_t threads = 1; threads <= 4; threads++) { // same bits for any thread count
            run(m, &(vise_session_opts){.batch = BATCH, .cpu = level, .threads = threads}, x, BATCH,
                &z);
            assert_memory_equal(&y, &z, sizeof y);
        }
        for (size_t b = 0; b < BATCH; b++) { // and for any batch
            run(m, &(vise_session_opts){.batch = 1, .cpu = level, .threads = 2}, x + b * PIXELS, 1,
                &z);
            assert_memory_equal(y.logits + b * TINY_CLASSES, z.logits,
                                TINY_CLASSES * sizeof(float));
        }
        checked++;
    }
    assert_true(checked >= 1);
    vise_model_free(m);
}

/* Every cut of the node list: the first part's outputs are the second part's inputs, and together
 * they give the whole network's bits. */
static void test_ranges(void **state)
{
    (void)state;
    enum { PORTS = 8 };
    static float x[BATCH * PIXELS];
    static outputs want;
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    make_pixels(x);
    run(m, NULL, x, 1, &want);
    const size_t nodes = m->graph.nodes;
    size_t cuts = 0;
    for (size_t cut = 1; cut < nodes; cut++) {
        vise_session *a, *b;
        if (!m->graph.value[m->graph.node[cut - 1].out].batched) continue;
        MUST(vise_session_new(&a, m, &(vise_session_opts){.to = cut}, &e));
        MUST(vise_session_new(&b, m, &(vise_session_opts){.from = cut, .to = nodes}, &e));
        float *mid[PORTS] = {0}, got[BATCH * 16 * TINY_DIM];
        const float *in[PORTS] = {0};
        float *out[PORTS] = {0};
        const size_t na = vise_session_outputs(a), nb = vise_session_inputs(b);
        assert_true(na <= PORTS && nb >= 1 && nb <= na);
        for (size_t i = 0; i < na; i++)
            mid[i] = calloc(vise_shape_count(&vise_session_output(a, i)->shape), sizeof(float));
        vise_session_run(a, 1, (const float *[]){x}, mid);
        for (size_t i = 0; i < nb; i++) // ports meet by name
            for (size_t k = 0; k < na; k++)
                if (!strcmp(vise_session_input(b, i)->name, vise_session_output(a, k)->name))
                    in[i] = mid[k];
        for (size_t i = 0; i < nb; i++)
            assert_non_null(in[i]);
        out[0] = got;
        assert_string_equal(vise_session_output(b, 0)->name, "logits");
        vise_session_run(b, 1, in, out);
        assert_memory_equal(got, want.logits, TINY_CLASSES * sizeof(float));
        for (size_t i = 0; i < na; i++)
            free(mid[i]);
        vise_session_free(a);
        vise_session_free(b);
        cuts++;
    }
    assert_true(cuts > 10);
    vise_session *s = (vise_session *)&e;
    const vise_session_opts bad[] = {{.from = 3, .to = 3}, {.from = 2, .to = nodes + 1}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(vise_session_new(&s, m, &bad[i], &e), VISE_EARG);
    assert_null(s);
    vise_model_free(m);
}

/* Every value can be looked at, without changing the result. */
static void test_taps(void **state)
{
    (void)state;
    static float x[BATCH * PIXELS];
    static outputs want;
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    make_pixels(x);
    run(m, NULL, x, 1, &want);
    float **values = walk(&m->graph, x);
    const vise_graph *g = &m->graph;
    const char *names[64];
    float *out[66] = {0};
    assert_true(g->nodes <= 64);
    for (size_t i = 0; i < g->nodes; i++)
        names[i] = g->node[i].name;
    vise_session *s;
    MUST(vise_session_new(&s, m, &(vise_session_opts){.taps = names, .ntaps = g->nodes}, &e));
    assert_int_equal(vise_session_outputs(s), 2 + g->nodes);
    for (size_t i = 0; i < 2 + g->nodes; i++)
        out[i] = calloc(vise_shape_count(&vise_session_output(s, i)->shape), sizeof(float));
    vise_session_run(s, 1, (const float *[]){x}, out);
    assert_memory_equal(out[0], want.logits, TINY_CLASSES * sizeof(float));
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_port *p = vise_session_output(s, 2 + i);
        assert_string_equal(p->name, names[i]);
        assert_int_equal(p->batched, g->value[g->node[i].out].batched);
        check_close(names[i], out[2 + i], values[g->node[i].out], vise_shape_count(&p->shape));
    }
    for (size_t i = 0; i < 66; i++)
        free(out[i]);
    vise_session_free(s);
    free_values(g, values);
    const char *unknown = "nowhere";
    assert_int_equal(
        vise_session_new(&s, m, &(vise_session_opts){.taps = &unknown, .ntaps = 1}, &e), VISE_EARG);
    assert_true(strstr(e.msg, "nowhere") != NULL);
    vise_model_free(m);
}

/* Convolutions of every kind of grouping, against the definition, at every level. */
static void test_grouped(void **state)
{
    (void)state;
    static const struct shape {
        size_t C, N, groups, kernel, stride, pad, dilation;
    } shapes[] = {
        {6, 6, 6, 3, 1, 1, 1},   {6, 12, 6, 3, 2, 1, 1},   {8, 6, 2, 3, 1, 1, 1},
        {40, 80, 2, 1, 1, 0, 1}, {70, 70, 70, 5, 2, 2, 1}, {4, 36, 1, 3, 1, 2, 2},
        {3, 40, 1, 4, 4, 0, 1},  {33, 33, 33, 7, 1, 3, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape k = shapes[i];
        vise_err e;
        vise_model *m;
        MUST(vise_model_alloc(&m, &e));
        m->family = "conv";
        vise_graph_init(&m->graph, &e);
        tiny t = {m, &m->graph, &e, 11 + i};
        const vise_shape in = {3, {12, 9, k.C}};
        vise_id x = vise_graph_input(t.g, "pixels", &in);
        const vise_id w =
            tiny_const(&t, "w", VISE_F32, 4, (size_t[]){k.N, k.C / k.groups, k.kernel, k.kernel});
        const vise_conv2d_attr a = {{1, {(int64_t)k.stride}},
                                    {1, {(int64_t)k.pad}},
                                    {1, {(int64_t)k.dilation}},
                                    (int64_t)k.groups};
        x = vise_graph_add(t.g, "conv2d", "conv", &a, 3, (vise_id[]){x, w, tiny_vec(&t, "b", k.N)});
        vise_graph_output(t.g, "y", x);
        MUST(vise_graph_finish(t.g));
        float *pixels = calloc(vise_shape_count(&in), sizeof *pixels);
        vise_rng r = vise_rng_named(i, "conv");
        for (size_t p = 0; p < vise_shape_count(&in); p++)
            pixels[p] = vise_rng_normal(&r);
        float **want = walk(t.g, pixels);
        const size_t n = vise_shape_count(&t.g->value[x].shape);
        float *y = calloc(n, sizeof *y);
        for (size_t l = 0; vise_cpu_level(l); l++) {
            vise_session *s;
            unsigned mask;
            if (vise_cpu_parse(&mask, vise_cpu_level(l), NULL)) continue;
            const vise_session_opts o = {.cpu = vise_cpu_level(l), .threads = 2};
            MUST(vise_session_new(&s, m, &o, &e));
            vise_session_run(s, 1, (const float *[]){pixels}, (float *[]){y});
            check_close(vise_cpu_level(l), y, want[x], n);
            vise_session_free(s);
        }
        free_values(t.g, want);
        free(pixels);
        free(y);
        vise_model_free(m);
    }
}

static void test_outlives_model(void **state)
{
    (void)state;
    static float x[BATCH * PIXELS];
    static outputs want, y;
    vise_err e;
    vise_model *m;
    vise_session *s;
    MUST(tiny_new(&m, &e));
    make_pixels(x);
    run(m, NULL, x, 1, &want);
    MUST(vise_session_new(&s, m, NULL, &e));
    vise_model_free(m);
    vise_session_run(s, 1, (const float *[]){x}, (float *[]){y.logits, NULL});
    assert_memory_equal(y.logits, want.logits, TINY_CLASSES * sizeof(float));
    assert_string_equal(vise_session_input(s, 0)->name, "pixels");
    assert_true(vise_session_bytes(s) > 0);
    vise_session_free(s);
}

static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    long n = 0;
    for (;; n++) { // fail allocation 0, then 1, ... until the call succeeds untouched
        vise_session *s = (vise_session *)&e;
        vise_alloc_fail_at = n;
        vise_status st = vise_session_new(&s, m, &(vise_session_opts){.threads = 2}, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_true(reached ? st == VISE_ENOMEM && !s && e.msg[0] : st == VISE_OK);
        vise_session_free(s);
        if (!reached) break;
    }
    assert_true(n > 5);
    vise_model_free(m);
    for (n = 0;; n++) { // and while a model is built
        vise_alloc_fail_at = n;
        vise_status st = tiny_new(&m, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_true(reached ? st != VISE_OK && !m : st == VISE_OK);
        vise_model_free(m);
        if (!reached) break;
    }
    assert_true(n > 20);
}

/* A limit holds to the byte, and what it refuses never asked for the block. */
static void test_max_memory(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_session *s;
    MUST(tiny_new(&m, &e));
    long calls = vise_alloc_count;
    MUST(vise_session_new(&s, m, NULL, &e));
    calls = vise_alloc_count - calls;
    vise_session_opts o = {.max_memory = vise_session_bytes(s)};
    vise_session_free(s);
    MUST(vise_session_new(&s, m, &o, &e));
    assert_int_equal(vise_session_bytes(s), o.max_memory);
    vise_session_free(s);

    o.max_memory--;
    long refused = vise_alloc_count;
    assert_int_equal(vise_session_new(&s, m, &o, &e), VISE_ENOMEM);
    assert_true(!s && strstr(e.msg, "--max-memory allows") != NULL);
    refused = vise_alloc_count - refused;
    assert_true(refused < calls);
    vise_alloc_fail_at = refused; // the next one: the block, which says how large it is
    assert_int_equal(vise_session_new(&s, m, NULL, &e), VISE_ENOMEM);
    assert_true(vise_alloc_fail_at == -1 && strstr(e.msg, "bytes") != NULL);
    vise_model_free(m);
}

/* Keeping time changes no bit; it counts every run of every step, and the steps' multiply-adds are
 * the model's. */
static void test_profile(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_session *plain, *timed;
    static float x[BATCH * PIXELS];
    static outputs a, b;
    MUST(tiny_new(&m, &e));
    MUST(vise_session_new(&plain, m, &(vise_session_opts){.batch = BATCH}, &e));
    MUST(vise_session_new(&timed, m,
                          &(vise_session_opts){.batch = BATCH, .threads = 2, .profile = true}, &e));
    vise_model_info info;
    vise_model_get_info(m, &info);
    vise_model_free(m); // names must outlive it
    assert_int_equal(vise_session_steps(plain), 0);
    vise_session_reset(plain);

    make_pixels(x);
    vise_session_run(plain, BATCH, (const float *[]){x}, (float *[]){a.logits, a.map});
    for (int i = 0; i < 3; i++)
        vise_session_run(timed, BATCH, (const float *[]){x}, (float *[]){b.logits, b.map});
    assert_memory_equal(&a, &b, sizeof a);
    const size_t steps = vise_session_steps(timed);
    assert_true(steps >= 10);
    uint64_t macs = 0;
    for (size_t i = 0; i < steps; i++) {
        vise_step_info s;
        vise_session_step(timed, i, &s);
        assert_true(*s.name && *s.op && *s.kind && s.bytes > 0);
        assert_true(s.runs == 3 && s.seconds > 0);
        macs += s.macs;
    }
    assert_true(macs == BATCH * info.macs);
    vise_session_reset(timed);
    for (size_t i = 0; i < steps; i++) {
        vise_step_info s;
        vise_session_step(timed, i, &s);
        assert_true(s.runs == 0 && s.seconds == 0);
    }
    vise_session_free(timed);
    vise_session_free(plain);
}

static void test_peak(void **state)
{
    (void)state;
    assert_true(vise_cpu_peak(NULL, "f32") > 0 && vise_cpu_peak("c", "bf16") > 0);
    assert_true(vise_cpu_peak("c", "s8") > 0);
    assert_true(vise_cpu_peak("c", "f64") == 0 && vise_cpu_peak("sse9", "f32") == 0);
}

/* The plan reuses memory: far less than the sum of all values. */
static void test_memory(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_session *small, *large;
    // large enough that padding of rows and panels does not count
    const vise_new big = {.dim = 192,
                          .depth = 3,
                          .heads = 3,
                          .patch = 8,
                          .height = 64,
                          .width = 64,
                          .classes = 10,
                          .mlp_ratio = 4};
    MUST(vise_model_new(&m, "vit", &big, &e));
    size_t sum = 0;
    for (size_t i = 0; i < m->graph.nodes; i++)
        sum += vise_shape_count(&m->graph.value[m->graph.node[i].out].shape) * sizeof(float);
    MUST(vise_session_new(&small, m, &(vise_session_opts){.batch = 1}, &e));
    MUST(vise_session_new(&large, m, &(vise_session_opts){.batch = 101}, &e));
    const size_t grown = (vise_session_bytes(large) - vise_session_bytes(small)) / 100;
    assert_true(grown < sum / 4);
    assert_true(grown >= 65 * 192 * 4 * sizeof(float)); // at least the stream and q, k, v
    vise_session_free(small);
    vise_session_free(large);
    assert_int_equal(vise_session_new(&small, m, &(vise_session_opts){.batch = SIZE_MAX}, &e),
                     VISE_EARG);
    assert_int_equal(vise_session_new(&small, m, &(vise_session_opts){.cpu = "z80"}, &e),
                     VISE_EARG);
    vise_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definitions),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_grouped),
        cmocka_unit_test(test_outlives_model),
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_max_memory),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
