/* test_graph.c - building a network, its costs, attributes as JSON, and what encodings mean
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static vise_id constant(vise_graph *g, const char *name, uint32_t rank, size_t a, size_t b)
{
    const vise_const c = {.shape = {rank, {a, b}}, .enc = {.type = VISE_F32}};
    return vise_graph_const(g, name, &c);
}

/* ---- a tiny ViT: 8 x 8 x 3, patches of 4, width 6, 2 heads, one block, 5 classes ---- */

enum { TOKENS = 5, DIM = 6, HIDDEN = 12, CLASSES = 5 };

static vise_id vit_linear(vise_graph *g, const char *name, vise_id x, size_t K, size_t N)
{
    char w[64], b[64];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    const vise_id in[] = {x, constant(g, w, 2, N, K), constant(g, b, 1, N, 0)};
    return vise_graph_add(g, "linear", name, NULL, 3, in);
}

static vise_id vit_tokens(vise_graph *g)
{
    const vise_conv2d_attr patch = {.stride = {1, {4}}, .groups = 1};
    const vise_reshape_attr flat = {{2, {-1, DIM}}};
    const vise_concat_attr first = {0};
    const vise_const w = {.shape = {4, {DIM, 3, 4, 4}}, .enc = {.type = VISE_F16}};
    vise_id in[2];
    in[0] = vise_graph_input(g, "pixels", &(vise_shape){3, {8, 8, 3}});
    in[1] = vise_graph_const(g, "patch.weight", &w);
    in[1] = vise_graph_add(g, "conv2d", "patch", &patch, 2, in);
    in[1] = vise_graph_add(g, "reshape", "flat", &flat, 1, &in[1]);
    in[0] = constant(g, "cls", 2, 1, DIM);
    in[0] = vise_graph_add(g, "concat", "tokens", &first, 2, in);
    in[1] = constant(g, "pos", 2, TOKENS, DIM);
    return vise_graph_add(g, "add", "embed", NULL, 2, in);
}

static vise_status vit_build(vise_graph *g, vise_err *e)
{
    const vise_attention_attr heads = {.heads = 2, .prob_bits = 8};
    const vise_slice_attr cls = {.stop = 1, .step = 1};
    vise_graph_init(g, e);
    const vise_id x = vit_tokens(g);
    const vise_id norm[] = {x, constant(g, "norm.w", 1, DIM, 0), constant(g, "norm.b", 1, DIM, 0)};
    const vise_id y = vise_graph_add(g, "layernorm", "norm", NULL, 3, norm);
    const vise_id qkv[] = {vit_linear(g, "q", y, DIM, DIM), vit_linear(g, "k", y, DIM, DIM),
                           vit_linear(g, "v", y, DIM, DIM)};
    const vise_id attn = vise_graph_add(g, "attention", "attn", &heads, 3, qkv);
    const vise_id res[] = {x, vit_linear(g, "proj", attn, DIM, DIM)};
    vise_id z = vise_graph_add(g, "add", "add1", NULL, 2, res);
    z = vit_linear(g, "fc1", z, DIM, HIDDEN);
    z = vise_graph_add(g, "act", "gelu", NULL, 1, &z);
    z = vit_linear(g, "fc2", z, HIDDEN, DIM);
    z = vise_graph_add(g, "slice", "first", &cls, 1, &z);
    z = vit_linear(g, "head", z, DIM, CLASSES);
    vise_graph_output(g, "logits", z);
    return vise_graph_finish(g);
}

