/* coded.h - a small network whose constants are coded in every way, and whose operands are rounded
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_CODED_H
#define TESTS_CODED_H

#include "base/rng.h"
#include "graph/ops.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

enum { CODED_SIZE = 4, CODED_DIM = 6, CODED_WIDE = 70, CODED_CLASSES = 3 };

typedef struct coded {
    vise_model *m;
    vise_graph *g;
    vise_err *e;
    vise_rng rng;
} coded;

static inline void *coded_block(coded *c, size_t n, size_t size)
{
    void *p = vise_alloc(n, size);
    if (p && !vise_tensors_own(&c->m->tensors, p, c->e)) return p;
    vise_graph_fail(c->g, vise_fail(c->e, VISE_ENOMEM, "out of memory"));
    return NULL;
}

static inline float *coded_floats(coded *c, size_t n, bool positive)
{
    float *p = coded_block(c, n, sizeof *p);
    for (size_t i = 0; p && i < n; i++) {
        // exact, so that every machine makes the same file
        p[i] = (float)((int)(vise_rng_u64(&c->rng) % 2001) - 1000) / 4096;
        if (positive) p[i] = i % 5 == 3 ? 0 : p[i] * p[i]; // scales; the one of a row of zeros too
    }
    return p;
}

/* Multipliers of 0 to 7, and a codebook of whole numbers. */
static inline void coded_multipliers(coded *c, vise_const *k, const vise_code_layout *l)
{
    uint8_t *mult = coded_block(c, l->rows, l->groups);
    float *book = coded_block(c, (size_t)1 << k->enc.bits, sizeof *book);
    for (size_t i = 0; mult && i < l->rows * l->groups; i++)
        mult[i] = (uint8_t)(vise_rng_u64(&c->rng) % 8);
    for (size_t i = 0; book && i < (size_t)1 << k->enc.bits; i++)
        book[i] = (float)((int)(vise_rng_u64(&c->rng) % 37) - 18);
    k->mult = mult;
    if (k->enc.levels == VISE_CODEBOOK) k->codebook = book;
}

static inline vise_id coded_const(coded *c, const char *name, vise_shape shape, vise_encoding enc)
{
    vise_const k = {.shape = shape, .enc = enc};
    if (!enc.bits) {
        k.data = coded_floats(c, vise_shape_count(&shape), false);
        return vise_graph_const(c->g, name, &k);
    }
    const vise_code_layout l = vise_code_layout_of(&shape, &enc);
    uint8_t *code = coded_block(c, l.rows, l.stride);
    for (size_t i = 0; code && i < l.rows * l.stride; i++) // no code of 0, whose level is -128
        code[i] = (uint8_t)(1 + vise_rng_u64(&c->rng) % 255);
    k.data = code;
    k.scale = coded_floats(c, l.rows * l.groups, true);
    if (enc.levels == VISE_CODEBOOK) k.codebook = coded_floats(c, (size_t)1 << enc.bits, false);
    if (enc.multiplied) coded_multipliers(c, &k, &l);
    return vise_graph_const(c->g, name, &k);
}

static inline vise_encoding coded_affine(uint32_t bits, size_t group)
{
    return (vise_encoding){.type = VISE_U8, .bits = bits, .zero = 1 << (bits - 1), .group = group};
}

static inline vise_encoding coded_book(uint32_t bits, size_t group)
{
    return (vise_encoding){.type = VISE_U8, .bits = bits, .levels = VISE_CODEBOOK, .group = group};
}

static inline vise_id coded_linear(coded *c, const char *name, vise_id x, vise_encoding enc,
                                   vise_actq q)
{
    char w[64];
    const size_t rows = strcmp(name, "head") != 0 ? CODED_DIM : CODED_CLASSES;
    snprintf(w, sizeof w, "%s.weight", name);
    const vise_id in[] = {x, coded_const(c, w, (vise_shape){2, {rows, CODED_DIM}}, enc)};
    x = vise_graph_add(c->g, "linear", name, NULL, 2, in);
    vise_graph_set_actq(c->g, x, (vise_actq[2]){q});
    return x;
}

static inline vise_id coded_attention(coded *c, const char *name, vise_id x, vise_actq q,
                                      vise_attention_attr a)
{
    x = vise_graph_add(c->g, "attention", name, &a, 3, (vise_id[]){x, x, x});
    vise_graph_set_actq(c->g, x, (vise_actq[]){q, q, q});
    return x;
}

