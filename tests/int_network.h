/* int_network.h - a whole network of integers from seeded random numbers, in memory, and the bits that
 * its logits have on every processor
 *
 * It has all operators that the pass "integer" writes, in the same order: patches, positions, a class
 * token, blocks, a head. Needs base, kern, graph and exec, and no library.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_INT_NETWORK_H
#define TESTS_INT_NETWORK_H

#include "base/rng.h"
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    NET_SIDE = 12,
    NET_PATCH = 4,
    NET_PATCHES = 9,
    NET_TOKENS = NET_PATCHES + 1,
    NET_ENTRIES = 300, // of its tables
    NET_CLASSES = 7,
    NET_PICTURES = 5,
    NET_PIXELS = NET_SIDE * NET_SIDE * 3,
};

/* What int_network_hash must return for the networks below. */
static const struct int_network_size {
    size_t dim, heads, hidden, depth;
    uint32_t bits;
} int_networks[] = {
    {30, 2, 70, 2, 0xd4bd3e75}, // heads of 15 channels, which no vector divides
    {64, 2, 130, 3, 0x4124317a},
    {32, 4, 1200, 1, 0xe5d8215e}, // sums beyond 2^24: one product runs by its definition
};
enum { INT_NETWORKS = sizeof int_networks / sizeof *int_networks };

typedef struct int_network {
    vise_model m;
    vise_graph *g;
    vise_region memory;
    vise_rng rng;
    vise_err e;
    size_t C;
} int_network;

static inline int32_t net_pick(int_network *t, int32_t least, int32_t most)
{
    return least + (int32_t)(vise_rng_u64(&t->rng) % (uint64_t)(most - least + 1));
}

static inline void *net_room(int_network *t, size_t n, size_t size)
{
    void *x = vise_region_take(&t->memory, n, size);
    if (!x) vise_graph_fail(t->g, VISE_ENOMEM);
    return x;
}

static inline vise_id net_const(int_network *t, const char *node, const char *suffix,
                                const float *x, vise_shape shape)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", node, suffix);
    const vise_const c = {.shape = shape, .enc = {.type = VISE_F32}, .data = x};
    return vise_graph_const(t->g, name, &c);
}

/* Integers from -most to most. */
static inline vise_id net_vector(int_network *t, const char *node, const char *suffix, size_t n,
                                 int32_t most)
{
    float *x = net_room(t, n, sizeof *x);
    for (size_t i = 0; x && i < n; i++)
        x[i] = (float)net_pick(t, -most, most);
    return net_const(t, node, suffix, x, (vise_shape){1, {n}});
}

/* Fixed-point numbers in [2^-(e + 1), 2^-e). */
static inline vise_id net_mults(int_network *t, const char *node, size_t n, int e)
{
    float *x = net_room(t, n, sizeof *x);
    for (size_t i = 0; x && i < n; i++)
        x[i] = ldexpf((float)net_pick(t, 1 << 23, (1 << 24) - 1), -24 - e);
    return net_const(t, node, "mult", x, (vise_shape){1, {n}});
}

/* Codes [n, k]; of full rows, which exceed every sum, 127. */
static inline vise_id net_weight(int_network *t, const char *node, size_t n, size_t k)
{
    uint8_t *code = net_room(t, n, k);
    float *one = net_room(t, n, sizeof *one);
    char name[64];
    snprintf(name, sizeof name, "%s.weight", node);
    for (size_t i = 0; code && i < n * k; i++)
        code[i] = (uint8_t)(128 + (k > 1040 ? 127 : net_pick(t, -127, 127)));
    for (size_t i = 0; one && i < n; i++)
        one[i] = 1;
    const vise_const c = {.shape = {2, {n, k}},
                          .enc = {.type = VISE_U8, .bits = 8, .zero = 128},
                          .data = code,
                          .scale = one};
    return vise_graph_const(t->g, name, &c);
}

typedef struct net_product {
    size_t n, k;
    vise_int_linear_attr attr;
    int fall; // what codes' random sums, of some 2^12 sqrt(k), are divided by, in bits
} net_product;

static inline vise_id net_linear(int_network *t, const char *name, vise_id x, const net_product *p)
{
    int root = 0; // log2 of sqrt(k)
    while ((size_t)4 << 2 * root <= p->k)
        root++;
    const vise_id w = net_weight(t, name, p->n, p->k);
    const vise_id b = net_vector(t, name, "bias", p->n, 100000);
    return vise_graph_add(t->g, "int_linear", name, &p->attr, 4,
                          (vise_id[]){x, w, b, net_mults(t, name, p->n, p->fall + root)});
}

static inline vise_id net_reshape(int_network *t, const char *name, vise_id x, vise_ints to)
{
    return vise_graph_add(t->g, "reshape", name, &(vise_reshape_attr){to}, 1, &x);
}

