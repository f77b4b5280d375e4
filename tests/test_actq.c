/* test_actq.c - nodes whose operands are rounded: the rules, and what they compute
 *
 * The oracle rounds by the text of kern.h, one number at a time, and sums in double.
 *
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "graph/actq.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const vise_actq NONE = {0}, BF16 = {.kind = VISE_ACTQ_BF16},
                       SYM = {.kind = VISE_ACTQ_SYM, .bits = 8},
                       SYM4 = {.kind = VISE_ACTQ_SYM, .bits = 4},
                       SYM2 = {.kind = VISE_ACTQ_SYM, .bits = 2},
                       ASYM = {.kind = VISE_ACTQ_ASYM, .bits = 8},
                       ASYM6 = {.kind = VISE_ACTQ_ASYM, .bits = 6},
                       ASYM2 = {.kind = VISE_ACTQ_ASYM, .bits = 2},
                       FIXED = {VISE_ACTQ_STATIC, 8, 0.03125f, -11},
                       FIXED4 = {VISE_ACTQ_STATIC, 4, 0.4f, -3},
                       LEVEL = {VISE_ACTQ_STATIC, 8, 0.02f, 0},
                       LEVEL6 = {VISE_ACTQ_STATIC, 6, 0.07f, 0};

/* ---- the oracle's rounding ---- */

typedef struct grid {
    float scale, inv;
    int zero, lo, hi; // codes
} grid;

static grid grid_of(const vise_actq *q, const float *x, size_t n)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    const float a = fmaxf(hi, -lo), d = hi - lo;
    const int top = (1 << (q->bits - 1)) - 1;
    const int bottom = q->kind == VISE_ACTQ_SYM || q->bits == 8 ? -top : -top - 1;
    if (q->kind == VISE_ACTQ_STATIC) return (grid){q->scale, 1 / q->scale, q->zero, bottom, top};
    if (q->kind == VISE_ACTQ_SYM && a < 1e-30f) return (grid){0};
    if (q->kind == VISE_ACTQ_SYM) return (grid){a / (float)top, (float)top / a, 0, bottom, top};
    if (d < 1e-30f) return (grid){0};
    const float steps = (float)(top - bottom), inv = steps / d,
                zero = rintf((float)bottom - lo * inv);
    return (grid){d / steps, inv, (int)fmaxf((float)bottom, fminf((float)top, zero)), bottom, top};
}

static float bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, 4);
    return x;
}

static float on_grid(grid g, float x)
{
    const float code =
        rintf(fmaxf((float)(g.lo - g.zero), fminf((float)(g.hi - g.zero), x * g.inv)));
    return g.scale * code;
}

/* Rounds one row of the rule, in place. */
static void rounded(const vise_actq *q, float *x, size_t n)
{
    const grid g = vise_actq_is_coded(q->kind) ? grid_of(q, x, n) : (grid){0};
    for (size_t i = 0; i < n && q->kind; i++)
        x[i] = q->kind == VISE_ACTQ_BF16 ? bf16(x[i]) : on_grid(g, x[i]);
}

/* ---- problems ---- */

static void fill(float *x, size_t n, uint64_t seed)
{
    vise_rng r = vise_rng_named(seed, "numbers");
    for (size_t i = 0; i < n; i++)
        x[i] = vise_rng_normal(&r) + 0.25f;
}

/* Runs an operator's forward on the operands of a graph of one node that makes "y". */
typedef struct problem {
    vise_err e;
    vise_graph g;
    vise_id in[VISE_MAX_IN];
    float *data[VISE_MAX_IN]; // of operand i, for all images
    uint32_t nin;
    size_t batch;
} problem;

