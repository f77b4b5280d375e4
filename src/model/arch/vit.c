/* vit.c - the graph of a plain ViT, written in terms of timm's tensor names
 * SPDX-License-Identifier: MIT */
#include "model/arch/vit.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct builder {
    vise_model *m;
    vise_graph *g;
    const vise_vit_map *map;
    const vise_vit_facts *f;
    vise_err *e;
    vise_listing missing;
    size_t nmissing, rounded; // tensors that are not there; that were f64
} builder;

/* A name put together; short enough by VISE_VIT_DEPTH. */
typedef struct name {
    char s[VISE_VIT_ROLE];
} name;

static name cat(const char *a, const char *b)
{
    name n;
    const size_t len_a = strlen(a), len_b = strlen(b);
    assert(len_a + len_b < sizeof n.s);
    memcpy(n.s, a, len_a);
    memcpy(n.s + len_a, b, len_b + 1);
    return n;
}

static bool in_block(const char *role)
{
    return !strncmp(role, "blocks.", 7);
}

/* ---- constants ---- */

/* The numbers of a stored tensor as a constant: f64 is rounded to f32, which the model then owns. */
static vise_status constant(builder *b, const vise_stored *x, vise_const *c)
{
    *c = (vise_const){.shape = x->shape, .enc = {.type = x->dtype}, .data = x->data};
    if (!vise_dtype_is_float(x->dtype))
        return vise_fail(b->e, VISE_EFORMAT, "%s: weights of type %s", x->name,
                         vise_dtype_name(x->dtype));
    VISE_TRY(vise_stored_check_finite(x, b->e));
    if (x->dtype != VISE_F64) return VISE_OK;
    const size_t n = vise_shape_count(&x->shape);
    float *block;
    VISE_TRY(vise_alloc_or(&block, n, sizeof *block, x->name, b->e));
    VISE_TRY(vise_tensors_own(&b->m->tensors, block, b->e));
    vise_to_f32(block, VISE_F64, x->data, n);
    c->enc.type = VISE_F32;
    c->data = block;
    b->rounded++;
    return VISE_OK;
}

/* The tensor of a role as a value; shape: what it must be (NULL: checked before); as: another shape
 * of the same numbers, or NULL. VISE_NONE, and listed as missing, if there is none. */
static vise_id weight_as(builder *b, const char *role, const vise_shape *shape,
                         const vise_shape *as)
{
    vise_vit_role *r = vise_vit_find(b->map, role);
    vise_const c;
    if (!r) {
        vise_listing_add(&b->missing, role, NULL);
        b->nmissing++;
        return VISE_NONE;
    }
    const vise_id known = vise_graph_find(b->g, role);
    r->used = true;
    if (known != VISE_NONE || b->g->status) return known;
    if (shape && !vise_shape_same(shape, &r->tensor->shape)) {
        char have[VISE_SHAPE_TEXT], want[VISE_SHAPE_TEXT];
        vise_graph_fail(b->g,
                        vise_fail(b->e, VISE_EFORMAT, "%s: shape %s, expected %s", r->tensor->name,
                                  vise_shape_text(have, sizeof have, &r->tensor->shape),
                                  vise_shape_text(want, sizeof want, shape)));
        return VISE_NONE;
    }
    vise_graph_fail(b->g, constant(b, r->tensor, &c));
    if (b->g->status) return VISE_NONE;
    if (as) c.shape = *as;
    return vise_graph_const(b->g, role, &c);
}

static vise_id weight(builder *b, const char *role, const vise_shape *shape)
{
    return weight_as(b, role, shape, NULL);
}

static vise_id vector(builder *b, const char *role, size_t n)
{
    return weight(b, role, &(vise_shape){1, {n}});
}

/* A bias may be absent, but then from all blocks. The first that is makes a note. */
static vise_id bias(builder *b, const char *layer, size_t n)
{
    const name role = cat(layer, ".bias");
    const char *part = in_block(layer) ? strchr(role.s + 7, '.') + 1 : NULL;
    if (part ? vise_vit_any_block(b->map, part) : vise_vit_find(b->map, role.s) != NULL)
        return vector(b, role.s, n);
    if (!part)
        vise_graph_fail(b->g,
                        vise_strings_addf(&b->m->notes, b->e,
                                          "%s has no bias in the file: none is added", layer));
    else if (!strncmp(layer, "blocks.0.", 9))
        vise_graph_fail(b->g, vise_strings_addf(&b->m->notes, b->e,
                                                "%.*s has no bias in any block: none is added",
                                                (int)strlen(part) - 5, part));
    return VISE_NONE;
}

