/* tiny.h - a small network with every kind of step in it, made of random numbers
 *
 * Convolutions (plain and grouped), windows as explicit dimensions, attention, values that do not
 * depend on the images, weights in f32, f16 and bf16: 2 outputs, "logits" and "map".
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

#include "base/rng.h"
#include "graph/ops.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { TINY_SIZE = 8, TINY_CHANNELS = 3, TINY_DIM = 12, TINY_CLASSES = 5 };

typedef struct tiny {
    vise_model *m;
    vise_graph *g;
    vise_err *e;
    uint64_t seed;
} tiny;

/* A random tensor as a constant of the model, stored as dtype. */
static inline vise_id tiny_const(tiny *t, const char *name, vise_dtype dtype, uint32_t rank,
                                 const size_t *dim)
{
    const vise_shape shape = vise_shape_of(rank, dim);
    const size_t n = vise_shape_count(&shape), size = vise_dtype_size(dtype);
    char *data = vise_alloc(n, size);
    vise_rng r = vise_rng_named(t->seed, name);
    if (!data || vise_tensors_own(&t->m->tensors, data, t->e)) {
        vise_graph_fail(t->g, VISE_ENOMEM);
        return VISE_NONE;
    }
    for (size_t i = 0; i < n; i++) {
        const float x = vise_rng_normal(&r) * 0.25f;
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (dtype == VISE_F32) memcpy(data + 4 * i, &x, 4);
        if (dtype == VISE_BF16)
            memcpy(data + 2 * i, (char *)&bits + 2, 2); // truncated: any bits do
        if (dtype == VISE_F16) {                        // 1.x of either sign, from the mantissa
            uint16_t h = (uint16_t)(0x3400 | (bits >> 16 & 0x8000) | (bits >> 13 & 0x3ff));
            memcpy(data + 2 * i, &h, 2);
        }
    }
    const vise_stored st = {name, dtype, shape, data, n * size};
    vise_graph_fail(t->g, vise_tensors_add(&t->m->tensors, &st, t->e));
    return vise_graph_const(t->g, name,
                            &(vise_const){.shape = shape, .enc = {.type = dtype}, .data = data});
}

static inline vise_id tiny_mat(tiny *t, const char *name, vise_dtype dtype, size_t a, size_t b)
{
    return tiny_const(t, name, dtype, 2, (size_t[]){a, b});
}

static inline vise_id tiny_vec(tiny *t, const char *name, size_t n)
{
    return tiny_const(t, name, VISE_F32, 1, &n);
}

static inline vise_id tiny_reshape(tiny *t, const char *name, vise_id x, vise_ints shape)
{
    return vise_graph_add(t->g, "reshape", name, &(vise_reshape_attr){shape}, 1, &x);
}

/* Attention over windows: [2, 2, 4, C] -> the same; q, k, v are slices of one product. */
static inline vise_id tiny_attention(tiny *t, vise_id x)
{
    vise_graph *g = t->g;
    const char *const names[] = {"attn.q", "attn.k", "attn.v"};
    const int64_t C = TINY_DIM;
    vise_id w = tiny_mat(t, "qkv.weight", VISE_BF16, 3 * TINY_DIM, TINY_DIM), v[3];
    vise_id b = tiny_vec(t, "qkv.bias", 3 * TINY_DIM);
    vise_id qkv = vise_graph_add(g, "linear", "attn.qkv", NULL, 3, (vise_id[]){x, w, b});
    for (int i = 0; i < 3; i++)
        v[i] = vise_graph_add(g, "slice", names[i], &(vise_slice_attr){-1, i * C, (i + 1) * C, 1},
                              1, &qkv);
    return vise_graph_add(g, "attention", "attn",
                          &(vise_attention_attr){.heads = 3, .prob_bits = 8}, 3, v);
}

