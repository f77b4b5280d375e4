/* test_integer.c - networks of integers: operators, the pass that makes them, and the same bits
 * everywhere
 * SPDX-License-Identifier: MIT */
#include "base/cpu.h"
#include "graph/int_ops.h"
#include "int_chain.h"
#include "int_network.h"
#include "shared.h"
#include "tiny.h"
#include "walk.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, PICTURES = 4, CLASSES = 5, ROUNDS = 40 };

static char dir[] = "/tmp/vise-integer-XXXXXX";
static char set[64], class[80], path[64];

static const char *picture(int i)
{
    static char name[96];
    snprintf(name, sizeof name, "%s/%d.ppm", class, i);
    return name;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(set, sizeof set, "%s/set", dir);
    snprintf(class, sizeof class, "%s/one", set);
    snprintf(path, sizeof path, "%s/m.vise", dir);
    if (mkdir(set, 0700) || mkdir(class, 0700)) return 1;
    vise_rng r = vise_rng_named(2, "pictures");
    for (int i = 0; i < PICTURES; i++) {
        FILE *f = fopen(picture(i), "wb");
        if (!f) return 1;
        fprintf(f, "P6\n%d %d\n255\n", SIDE, SIDE);
        for (int k = 0; k < PIXELS; k++)
            fputc((int)(vise_rng_u64(&r) % 256), f);
        if (fclose(f)) return 1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++)
        unlink(picture(i));
    unlink(path);
    return rmdir(class) || rmdir(set) || rmdir(dir);
}

/* ---- operators, on one image, against their rules in long double ---- */

typedef struct op_case {
    vise_rng rng;
    vise_shape shape[VISE_MAX_IN];
    float *in[VISE_MAX_IN];
    uint32_t nin;
    float *out;
    size_t n; // elements of out
} op_case;

static size_t pick(op_case *c, size_t n)
{
    return (size_t)(vise_rng_u64(&c->rng) % n);
}

/* An operand of whole numbers of at most `most`. */
static float *operand(op_case *c, size_t rows, size_t cols, int32_t most)
{
    float *x = malloc(rows * cols * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < rows * cols; i++)
        x[i] = (float)((int32_t)pick(c, 2 * (size_t)most + 1) - most);
    c->shape[c->nin] = rows > 1 ? (vise_shape){2, {rows, cols}} : (vise_shape){1, {cols}};
    c->in[c->nin++] = x;
    return x;
}