/* ---- layers ---- */

static vise_id linear(builder *b, vise_id x, const char *layer, size_t rows, size_t cols)
{
    const vise_shape shape = {2, {rows, cols}};
    const vise_id w = weight(b, cat(layer, ".weight").s, &shape), v = bias(b, layer, rows);
    return vise_graph_add(b->g, "linear", layer, NULL, v == VISE_NONE ? 2 : 3,
                          (vise_id[]){x, w, v});
}

static vise_id norm_of(builder *b, vise_id x, const char *layer, size_t dim)
{
    const vise_id w = vector(b, cat(layer, ".weight").s, dim);
    const vise_id v = vector(b, cat(layer, ".bias").s, dim);
    return vise_graph_add(b->g, "layernorm", layer, &(vise_norm_attr){b->f->ln_eps}, 3,
                          (vise_id[]){x, w, v});
}

static vise_id norm(builder *b, vise_id x, const char *layer)
{
    return norm_of(b, x, layer, b->f->dim);
}

static vise_id slice(builder *b, vise_id x, const char *node, int64_t axis, size_t start,
                     size_t stop)
{
    const vise_slice_attr a = {axis, (int64_t)start, stop ? (int64_t)stop : VISE_SLICE_END, 1};
    return vise_graph_add(b->g, "slice", node, &a, 1, &x);
}

static vise_id reshape(builder *b, vise_id x, const char *node, vise_ints shape)
{
    return vise_graph_add(b->g, "reshape", node, &(vise_reshape_attr){shape}, 1, &x);
}

/* [n, dim] for any n. */
static vise_id as_rows(builder *b, vise_id x, const char *node)
{
    return reshape(b, x, node, (vise_ints){2, {-1, (int64_t)b->f->dim}});
}

static vise_id add(builder *b, vise_id x, vise_id y, const char *node)
{
    return vise_graph_add(b->g, "add", node, NULL, 2, (vise_id[]){x, y});
}

static vise_id concat(builder *b, const char *node, int64_t axis, uint32_t n, const vise_id *x)
{
    return n == 1 ? x[0] : vise_graph_add(b->g, "concat", node, &(vise_concat_attr){axis}, n, x);
}

static vise_id mean(builder *b, vise_id x, const char *node)
{
    return vise_graph_add(b->g, "mean", node, &(vise_mean_attr){{1, {0}}}, 1, &x);
}

static vise_id act(builder *b, vise_id x, const char *node, vise_act kind)
{
    return vise_graph_add(b->g, "act", node, &(vise_act_attr){kind}, 1, &x);
}

/* ---- from pixels to tokens ---- */

static vise_id patches(builder *b)
{
    const vise_vit_facts *f = b->f;
    const vise_shape in = {3, {f->size[0], f->size[1], f->channels}};
    const vise_shape conv = {4, {f->dim, f->channels, f->patch[0], f->patch[1]}};
    const vise_conv2d_attr a = {.stride = {2, {(int64_t)f->patch[0], (int64_t)f->patch[1]}},
                                .groups = 1};
    const vise_id x = vise_graph_input(b->g, "pixels", &in);
    const vise_id w =
        weight_as(b, "patch_embed.proj.weight", f->linear_patch ? NULL : &conv, &conv);
    const vise_id v = bias(b, "patch_embed.proj", f->dim);
    return vise_graph_add(b->g, "conv2d", "patch_embed.proj", &a, v == VISE_NONE ? 2 : 3,
                          (vise_id[]){x, w, v});
}

