/* vit_oracle.h - tiny ViTs as lists of numbers under timm's names, and a second implementation
 *
 * vit_oracle() computes a network from those numbers in double precision, straight from the papers'
 * formulas; it shares no code with the library. vit_run() walks a graph with the plain forward of
 * its operators.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_VIT_ORACLE_H
#define TESTS_VIT_ORACLE_H

#include "base/rng.h"
#include "model/arch/arch.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the network is. 0 is a small default for every extent: width 16, 2 blocks of 2 heads, 40 hidden
 * channels, 4 x 4 patches of 4 x 4 pixels of 3 channels, 5 classes. */
typedef struct spec {
    size_t dim, depth, heads, mlp, channels, patch, grid[2], classes;
    size_t size[2]; // of the input in patches, if not the grid
    bool no_head, cls, dist, norm_pre, scale, qk_norm, post, fc_norm, no_norm, mean_pool, both_pool,
        pre_logits;
    bool no_qkv_bias, beit_bias, no_patch_bias, no_head_bias;
    size_t registers, prefix_pos;
    int gated; // 1: w12, w3; 2: fc1 of twice the width
    int act;   // 0 gelu, 1 relu, 2 gelu_quick, 3 gelu_tanh
    double eps;
} spec;

typedef struct array {
    char name[96];
    vise_shape shape;
    float *data;
    size_t n;
} array;

typedef struct net {
    spec s;
    array item[160];
    size_t count;
} net;

/* ---- numbers ---- */

static inline array *net_find(const net *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (!strcmp(n->item[i].name, name)) return (array *)&n->item[i];
    return NULL;
}

static inline void net_put(net *n, const char *name, vise_shape shape, float middle, float spread)
{
    assert(n->count < 160);
    array *a = &n->item[n->count++];
    vise_rng r = vise_rng_named(5, name);
    snprintf(a->name, sizeof a->name, "%s", name);
    a->shape = shape;
    a->n = vise_shape_count(&shape);
    a->data = malloc(a->n * sizeof(float));
    assert(a->data);
    for (size_t i = 0; i < a->n; i++)
        a->data[i] = middle + spread * vise_rng_normal(&r);
}

static inline void net_layer(net *n, const char *name, size_t rows, size_t cols, bool bias)
{
    char text[96];
    snprintf(text, sizeof text, "%s.weight", name);
    const vise_shape w = cols ? (vise_shape){2, {rows, cols}} : (vise_shape){1, {rows}};
    net_put(n, text, w, cols ? 0 : 1, cols ? 1 / sqrtf((float)cols) : 0.2f);
    snprintf(text, sizeof text, "%s.bias", name);
    if (bias) net_put(n, text, (vise_shape){1, {rows}}, 0, 0.3f);
}

static inline void net_block(net *n, size_t i)
{
    const spec *s = &n->s;
    const size_t C = s->dim, F = s->mlp;
    const struct part {
        const char *name;
        size_t rows, cols;
        bool there, bias;
    } parts[] = {
        {"norm1", C, 0, true, true},
        {"attn.qkv", 3 * C, C, true, !s->no_qkv_bias && !s->beit_bias},
        {"attn.q_norm", C / s->heads, 0, s->qk_norm, true},
        {"attn.k_norm", C / s->heads, 0, s->qk_norm, true},
        {"attn.proj", C, C, true, true},
        {"norm2", C, 0, true, true},
        {s->gated == 1 ? "mlp.w12" : "mlp.fc1", s->gated ? 2 * F : F, C, true, true},
        {s->gated == 1 ? "mlp.w3" : "mlp.fc2", C, F, true, true},
    };
    char text[96];
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        snprintf(text, sizeof text, "blocks.%zu.%s", i, parts[k].name);
        if (parts[k].there) net_layer(n, text, parts[k].rows, parts[k].cols, parts[k].bias);
    }
    const char *const extra[] = {"ls1.gamma", "ls2.gamma", "attn.q_bias", "attn.v_bias"};
    for (size_t k = 0; k < 4; k++) {
        snprintf(text, sizeof text, "blocks.%zu.%s", i, extra[k]);
        if (k < 2 ? s->scale : s->beit_bias)
            net_put(n, text, (vise_shape){1, {C}}, k < 2 ? 0.7f : 0, 0.2f);
    }
}

static inline void set_default(size_t *x, size_t otherwise)
{
    if (!*x) *x = otherwise;
}

static inline void fill_spec(spec *s)
{
    set_default(&s->dim, 16);
    set_default(&s->depth, 2);
    set_default(&s->heads, 2);
    set_default(&s->mlp, 40);
    set_default(&s->channels, 3);
    set_default(&s->patch, 4);
    set_default(&s->classes, 5);
    if (s->no_head) s->classes = 0;
    for (size_t i = 0; i < 2; i++) {
        set_default(&s->grid[i], 4);
        set_default(&s->size[i], s->grid[i]);
    }
}