static float *mults(op_case *c, size_t n)
{
    float *x = operand(c, 1, n, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = ldexpf((float)(pick(c, 1 << 23) + (1 << 23)), -(int)pick(c, 30) - 24);
    return x;
}

static void run_op(op_case *c, const char *name, const void *attr)
{
    const vise_op *op = vise_op_find(name);
    vise_err e = {0};
    vise_shape out;
    vise_sig s = {.name = "node", .attr = attr, .nin = c->nin};
    vise_call call = {.attr = attr, .batch = 1, .nin = c->nin, .nout = 1};
    for (uint32_t i = 0; i < c->nin; i++) {
        s.in[i] = &c->shape[i];
        s.batched[i] = i == 0;
        call.in[i] = (vise_arg){&c->shape[i], c->in[i], i == 0};
    }
    if (op->shape(&s, &out, &e)) fail_msg("%s: %s", name, e.msg);
    c->n = vise_shape_count(&out);
    c->out = malloc(c->n * sizeof *c->out);
    call.scratch = vise_alloc(op->scratch ? op->scratch(&s, &out) : 0, sizeof(float));
    assert_true(c->out && call.scratch);
    call.out[0] = (vise_arg){&out, c->out, true};
    op->forward(&call);
    vise_free(call.scratch);
}

static void end_op(op_case *c)
{
    for (uint32_t i = 0; i < c->nin; i++)
        free(c->in[i]);
    free(c->out);
}

static float scaled(long double x, float bias, float mult, const vise_int_range_attr *a)
{
    const long double y = floorl((x + (long double)bias) * (long double)mult + 0.5L);
    return (float)(y < a->lo ? a->lo : y > a->hi ? a->hi : y);
}

/* What a row's codes are multiplied with: found by dividing until they fit. */
static double row_step(const float *x, size_t n, int64_t exponents)
{
    double most = 0, step = 1;
    for (size_t k = 0; k < n; k++)
        most = fmax(most, fabs((double)x[k]));
    while (most / step > VISE_INT_CODE && step < ldexp(1, (int)exponents))
        step *= 2;
    return step;
}

static void test_exponents(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        op_case c = {.rng = vise_rng_named(round, "exponents")};
        const size_t T = 1 + pick(&c, 4), K = 1 + pick(&c, 90), N = 1 + pick(&c, 20);
        const vise_int_linear_attr a = {-90000, 90000, 1 + (int64_t)pick(&c, VISE_INT_EXPONENTS)};
        const int32_t most = 100 << pick(&c, 10); // beyond the largest exponent, too
        const float *x = operand(&c, T, K, most), *w = operand(&c, N, K, 127);
        const float *bias, *mult;
        c.shape[0] = (vise_shape){2, {T, K}};
        c.shape[1] = (vise_shape){2, {N, K}};
        bias = operand(&c, 1, N, 1 << 20);
        mult = mults(&c, N);
        run_op(&c, "int_linear", &a);
        for (size_t i = 0; i < c.n; i++) {
            const double step = row_step(x + i / N * K, K, a.exponents);
            double sum = 0;
            for (size_t k = 0; k < K; k++) {
                const double code = nearbyint((double)x[i / N * K + k] / step);
                sum += fmin(fmax(code, -VISE_INT_CODE), VISE_INT_CODE) * (double)w[i % N * K + k];
            }
            sum = fmin(fmax(sum * step, -VISE_INT_SUM), VISE_INT_SUM);
            assert_true(c.out[i] == scaled((long double)sum, bias[i % N], mult[i % N],
                                           &(vise_int_range_attr){a.lo, a.hi}));
        }
        end_op(&c);
    }
}

static void test_linear(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        op_case c = {.rng = vise_rng_named(round, "int_linear")};
        const size_t T = 1 + pick(&c, 4), K = 1 + pick(&c, 90), N = 1 + pick(&c, 20);
        const vise_int_linear_attr a = {-(int64_t)pick(&c, 9000), 100 + (int64_t)pick(&c, 900000),
                                        0};
        const float *x = operand(&c, T, K, 127), *w = operand(&c, N, K, 127);
        const float *bias, *mult;
        c.shape[1] = (vise_shape){2, {N, K}};
        bias = operand(&c, 1, N, 1 << 20);
        mult = mults(&c, N);
        run_op(&c, "int_linear", &a);
        assert_int_equal(c.n, T * N);
        for (size_t i = 0; i < c.n; i++) {
            long double sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += (long double)x[i / N * K + k] * (long double)w[i % N * K + k];
            assert_true(c.out[i] ==
                        scaled(sum, bias[i % N], mult[i % N], &(vise_int_range_attr){a.lo, a.hi}));
        }
        end_op(&c);
    }
}

static void test_scale_add_lut(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        op_case c = {.rng = vise_rng_named(round, "int_scale")}, d = c, l = c;
        const size_t T = 1 + pick(&c, 4), C = 1 + pick(&c, 40), count = 1 + pick(&c, 300);
        const vise_int_range_attr a = {-5000, 5000};
        const vise_int_lut_attr table = {-(int64_t)pick(&c, 300), (int64_t)pick(&c, 2) * 9};
        const float *x = operand(&c, T, C, 1 << 20), *bias = operand(&c, 1, C, 1 << 20);
        const float *mult = mults(&c, C);
        run_op(&c, "int_scale", &a);
        for (size_t i = 0; i < c.n; i++)
            assert_true(c.out[i] == scaled((long double)x[i], bias[i % C], mult[i % C], &a));
        const float *p = operand(&d, T, C, 6000), *q = operand(&d, T, C, 6000);
        run_op(&d, "int_add", &a);
        for (size_t i = 0; i < d.n; i++)
            assert_true(d.out[i] == fminf(fmaxf(p[i] + q[i], -5000), 5000));
        const float *at = operand(&l, T, C, 500), *value = operand(&l, 1, count, 1 << 20);
        run_op(&l, "int_lut", &table);
        for (size_t i = 0; i < l.n; i++) {
            const int64_t k = (int64_t)at[i] - table.first, last = (int64_t)count - 1;
            const float want = value[k < 0 ? 0 : k > last ? last : k];
            assert_true(l.out[i] == (k > last && table.gain ? at[i] * 9 : want));
        }
        end_op(&c);
        end_op(&d);
        end_op(&l);
    }
}