/* Prefix tokens, positions, patches: pos_embed's first rows are for the first prefix tokens. */
static vise_id tokens(builder *b, vise_id map)
{
    static const char *const prefix[] = {"cls_token", "dist_token", "reg_token"};
    const vise_vit_facts *f = b->f;
    const vise_id table = weight(b, "pos_embed", NULL);
    vise_id part[5], with_pos = VISE_NONE;
    uint32_t n = 0;
    size_t rows = 0;
    const vise_embed_add_attr a = {
        .skip = (int64_t)f->prefix_pos,
        .grid_h = (int64_t)f->grid[0],
        .grid_w = (int64_t)f->grid[1],
        // Hugging Face antialiases only where there are registers
        .aliased = b->map->style->aliased && !vise_vit_find(b->map, "reg_token"),
    };
    map = vise_graph_add(b->g, "embed_add", "pos_embed.add", &a, 2, (vise_id[]){map, table});
    for (size_t i = 0; i < 3; i++) {
        const vise_vit_role *r = vise_vit_find(b->map, prefix[i]);
        if (!r) continue;
        part[n++] = as_rows(b, weight(b, prefix[i], NULL), cat(prefix[i], ".rows").s);
        rows += vise_shape_count(&r->tensor->shape) / f->dim;
        if (rows != f->prefix_pos) continue;
        with_pos = slice(b, table, "pos_embed.prefix", -2, 0, rows);
        with_pos = as_rows(b, with_pos, "pos_embed.prefix.rows");
        part[0] = add(b, concat(b, "prefix.tokens", 0, n, part), with_pos, "prefix");
        n = 1;
    }
    part[n++] = as_rows(b, map, "patches");
    const vise_id x = concat(b, "tokens", 0, n, part);
    return vise_vit_find(b->map, "norm_pre.weight") ? norm(b, x, "norm_pre") : x;
}

/* ---- blocks ---- */

/* y = layernorm(x) within each head. */
static vise_id head_norm(builder *b, vise_id x, const char *p, const char *which)
{
    const int64_t H = (int64_t)b->f->heads, D = (int64_t)(b->f->dim / b->f->heads);
    const name layer = cat(p, which);
    if (!vise_vit_any_block(b->map, cat(which, ".weight").s)) return x;
    x = reshape(b, x, cat(layer.s, ".heads").s, (vise_ints){3, {-1, H, D}});
    return as_rows(b, norm_of(b, x, layer.s, (size_t)D), cat(layer.s, ".rows").s);
}

/* Fused q, k, v, cut in three. BEiT stores biases of q and v only, beside the fused weight. */
static void fused(builder *b, vise_id x, const char *p, vise_id qkv[3])
{
    static const char *const part[] = {"attn.q", "attn.k", "attn.v"};
    static const char *const part_bias[] = {"attn.q_bias", NULL, "attn.v_bias"};
    const size_t C = b->f->dim;
    const bool beit = vise_vit_any_block(b->map, part_bias[0]);
    const name layer = cat(p, "attn.qkv");
    if (beit) {
        const vise_id w = weight(b, cat(layer.s, ".weight").s, &(vise_shape){2, {3 * C, C}});
        x = vise_graph_add(b->g, "linear", layer.s, NULL, 2, (vise_id[]){x, w});
    } else {
        x = linear(b, x, layer.s, 3 * C, C);
    }
    for (size_t i = 0; i < 3; i++) {
        const name node = cat(p, part[i]);
        qkv[i] = slice(b, x, node.s, -1, i * C, (i + 1) * C);
        if (!beit || !part_bias[i]) continue;
        const vise_id v = vector(b, cat(p, part_bias[i]).s, C);
        qkv[i] = add(b, qkv[i], v, cat(node.s, ".biased").s);
    }
}

static vise_id attention(builder *b, vise_id x, const char *p)
{
    const size_t C = b->f->dim;
    vise_id qkv[3];
    if (vise_vit_any_block(b->map, "attn.q.weight")) {
        qkv[0] = linear(b, x, cat(p, "attn.q").s, C, C);
        qkv[1] = linear(b, x, cat(p, "attn.k").s, C, C);
        qkv[2] = linear(b, x, cat(p, "attn.v").s, C, C);
    } else {
        fused(b, x, p, qkv);
    }
    qkv[0] = head_norm(b, qkv[0], p, "attn.q_norm");
    qkv[1] = head_norm(b, qkv[1], p, "attn.k_norm");
    x = vise_graph_add(b->g, "attention", cat(p, "attn").s,
                       &(vise_attention_attr){.heads = (int64_t)b->f->heads, .prob_bits = 8}, 3,
                       qkv);
    return linear(b, x, cat(p, "attn.proj").s, C, C);
}

