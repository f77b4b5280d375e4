/* test_sensitivity.c - what rounding a matrix alone does, and bits under a budget
 * SPDX-License-Identifier: MIT */
#include "compress/budget.h"
#include "compress/sensitivity.h"
#include "data/kl.h"
#include "edit.h"
#include "tiny.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 16, PICTURES = 5, MATRICES = 2 + 2 * 4 };

static char dir[] = "/tmp/vise-sensitivity-XXXXXX";
static char set[64], class[80], file[64];
static vise_data *data;

static const char *picture(int i)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%d.ppm", class, i);
    return path;
}

static int setup(void **state)
{
    (void)state;
    vise_err e;
    if (!mkdtemp(dir)) return 1;
    snprintf(set, sizeof set, "%s/set", dir);
    snprintf(class, sizeof class, "%s/one", set);
    snprintf(file, sizeof file, "%s/m.vise", dir);
    if (mkdir(set, 0700) || mkdir(class, 0700)) return 1;
    for (int i = 0; i < PICTURES; i++) {
        FILE *f = fopen(picture(i), "wb");
        if (!f) return 1;
        fprintf(f, "P6\n%d %d\n255\n", SIDE, SIDE);
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            fputc((k * (37 + 5 * i) + k / 48 * i) % 251, f);
        if (fclose(f)) return 1;
    }
    return vise_data_open(&data, set, NULL, &e) != VISE_OK;
}

static int teardown(void **state)
{
    (void)state;
    vise_data_free(data);
    for (int i = 0; i < PICTURES; i++)
        unlink(picture(i));
    unlink(file);
    return rmdir(class) || rmdir(set) || rmdir(dir); // fails if a temporary was left behind
}

static vise_model *small_vit(void)
{
    vise_err e;
    vise_model *m;
    const vise_new o = {.seed = 3,
                        .dim = 32,
                        .depth = 2,
                        .heads = 2,
                        .patch = 4,
                        .height = SIDE,
                        .width = SIDE,
                        .classes = 10};
    MUST(vise_model_new(&m, "vit", &o, &e));
    return m;
}

typedef struct measured {
    vise_model *m;
    vise_sensitivity_row *row;
    size_t n;
} measured;

static measured measure(size_t group, size_t threads)
{
    vise_err e;
    measured r = {.m = small_vit()};
    const vise_eval_opts o = {.data = data, .threads = threads};
    MUST(vise_sensitivity(&r.row, &r.n, r.m, group, &o, &e));
    return r;
}

static void release(measured *r)
{
    vise_sensitivity_free(r->row);
    vise_model_free(r->m);
}

/* ---- sensitivity ---- */

static void test_table(void **state)
{
    (void)state;
    static const uint32_t bits[VISE_WIDTHS] = {8, 6, 5, 4, 3, 2};
    measured r = measure(0, 1);
    double sum[VISE_WIDTHS] = {0};
    assert_int_equal(r.n, MATRICES);
    assert_string_equal(r.row[0].name, "patch_embed.proj");
    assert_string_equal(r.row[1].name, "blocks.0.attn.qkv");
    assert_string_equal(r.row[MATRICES - 1].name, "head");
    assert_int_equal(r.row[1].params, 3 * 32 * 32);
    for (size_t w = 0; w < VISE_WIDTHS; w++) {
        assert_int_equal(r.row[1].bits[w], bits[w]);
        assert_int_equal(r.row[1].bytes[w],
                         96 * (32 * bits[w] / 8 + 4) + (bits[w] == 2 ? 4 * 4 : 0));
        for (size_t i = 0; i < r.n; i++) {
            assert_true(r.row[i].kl[w] > 0);
            sum[w] += r.row[i].kl[w];
        }
        if (w && !(sum[w] > 1.5 * sum[w - 1]))
            fail_msg("%u bits: %g, %u bits: %g", bits[w], sum[w], bits[w - 1], sum[w - 1]);
    }
    release(&r);
}