/* Within half a code, and what u, w and b are short of the real numbers, of layer normalisation. */
static void test_layernorm(void **state)
{
    (void)state;
    enum { SHIFT = 26 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        op_case c = {.rng = vise_rng_named(round, "int_layernorm")};
        const size_t T = 1 + pick(&c, 4), C = 2 + pick(&c, 300);
        const int32_t most = 1000 << pick(&c, 10);
        const vise_int_layernorm_attr a = {-VISE_INT_MOST, VISE_INT_MOST, 77, SHIFT};
        const float *x = operand(&c, T, C, most), *w = operand(&c, 1, C, 1 << 23);
        const float *b = operand(&c, 1, C, 1 << 20);
        run_op(&c, "int_layernorm", &a);
        for (size_t i = 0; i < c.n; i++) {
            const float *row = x + i / C * C;
            double mean = 0, squares = 77;
            for (size_t k = 0; k < C; k++)
                mean += (double)row[k] / (double)C;
            for (size_t k = 0; k < C; k++)
                squares += ((double)row[k] - mean) * ((double)row[k] - mean);
            const double per_u = ldexp((double)w[i % C], 20 - SHIFT), norm = sqrt(squares);
            const double want = ((double)row[i % C] - mean) / norm * per_u + (double)b[i % C] / 256;
            // the mean is off by half: d by as much, and the root by as much in each of C numbers
            const double u_off = (0.5 + sqrt((double)C) / 2) / norm + 1.0 / (1 << 20);
            assert_true(fabs((double)c.out[i] - want) <= 0.51 + fabs(per_u) * u_off);
        }
        end_op(&c);
    }
}

/* One row of one head, in exact numbers. */
static void attend(const op_case *c, size_t H, size_t at[3], const vise_int_range_attr *a)
{
    const size_t t = at[0], h = at[1], d = at[2], S = c->shape[1].dim[0];
    const size_t Dk = c->shape[1].dim[1] / H, Dv = c->shape[2].dim[1] / H, n = c->shape[3].dim[0];
    const float *q = c->in[0] + t * H * Dk + h * Dk, *k = c->in[1] + h * Dk;
    const float *v = c->in[2] + h * Dv + d;
    long double s[64], max = -1e30L, sum = 0, all = 0;
    for (size_t i = 0; i < S; i++) {
        s[i] = 0;
        for (size_t e = 0; e < Dk; e++)
            s[i] += (long double)q[e] * (long double)k[i * H * Dk + e];
        max = s[i] > max ? s[i] : max;
    }
    for (size_t i = 0; i < S; i++) {
        const long double x = floorl((max - s[i]) * (long double)c->in[4][h] / 1048576 + 0.5L);
        const float p = c->in[3][x < (long double)n ? (size_t)x : n - 1];
        sum += (long double)p;
        all += (long double)p * (long double)v[i * H * Dv];
    }
    const long double ratio = floorl(0x1p36L / sum + 0.5L);
    const long double mean = floorl(all * ratio / 1048576 + 0.5L);
    const size_t j = h * Dv + d;
    const float want = scaled(mean, c->in[5][j], c->in[6][j], a);
    assert_true(c->out[t * H * Dv + j] == want);
    assert_true(fabsl(mean / 65536 - all / sum) < 1e-3L); // the mean that it stands for
}