static vise_id mlp(builder *b, vise_id x, const char *p)
{
    const size_t C = b->f->dim, F = b->f->mlp;
    const bool w12 = vise_vit_any_block(b->map, "mlp.w12.weight");
    const name up = cat(p, w12 ? "mlp.w12" : "mlp.fc1"), down = cat(p, w12 ? "mlp.w3" : "mlp.fc2");
    x = linear(b, x, up.s, b->f->gated ? 2 * F : F, C);
    if (!b->f->gated) {
        x = act(b, x, cat(p, "mlp.act").s, b->f->act);
    } else {
        vise_id gate = slice(b, x, cat(p, "mlp.gate").s, -1, 0, F);
        vise_id value = slice(b, x, cat(p, "mlp.value").s, -1, F, 2 * F);
        gate = act(b, gate, cat(p, "mlp.act").s, b->f->act);
        x = vise_graph_add(b->g, "mul", cat(p, "mlp.mul").s, NULL, 2, (vise_id[]){gate, value});
    }
    return linear(b, x, down.s, C, F);
}

static vise_id layer_scale(builder *b, vise_id x, const char *p, const char *which)
{
    const name gamma = cat(which, ".gamma");
    if (!vise_vit_any_block(b->map, gamma.s)) return x;
    const vise_id w = vector(b, cat(p, gamma.s).s, b->f->dim);
    return vise_graph_add(b->g, "mul", cat(p, which).s, NULL, 2, (vise_id[]){x, w});
}

/* pre-norm: x + ls(f(norm(x))); post-norm: norm(x + ls(f(x))). */
static vise_id block(builder *b, vise_id x, size_t i)
{
    char p[32];
    const bool post = b->f->post;
    snprintf(p, sizeof p, "blocks.%zu.", i);
    const name norm1 = cat(p, "norm1"), norm2 = cat(p, "norm2");
    vise_id y = attention(b, post ? x : norm(b, x, norm1.s), p);
    x = add(b, x, layer_scale(b, y, p, "ls1"), cat(p, "add1").s);
    if (post) x = norm(b, x, norm1.s);
    y = mlp(b, post ? x : norm(b, x, norm2.s), p);
    x = add(b, x, layer_scale(b, y, p, "ls2"), cat(p, "add2").s);
    return post ? norm(b, x, norm2.s) : x;
}

/* ---- from tokens to logits ---- */

static vise_id token(builder *b, vise_id x, size_t i, const char *node)
{
    x = slice(b, x, cat(node, ".token").s, 0, i, i + 1);
    return reshape(b, x, node, (vise_ints){1, {(int64_t)b->f->dim}});
}

static vise_id mean_of_patches(builder *b, vise_id x, const char *node)
{
    if (b->f->prefix) x = slice(b, x, cat(node, ".patches").s, 0, b->f->prefix, 0);
    return mean(b, x, node);
}

static vise_id pool(builder *b, vise_id x)
{
    const vise_vit_facts *f = b->f;
    if (f->mean_pool) {
        x = mean_of_patches(b, x, "pool");
    } else if (!f->classes && vise_vit_find(b->map, "dist_token")) {
        // as the answers of the two heads are
        x = mean(b, slice(b, x, "pool.tokens", 0, 0, 2), "pool");
    } else if (f->cls_and_mean) {
        // DINOv2's classifiers read both
        vise_id both[2] = {token(b, x, 0, "pool.cls"), mean_of_patches(b, x, "pool.mean")};
        return concat(b, "pool", 0, 2, both);
    } else {
        x = token(b, x, 0, "pool");
    }
    return vise_vit_find(b->map, "fc_norm.weight") ? norm(b, x, "fc_norm") : x;
}

/* Two heads on two tokens, averaged: distilled DeiT. */
static vise_id distilled(builder *b, vise_id tokens_out, vise_id logits)
{
    const vise_vit_facts *f = b->f;
    const vise_ints row = {2, {1, (int64_t)f->classes}};
    vise_id x = token(b, tokens_out, 1, "pool_dist");
    x = linear(b, x, "head_dist", f->classes, f->dim);
    vise_id both[2] = {reshape(b, logits, "head.row", row), reshape(b, x, "head_dist.row", row)};
    return mean(b, concat(b, "heads", 0, 2, both), "logits");
}