static inline void coded_graph(coded *c)
{
    const vise_actq none = {0}, sym = {.kind = VISE_ACTQ_SYM, .bits = 8},
                    asym = {.kind = VISE_ACTQ_ASYM, .bits = 8};
    const vise_actq fixed = {.kind = VISE_ACTQ_STATIC, .bits = 8, .scale = 0.1f, .zero = -7},
                    bf16 = {.kind = VISE_ACTQ_BF16};
    const vise_actq level = {.kind = VISE_ACTQ_STATIC, .bits = 8, .scale = 0x1.234568p-6f};
    const vise_actq few = {.kind = VISE_ACTQ_SYM, .bits = 3};
    const int8_t levels[] = {-127, -40, 5, 126};
    const vise_actq choice = {VISE_ACTQ_LEVELS, 2, 0.05f, -99, levels};
    const vise_attention_attr heads = {.heads = 2, .prob_bits = 8};
    const vise_conv2d_attr patch = {.stride = {1, {2}}, .groups = 1};
    const vise_actq rounding[] = {none, sym, asym, fixed, bf16};
    vise_id x = vise_graph_input(c->g, "pixels", &(vise_shape){3, {CODED_SIZE, CODED_SIZE, 3}});
    vise_id w =
        coded_const(c, "stem.weight", (vise_shape){4, {CODED_DIM, 3, 2, 2}}, coded_affine(8, 0));
    x = vise_graph_add(c->g, "conv2d", "stem", &patch, 2, (vise_id[]){x, w});
    vise_graph_set_actq(c->g, x, (vise_actq[2]){asym});
    w = coded_const(c, "pos", (vise_shape){3, {1, 4, CODED_DIM}}, coded_affine(5, 7));
    x = vise_graph_add(c->g, "embed_add", "embed", &(vise_embed_add_attr){0, 2, 2, false}, 2,
                       (vise_id[]){x, w});
    x = vise_graph_add(c->g, "reshape", "tokens", &(vise_reshape_attr){{2, {-1, CODED_DIM}}}, 1,
                       &x);
    for (uint32_t bits = 2; bits <= 8; bits++) {
        char name[32];
        snprintf(name, sizeof name, "affine%u", bits);
        x = coded_linear(c, name, x, coded_affine(bits, bits % 3 ? 4 : 0), rounding[bits % 5]);
        snprintf(name, sizeof name, "book%u", bits);
        x = coded_linear(c, name, x, coded_book(bits, bits % 2 ? 6 : 0), rounding[bits % 4]);
    }
    w = coded_const(c, "wide.weight", (vise_shape){2, {CODED_WIDE, CODED_DIM}}, coded_affine(6, 0));
    x = vise_graph_add(c->g, "linear", "wide", NULL, 2, (vise_id[]){x, w});
    for (uint32_t i = 0; i < 2; i++) {
        vise_encoding enc = i ? coded_book(3, 32) : coded_affine(4, 64);
        enc.multiplied = true;
        w = coded_const(c, i ? "mult3.weight" : "mult4.weight",
                        (vise_shape){2, {i ? CODED_DIM : CODED_WIDE, CODED_WIDE}}, enc);
        x = vise_graph_add(c->g, "linear", i ? "mult3" : "mult4", NULL, 2, (vise_id[]){x, w});
        vise_graph_set_actq(c->g, x, (vise_actq[2]){asym});
    }
    x = coded_attention(c, "attn0", x, sym, heads);
    x = coded_attention(c, "attn1", x, level, heads);
    x = coded_attention(c, "attn2", x, bf16, heads);
    x = coded_attention(c, "attn3", x, few, (vise_attention_attr){2, 0, 4, 0.5});
    x = coded_linear(c, "narrow", x, coded_affine(4, 0), few);
    x = coded_linear(c, "choice", x, coded_affine(4, 0), choice);
    x = vise_graph_add(c->g, "mean", "pool", &(vise_mean_attr){{1, {0}}}, 1, &x);
    x = coded_linear(c, "head", x, (vise_encoding){.type = VISE_F32}, none);
    vise_graph_output(c->g, "logits", x);
}

static inline vise_status coded_new(vise_model **out, vise_err *e)
{
    vise_model *m;
    *out = NULL;
    VISE_TRY(vise_model_alloc(&m, e));
    coded c = {m, &m->graph, e, vise_rng_named(11, "coded")};
    m->family = "coded";
    m->recipe = (vise_recipe){.channels = 3,
                              .height = CODED_SIZE,
                              .width = CODED_SIZE,
                              .filter = VISE_BILINEAR,
                              .crop = VISE_CROP_CENTER,
                              .crop_pct = 1,
                              .std = {1, 1, 1}};
    vise_graph_init(&m->graph, e);
    coded_graph(&c);
    vise_status s = vise_graph_finish(&m->graph);
    if (!s) s = vise_strings_add(&m->history, "made by a test", e);
    if (s)
        vise_model_free(m);
    else
        *out = m;
    return s;
}

#endif