static inline void net_make(net *n, const spec *given)
{
    const spec *s = &n->s;
    *n = (net){.s = *given};
    fill_spec(&n->s);
    const size_t C = s->dim, patches = s->grid[0] * s->grid[1];
    if (s->cls) net_put(n, "cls_token", (vise_shape){3, {1, 1, C}}, 0, 1);
    if (s->dist) net_put(n, "dist_token", (vise_shape){3, {1, 1, C}}, 0, 1);
    if (s->registers) net_put(n, "reg_token", (vise_shape){3, {1, s->registers, C}}, 0, 1);
    net_put(n, "pos_embed", (vise_shape){3, {1, s->prefix_pos + patches, C}}, 0, 0.5f);
    net_put(n, "patch_embed.proj.weight", (vise_shape){4, {C, s->channels, s->patch, s->patch}}, 0,
            0.3f);
    if (!s->no_patch_bias) net_put(n, "patch_embed.proj.bias", (vise_shape){1, {C}}, 0, 0.3f);
    if (s->norm_pre) net_layer(n, "norm_pre", C, 0, true);
    for (size_t i = 0; i < s->depth; i++)
        net_block(n, i);
    if (!s->no_norm) net_layer(n, "norm", C, 0, true);
    if (s->fc_norm) net_layer(n, "fc_norm", C, 0, true);
    const size_t in = s->both_pool ? 2 * C : C;
    if (s->pre_logits) net_layer(n, "pre_logits.fc", in, in, true);
    if (s->classes) net_layer(n, "head", s->classes, in, !s->no_head_bias);
    if (s->dist && s->classes) net_layer(n, "head_dist", s->classes, in, true);
}

static inline void net_free(net *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->item[i].data);
    n->count = 0;
}

/* ---- the oracle ---- */

static inline const float *data_of(const net *n, const char *layer, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s", layer, what);
    const array *a = net_find(n, text);
    return a ? a->data : NULL;
}

/* y [T, rows] = x [T, cols] w^T + b */
static inline double *o_linear(const net *n, const char *layer, const double *x, size_t T,
                               size_t rows, size_t cols)
{
    const float *w = data_of(n, layer, ".weight"), *b = data_of(n, layer, ".bias");
    double *y = calloc(T * rows, sizeof *y);
    assert(y && w);
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < rows; r++) {
            double sum = b ? (double)b[r] : 0;
            for (size_t c = 0; c < cols; c++)
                sum += x[t * cols + c] * (double)w[r * cols + c];
            y[t * rows + r] = sum;
        }
    return y;
}

static inline void o_norm(const net *n, const char *layer, double *x, size_t rows, size_t C)
{
    const float *w = data_of(n, layer, ".weight"), *b = data_of(n, layer, ".bias");
    assert(w && b);
    for (size_t r = 0; r < rows; r++, x += C) {
        double m = 0, v = 0;
        for (size_t c = 0; c < C; c++)
            m += x[c] / (double)C;
        for (size_t c = 0; c < C; c++)
            v += (x[c] - m) * (x[c] - m) / (double)C;
        for (size_t c = 0; c < C; c++)
            x[c] = (x[c] - m) / sqrt(v + n->s.eps) * (double)w[c] + (double)b[c];
    }
}