static void test_build(void **state)
{
    (void)state;
    vise_err e = {0};
    vise_graph g;
    if (vit_build(&g, &e)) fail_msg("%s", e.msg);
    assert_int_equal(g.nodes, 16);
    assert_int_equal(g.outputs, 1);
    const vise_value *out = &g.value[g.output[0].value];
    assert_true(vise_shape_same(&out->shape, &(vise_shape){2, {1, CLASSES}}) && out->batched);
    for (size_t i = 0; i < g.values; i++) // every name finds its value
        assert_int_equal(vise_graph_find(&g, g.value[i].name), i);
    assert_int_equal(vise_graph_find(&g, "nothing"), VISE_NONE);
    assert_false(g.value[vise_graph_find(&g, "pos")].batched);
    for (size_t i = 0; i < g.nodes; i++) {
        assert_int_equal(g.value[g.node[i].out].node, i);
        for (uint32_t j = 0; j < g.node[i].nin; j++)
            assert_true(g.node[i].in[j] < g.node[i].out); // execution order
    }
    vise_graph_free(&g);
}

static void test_costs(void **state)
{
    (void)state;
    vise_graph g;
    vise_cost sum = {0};
    assert_int_equal(vit_build(&g, NULL), VISE_OK);
    for (size_t i = 0; i < g.nodes; i++) {
        vise_cost c;
        vise_graph_cost(&g, &g.node[i], &c);
        sum.macs += c.macs;
        sum.params += c.params;
        sum.weight_bytes += c.weight_bytes;
        if (!strcmp(g.node[i].name, "embed")) // reads and writes the tokens; pos is a weight
            assert_int_equal(c.act_bytes, 2 * TOKENS * DIM * 4);
    }
    assert_int_equal(sum.macs, 4 * DIM * 48 + 4 * TOKENS * DIM * DIM + 2 * TOKENS * TOKENS * DIM +
                                   2 * TOKENS * DIM * HIDDEN + DIM * CLASSES);
    const size_t patch = DIM * 48;
    const size_t rest = DIM + TOKENS * DIM + 2 * DIM + 4 * (DIM * DIM + DIM) + DIM * HIDDEN +
                        HIDDEN + HIDDEN * DIM + DIM + DIM * CLASSES + CLASSES;
    assert_int_equal(sum.params, patch + rest);
    assert_int_equal(sum.weight_bytes, 2 * patch + 4 * rest); // f16 and f32
    vise_graph_free(&g);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        vise_graph g;
        vise_err e = {0};
        vise_alloc_fail_at = n;
        const vise_status s = vit_build(&g, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
        assert_true(!reached || (e.code == VISE_ENOMEM && e.msg[0]));
        vise_graph_free(&g);
        if (!reached) {
            assert_true(n >= 4); // values, nodes, index, texts
            break;
        }
    }
}

/* More than one page of everything: names stay findable, arrays grow. */
static void test_growth(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    vise_graph g;
    vise_err e = {0};
    char name[32];
    vise_graph_init(&g, &e);
    vise_id x = vise_graph_input(&g, "x", &(vise_shape){1, {4}});
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%d", i);
        x = vise_graph_add(&g, "act", name, NULL, 1, &x);
    }
    vise_graph_output(&g, "y", x);
    assert_int_equal(vise_graph_finish(&g), VISE_OK);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(vise_graph_find(&g, name), i + 1);
        assert_string_equal(g.node[i].name, name);
    }
    vise_graph_free(&g);
}

/* ---- failures ---- */

typedef void break_it(vise_graph *g, vise_id x);

static void unknown_op(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "convolve", "fault", NULL, 1, &x);
}

static void name_of_a_node_twice(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "act", "fault", NULL, 1, &x);
    vise_graph_add(g, "act", "fault", NULL, 1, &x);
}

static void name_of_a_constant_taken(vise_graph *g, vise_id x)
{
    constant(g, "fault", 1, 4, 0);
    vise_graph_add(g, "act", "fault", NULL, 1, &x);
}

static void later_value(vise_graph *g, vise_id x)
{
    (void)x;
    vise_graph_add(g, "act", "fault", NULL, 1, &(vise_id){7});
}

static void absent_first_operand(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "add", "fault", NULL, 2, (vise_id[]){x, VISE_NONE});
}

static void too_few_operands(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "linear", "fault", NULL, 1, &x);
}

static void attribute_out_of_range(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "layernorm", "fault", &(vise_norm_attr){-1}, 1, &x);
}