static void test_attention(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        op_case c = {.rng = vise_rng_named(round, "int_attention")};
        const size_t T = 1 + pick(&c, 5), S = 2 + pick(&c, 40), H = 1 + pick(&c, 3);
        const size_t Dk = 1 + pick(&c, 9), Dv = 1 + pick(&c, 9), n = 2 + pick(&c, 200);
        const vise_int_attention_attr a = {-127, 127, (int64_t)H};
        operand(&c, T, H * Dk, 127);
        operand(&c, S, H * Dk, 127);
        operand(&c, S, H * Dv, 127);
        c.shape[0] = (vise_shape){2, {T, H * Dk}};
        float *table = operand(&c, 1, n, 1), *step;
        for (size_t i = 0; i < n; i++)
            table[i] = (float)(254 * (n - 1 - i) / (n - 1));
        step = operand(&c, 1, H, 1);
        for (size_t i = 0; i < H; i++)
            step[i] = (float)(1 + pick(&c, 30000));
        operand(&c, 1, H * Dv, 1 << 20);
        mults(&c, H * Dv);
        run_op(&c, "int_attention", &a);
        for (size_t i = 0; i < c.n; i++)
            attend(&c, H, (size_t[3]){i / (H * Dv), i / Dv % H, i % Dv},
                   &(vise_int_range_attr){a.lo, a.hi});
        end_op(&c);
    }
}

/* The only steps in floating point. */
static void test_ends(void **state)
{
    (void)state;
    op_case c = {.rng = vise_rng_named(1, "int_quant")}, d = c;
    const vise_int_range_attr a = {-127, 127};
    float *x = operand(&c, 9, 3, 400), *scale = operand(&c, 1, 3, 1),
          *offset = operand(&c, 1, 3, 9);
    for (size_t i = 0; i < 27; i++)
        x[i] = x[i] / 8 + 0.0625f; // ties come up
    for (size_t i = 0; i < 3; i++)
        scale[i] = ldexpf(1, (int)i);
    x[4] = NAN;
    x[5] = INFINITY;
    run_op(&c, "int_quant", &a);
    for (size_t i = 0; i < c.n; i++) {
        const double v = (double)x[i] * (double)scale[i % 3] + (double)offset[i % 3];
        const double want = isnan(v) ? 127 : fmin(fmax(nearbyint(v), -127), 127);
        assert_true((double)c.out[i] == want);
    }
    const float *y = operand(&d, 5, 2, VISE_INT_MOST);
    run_op(&d, "int_dequant", &(vise_int_dequant_attr){0.1});
    for (size_t i = 0; i < d.n; i++)
        assert_true(d.out[i] == y[i] * 0.1f);
    end_op(&c);
    end_op(&d);
}

/* Numbers that no file of ours has are defined, too: nothing here may trip a sanitizer. */
static void test_broken_numbers(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.5f, -0.0f, 3e9f};
    static const char *const names[] = {"int_linear",    "int_scale",     "int_add",  "int_lut",
                                        "int_layernorm", "int_attention", "int_quant"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const vise_op *op = vise_op_find(names[k]);
        op_case c = {.rng = vise_rng_named(k, "broken")};
        char attr[64];
        assert_true(op->attr_size <= sizeof attr);
        vise_attr_defaults(op, attr);
        for (uint32_t i = 0; i < op->max_in; i++) {
            const bool matrix = i == 0 || !strcmp(names[k], "int_add") ||
                                (!strcmp(names[k], "int_linear") && i == 1) ||
                                (!strcmp(names[k], "int_attention") && i < 3);
            const bool one = !strcmp(names[k], "int_attention") && i == 4;
            float *x = operand(&c, matrix ? 4 : 1, one ? 1 : 4, 100);
            for (size_t n = 0; n < vise_shape_count(&c.shape[i]); n++)
                x[n] = bad[pick(&c, sizeof bad / sizeof *bad)];
        }
        run_op(&c, names[k], attr);
        for (size_t i = 0; i < c.n && strcmp(names[k], "int_lut") != 0; i++)
            assert_true(fabsf(c.out[i]) <= VISE_INT_MOST);
        end_op(&c);
    }
}

/* ---- shape rules ---- */

typedef struct bad {
    const char *op;
    const void *attr;
    uint32_t nin;
    vise_shape in[VISE_MAX_IN];
    uint32_t batched; // bits
} bad;