static inline void tiny_graph(tiny *t)
{
    vise_graph *g = t->g;
    const size_t C = TINY_DIM;
    const vise_shape in = {3, {TINY_SIZE, TINY_SIZE, TINY_CHANNELS}};
    vise_id x = vise_graph_input(g, "pixels", &in);
    vise_id w = tiny_const(t, "stem.weight", VISE_F16, 4, (size_t[]){C, TINY_CHANNELS, 3, 3});
    x = vise_graph_add(g, "conv2d", "stem", &(vise_conv2d_attr){{1, {2}}, {1, {1}}, {0}, 1}, 3,
                       (vise_id[]){x, w, tiny_vec(t, "stem.bias", C)}); // [4, 4, C]
    w = tiny_const(t, "dw.weight", VISE_F32, 4, (size_t[]){C, 1, 3, 3});
    x = vise_graph_add(g, "conv2d", "dw", &(vise_conv2d_attr){{0}, {1, {1}}, {0}, TINY_DIM}, 2,
                       (vise_id[]){x, w});
    vise_id table = tiny_mat(t, "pos_embed", VISE_F32, 1 + 9, C); // another grid: it is resized
    x = vise_graph_add(g, "embed_add", "pos", &(vise_embed_add_attr){1, 3, 3, false}, 2,
                       (vise_id[]){x, table});
    vise_id map = x;
    x = tiny_reshape(t, "windows", x, (vise_ints){4, {2, 2, 4, TINY_DIM}});
    vise_id norm =
        vise_graph_add(g, "layernorm", "norm", &(vise_norm_attr){1e-5}, 3,
                       (vise_id[]){x, tiny_vec(t, "norm.weight", C), tiny_vec(t, "norm.bias", C)});
    vise_id y = tiny_attention(t, norm);
    y = vise_graph_add(g, "mul", "ls", NULL, 2, (vise_id[]){y, tiny_vec(t, "ls.gamma", C)});
    x = vise_graph_add(g, "add", "residual", NULL, 2, (vise_id[]){x, y});
    x = vise_graph_add(g, "act", "gelu", NULL, 1, &x);
    x = tiny_reshape(t, "tokens", x, (vise_ints){2, {-1, TINY_DIM}});
    // what does not depend on the images is computed once: the class token with its position
    vise_id cls = vise_graph_add(g, "slice", "cls_pos", &(vise_slice_attr){0, 0, 1, 1}, 1, &table);
    cls = vise_graph_add(g, "add", "cls", NULL, 2,
                         (vise_id[]){cls, tiny_mat(t, "cls_token", VISE_F32, 1, C)});
    x = vise_graph_add(g, "concat", "prefix", &(vise_concat_attr){0}, 2, (vise_id[]){cls, x});
    x = vise_graph_add(g, "mean", "pool", &(vise_mean_attr){{1, {0}}}, 1, &x);
    x = vise_graph_add(g, "linear", "head", NULL, 3,
                       (vise_id[]){x, tiny_mat(t, "head.weight", VISE_F32, TINY_CLASSES, C),
                                   tiny_vec(t, "head.bias", TINY_CLASSES)});
    vise_graph_output(g, "logits", x);
    vise_graph_output(g, "map", map);
}

static inline vise_status tiny_new_seed(vise_model **out, uint64_t seed, vise_err *e)
{
    *out = NULL;
    vise_model *m;
    VISE_TRY(vise_model_alloc(&m, e));
    tiny t = {m, &m->graph, e, seed};
    m->family = "tiny";
    m->recipe = (vise_recipe){.channels = TINY_CHANNELS,
                              .height = TINY_SIZE,
                              .width = TINY_SIZE,
                              .filter = VISE_BILINEAR,
                              .crop = VISE_CROP_CENTER,
                              .crop_pct = 0.875,
                              .mean = {.1f, .2f, .3f},
                              .std = {1, .5f, .25f}};
    vise_graph_init(&m->graph, e);
    tiny_graph(&t);
    vise_status s = vise_graph_finish(&m->graph);
    if (!s) s = vise_strings_add(&m->history, "made by a test", e);
    if (s)
        vise_model_free(m);
    else
        *out = m;
    return s;
}

static inline vise_status tiny_new(vise_model **out, vise_err *e)
{
    return tiny_new_seed(out, 7, e);
}

#endif