static void operand(problem *p, vise_shape shape, bool batched)
{
    char name[8];
    snprintf(name, sizeof name, "in%u", p->nin);
    const size_t n = vise_shape_count(&shape) * (batched ? p->batch : 1);
    p->data[p->nin] = malloc(n * sizeof(float));
    assert_non_null(p->data[p->nin]);
    fill(p->data[p->nin], n, 17 + p->nin);
    const vise_const c = {.shape = shape, .data = p->data[p->nin], .enc = {.type = VISE_F32}};
    p->in[p->nin++] =
        batched ? vise_graph_input(&p->g, name, &shape) : vise_graph_const(&p->g, name, &c);
}

static void start(problem *p, size_t batch)
{
    *p = (problem){.batch = batch};
    vise_graph_init(&p->g, &p->e);
}

static vise_status add(problem *p, const char *op, const void *attr, const vise_actq *actq)
{
    const vise_id y = vise_graph_add(&p->g, op, "y", attr, p->nin, p->in);
    if (y == VISE_NONE) fail_msg("%s", p->e.msg);
    vise_graph_set_actq(&p->g, y, actq);
    return p->g.status;
}

/* [batch, shape], to be freed. */
static float *forward(problem *p)
{
    const vise_node *n = &p->g.node[0];
    const vise_shape *shape = &p->g.value[n->out].shape;
    vise_sig s;
    vise_graph_sig(&p->g, n, &s);
    vise_call c = {.attr = n->attr, .batch = p->batch, .nin = n->nin, .nout = 1, .actq = n->actq};
    for (uint32_t i = 0; i < n->nin; i++)
        c.in[i] = (vise_arg){&p->g.value[n->in[i]].shape, p->data[i], s.batched[i]};
    float *y = malloc(p->batch * vise_shape_count(shape) * sizeof *y);
    c.out[0] = (vise_arg){shape, y, true};
    // exactly what was asked for: sanitizers see a forward that takes more
    const size_t floats = n->op->scratch ? n->op->scratch(&s, shape) : 0;
    c.scratch = malloc(floats * sizeof *c.scratch + 1);
    assert_true(y && c.scratch);
    n->op->forward(&c);
    free(c.scratch);
    return y;
}

static void finish(problem *p)
{
    for (uint32_t i = 0; i < p->nin; i++)
        free(p->data[i]);
    vise_graph_free(&p->g);
}

static void near(float got, double wanted, double room, const char *what, size_t i)
{
    if (!(fabs((double)got - wanted) <= room))
        fail_msg("%s: element %zu is %.9g, wanted %.9g within %.3g", what, i, (double)got, wanted,
                 room);
}

/* ---- operators ---- */

static void test_apply(void **state)
{
    (void)state;
    enum { ROWS = 3, N = 37, LD = 41 };
    const vise_actq *all[] = {&NONE, &BF16,  &SYM,   &SYM4,  &SYM2,
                              &ASYM, &ASYM6, &ASYM2, &FIXED, &FIXED4};
    float x[ROWS * LD], y[ROWS * N], row[N];
    fill(x, ROWS * LD, 3);
    for (size_t i = 0; i < N; i++)
        x[LD + i] = 0; // a row of zeros
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        vise_actq_apply(all[k], y, x, LD, ROWS, N);
        for (size_t r = 0; r < ROWS; r++) {
            memcpy(row, x + r * LD, sizeof row);
            rounded(all[k], row, N);
            for (size_t i = 0; i < N; i++)
                if (!(y[r * N + i] == row[i]))
                    fail_msg("%s: row %zu, element %zu: %.9g, wanted %.9g",
                             vise_actq_name(all[k]->kind), r, i, (double)y[r * N + i],
                             (double)row[i]);
        }
    }
    x[2] = NAN;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        vise_actq_apply(all[k], y, x, LD, ROWS, N);
        assert_true(isnan(y[2]) && y[N] == 0);
        if (vise_actq_is_coded(all[k]->kind)) assert_true(isnan(y[0]) && isnan(y[N - 1]));
        if (all[k]->kind == VISE_ACTQ_ASYM) continue; // no rule for a whole matrix
        vise_actq_apply_whole(all[k], y, x, LD, ROWS, N);
        if (vise_actq_is_coded(all[k]->kind)) assert_true(isnan(y[0]) && isnan(y[ROWS * N - 1]));
    }
}