static inline double *o_copy(const double *x, size_t n)
{
    double *y = malloc(n * sizeof *y);
    assert(y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static inline double o_act(double x, int act)
{
    const double pi = 3.14159265358979323846;
    switch (act) {
    case 1:
        return x > 0 ? x : 0;
    case 2:
        return x / (1 + exp(-1.702 * x));
    case 3:
        return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case 4:
        return x / (1 + exp(-x));
    default:
        return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    }
}

/* One head: rows of q, k, v are D numbers, stride apart. */
static inline void o_head(double *y, const double *qkv, size_t T, size_t C, size_t at, size_t D)
{
    double *p = malloc(T * sizeof *p);
    assert(p);
    for (size_t t = 0; t < T; t++) {
        double sum = 0;
        for (size_t u = 0; u < T; u++) {
            double dot = 0;
            for (size_t d = 0; d < D; d++)
                dot += qkv[t * 3 * C + at + d] * qkv[u * 3 * C + C + at + d];
            p[u] = exp(dot / sqrt((double)D));
            sum += p[u];
        }
        for (size_t d = 0; d < D; d++) {
            double v = 0;
            for (size_t u = 0; u < T; u++)
                v += p[u] / sum * qkv[u * 3 * C + 2 * C + at + d];
            y[t * C + at + d] = v;
        }
    }
    free(p);
}

static inline double *o_attention(const net *n, const char *p, const double *x, size_t T)
{
    const size_t C = n->s.dim, H = n->s.heads, D = C / H;
    char layer[96];
    snprintf(layer, sizeof layer, "%sattn.qkv", p);
    double *qkv = o_linear(n, layer, x, T, 3 * C, C), *y = calloc(T * C, sizeof *y);
    assert(y);
    for (size_t t = 0; t < T && n->s.beit_bias; t++)
        for (size_t c = 0; c < C; c++) {
            qkv[t * 3 * C + c] += (double)data_of(n, p, "attn.q_bias")[c];
            qkv[t * 3 * C + 2 * C + c] += (double)data_of(n, p, "attn.v_bias")[c];
        }
    for (size_t t = 0; t < T && n->s.qk_norm; t++)
        for (size_t k = 0; k < 2; k++) {
            snprintf(layer, sizeof layer, "%sattn.%c_norm", p, "qk"[k]);
            o_norm(n, layer, qkv + t * 3 * C + k * C, H, D);
        }
    for (size_t h = 0; h < H; h++)
        o_head(y, qkv, T, C, h * D, D);
    snprintf(layer, sizeof layer, "%sattn.proj", p);
    double *z = o_linear(n, layer, y, T, C, C);
    free(qkv);
    free(y);
    return z;
}

static inline double *o_mlp(const net *n, const char *p, const double *x, size_t T)
{
    const size_t C = n->s.dim, F = n->s.mlp, G = n->s.gated ? 2 * F : F;
    char layer[96];
    snprintf(layer, sizeof layer, "%smlp.%s", p, n->s.gated == 1 ? "w12" : "fc1");
    double *u = o_linear(n, layer, x, T, G, C), *h = calloc(T * F, sizeof *h);
    assert(h);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < F; i++)
            h[t * F + i] = n->s.gated ? o_act(u[t * G + i], 4) * u[t * G + F + i]
                                      : o_act(u[t * G + i], n->s.act);
    snprintf(layer, sizeof layer, "%smlp.%s", p, n->s.gated == 1 ? "w3" : "fc2");
    double *y = o_linear(n, layer, h, T, C, F);
    free(u);
    free(h);
    return y;
}

/* x += gamma * f(norm(x)), or x = norm(x + f(x)) */
static inline void o_branch(const net *n, const char *p, int which, double *x, size_t T)
{
    const size_t C = n->s.dim;
    char layer[96], gamma[96];
    snprintf(layer, sizeof layer, "%snorm%d", p, which);
    snprintf(gamma, sizeof gamma, "%sls%d", p, which);
    double *in = o_copy(x, T * C);
    if (!n->s.post) o_norm(n, layer, in, T, C);
    double *y = which == 1 ? o_attention(n, p, in, T) : o_mlp(n, p, in, T);
    const float *g = data_of(n, gamma, ".gamma");
    for (size_t i = 0; i < T * C; i++)
        x[i] += y[i] * (g ? (double)g[i % C] : 1);
    if (n->s.post) o_norm(n, layer, x, T, C);
    free(in);
    free(y);
}

/* Patches, prefix tokens and positions -> tokens [*T, C]. positions: of the grid at the input's size,
 * [patches, C]. */
static inline double *o_tokens(const net *n, const float *pixels, const double *positions,
                               size_t *T)
{
    const spec *s = &n->s;
    const size_t C = s->dim, P = s->patch, ch = s->channels, gw = s->size[1];
    const size_t patches = s->size[0] * gw, prefix = s->cls + s->dist + s->registers;
    const char *const names[] = {"cls_token", "dist_token", "reg_token"};
    const float *w = data_of(n, "patch_embed.proj", ".weight");
    const float *b = data_of(n, "patch_embed.proj", ".bias");
    const float *table = data_of(n, "pos_embed", "");
    *T = prefix + patches;
    double *x = calloc(*T * C, sizeof *x), *at = x;
    assert(x);
    for (size_t k = 0, row = 0; k < 3; k++) {
        const array *a = net_find(n, names[k]);
        for (size_t i = 0; a && i < a->n; i++, at++) {
            *at = (double)a->data[i];
            if (row + i / C < s->prefix_pos) *at += (double)table[(row + i / C) * C + i % C];
        }
        if (a) row += a->n / C;
    }
    for (size_t i = 0; i < patches; i++)
        for (size_t c = 0; c < C; c++) {
            double sum = positions[i * C + c] + (b ? (double)b[c] : 0);
            for (size_t k = 0; k < ch * P * P; k++) {
                const size_t row = i / gw * P + k / P % P, col = i % gw * P + k % P;
                sum += (double)pixels[(row * gw * P + col) * ch + k / (P * P)] *
                       (double)w[c * ch * P * P + k];
            }
            at[i * C + c] = sum;
        }
    return x;
}

static inline double *o_head_of(const net *n, const double *tokens, size_t token, size_t T,
                                const char *head)
{
    const spec *s = &n->s;
    const size_t C = s->dim, prefix = s->cls + s->dist + s->registers;
    const size_t in = s->both_pool ? 2 * C : C;
    double *x = calloc(2 * C, sizeof *x);
    assert(x);
    if (!s->mean_pool) memcpy(x, tokens + token * C, C * sizeof *x);
    for (size_t t = prefix; t < T && (s->mean_pool || s->both_pool); t++)
        for (size_t c = 0; c < C; c++)
            x[(s->both_pool ? C : 0) + c] += tokens[t * C + c] / (double)(T - prefix);
    if (s->fc_norm) o_norm(n, "fc_norm", x, 1, C);
    if (s->pre_logits) {
        double *y = o_linear(n, "pre_logits.fc", x, 1, in, in);
        for (size_t c = 0; c < in; c++)
            x[c] = tanh(y[c]);
        free(y);
    }
    if (!s->classes) return x;
    double *y = o_linear(n, head, x, 1, s->classes, in);
    free(x);
    return y;
}

/* Logits [classes], or features [dim]; to be freed. positions NULL: the table's own grid. */
static inline double *vit_oracle(const net *n, const float *pixels, const double *positions)
{
    const spec *s = &n->s;
    const size_t C = s->dim, grid = s->grid[0] * s->grid[1];
    double *own = calloc(grid * C, sizeof *own);
    assert(own);
    for (size_t i = 0; i < grid * C; i++)
        own[i] = (double)data_of(n, "pos_embed", "")[s->prefix_pos * C + i];
    size_t T;
    double *x = o_tokens(n, pixels, positions ? positions : own, &T);
    if (s->norm_pre) o_norm(n, "norm_pre", x, T, C);
    for (size_t i = 0; i < s->depth; i++) {
        char p[32];
        snprintf(p, sizeof p, "blocks.%zu.", i);
        o_branch(n, p, 1, x, T);
        o_branch(n, p, 2, x, T);
    }
    if (!s->no_norm) o_norm(n, "norm", x, T, C);
    double *y = o_head_of(n, x, 0, T, "head");
    for (size_t i = 0; i < C && s->dist && !s->classes; i++)
        y[i] = (x[i] + x[C + i]) / 2;
    if (s->dist && s->classes) {
        double *z = o_head_of(n, x, 1, T, "head_dist");
        for (size_t i = 0; i < s->classes; i++)
            y[i] = (y[i] + z[i]) / 2;
        free(z);
    }
    free(x);
    free(own);
    return y;
}

/* ---- the library's graph, by the operators' definitions ---- */

static inline void run_node(const vise_graph *g, const vise_node *n, float **value)
{
    vise_sig sig;
    vise_graph_sig(g, n, &sig);
    const vise_shape *out = &g->value[n->out].shape;
    vise_call c = {.attr = n->attr, .batch = 1, .nin = n->nin, .nout = 1};
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != VISE_NONE)
            c.in[i] = (vise_arg){sig.in[i], value[n->in[i]], g->value[n->in[i]].batched};
    value[n->out] = malloc(vise_shape_count(out) * sizeof(float));
    c.out[0] = (vise_arg){out, value[n->out], g->value[n->out].batched};
    c.scratch = malloc((n->op->scratch ? n->op->scratch(&sig, out) : 0) * sizeof(float) + 1);
    assert(value[n->out] && c.scratch);
    n->op->forward(&c);
    free(c.scratch);
}

/* The first output for one picture; to be freed. */
static inline float *vit_run(const vise_graph *g, const float *pixels)
{
    float **value = calloc(g->values, sizeof *value);
    assert(value);
    for (size_t i = 0; i < g->values; i++) {
        if (g->value[i].kind == VISE_VALUE_NODE) continue;
        const size_t n = vise_shape_count(&g->value[i].shape);
        value[i] = malloc(n * sizeof(float));
        assert(value[i]);
        if (g->value[i].kind == VISE_VALUE_CONST)
            vise_decode(value[i], &g->value[i].data);
        else
            memcpy(value[i], pixels, n * sizeof(float));
    }
    for (size_t i = 0; i < g->nodes; i++)
        run_node(g, &g->node[i], value);
    float *y = value[g->output[0].value];
    value[g->output[0].value] = NULL;
    for (size_t i = 0; i < g->values; i++)
        free(value[i]);
    free(value);
    return y;
}

#endif