static const vise_int_range_attr upside = {5, 4}, fine = {-127, 127};
static const vise_int_linear_attr up = {5, 4, 0}, right = {-127, 127, 0};
static const vise_int_layernorm_attr norm = {-127, 127, 0, 24}, nothing = {1, 0, 0, 24};
static const vise_int_attention_attr two = {-127, 127, 2}, empty = {1, 0, 2};
static const vise_int_lut_attr table = {0, 0};
#define V(n)                                                                                       \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            n                                                                                      \
        }                                                                                          \
    }
#define M(a, b)                                                                                    \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            a, b                                                                                   \
        }                                                                                          \
    }
static const bad bads[] = {
    {"int_quant", &upside, 3, {M(2, 3), V(3), V(3)}, 1},
    {"int_quant", &fine, 3, {M(2, 3), V(3), V(2)}, 1},
    {"int_linear", &up, 4, {M(2, 3), M(4, 3), V(4), V(4)}, 1},
    {"int_linear", &right, 4, {M(2, 3), M(4, 2), V(4), V(4)}, 1},
    {"int_linear", &right, 4, {M(2, 3), M(4, 3), V(4), V(3)}, 1},
    {"int_linear", &right, 4, {M(2, 3), M(4, 3), V(4), V(4)}, 3},
    {"int_linear", &right, 4, {M(2, 65537), M(4, 65537), V(4), V(4)}, 1},
    {"int_scale", &upside, 3, {M(2, 3), V(3), V(3)}, 1},
    {"int_scale", &fine, 3, {M(2, 3), V(3), V(3)}, 3},
    {"int_add", &upside, 2, {V(3), V(3)}, 1},
    {"int_add", &fine, 2, {M(2, 3), V(3)}, 1},
    {"int_lut", &table, 2, {M(2, 3), M(2, 2)}, 1},
    {"int_lut", &table, 2, {M(2, 3), V(65537)}, 1},
    {"int_lut", &table, 2, {M(2, 3), V(9)}, 3},
    {"int_layernorm", &nothing, 3, {M(2, 3), V(3), V(3)}, 1},
    {"int_layernorm", &norm, 3, {M(2, 3), V(3), V(4)}, 1},
    {"int_layernorm", &norm, 3, {M(2, 8193), V(8193), V(8193)}, 1},
    {"int_attention", &empty, 7, {M(2, 4), M(5, 4), M(5, 6), V(9), V(2), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 3), M(5, 3), M(5, 6), V(9), V(2), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(6, 6), V(9), V(2), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(5, 6), V(1), V(2), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(5, 6), V(1025), V(2), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(5, 6), V(9), V(3), V(6), V(6)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(5, 6), V(9), V(2), V(6), V(4)}, 7},
    {"int_attention", &two, 7, {M(2, 4), M(5, 4), M(5, 6), V(9), V(2), V(6), V(6)}, 15},
    {"int_attention", &two, 7, {M(2, 2050), M(5, 2050), M(5, 6), V(9), V(2), V(6), V(6)}, 7},
};
#undef V
#undef M

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const bad *b = &bads[i];
        vise_err e = {0};
        vise_shape out;
        vise_sig s = {.name = "blocks.3.bad", .attr = b->attr, .nin = b->nin};
        for (uint32_t k = 0; k < b->nin; k++) {
            s.in[k] = &b->in[k];
            s.batched[k] = b->batched >> k & 1;
        }
        if (vise_op_find(b->op)->shape(&s, &out, &e) != VISE_EFORMAT ||
            !strstr(e.msg, "blocks.3.bad"))
            fail_msg("bad signature %zu of %s: \"%s\"", i, b->op, e.msg);
    }
}

static void test_fixed_point(void **state)
{
    (void)state;
    vise_rng r = vise_rng_named(4, "fixed");
    for (int i = 0; i < 1000; i++) {
        const float f = ldexpf(1 + vise_rng_uniform(&r), (int)(vise_rng_u64(&r) % 51) - 36);
        int32_t mult, shift;
        vise_fixed_of(&mult, &shift, f);
        assert_true(mult >= 1 << 23 && mult < 1 << 24 && shift >= 9 && shift <= 61);
        assert_true(ldexp(mult, -shift) == (double)f);
    }
    static const float none[] = {0, -1, NAN, INFINITY, 32768, 1e-20f};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        int32_t mult, shift;
        vise_fixed_of(&mult, &shift, none[i]);
        assert_true(mult == 0 && shift == 24);
    }
}