/* A network whose blocks end in norms, or that normalises what it pools, may have none here. */
static vise_id final_norm(builder *b, vise_id x)
{
    const bool may_lack = b->f->post || vise_vit_find(b->map, "fc_norm.weight");
    return may_lack && !vise_vit_find(b->map, "norm.weight") ? x : norm(b, x, "norm");
}

static void head(builder *b, vise_id x)
{
    const vise_vit_facts *f = b->f;
    const vise_id all = final_norm(b, x);
    x = pool(b, all);
    if (vise_vit_find(b->map, "pre_logits.fc.weight")) {
        x = linear(b, x, "pre_logits.fc", f->head_cols, f->cls_and_mean ? 2 * f->dim : f->dim);
        x = act(b, x, "pre_logits.act", VISE_ACT_TANH);
    }
    if (!f->classes) {
        vise_graph_output(b->g, "features", x);
        return;
    }
    x = linear(b, x, "head", f->classes, f->head_cols);
    if (vise_vit_find(b->map, "head_dist.weight") && vise_vit_find(b->map, "dist_token"))
        x = distilled(b, all, x);
    vise_graph_output(b->g, "logits", x);
}

/* ---- the family ---- */

/* Every tensor has its place and every place its tensor, or the file is refused. */
static vise_status check_complete(const builder *b, vise_listing *missing, vise_err *e)
{
    vise_listing extra = {0};
    size_t n = b->map->unknowns;
    for (size_t i = 0; i < b->map->unknowns; i++)
        vise_listing_add(&extra, b->map->unknown[i]->name, &b->map->unknown[i]->shape);
    for (size_t i = 0; i < b->map->roles; i++) {
        const vise_vit_role *r = &b->map->role[i];
        if (r->used) continue;
        vise_listing_add(&extra, r->tensor->name, &r->tensor->shape);
        n++;
    }
    if (n && b->nmissing)
        return vise_fail(
            e, VISE_EFORMAT, "missing from a ViT with %s names: %.200s; not understood: %s",
            b->map->style->name, vise_listing_text(missing), vise_listing_text(&extra));
    if (n)
        return vise_fail(e, VISE_EFORMAT, "%zu tensor%s not understood in a ViT with %s names: %s",
                         n, n == 1 ? "" : "s", b->map->style->name, vise_listing_text(&extra));
    return b->nmissing ? vise_fail(e, VISE_EFORMAT, "missing from a ViT with %s names: %s",
                                   b->map->style->name, vise_listing_text(missing))
                       : VISE_OK;
}

static vise_status build_graph(vise_model *m, const vise_vit_map *map, const vise_vit_facts *f,
                               vise_err *e)
{
    builder b = {.m = m, .g = &m->graph, .map = map, .f = f, .e = e};
    vise_graph_init(b.g, e);
    vise_id x = tokens(&b, patches(&b));
    for (size_t i = 0; i < f->depth; i++)
        x = block(&b, x, i);
    head(&b, x);
    if (b.g->status == VISE_ENOMEM || (b.g->status && !b.nmissing && !map->unknowns))
        return vise_graph_finish(b.g);
    VISE_TRY(check_complete(&b, &b.missing, e));
    if (b.rounded)
        VISE_TRY(
            vise_strings_addf(&m->notes, e, "%zu tensors of f64 are rounded to f32", b.rounded));
    return vise_graph_finish(b.g);
}

static void set_pictures(vise_recipe *r, vise_vit_pictures p)
{
    static const float mean_std[][6] = {
        [VISE_VIT_HALF] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f},
        [VISE_VIT_IMAGENET] = {0.485f, 0.456f, 0.406f, 0.229f, 0.224f, 0.225f},
        [VISE_VIT_CLIP] = {0.48145466f, 0.4578275f, 0.40821073f, 0.26862954f, 0.26130258f,
                           0.27577711f},
    };
    memcpy(r->mean, mean_std[p], sizeof r->mean);
    memcpy(r->std, mean_std[p] + 3, sizeof r->std);
}