/* The same by another way: the matrix rounded by the pass, and the two models compared. */
static void test_against_eval(void **state)
{
    (void)state;
    vise_err e;
    measured r = measure(0, 1);
    for (size_t i = 0; i < r.n; i += 3) {
        char line[128];
        vise_eval_result result;
        vise_model *m = small_vit();
        snprintf(line, sizeof line,
                 "quantize weights=int3 ends=same acts=f32 method=nearest rest=f32 keep=%s",
                 r.row[i].name);
        MUST(vise_apply(m, line, NULL, &e));
        MUST(vise_eval(&result, m, &(vise_eval_opts){.data = data, .against = r.m}, &e));
        if (!(fabs(result.mean_kl - r.row[i].kl[4]) <= 1e-3 * result.mean_kl))
            fail_msg("%s: %g, by eval %g", r.row[i].name, r.row[i].kl[4], result.mean_kl);
        vise_model_free(m);
    }
    release(&r);
}

static void test_deterministic(void **state)
{
    (void)state;
    measured a = measure(32, 1), b = measure(32, 2), c = measure(0, 1);
    bool other = false;
    for (size_t i = 0; i < MATRICES; i++) {
        assert_memory_equal(a.row[i].kl, b.row[i].kl, sizeof a.row[i].kl);
        other |= memcmp(a.row[i].kl + 1, c.row[i].kl + 1, sizeof a.row[i].kl - sizeof(double)) != 0;
        assert_true(a.row[i].kl[0] == c.row[i].kl[0]); // 8 bits have no groups
        assert_int_equal(a.row[i].bytes[0], c.row[i].bytes[0]);
        assert_true(a.row[i].bytes[3] > c.row[i].bytes[3]);
    }
    assert_true(other);
    release(&a);
    release(&b);
    release(&c);
}

/* Models with values that no picture changes, grouped convolutions and a second output. */
static void test_tiny(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_sensitivity_row *row;
    size_t n;
    MUST(tiny_new(&m, &e));
    MUST(vise_sensitivity(&row, &n, m, 0, &(vise_eval_opts){.data = data}, &e));
    assert_int_equal(n, 3); // stem, attn.qkv, head; dw has groups
    for (size_t i = 0; i < n; i++)
        assert_true(row[i].kl[5] > row[i].kl[0] && row[i].kl[0] > 0);
    vise_sensitivity_free(row);
    vise_model_free(m);
}

typedef struct stop {
    size_t after, calls;
} stop;

static bool count_calls(void *user, const char *what, size_t done, size_t total)
{
    stop *s = user;
    assert_true(done <= total && *what);
    return s->calls++ < s->after;
}

static void test_refused(void **state)
{
    (void)state;
    vise_err e;
    vise_sensitivity_row *row = NULL;
    size_t n;
    stop s = {SIZE_MAX, 0};
    vise_model *m = small_vit();
    vise_eval_opts o = {.data = data, .progress = count_calls, .user = &s};
    MUST(vise_sensitivity(&row, &n, m, 0, &o, &e));
    vise_sensitivity_free(row);
    const size_t calls = s.calls;
    assert_true(calls > MATRICES * VISE_WIDTHS);
    for (size_t after = 0; after + 1 < calls; after += 7) { // the last call only says: done
        s = (stop){after, 0};
        assert_int_equal(vise_sensitivity(&row, &n, m, 0, &o, &e), VISE_ECANCEL);
        assert_true(!row && !n && s.calls == after + 1);
    }
    assert_int_equal(vise_sensitivity(&row, &n, m, 0, NULL, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "pictures"));
    assert_int_equal(vise_sensitivity(&row, &n, m, 7, &(vise_eval_opts){.data = data}, &e),
                     VISE_EARG);
    MUST(vise_apply(m, "quantize", NULL, &e));
    assert_int_equal(vise_sensitivity(&row, &n, m, 0, &(vise_eval_opts){.data = data}, &e),
                     VISE_EARG); // codes already
    vise_model_free(m);
}

/* ---- the choice ---- */

enum { MOST = 5, TABLES = 400 };

static void random_table(vise_choice *of, size_t n, vise_rng *r)
{
    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; w < VISE_WIDTHS; w++) { // mostly falling, not always
            of[i].cost[w] = (VISE_WIDTHS - w) * (10 + i) + vise_rng_u64(r) % 9;
            of[i].loss[w] = (double)((vise_rng_uniform(r) + 0.2f) * (float)(1 << w));
        }
}

static double loss_of(const vise_choice *of, const uint8_t *pick, size_t n, uint64_t *cost)
{
    double loss = 0;
    *cost = 0;
    for (size_t i = 0; i < n; i++) {
        loss += of[i].loss[pick[i]];
        *cost += of[i].cost[pick[i]];
    }
    return loss;
}