static void list_too_long(vise_graph *g, vise_id x)
{
    vise_graph_add(g, "mean", "fault", &(vise_mean_attr){{VISE_MAX_RANK + 1, {0}}}, 1, &x);
}

static void empty_extent(vise_graph *g, vise_id x)
{
    (void)x;
    vise_graph_input(g, "fault", &(vise_shape){2, {4, 0}});
}

static void extent_too_large(vise_graph *g, vise_id x)
{
    (void)x;
    constant(g, "fault", 1, (size_t)VISE_MAX_DIM + 1, 0);
}

static void count_too_large(vise_graph *g, vise_id x)
{
    (void)x;
    constant(g, "fault", 2, VISE_MAX_DIM, VISE_MAX_DIM);
}

static void result_too_large(vise_graph *g, vise_id x)
{
    (void)x;
    const vise_id in[] = {constant(g, "a", 2, VISE_MAX_DIM, 1),
                          constant(g, "b", 2, 1, VISE_MAX_DIM)};
    vise_graph_add(g, "mul", "fault", NULL, 2, in);
}

static void port_twice(vise_graph *g, vise_id x)
{
    vise_graph_output(g, "fault", x);
    vise_graph_output(g, "fault", x);
}

static void port_of_nothing(vise_graph *g, vise_id x)
{
    (void)x;
    vise_graph_output(g, "fault", 99);
}

static void too_many_ports(vise_graph *g, vise_id x)
{
    char name[32];
    for (int i = 0; i < VISE_MAX_PORTS; i++) {
        snprintf(name, sizeof name, "port%d", i);
        vise_graph_output(g, name, x);
    }
    assert_int_equal(g->status, VISE_OK);
    vise_graph_output(g, "fault", x);
}

static void test_sticky_failures(void **state)
{
    (void)state;
    static break_it *const breaks[] = {
        unknown_op,       name_of_a_node_twice, name_of_a_constant_taken, later_value,
        too_few_operands, absent_first_operand, attribute_out_of_range,   list_too_long,
        empty_extent,     extent_too_large,     count_too_large,          result_too_large,
        port_twice,       port_of_nothing,      too_many_ports,
    };
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        vise_graph g;
        vise_err e = {0};
        vise_graph_init(&g, &e);
        const vise_id x = vise_graph_input(&g, "x", &(vise_shape){1, {4}});
        breaks[i](&g, x);
        if (g.status != VISE_EFORMAT || e.code != VISE_EFORMAT || !strstr(e.msg, "fault"))
            fail_msg("break %zu: status %d, code %d, \"%s\"", i, g.status, e.code, e.msg);
        const vise_err first = e;
        const size_t values = g.values, nodes = g.nodes;
        // all that follows does nothing and says nothing
        assert_int_equal(vise_graph_add(&g, "act", "later", NULL, 1, &x), VISE_NONE);
        assert_int_equal(vise_graph_add(&g, "nonsense", "later", NULL, 1, &x), VISE_NONE);
        assert_int_equal(vise_graph_input(&g, "later", &(vise_shape){1, {4}}), VISE_NONE);
        assert_int_equal(constant(&g, "later", 1, 4, 0), VISE_NONE);
        vise_graph_output(&g, "later", VISE_NONE);
        vise_graph_fail(&g, VISE_EIO);
        assert_int_equal(vise_graph_finish(&g), VISE_EFORMAT);
        assert_memory_equal(&first, &e, sizeof e);
        assert_true(values == g.values && nodes == g.nodes);
        vise_graph_free(&g);
    }
}

static void test_unfinished(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) { // no input, no node, no output
        vise_graph g;
        vise_err e = {0};
        vise_graph_init(&g, &e);
        vise_id x =
            what ? vise_graph_input(&g, "x", &(vise_shape){1, {4}}) : constant(&g, "x", 1, 4, 0);
        if (what != 1) x = vise_graph_add(&g, "act", "y", NULL, 1, &x);
        if (what != 2) vise_graph_output(&g, "out", x);
        assert_int_equal(vise_graph_finish(&g), VISE_EFORMAT);
        vise_graph_free(&g);
    }
}