/* Pixels to the residual stream [T, C]. */
static inline vise_id net_tokens(int_network *t)
{
    const int64_t side = NET_SIDE / NET_PATCH, line = NET_PATCH * 3;
    const vise_shape in = {3, {NET_SIDE, NET_SIDE, 3}};
    const net_product patches = {
        t->C, NET_PATCH * (size_t)line, {-VISE_INT_MOST, VISE_INT_MOST, 0}, -3};
    const vise_id pixels = vise_graph_input(t->g, "pixels", &in);
    float *scale = net_room(t, 3, sizeof *scale), *zeros = net_room(t, t->C, sizeof *zeros);
    for (size_t c = 0; scale && c < 3; c++)
        scale[c] = ldexpf(1, (int)c - 1);
    const vise_id quant[] = {pixels, net_const(t, "codes", "scale", scale, (vise_shape){1, {3}}),
                             net_vector(t, "codes", "offset", 3, 20)};
    vise_id x = vise_graph_add(t->g, "int_quant", "codes", NULL, 3, quant);
    x = net_reshape(t, "lines", x, (vise_ints){4, {side, NET_PATCH, side, line}});
    x = vise_graph_add(t->g, "permute", "order", &(vise_permute_attr){{4, {0, 2, 1, 3}}}, 1, &x);
    x = net_reshape(t, "patches", x, (vise_ints){3, {side, side, -1}});
    x = net_linear(t, "embed", x, &patches);
    x = net_reshape(t, "tokens", x, (vise_ints){2, {-1, (int64_t)t->C}});
    const vise_id class = net_const(t, "class", "token", zeros, (vise_shape){2, {1, t->C}});
    x = vise_graph_add(t->g, "concat", "prefix", &(vise_concat_attr){0}, 2, (vise_id[]){class, x});
    float *at = net_room(t, NET_TOKENS * t->C, sizeof *at);
    for (size_t i = 0; at && i < NET_TOKENS * t->C; i++)
        at[i] = (float)net_pick(t, -40000, 40000);
    const vise_id table =
        net_const(t, "positions", "table", at, (vise_shape){2, {NET_TOKENS, t->C}});
    return vise_graph_add(t->g, "int_add", "positions", NULL, 2, (vise_id[]){x, table});
}

/* To codes, or with exponents to numbers of four times that. */
static inline vise_id net_norm(int_network *t, const char *name, vise_id x, int exponents)
{
    const int64_t most = VISE_INT_CODE * (1 << exponents);
    const vise_int_layernorm_attr a = {-most, most, 1000, exponents ? 26 : 29};
    const vise_id w = net_vector(t, name, "weight", t->C, 300000);
    const vise_id b = net_vector(t, name, "bias", t->C, 3000);
    return vise_graph_add(t->g, "int_layernorm", name, &a, 3, (vise_id[]){x, w, b});
}

static inline vise_id net_attention(int_network *t, const char *name, vise_id qkv, size_t heads)
{
    static const char *const parts[] = {"q", "k", "v"};
    const int64_t C = (int64_t)t->C;
    char part[64];
    vise_id in[7];
    for (int i = 0; i < 3; i++) {
        snprintf(part, sizeof part, "%s.%s", name, parts[i]);
        in[i] = vise_graph_add(t->g, "slice", part, &(vise_slice_attr){-1, i * C, (i + 1) * C, 1},
                               1, &qkv);
    }
    float *e = net_room(t, NET_ENTRIES, sizeof *e), *step = net_room(t, heads, sizeof *step);
    for (int32_t i = 0; e && i < NET_ENTRIES; i++)
        e[i] = (float)(VISE_INT_PROB * (NET_ENTRIES - 1 - i) / (NET_ENTRIES - 1) *
                       (NET_ENTRIES - 1 - i) / (NET_ENTRIES - 1));
    for (size_t h = 0; step && h < heads; h++)
        step[h] = (float)net_pick(t, 3000, 20000);
    in[3] = net_const(t, name, "table", e, (vise_shape){1, {NET_ENTRIES}});
    in[4] = net_const(t, name, "step", step, (vise_shape){1, {heads}});
    in[5] = net_vector(t, name, "bias", t->C, 1 << 19);
    in[6] = net_mults(t, name, t->C, 16);
    const vise_int_attention_attr a = {-VISE_INT_CODE, VISE_INT_CODE, (int64_t)heads};
    return vise_graph_add(t->g, "int_attention", name, &a, 7, in);
}

/* A bend at 0, the identity beyond the table; then 8 bits and an exponent. */
static inline vise_id net_act(int_network *t, const char *name, vise_id x, size_t n)
{
    enum { FIRST = -200, GAIN = 16 };
    const int64_t most = VISE_INT_CODE * 8;
    char function[64];
    float *y = net_room(t, NET_ENTRIES, sizeof *y);
    snprintf(function, sizeof function, "%s.function", name);
    for (int32_t i = 0; y && i < NET_ENTRIES; i++)
        y[i] = (float)(i + FIRST > 0 ? GAIN * (i + FIRST) : i % 7 - 30);
    const vise_id in[2] = {x, net_const(t, name, "table", y, (vise_shape){1, {NET_ENTRIES}})};
    x = vise_graph_add(t->g, "int_lut", function, &(vise_int_lut_attr){FIRST, GAIN}, 2, in);
    const vise_id b = net_vector(t, name, "bias", n, 200), by = net_mults(t, name, n, 3);
    return vise_graph_add(t->g, "int_scale", name, &(vise_int_range_attr){-most, most}, 3,
                          (vise_id[]){x, b, by});
}