/* The least loss of all choices within the budget; INFINITY if there is none. */
static double brute_force(const vise_choice *of, size_t n, uint64_t budget)
{
    uint8_t pick[MOST] = {0};
    double best = (double)INFINITY;
    for (size_t i = 0; i < n;) {
        uint64_t cost;
        const double loss = loss_of(of, pick, n, &cost);
        if (cost <= budget && loss < best) best = loss;
        for (i = 0; i < n && ++pick[i] == VISE_WIDTHS; i++) // the next, as a number
            pick[i] = 0;
    }
    return best;
}

/* The largest gain that any step of one matrix can bring. */
static double largest_gain(const vise_choice *of, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < VISE_WIDTHS; a++)
            for (size_t b = 0; b < VISE_WIDTHS; b++)
                most = fmax(most, of[i].loss[a] - of[i].loss[b]);
    return most;
}

static void test_brute_force(void **state)
{
    (void)state;
    vise_rng r = vise_rng_named(1, "tables");
    size_t exact = 0, none = 0;
    for (size_t t = 0; t < TABLES; t++) {
        vise_choice of[MOST];
        uint8_t pick[MOST];
        uint64_t cost;
        const size_t n = 1 + t % MOST;
        const uint64_t budget = 10 * n + vise_rng_u64(&r) % (70 * n);
        random_table(of, n, &r);
        const double best = brute_force(of, n, budget);
        if (!vise_budget_pick(pick, of, n, budget)) {
            assert_true(isinf(best));
            none++;
            continue;
        }
        const double loss = loss_of(of, pick, n, &cost);
        assert_true(cost <= budget);
        if (!(loss >= best - 1e-9 && loss < best + largest_gain(of, n)))
            fail_msg("table %zu: %g, at best %g", t, loss, best);
        exact += loss <= best + 1e-9;
    }
    assert_true(none > 0 && none < TABLES / 2);
    assert_true(exact > TABLES / 2);
}