/* ---- attributes ---- */

/* Something that is allowed and not the default. */
static void set_other(void *attr, const vise_attr_def *d, unsigned salt)
{
    char *p = (char *)attr + d->offset;
    const double low = d->min, high = d->max, middle = d->def + 1 + salt;
    const double v = middle <= high ? middle : d->def > low ? low : high;
    switch (d->kind) {
    case VISE_ATTR_INT:
        *(int64_t *)p = (int64_t)v;
        break;
    case VISE_ATTR_REAL: // needs all digits
        *(double *)p = low + (high - low) * (1.0 / 3) / (1 + salt);
        break;
    case VISE_ATTR_BOOL:
        *(bool *)p = d->def == 0;
        break;
    case VISE_ATTR_WORD:
        *(int *)p = d->words[1] ? 1 : 0;
        break;
    case VISE_ATTR_INTS:
        *(vise_ints *)p = (vise_ints){3, {(int64_t)low, (int64_t)high, (int64_t)fmin(high, 2)}};
        break;
    }
}

static bool same_attr(const vise_op *op, const void *a, const void *b)
{
    for (const vise_attr_def *d = op->attrs; d && d->name; d++) {
        const char *p = (const char *)a + d->offset, *q = (const char *)b + d->offset;
        bool same = true;
        if (d->kind == VISE_ATTR_INT) same = *(const int64_t *)p == *(const int64_t *)q;
        if (d->kind == VISE_ATTR_REAL) same = *(const double *)p == *(const double *)q;
        if (d->kind == VISE_ATTR_BOOL) same = *(const bool *)p == *(const bool *)q;
        if (d->kind == VISE_ATTR_WORD) same = *(const int *)p == *(const int *)q;
        const vise_ints *v = (const vise_ints *)p, *w = (const vise_ints *)q;
        if (d->kind == VISE_ATTR_INTS)
            same = v->n == w->n && !memcmp(v->v, w->v, v->n * sizeof *v->v);
        if (!same) return false;
    }
    return true;
}

enum { ATTR_ROOM = 256 };

/* To text and back; returns the text (vise_free). */
static char *round_trip(const vise_op *op, const void *attr)
{
    _Alignas(16) char back[ATTR_ROOM];
    char *text = NULL;
    vise_err e = {0};
    if (vise_attr_to_json(&text, op, attr, &e)) fail_msg("%s: %s", op->name, e.msg);
    json_t *o = json_loads(text, 0, NULL);
    assert_non_null(o);
    memset(back, 0xff, sizeof back);
    if (vise_attr_from_json(back, op, o, "node", &e)) fail_msg("%s: %s", op->name, e.msg);
    json_decref(o);
    if (!same_attr(op, attr, back)) fail_msg("%s: %s reads back differently", op->name, text);
    return text;
}

static void test_json_round_trip(void **state)
{
    (void)state;
    size_t attributes = 0;
    for (size_t i = 0; vise_op_at(i); i++) {
        const vise_op *op = vise_op_at(i);
        _Alignas(16) char attr[ATTR_ROOM];
        assert_true(op->attr_size <= sizeof attr);
        assert_int_equal(op->attr_size != 0, op->attrs != NULL);
        vise_attr_defaults(op, attr);
        assert_int_equal(vise_attr_check(op, attr, "node", NULL), VISE_OK);
        char *text = round_trip(op, attr);
        assert_string_equal(text, "{}"); // defaults are left out
        vise_free(text);
        for (unsigned salt = 0; salt < 4; salt++) {
            for (const vise_attr_def *d = op->attrs; d && d->name; d++, attributes++)
                set_other(attr, d, salt);
            assert_int_equal(vise_attr_check(op, attr, "node", NULL), VISE_OK);
            text = round_trip(op, attr);
            for (const vise_attr_def *d = op->attrs; d && d->name; d++)
                if (!strstr(text, d->name)) fail_msg("%s: %s lacks %s", op->name, text, d->name);
            vise_free(text);
        }
    }
    assert_true(attributes > 40);
}