static inline vise_id net_block(int_network *t, size_t i, vise_id x,
                                const struct int_network_size *s)
{
    static const char *const names[] = {"norm1", "qkv", "attn", "proj", "sum1",
                                        "norm2", "fc1", "act",  "fc2",  "sum2"};
    enum { NORM1, QKV, ATTN, PROJ, SUM1, NORM2, FC1, ACT, FC2, SUM2, NAMES };
    const vise_int_linear_attr codes = {-VISE_INT_CODE, VISE_INT_CODE, 3};
    const vise_int_linear_attr sums = {-VISE_INT_MOST, VISE_INT_MOST, 0};
    const vise_int_linear_attr wide = {-VISE_INT_MOST, VISE_INT_MOST, 3};
    char name[NAMES][32];
    for (size_t k = 0; k < NAMES; k++)
        snprintf(name[k], sizeof name[k], "blocks.%zu.%s", i, names[k]);
    vise_id y = net_norm(t, name[NORM1], x, 3);
    y = net_linear(t, name[QKV], y, &(net_product){3 * t->C, t->C, codes, 9});
    y = net_attention(t, name[ATTN], y, s->heads);
    y = net_linear(t, name[PROJ], y, &(net_product){t->C, t->C, sums, -3});
    x = vise_graph_add(t->g, "int_add", name[SUM1], NULL, 2, (vise_id[]){x, y});
    y = net_norm(t, name[NORM2], x, 0);
    y = net_linear(t, name[FC1], y, &(net_product){s->hidden, t->C, sums, 5});
    y = net_act(t, name[ACT], y, s->hidden);
    y = net_linear(t, name[FC2], y, &(net_product){t->C, s->hidden, wide, 0});
    return vise_graph_add(t->g, "int_add", name[SUM2], NULL, 2, (vise_id[]){x, y});
}

static inline vise_status int_network_new(int_network *t, const struct int_network_size *s)
{
    memset(t, 0, sizeof *t);
    t->g = &t->m.graph;
    t->C = s->dim;
    t->rng = vise_rng_named(s->dim, "integer network");
    vise_graph_init(t->g, &t->e);
    vise_id x = net_tokens(t);
    for (size_t i = 0; i < s->depth; i++)
        x = net_block(t, i, x, s);
    x = vise_graph_add(t->g, "slice", "class", &(vise_slice_attr){0, 0, 1, 1}, 1, &x);
    x = net_norm(t, "norm", x, 0);
    x = net_linear(t, "head", x,
                   &(net_product){NET_CLASSES, t->C, {-VISE_INT_MOST, VISE_INT_MOST, 0}, 0});
    x = vise_graph_add(t->g, "int_dequant", "floats", &(vise_int_dequant_attr){0.001}, 1, &x);
    vise_graph_output(t->g, "logits", x);
    return vise_graph_finish(t->g);
}

static inline void int_network_free(int_network *t)
{
    vise_graph_free(t->g);
    vise_region_free(&t->memory);
}

static inline void int_network_pixels(float *x)
{
    vise_rng r = vise_rng_named(1, "pixels");
    for (size_t i = 0; i < NET_PICTURES * NET_PIXELS; i++)
        x[i] = (float)((int32_t)(vise_rng_u64(&r) % 255) - 127) * 0.5f;
}

/* Of the logits of all pictures: FNV-1a. */
static inline uint32_t int_network_bits(const float *y)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < NET_PICTURES * NET_CLASSES; i++) {
        uint32_t v;
        memcpy(&v, &y[i], sizeof v);
        for (int k = 0; k < 32; k += 8)
            hash = (hash ^ (v >> k & 255)) * 16777619u;
    }
    return hash;
}

/* By one session. Fails as vise_session_new. */
static inline vise_status int_network_hash(uint32_t *hash, const int_network *t,
                                           const vise_session_opts *o, vise_err *e)
{
    static float x[NET_PICTURES * NET_PIXELS], y[NET_PICTURES * NET_CLASSES];
    vise_session *s;
    vise_status st = vise_session_new(&s, &t->m, o, e);
    if (st) return st;
    int_network_pixels(x);
    for (size_t i = 0; i < NET_PICTURES; i += o->batch)
        vise_session_run(s, NET_PICTURES - i < o->batch ? NET_PICTURES - i : o->batch,
                         (const float *[]){x + i * NET_PIXELS}, (float *[]){y + i * NET_CLASSES});
    vise_session_free(s);
    *hash = int_network_bits(y);
    return VISE_OK;
}

#endif