static void test_linear(void **state)
{
    (void)state;
    enum { B = 2, T = 3, K = 50, N = 4 };
    const vise_actq *all[] = {&BF16, &SYM, &SYM4, &ASYM, &ASYM6, &ASYM2, &FIXED, &FIXED4};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        problem p;
        start(&p, B);
        operand(&p, (vise_shape){2, {T, K}}, true);
        operand(&p, (vise_shape){2, {N, K}}, false);
        operand(&p, (vise_shape){1, {N}}, false);
        assert_int_equal(add(&p, "linear", NULL, (vise_actq[3]){*all[k]}), VISE_OK);
        float *y = forward(&p), x[K];
        for (size_t i = 0; i < B * T * N; i++) {
            memcpy(x, p.data[0] + i / N * K, sizeof x);
            rounded(all[k], x, K);
            double sum = (double)p.data[2][i % N], size = fabs(sum);
            for (size_t j = 0; j < K; j++) {
                const double t = (double)x[j] * (double)p.data[1][i % N * K + j];
                sum += t;
                size += fabs(t);
            }
            near(y[i], sum, (K + 2) * (double)FLT_EPSILON * size, vise_actq_name(all[k]->kind), i);
        }
        free(y);
        finish(&p);
    }
}

/* A patch of a convolution: its row, element j, of output o. */
static float patch_at(const float *x, size_t o, size_t j)
{
    const size_t c = j / 9, y = o / 3 * 2 + j % 9 / 3, x0 = o % 3 * 2 + j % 3; // padded by 1
    return y < 1 || y > 5 || x0 < 1 || x0 > 5 ? 0 : x[((y - 1) * 5 + x0 - 1) * 2 + c];
}

static void test_conv2d(void **state)
{
    (void)state;
    enum { B = 2, K = 18, N = 3, P = 9 };
    const vise_actq *all[] = {&BF16, &SYM, &SYM4, &ASYM, &ASYM6, &ASYM2, &FIXED, &FIXED4};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        problem p;
        start(&p, B);
        operand(&p, (vise_shape){3, {5, 5, 2}}, true);
        operand(&p, (vise_shape){4, {N, 2, 3, 3}}, false);
        const vise_conv2d_attr a = {.stride = {1, {2}}, .pad = {1, {1}}, .groups = 1};
        assert_int_equal(add(&p, "conv2d", &a, (vise_actq[3]){*all[k]}), VISE_OK);
        float *y = forward(&p), row[K];
        for (size_t i = 0; i < B * P * N; i++) {
            for (size_t j = 0; j < K; j++)
                row[j] = patch_at(p.data[0] + i / N / P * 50, i / N % P, j);
            rounded(all[k], row, K);
            double sum = 0, size = 0;
            for (size_t j = 0; j < K; j++) {
                const double t = (double)row[j] * (double)p.data[1][i % N * K + j];
                sum += t;
                size += fabs(t);
            }
            near(y[i], sum, (K + 2) * (double)FLT_EPSILON * size, vise_actq_name(all[k]->kind), i);
        }
        free(y);
        finish(&p);
    }
}

/* ---- attention ---- */

enum { W = 2, T = 5, S = 7, H = 3, DK = 4, DV = 6, B = 2 };

/* Image b, window and head of operand i with d numbers a head: [tokens, d], rounded. */
static void head_of(const problem *p, uint32_t i, size_t at, const vise_actq *q, float *out)
{
    const size_t tokens = i ? S : T, d = i == 2 ? DV : DK;
    const size_t head = at % H, window = at / H; // of all images
    for (size_t t = 0; t < tokens; t++) {
        memcpy(out + t * d, p->data[i] + (window * tokens + t) * H * d + head * d,
               d * sizeof(float));
        if (i < 2) rounded(q, out + t * d, d);
    }
    if (i == 2 && q->kind == VISE_ACTQ_SYM) { // one scale for all tokens, as a fixed one
        grid g = grid_of(q, out, tokens * d);
        g.inv = 1 / g.scale;
        for (size_t j = 0; j < tokens * d; j++)
            out[j] = on_grid(g, out[j]);
    } else if (i == 2) {
        rounded(q, out, tokens * d);
    }
}