/* ---- the same bits at every level, and on other processors (scripts/arm.sh) ---- */

static void test_chain(void **state)
{
    (void)state;
    static int_chain_job job;
    size_t levels = 0;
    for (size_t i = 0; vise_cpu_level(i); i++) {
        unsigned mask;
        vise_kern k;
        if (vise_cpu_parse(&mask, vise_cpu_level(i), NULL)) continue;
        vise_kern_init(&k, mask);
        const uint32_t got = int_chain(&k, &job);
        if (got != INT_CHAIN_BITS) fail_msg("%s ends in 0x%08xu", vise_cpu_level(i), got);
        levels++;
    }
    assert_true(levels >= 1);
}

/* Of a network: by the definitions, one picture at a time; then by every level's sessions. */
static void check_network(const int_network *t, uint32_t bits)
{
    static float x[NET_PICTURES * NET_PIXELS], y[NET_PICTURES * NET_CLASSES];
    size_t sessions = 0;
    vise_err e;
    int_network_pixels(x);
    for (size_t i = 0; i < NET_PICTURES; i++) {
        float **values = walk(&t->m.graph, x + i * NET_PIXELS);
        memcpy(y + i * NET_CLASSES, values[t->m.graph.output[0].value], NET_CLASSES * sizeof *y);
        free_values(&t->m.graph, values);
        assert_memory_not_equal(y, y + (i ? i : 1) * NET_CLASSES, NET_CLASSES * sizeof *y);
    }
    assert_int_equal(int_network_bits(y), bits);
    for (size_t l = 0; vise_cpu_level(l); l++) {
        unsigned mask;
        if (vise_cpu_parse(&mask, vise_cpu_level(l), NULL)) continue;
        for (size_t threads = 1; threads <= 3; threads += 2, sessions++) {
            const vise_session_opts o = {threads, threads, .cpu = vise_cpu_level(l)};
            uint32_t got;
            MUST(int_network_hash(&got, t, &o, &e));
            assert_int_equal(got, bits);
        }
    }
    assert_true(sessions >= 2);
}

static void test_networks(void **state)
{
    (void)state;
    for (size_t i = 0; i < INT_NETWORKS; i++) {
        static int_network t;
        if (int_network_new(&t, &int_networks[i])) fail_msg("%s", t.e.msg);
        check_network(&t, int_networks[i].bits);
        int_network_free(&t);
    }
}

/* ---- networks ---- */

static vise_model *float_model(uint32_t dim)
{
    vise_err e;
    vise_model *m;
    const vise_new o = {.seed = 1,
                        .dim = dim,
                        .depth = 2,
                        .heads = 2,
                        .patch = 4,
                        .height = SIDE,
                        .width = SIDE,
                        .classes = CLASSES,
                        .mlp_ratio = 2};
    MUST(vise_model_new(&m, "vit", &o, &e));
    return m;
}

static vise_data *pictures(void)
{
    vise_err e;
    vise_data *d;
    MUST(vise_data_open(&d, set, NULL, &e));
    return d;
}

static vise_model *int_model(uint32_t dim)
{
    vise_err e;
    vise_model *m = float_model(dim);
    vise_data *d = pictures();
    MUST(vise_apply(m, "integer", &(vise_eval_opts){.data = d}, &e));
    vise_data_free(d);
    return m;
}

static void read_pixels(const vise_model *m, float *x)
{
    vise_err e;
    vise_data *d = pictures();
    for (size_t i = 0; i < PICTURES; i++)
        MUST(vise_data_read(d, i, vise_model_recipe(m), x + i * PIXELS, &e));
    vise_data_free(d);
}

static void logits(const vise_model *m, const vise_session_opts *o, const float *x, float *y)
{
    vise_err e;
    vise_session *s;
    MUST(vise_session_new(&s, m, o, &e));
    for (size_t i = 0; i < PICTURES; i += o->batch)
        vise_session_run(s, o->batch, (const float *[]){x + i * PIXELS},
                         (float *[]){y + i * CLASSES});
    vise_session_free(s);
}