/* What networks of this kind are usually fed, as far as tensors and an architecture's name tell. */
static vise_recipe usual_recipe(const vise_vit_map *map, const vise_vit_facts *f,
                                const vise_configs *c)
{
    const vise_vit_style *s = map->style;
    const size_t side = f->size[0] < f->size[1] ? f->size[0] : f->size[1];
    const char *arch = c ? json_string_value(json_object_get(c->config, "architecture")) : NULL;
    vise_vit_pictures p = s->pictures;
    vise_recipe r = {.filter = s->filter, .crop = s->crop, .crop_pct = s->crop_pct};
    if (side < 128 || side >= 384) r.crop_pct = 1; // small pictures are not cropped, nor large ones
    const bool cls = vise_vit_find(map, "cls_token") != NULL;
    const bool dino = f->patch[0] == 14 || !f->prefix_pos; // or DeiT III; others scale layers, too
    if (vise_vit_find(map, "dist_token") || (cls && dino && vise_vit_any_block(map, "ls1.gamma")) ||
        (cls && f->mean_pool && !vise_vit_find(map, "reg_token")) || // MAE, fine-tuned
        (arch && (strstr(arch, "deit") || strstr(arch, "dino"))))
        p = VISE_VIT_IMAGENET;
    if (vise_vit_find(map, "norm_pre.weight")) p = VISE_VIT_CLIP;
    if (f->channels == 1) p = VISE_VIT_HALF;
    set_pictures(&r, p);
    return r;
}

static vise_status build_recipe(vise_model *m, const vise_vit_map *map, const vise_vit_facts *f,
                                const vise_import *opts, const vise_configs *c, vise_err *e)
{
    const vise_recipe usual = usual_recipe(map, f, c);
    m->recipe = (vise_recipe){.channels = (uint32_t)f->channels,
                              .height = (uint32_t)f->size[0],
                              .width = (uint32_t)f->size[1]};
    VISE_TRY(vise_recipe_override(&m->recipe, &opts->recipe, e)); // so that no note speaks of these
    return vise_recipe_complete(&m->recipe, c, &usual, &m->notes, e);
}

/* By names; where they are not all known, by structure. */
static vise_status find_map(vise_vit_map *map, vise_model *m, vise_err *e)
{
    VISE_TRY(vise_vit_map_names(map, &m->tensors, &m->notes, e));
    if (!map->unknowns) return VISE_OK;
    vise_vit_map other = {0};
    vise_err why = {0};
    const vise_status s = vise_vit_map_structure(&other, &m->tensors, &m->notes, &why);
    const bool mostly_known = map->roles > map->unknowns && map->depth;
    if (s == VISE_EFORMAT && mostly_known) { // then the unknown ones are the thing to tell
        vise_vit_map_free(&other);
        return VISE_OK;
    }
    if (mostly_known) other.style = map->style; // a known network with parts of one's own
    vise_vit_map_free(map);
    *map = other;
    return s ? vise_fail(e, s, "%s", why.msg) : VISE_OK;
}

static vise_status build(vise_model *m, const vise_import *opts, const vise_configs *c, vise_err *e)
{
    vise_vit_map map = {0};
    vise_vit_facts f;
    vise_status s = find_map(&map, m, e);
    if (!s) s = vise_vit_find_facts(&f, &map, m, opts, c, e);
    if (!s) s = build_graph(m, &map, &f, e);
    if (!s) s = build_recipe(m, &map, &f, opts, c, e);
    vise_vit_map_free(&map);
    return s;
}

/* ---- is it one? ---- */

/* Positions [1, tokens, C], and matrices with C rows or columns under numbered names. */
static bool looks_like_blocks(const vise_tensors *t)
{
    size_t C = 0, matrices = 0;
    for (size_t i = 0; i < t->count && !C; i++) {
        const vise_shape *s = &t->item[i].shape;
        if (s->rank == 3 && s->dim[0] == 1 && s->dim[1] > 1) C = s->dim[2];
    }
    for (size_t i = 0; i < t->count && C > 1; i++) {
        const vise_shape *s = &t->item[i].shape;
        if (s->rank == 2 && (s->dim[0] == C || s->dim[1] == C) &&
            strpbrk(t->item[i].name, "0123456789"))
            matrices++;
    }
    return matrices >= 4;
}

static int match(const vise_tensors *t)
{
    bool blocks;
    const size_t known = vise_vit_known_names(t, &blocks);
    if (blocks && 2 * known > t->count) return 50 + (int)(50 * known / t->count);
    return looks_like_blocks(t) ? 5 : 0;
}

const vise_arch vise_arch_vit = {.name = "vit", .match = match, .build = build};