/* Weights of one row, and how far a weight may be off because its code was on the edge. */
static void weights_of(const double *z, const vise_actq *q, double *w, double *edge)
{
    double max = z[0], sum = 0, unsure = 0;
    for (size_t s = 1; s < S; s++)
        max = fmax(max, z[s]);
    for (size_t s = 0; s < S; s++)
        sum += w[s] = exp(z[s] - max);
    for (size_t s = 0; s < S && q->kind == VISE_ACTQ_BF16; s++) {
        const double x = w[s] / sum, low = x * (1 - 1e-5), high = x * (1 + 1e-5);
        w[s] = (double)bf16((float)x);
        edge[s] = bf16((float)low) == bf16((float)high) ? 0 : w[s] / 128;
    }
    if (q->kind == VISE_ACTQ_BF16) return;
    sum = 0;
    for (size_t s = 0; s < S; s++) {
        const double e = 254 * w[s];
        w[s] = rint(e);
        edge[s] = fabs(fabs(e - w[s]) - 0.5) < 254 * 1e-5;
        unsure += edge[s];
        sum += w[s];
    }
    for (size_t s = 0; s < S; s++) {
        w[s] /= sum;
        edge[s] = (edge[s] + w[s] * unsure) / (sum - unsure);
    }
}

static void check_row(const problem *p, const float *y, size_t at, size_t t, const vise_actq *q)
{
    float rq[T * DK], rk[S * DK], rv[S * DV];
    double z[S], w[S], edge[S];
    head_of(p, 0, at, q, rq);
    head_of(p, 1, at, q, rk);
    head_of(p, 2, at, q, rv);
    for (size_t s = 0; s < S; s++) {
        z[s] = (double)p->data[3][(at % H * T + t) * S + s] +
               log((double)p->data[4][at / H % W * S + s]);
        for (size_t d = 0; d < DK; d++)
            z[s] += (double)rq[t * DK + d] * (double)rk[s * DK + d] / sqrt(DK);
    }
    weights_of(z, q, w, edge);
    for (size_t d = 0; d < DV; d++) {
        double sum = 0, room = 0;
        for (size_t s = 0; s < S; s++) {
            const double v = (double)rv[s * DV + d];
            sum += w[s] * v;
            room += (1e-5 * w[s] + edge[s]) * fabs(v);
        }
        near(y[d], sum, room, vise_actq_name(q->kind), (at * T + t) * DV + d);
    }
}

static void test_attention(void **state)
{
    (void)state;
    const vise_actq *all[] = {&BF16, &SYM, &SYM4, &LEVEL, &LEVEL6};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        problem p;
        start(&p, B);
        operand(&p, (vise_shape){3, {W, T, H * DK}}, true);
        operand(&p, (vise_shape){3, {W, S, H * DK}}, true);
        operand(&p, (vise_shape){3, {W, S, H * DV}}, true);
        operand(&p, (vise_shape){3, {H, T, S}}, false);
        operand(&p, (vise_shape){2, {W, S}}, false);
        for (size_t i = 0; i < W * S; i++)
            p.data[4][i] = 1 + (float)(i % 3);
        const vise_actq q[] = {*all[k], *all[k], *all[k], NONE, NONE};
        assert_int_equal(add(&p, "attention", &(vise_attention_attr){.heads = H}, q), VISE_OK);
        float *y = forward(&p);
        for (size_t i = 0; i < B * W * H * T; i++) {
            const size_t at = i / T, t = i % T;
            check_row(&p, y + ((at / H * T + t) * H + at % H) * DV, at, t, all[k]);
        }
        free(y);
        finish(&p);
    }
}