static void by_definition(const vise_model *m, const float *x, float *y)
{
    for (size_t i = 0; i < PICTURES; i++) {
        float **values = walk(&m->graph, x + i * PIXELS);
        memcpy(y + i * CLASSES, values[m->graph.output[0].value], CLASSES * sizeof *y);
        free_values(&m->graph, values);
    }
}

/* dim 30: heads of 15 channels, which no vector divides. */
static void test_same_bits(void **state)
{
    (void)state;
    static float x[PICTURES * PIXELS];
    size_t checked = 0;
    for (uint32_t dim = 30; dim <= 32; dim += 2) {
        vise_model *m = int_model(dim);
        float want[PICTURES * CLASSES], y[PICTURES * CLASSES];
        read_pixels(m, x);
        by_definition(m, x, want);
        assert_true(want[0] != want[CLASSES]);
        for (size_t l = 0; vise_cpu_level(l); l++) {
            unsigned mask;
            if (vise_cpu_parse(&mask, vise_cpu_level(l), NULL)) continue;
            for (size_t threads = 1; threads <= 3; threads++)
                for (size_t batch = 1; batch <= PICTURES; batch *= 2, checked++) {
                    logits(m, &(vise_session_opts){threads, batch, .cpu = vise_cpu_level(l)}, x, y);
                    assert_memory_equal(y, want, sizeof y);
                }
        }
        vise_model_free(m);
    }
    assert_true(checked >= 18);
}

/* Every value between the pixels' codes and the last scaling: made by an operator of integers, or by
 * one that moves numbers; and whole. */
static void test_only_integers(void **state)
{
    (void)state;
    static const char *const moves[] = {"reshape", "permute", "slice", "concat"};
    static float x[PICTURES * PIXELS];
    vise_model *m = int_model(32);
    const vise_graph *g = &m->graph;
    read_pixels(m, x);
    float **values = walk(g, x);
    size_t quants = 0, dequants = 0, integers = 0;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        bool ok = !strncmp(n->op->name, "int_", 4);
        integers += ok;
        for (size_t k = 0; k < sizeof moves / sizeof *moves; k++)
            ok = ok || !strcmp(n->op->name, moves[k]);
        if (!ok) fail_msg("%s is a %s", n->name, n->op->name);
        quants += !strcmp(n->op->name, "int_quant");
        if (!strcmp(n->op->name, "int_dequant")) {
            dequants++;
            continue;
        }
        for (size_t k = 0; k < vise_shape_count(&g->value[n->out].shape); k++) {
            const float v = values[n->out][k];
            if (!(v == truncf(v) && fabsf(v) <= VISE_INT_MOST))
                fail_msg("%s: %g", n->name, (double)v);
        }
    }
    assert_true(quants == 1 && dequants == 1 && integers > 20);
    free_values(g, values);
    vise_model_free(m);
}

/* Random weights make every layer count; its 8-bit codes are short of the floats by a few percent. */
static void test_near_the_floats(void **state)
{
    (void)state;
    static float x[PICTURES * PIXELS];
    float y[PICTURES * CLASSES], z[PICTURES * CLASSES];
    vise_model *f = float_model(32), *m = int_model(32);
    read_pixels(m, x);
    logits(f, &(vise_session_opts){.batch = 1}, x, y);
    logits(m, &(vise_session_opts){.batch = 1}, x, z);
    double off = 0, all = 0;
    for (size_t i = 0; i < PICTURES * CLASSES; i++) {
        off += ((double)y[i] - (double)z[i]) * ((double)y[i] - (double)z[i]);
        all += (double)y[i] * (double)y[i];
    }
    assert_true(off > 0 && off <= 0.05 * 0.05 * all);
    vise_model_free(f);
    vise_model_free(m);
}