static void test_json_refusals(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"layernorm", "{\"epsilon\":1e-5}"},
        {"layernorm", "{\"eps\":\"1e-5\"}"},
        {"layernorm", "{\"eps\":2}"},
        {"layernorm", "[]"},
        {"layernorm", "{\"a\\u001bb\":1}"},
        {"layernorm", "{\"\":1}"},
        {"add", "{\"axis\":0}"},
        {"act", "{\"kind\":\"swish\"}"},
        {"act", "{\"kind\":1}"},
        {"concat", "{\"axis\":1.5}"},
        {"concat", "{\"axis\":null}"},
        {"concat", "{\"axis\":9223372036854775807}"},
        {"matmul", "{\"transpose\":1}"},
        {"conv2d", "{\"stride\":2}"},
        {"conv2d", "{\"stride\":[\"2\"]}"},
        {"conv2d", "{\"stride\":[1,1,1,1,1,1,1]}"},
        {"conv2d", "{\"stride\":[-1]}"},
        {"reshape", "{\"shape\":[1,1,1,1,1,1,1,1]}"},
        {"reshape", "{\"shape\":{\"0\":1}}"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const vise_op *op = vise_op_find(wrong[i][0]);
        void *attr = malloc(op->attr_size + 1); // about exactly: sanitizers see a list too long
        vise_err e = {0};
        json_t *o = json_loads(wrong[i][1], 0, NULL);
        assert_true(attr && o);
        const vise_status s = vise_attr_from_json(attr, op, o, "node7", &e);
        json_decref(o);
        free(attr);
        if (s != VISE_EFORMAT || !strstr(e.msg, "node7") || strchr(e.msg, 27))
            fail_msg("%s %s: status %d, \"%s\"", wrong[i][0], wrong[i][1], s, e.msg);
    }
    assert_int_equal(vise_attr_from_json(NULL, vise_op_find("add"), NULL, "n", NULL), VISE_EFORMAT);
}

static void test_json_without_memory(void **state)
{
    (void)state;
    char *text = (char *)1;
    vise_alloc_fail_at = 0;
    const vise_status s =
        vise_attr_to_json(&text, vise_op_find("layernorm"), &(vise_norm_attr){0.5}, NULL);
    vise_alloc_fail_at = -1;
    assert_int_equal(s, VISE_ENOMEM);
    assert_null(text);
}

/* ---- what encodings mean ---- */

/* 16-bit patterns and what they stand for. */
static void test_decode_halves(void **state)
{
    (void)state;
    uint8_t bytes[2 * 65536 + 1]; // at an odd address
    static float f16[65536], bf16[65536];
    for (size_t i = 0; i < 65536; i++) {
        bytes[1 + 2 * i] = i & 255;
        bytes[2 + 2 * i] = (uint8_t)(i >> 8);
    }
    vise_const c = {.shape = {2, {256, 256}}, .enc = {.type = VISE_F16}, .data = bytes + 1};
    vise_decode(f16, &c);
    c.enc.type = VISE_BF16;
    vise_decode(bf16, &c);
    for (size_t i = 0; i < 65536; i++) {
        const double sign = i >> 15 ? -1 : 1;
        const int e16 = (int)(i >> 10 & 31), e32 = (int)(i >> 7 & 255);
        const double m16 = (double)(i & 1023) / 1024, m32 = (double)(i & 127) / 128;
        double half = sign * ldexp(e16 ? 1 + m16 : m16, (e16 ? e16 : 1) - 15);
        double brain = sign * ldexp(e32 ? 1 + m32 : m32, (e32 ? e32 : 1) - 127);
        if (e16 == 31) half = m16 > 0 ? (double)NAN : sign * HUGE_VAL;
        if (e32 == 255) brain = m32 > 0 ? (double)NAN : sign * HUGE_VAL;
        assert_true(isnan(half) ? isnan(f16[i]) : (double)f16[i] == half);
        assert_true(isnan(brain) ? isnan(bf16[i]) : (double)bf16[i] == brain);
        assert_true(isnan(half) || !signbit(f16[i]) == !signbit(half));
    }
}