static void test_attention_nan(void **state)
{
    (void)state;
    for (uint32_t bad = 0; bad < 3; bad++) {
        problem p;
        start(&p, 1);
        operand(&p, (vise_shape){2, {T, H * DK}}, true);
        operand(&p, (vise_shape){2, {S, H * DK}}, true);
        operand(&p, (vise_shape){2, {S, H * DV}}, true);
        p.data[bad][0] = NAN; // of head 0
        assert_int_equal(
            add(&p, "attention", &(vise_attention_attr){.heads = H}, (vise_actq[]){SYM, SYM, SYM}),
            VISE_OK);
        float *y = forward(&p);
        assert_true(isnan(y[0]) && isnan(y[DV - 1]) && isfinite(y[DV]));
        free(y);
        finish(&p);
    }
}

/* ---- what is refused ---- */

static void refused(const char *op, const void *attr, const vise_shape *shapes, uint32_t n,
                    const vise_actq *actq, const char *says)
{
    problem p;
    start(&p, 1);
    for (uint32_t i = 0; i < n; i++)
        operand(&p, shapes[i], i == 0 || !strcmp(op, "attention"));
    const vise_status s = add(&p, op, attr, actq);
    if (s != VISE_EFORMAT || !strstr(p.e.msg, says) || strncmp(p.e.msg, "y: ", 3) != 0)
        fail_msg("%s: status %d, %s; wanted %s", op, s, p.e.msg, says);
    assert_int_equal(p.g.node[0].actq[0].kind, VISE_ACTQ_NONE);
    finish(&p);
}

static void test_refused(void **state)
{
    (void)state;
    const vise_shape lin[] = {{2, {3, 4}}, {2, {5, 4}}},
                     att[] = {{2, {3, 4}}, {2, {3, 4}}, {2, {3, 4}}};
    const vise_shape conv[] = {{3, {4, 4, 2}}, {4, {2, 1, 3, 3}}};
    const vise_attention_attr a = {.heads = 2};
    const vise_conv2d_attr two = {.groups = 2};
    vise_actq q[3] = {SYM};
    q[0].bits = 9;
    refused("linear", NULL, lin, 2, q, "of 9 bits");
    q[0].bits = 1;
    refused("linear", NULL, lin, 2, q, "of 1 bits");
    refused("linear", NULL, lin, 2, (vise_actq[]){NONE, SYM}, "operand 1 cannot");
    q[0] = FIXED;
    q[0].scale = 0;
    refused("linear", NULL, lin, 2, q, "a scale of 0");
    q[0].scale = (float)NAN;
    refused("linear", NULL, lin, 2, q, "a scale of nan");
    q[0] = FIXED;
    q[0].zero = -128;
    refused("linear", NULL, lin, 2, q, "a zero point of -128");
    q[0] = FIXED4;
    q[0].zero = 8;
    refused("linear", NULL, lin, 2, q, "a zero point of 8, allowed are -8 to 7");
    q[0].zero = -9;
    refused("linear", NULL, lin, 2, q, "a zero point of -9, allowed are -8 to 7");
    refused("conv2d", &two, conv, 2, (vise_actq[]){SYM, NONE}, "2 groups");
    refused("softmax", NULL, lin, 1, &SYM, "operand 0 cannot");
    refused("attention", &a, att, 3, (vise_actq[]){SYM, SYM, NONE}, "operand 2 to f32");
    refused("attention", &a, att, 3, (vise_actq[]){SYM, BF16, SYM}, "operand 1 to bf16");
    refused("attention", &a, att, 3, (vise_actq[]){NONE, NONE, BF16}, "operand 2 to bf16");
    refused("attention", &a, att, 3, (vise_actq[]){ASYM, SYM, SYM}, "zero point");
    refused("attention", &a, att, 3, (vise_actq[]){LEVEL, LEVEL, FIXED}, "zero point");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply),         cmocka_unit_test(test_linear),
        cmocka_unit_test(test_conv2d),        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_nan), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