static void test_file(void **state)
{
    (void)state;
    static float x[PICTURES * PIXELS];
    float y[PICTURES * CLASSES], z[PICTURES * CLASSES];
    vise_err e;
    vise_model *m = int_model(32), *back;
    read_pixels(m, x);
    MUST(vise_model_save(m, path, &e));
    MUST(vise_model_open(&back, path, NULL, &e));
    logits(m, &(vise_session_opts){.batch = 1}, x, y);
    logits(back, &(vise_session_opts){.batch = 1}, x, z);
    assert_memory_equal(y, z, sizeof y);
    vise_model_free(back);
    vise_model_free(m);
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m, *twice = int_model(32);
    vise_data *d = pictures();
    const vise_eval_opts with = {.data = d};
    MUST(tiny_new(&m, &e));
    const size_t nodes = m->graph.nodes;
    assert_int_equal(vise_apply(m, "integer", &with, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "pool: mean has no integer form"));
    assert_true(m->graph.nodes == nodes && m->history.count == 1);
    vise_model_free(m);
    m = float_model(32);
    assert_int_equal(vise_apply(m, "integer", NULL, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "needs calibration pictures"));
    assert_int_equal(vise_apply(twice, "integer", &with, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "has no integer form"));
    vise_model_free(m);
    vise_model_free(twice);
    vise_data_free(d);
}

/* Each allocation fails in turn; the model stays as it was until the call succeeds. */
static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    vise_data *d = pictures();
    vise_model *m = float_model(32);
    const vise_graph before = m->graph;
    for (long n = 0;; n++) {
        vise_alloc_fail_at = n;
        const vise_status s =
            vise_apply(m, "integer", &(vise_eval_opts){.data = d, .limit = 1}, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        if (!reached) {
            assert_int_equal(s, VISE_OK);
            break;
        }
        assert_int_equal(s, VISE_ENOMEM);
        assert_true(m->graph.node == before.node && m->graph.value == before.value);
    }
    vise_model_free(m);
    vise_data_free(d);
}

/* ---- a real checkpoint ---- */

static void test_checkpoint(void **state)
{
    (void)state;
    enum { N = 2, HW = 224 * 224 * 3, REAL = 1000 };
    static float x[N * HW], want[N * REAL], y[N * REAL], f[N * REAL];
    vise_err e;
    vise_model *m;
    vise_data *d;
    need_shared_data();
    MUST(vise_model_open(&m, VISE_SHARED_DATA "/checkpoints/deit_tiny_patch16_224", NULL, &e));
    MUST(vise_data_open(&d, VISE_SHARED_DATA "/images/imagenet_calib", NULL, &e));
    for (size_t i = 0; i < N; i++)
        MUST(vise_data_read(d, i, vise_model_recipe(m), x + i * HW, &e));
    float *to[] = {f, want, y, y};
    static const char *const cpus[] = {NULL, "c", NULL, NULL};
    for (size_t k = 0; k < 4; k++) {
        vise_session *s;
        const vise_session_opts o = {.threads = k, .batch = k == 3 ? N : 1, .cpu = cpus[k]};
        if (k == 1) MUST(vise_apply(m, "integer", &(vise_eval_opts){.data = d, .limit = 8}, &e));
        MUST(vise_session_new(&s, m, &o, &e));
        for (size_t i = 0; i < N; i += o.batch)
            vise_session_run(s, o.batch, (const float *[]){x + i * HW},
                             (float *[]){to[k] + i * REAL});
        vise_session_free(s);
        if (k >= 2) assert_memory_equal(y, want, sizeof y);
    }
    double off = 0, all = 0;
    for (size_t i = 0; i < N * REAL; i++) {
        off += ((double)f[i] - (double)y[i]) * ((double)f[i] - (double)y[i]);
        all += (double)f[i] * (double)f[i];
    }
    printf("DeiT-Tiny in integers: logits differ by %.1f %%\n", 100 * sqrt(off / all));
    assert_true(off <= 0.2 * 0.2 * all);
    vise_data_free(d);
    vise_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),         cmocka_unit_test(test_exponents),
        cmocka_unit_test(test_scale_add_lut),  cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_attention),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_broken_numbers), cmocka_unit_test(test_fixed_point),
        cmocka_unit_test(test_shapes),         cmocka_unit_test(test_chain),
        cmocka_unit_test(test_networks),       cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_only_integers),  cmocka_unit_test(test_near_the_floats),
        cmocka_unit_test(test_file),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_starved),        cmocka_unit_test(test_checkpoint),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