static void test_decode_f32(void **state)
{
    (void)state;
    const float want[] = {0, -0.0F, 1, FLT_MAX, 1e-42F, -3.5F};
    float got[6];
    char bytes[sizeof want + 1];
    memcpy(bytes + 1, want, sizeof want);
    const vise_const c = {.shape = {2, {3, 2}}, .enc = {.type = VISE_F32}, .data = bytes + 1};
    vise_decode(got, &c);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(vise_const_bytes(&c), sizeof want);
}

/* Code j of a row, one bit at a time. */
static unsigned code_of(const uint8_t *row, size_t j, unsigned bits)
{
    unsigned code = 0;
    for (size_t b = 0; b < bits; b++) {
        const size_t bit = j * bits + b;
        code |= (unsigned)(row[bit / 8] >> bit % 8 & 1) << b;
    }
    return code;
}

static void check_codes(vise_rng *rng, unsigned bits, bool codebook, size_t cols, size_t group)
{
    enum { ROWS = 3, MOST = 3 * 64 };
    const size_t row_bytes = (cols * bits + 7) / 8, groups = group ? (cols + group - 1) / group : 1;
    uint8_t *codes = malloc(ROWS * row_bytes); // exactly: sanitizers see a byte too far
    float scale[MOST], book[256], out[MOST];
    assert_non_null(codes);
    for (size_t i = 0; i < ROWS * row_bytes; i++)
        codes[i] = (uint8_t)vise_rng_u64(rng);
    for (size_t i = 0; i < ROWS * groups; i++)
        scale[i] = vise_rng_normal(rng);
    for (size_t i = 0; i < 256; i++)
        book[i] = vise_rng_normal(rng);
    const vise_const c = {
        .shape = {3, {ROWS, cols, 1}},
        .enc = {.bits = bits, .zero = 5, .group = group, .levels = codebook ? VISE_CODEBOOK : 0},
        .data = codes,
        .scale = scale,
        .codebook = codebook ? book : NULL};
    vise_decode(out, &c);
    for (size_t i = 0; i < ROWS * cols; i++) {
        const size_t r = i / cols, j = i % cols;
        const unsigned code = code_of(codes + r * row_bytes, j, bits);
        const double level = codebook ? (double)book[code] : (double)code - 5;
        const double want = level * (double)scale[r * groups + (group ? j / group : 0)];
        if (!(fabs((double)out[i] - want) <= (double)FLT_EPSILON / 2 * fabs(want)))
            fail_msg("%u bits, %zu columns, group %zu: [%zu] is %g, not %g", bits, cols, group, i,
                     (double)out[i], want);
    }
    const size_t book_bytes = codebook ? ((size_t)1 << bits) * 4 : 0;
    assert_int_equal(vise_const_bytes(&c), ROWS * row_bytes + ROWS * groups * 4 + book_bytes);
    free(codes);
}

static void test_decode_codes(void **state)
{
    (void)state;
    static const size_t columns[] = {1, 2, 3, 7, 8, 9, 31, 32, 33, 64}, group[] = {0, 1, 5, 8, 64};
    vise_rng rng = vise_rng_named(7, "codes");
    for (unsigned bits = 2; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            for (size_t k = 0; k < sizeof group / sizeof *group; k++) {
                check_codes(&rng, bits, false, columns[i], group[k]);
                check_codes(&rng, bits, true, columns[i], group[k]);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_sticky_failures),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_refusals),
        cmocka_unit_test(test_json_without_memory),
        cmocka_unit_test(test_decode_halves),
        cmocka_unit_test(test_decode_f32),
        cmocka_unit_test(test_decode_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