/* Where every step of the walk fits, the choice is the best for what it costs. */
static void test_hull(void **state)
{
    (void)state;
    static const vise_choice of[] = {
        {{60, 50, 40, 30, 20, 10}, {0, 1, 2, 4, 8, 16}},
        {{60, 50, 40, 30, 20, 10}, {0, 1, 2, 4, 8, 16}},
        {{60, 50, 40, 30, 20, 10}, {0, 0.1, 0.2, 9, 9.5, 10}}, // 4 and 3 bits are above the hull
        {{60, 50, 40, 30, 20, 10}, {3, 0, 0, 0, 0, 0}},        // more bits do not help
    };
    static const struct {
        uint64_t budget;
        uint8_t pick[4];
    } cases[] = {
        {40, {5, 5, 5, 5}},  {49, {5, 5, 5, 5}},
        {50, {4, 5, 5, 5}}, // of equal steps the first
        {60, {4, 4, 5, 5}},  {80, {3, 3, 5, 5}},
        {90, {2, 3, 5, 5}}, // the hull's step, of 30, does not fit: another does
        {110, {3, 3, 2, 5}}, {1000, {0, 0, 0, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t pick[4];
        assert_true(vise_budget_pick(pick, of, 4, cases[i].budget));
        if (memcmp(pick, cases[i].pick, 4) != 0)
            fail_msg("budget %d: %d %d %d %d", (int)cases[i].budget, pick[0], pick[1], pick[2],
                     pick[3]);
    }
    uint8_t pick[4];
    assert_false(vise_budget_pick(pick, of, 4, 39));
}

/* ---- the pass ---- */

static vise_model *automatic(const char *options, size_t threads)
{
    vise_err e;
    char line[128];
    vise_model *m = small_vit();
    snprintf(line, sizeof line, "quantize weights=auto %s", options);
    MUST(vise_apply(m, line, &(vise_eval_opts){.data = data, .threads = threads}, &e));
    return m;
}

static uint64_t bytes_of(const vise_model *m)
{
    vise_model_info info;
    vise_model_get_info(m, &info);
    return info.weight_bytes;
}

/* Bits of matrices: how many widths there are, and the mean of a weight. */
static double mean_bits(const vise_model *m, size_t *widths)
{
    const vise_graph *g = &m->graph;
    double bits = 0, params = 0;
    unsigned seen = 0;
    for (size_t v = 0; v < g->values; v++) {
        const vise_const *c = &g->value[v].data;
        if (g->value[v].kind != VISE_VALUE_CONST || !c->enc.bits) continue;
        seen |= 1u << c->enc.bits;
        bits += c->enc.bits * (double)vise_shape_count(&c->shape);
        params += (double)vise_shape_count(&c->shape);
    }
    *widths = 0;
    for (; seen; seen &= seen - 1)
        ++*widths;
    return bits / params;
}

static void test_budget(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        double bytes, bits; // at most
    } cases[] = {
        {"budget=20kB method=nearest acts=f32", 20e3, 8},
        {"budget=0.017MB acts=static", 17e3, 8}, // folded: biases and factors count
        {"budget=18kB group=32 rest=f32 bias=off", 18e3, 8},
        {"budget=3.5", 1e9, 3.5},
        {"budget=2", 1e9, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e;
        vise_model *m = automatic(cases[i].options, 1), *again = automatic(cases[i].options, 2);
        size_t widths;
        const double bits = mean_bits(m, &widths);
        if (!((double)bytes_of(m) <= cases[i].bytes && bits <= cases[i].bits))
            fail_msg("%s: %d bytes, %g bits", cases[i].options, (int)bytes_of(m), bits);
        // what is left of the budget is less than a step of the smallest matrix
        assert_true((double)bytes_of(m) > cases[i].bytes - 1000 || bits > cases[i].bits - 0.2);
        assert_true(cases[i].bits == 2 ? widths == 1 : widths > 1);
        MUST(vise_model_save(m, file, &e));
        vise_model_free(m);
        MUST(vise_model_open(&m, file, NULL, &e));
        vise_eval_result r;
        MUST(vise_eval(&r, m, &(vise_eval_opts){.data = data, .against = again}, &e));
        assert_true(r.mean_kl == 0 && r.agreement == 1); // the same for all threads
        vise_model_free(again);
        vise_model_free(m);
    }
}

static void test_bad_budgets(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"quantize weights=auto", "go together"},
        {"quantize weights=int4 ends=same budget=4", "go together"},
        {"quantize weights=auto budget=1.9", "from 2 to 8"},
        {"quantize weights=auto budget=8.1", "from 2 to 8"},
        {"quantize weights=auto budget=20k", "from 2 to 8"},
        {"quantize weights=auto budget=MB", "from 2 to 8"},
        {"quantize weights=auto budget=-3", "from 2 to 8"},
        {"quantize weights=auto budget=nan", "from 2 to 8"},
        {"quantize weights=auto budget=9e99MB", "from 2 to 8"},
        {"quantize weights=auto budget=1kB", "budget=1kB: 2 bits everywhere give 1"},
    };
    vise_model *m = small_vit();
    const uint64_t bytes = bytes_of(m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e = {0};
        const vise_status s = vise_apply(m, cases[i].line, &(vise_eval_opts){.data = data}, &e);
        if (s != VISE_EARG || !strstr(e.msg, cases[i].says))
            fail_msg("%s: status %d, %s", cases[i].line, s, e.msg);
    }
    vise_err e;
    assert_int_equal(vise_apply(m, "quantize weights=auto budget=4", NULL, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "--calib"));
    assert_int_equal(bytes_of(m), bytes);
    vise_model_free(m);
}

/* ---- KL ---- */

static void test_kl(void **state)
{
    (void)state;
    const float p[] = {0, 0}, q[] = {1000, 1000 + logf(3)}, far[] = {-2000, 0};
    assert_true(fabs(vise_kl(p, p, 2)) <= 1e-15);
    assert_true(fabs(vise_kl(p, q, 2) - 0.5 * log(4.0 / 3)) <= 1e-4); // 1/4 and 3/4
    assert_true(fabs(vise_kl(far, p, 2) - log(2)) <= 1e-12);
    assert_true(isnan(vise_kl(p, (const float[]){NAN, 0}, 2)));
    assert_true(isnan(vise_kl(p, (const float[]){0, NAN}, 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),         cmocka_unit_test(test_against_eval),
        cmocka_unit_test(test_deterministic), cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_hull),          cmocka_unit_test(test_budget),
        cmocka_unit_test(test_bad_budgets),   cmocka_unit_test(test_kl),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
