/* vit_schemes.h - how others name the tensors of a ViT, for tests: written from their documentation,
 * not from the library's tables
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_VIT_SCHEMES_H
#define TESTS_VIT_SCHEMES_H

#include "vit_oracle.h"

/* '#' is the block's number. A target that ends in '_' takes "weight" and "bias" without a dot. */
typedef struct renaming {
    const char *from, *to;
} renaming;

static const renaming hf_vit[] = {
    {"cls_token", "vit.embeddings.cls_token"},
    {"pos_embed", "vit.embeddings.position_embeddings"},
    {"patch_embed.proj", "vit.embeddings.patch_embeddings.projection"},
    {"blocks.#.norm1", "vit.encoder.layer.#.layernorm_before"},
    {"blocks.#.attn.q", "vit.encoder.layer.#.attention.attention.query"},
    {"blocks.#.attn.k", "vit.encoder.layer.#.attention.attention.key"},
    {"blocks.#.attn.v", "vit.encoder.layer.#.attention.attention.value"},
    {"blocks.#.attn.proj", "vit.encoder.layer.#.attention.output.dense"},
    {"blocks.#.norm2", "vit.encoder.layer.#.layernorm_after"},
    {"blocks.#.mlp.fc1", "vit.encoder.layer.#.intermediate.dense"},
    {"blocks.#.mlp.fc2", "vit.encoder.layer.#.output.dense"},
    {"norm", "vit.layernorm"},
    {"head", "classifier"},
    {0}};

static const renaming hf_deit[] = {
    {"cls_token", "deit.embeddings.cls_token"},
    {"dist_token", "deit.embeddings.distillation_token"},
    {"pos_embed", "deit.embeddings.position_embeddings"},
    {"patch_embed.proj", "deit.embeddings.patch_embeddings.projection"},
    {"blocks.#.norm1", "deit.encoder.layer.#.layernorm_before"},
    {"blocks.#.attn.q", "deit.encoder.layer.#.attention.attention.query"},
    {"blocks.#.attn.k", "deit.encoder.layer.#.attention.attention.key"},
    {"blocks.#.attn.v", "deit.encoder.layer.#.attention.attention.value"},
    {"blocks.#.attn.proj", "deit.encoder.layer.#.attention.output.dense"},
    {"blocks.#.norm2", "deit.encoder.layer.#.layernorm_after"},
    {"blocks.#.mlp.fc1", "deit.encoder.layer.#.intermediate.dense"},
    {"blocks.#.mlp.fc2", "deit.encoder.layer.#.output.dense"},
    {"norm", "deit.layernorm"},
    {"head", "cls_classifier"},
    {"head_dist", "distillation_classifier"},
    {0}};

static const renaming hf_dinov2[] = {
    {"cls_token", "dinov2.embeddings.cls_token"},
    {"reg_token", "dinov2.embeddings.register_tokens"},
    {"pos_embed", "dinov2.embeddings.position_embeddings"},
    {"patch_embed.proj", "dinov2.embeddings.patch_embeddings.projection"},
    {"blocks.#.norm1", "dinov2.encoder.layer.#.norm1"},
    {"blocks.#.attn.q", "dinov2.encoder.layer.#.attention.attention.query"},
    {"blocks.#.attn.k", "dinov2.encoder.layer.#.attention.attention.key"},
    {"blocks.#.attn.v", "dinov2.encoder.layer.#.attention.attention.value"},
    {"blocks.#.attn.proj", "dinov2.encoder.layer.#.attention.output.dense"},
    {"blocks.#.ls1.gamma", "dinov2.encoder.layer.#.layer_scale1.lambda1"},
    {"blocks.#.norm2", "dinov2.encoder.layer.#.norm2"},
    {"blocks.#.mlp.fc1", "dinov2.encoder.layer.#.mlp.fc1"},
    {"blocks.#.mlp.fc2", "dinov2.encoder.layer.#.mlp.fc2"},
    {"blocks.#.mlp.w12", "dinov2.encoder.layer.#.mlp.weights_in"},
    {"blocks.#.mlp.w3", "dinov2.encoder.layer.#.mlp.weights_out"},
    {"blocks.#.ls2.gamma", "dinov2.encoder.layer.#.layer_scale2.lambda1"},
    {"norm", "dinov2.layernorm"},
    {"head", "classifier"},
    {0}};

static const renaming hf_clip[] = {
    {"cls_token", "vision_model.embeddings.class_embedding"},
    {"pos_embed", "vision_model.embeddings.position_embedding.weight"},
    {"patch_embed.proj", "vision_model.embeddings.patch_embedding"},
    {"norm_pre", "vision_model.pre_layrnorm"},
    {"blocks.#.norm1", "vision_model.encoder.layers.#.layer_norm1"},
    {"blocks.#.attn.q", "vision_model.encoder.layers.#.self_attn.q_proj"},
    {"blocks.#.attn.k", "vision_model.encoder.layers.#.self_attn.k_proj"},
    {"blocks.#.attn.v", "vision_model.encoder.layers.#.self_attn.v_proj"},
    {"blocks.#.attn.proj", "vision_model.encoder.layers.#.self_attn.out_proj"},
    {"blocks.#.norm2", "vision_model.encoder.layers.#.layer_norm2"},
    {"blocks.#.mlp.fc1", "vision_model.encoder.layers.#.mlp.fc1"},
    {"blocks.#.mlp.fc2", "vision_model.encoder.layers.#.mlp.fc2"},
    {"norm", "vision_model.post_layernorm"},
    {"head", "visual_projection"},
    {0}};

#define TV "encoder.layers.encoder_layer_#."
static const renaming torchvision[] = {{"cls_token", "class_token"},
                                       {"pos_embed", "encoder.pos_embedding"},
                                       {"patch_embed.proj", "conv_proj"},
                                       {"blocks.#.norm1", TV "ln_1"},
                                       {"blocks.#.attn.qkv", TV "self_attention.in_proj_"},
                                       {"blocks.#.attn.proj", TV "self_attention.out_proj"},
                                       {"blocks.#.norm2", TV "ln_2"},
                                       {"blocks.#.mlp.fc1", TV "mlp.0"},
                                       {"blocks.#.mlp.fc2", TV "mlp.3"},
                                       {"norm", "encoder.ln"},
                                       {"pre_logits.fc", "heads.pre_logits"},
                                       {"head", "heads.head"},
                                       {0}};
static const renaming torchvision_old[] = {
    {"cls_token", "module.class_token"},
    {"pos_embed", "module.encoder.pos_embedding"},
    {"patch_embed.proj", "module.conv_proj"},
    {"blocks.#.norm1", "module." TV "ln_1"},
    {"blocks.#.attn.qkv", "module." TV "self_attention.in_proj_"},
    {"blocks.#.attn.proj", "module." TV "self_attention.out_proj"},
    {"blocks.#.norm2", "module." TV "ln_2"},
    {"blocks.#.mlp.fc1", "module." TV "mlp.linear_1"},
    {"blocks.#.mlp.fc2", "module." TV "mlp.linear_2"},
    {"norm", "module.encoder.ln"},
    {"head", "module.heads.head"},
    {0}};

#define TE "transformer.layers.#."
static const renaming torch_encoder[] = {{"pos_embed", "pos_embedding"},
                                         {"patch_embed.proj", "patch_embed"},
                                         {"blocks.#.norm1", TE "norm1"},
                                         {"blocks.#.attn.qkv", TE "self_attn.in_proj_"},
                                         {"blocks.#.attn.proj", TE "self_attn.out_proj"},
                                         {"blocks.#.norm2", TE "norm2"},
                                         {"blocks.#.mlp.fc1", TE "linear1"},
                                         {"blocks.#.mlp.fc2", TE "linear2"},
                                         {"norm", "transformer.norm"},
                                         {"head", "fc"},
                                         {0}};

/* Names of nobody: blocks under two numbers, as nested nn.ModuleList. */
static const renaming nested[] = {{"cls_token", "tokens.class_embedding"},
                                  {"pos_embed", "tokens.positions"},
                                  {"patch_embed.proj", "stem.filter"},
                                  {"blocks.#.norm1", "body.#.0.norm"},
                                  {"blocks.#.attn.q", "body.#.0.fn.to_q"},
                                  {"blocks.#.attn.k", "body.#.0.fn.to_k"},
                                  {"blocks.#.attn.v", "body.#.0.fn.to_v"},
                                  {"blocks.#.attn.proj", "body.#.0.fn.to_out.0"},
                                  {"blocks.#.norm2", "body.#.1.norm"},
                                  {"blocks.#.mlp.fc1", "body.#.1.fn.net.0"},
                                  {"blocks.#.mlp.fc2", "body.#.1.fn.net.3"},
                                  {"norm", "last.0"},
                                  {"head", "last.1"},
                                  {0}};

/* As the authors of one of the shared checkpoints name them. */
static const renaming layers[] = {
    {"patch_embed.proj", "patch_embedding.patch_embed"},
    {"blocks.#.norm1", "transformer_layers.#.layer_norm_1"},
    {"blocks.#.attn.qkv", "transformer_layers.#.self_attention.in_proj_"},
    {"blocks.#.attn.proj", "transformer_layers.#.self_attention.out_proj"},
    {"blocks.#.norm2", "transformer_layers.#.layer_norm_2"},
    {"blocks.#.mlp.fc1", "transformer_layers.#.mlp.0"},
    {"blocks.#.mlp.fc2", "transformer_layers.#.mlp.2"},
    {"norm", "mlp_head.0"},
    {"head", "mlp_head.1"},
    {0}};

/* The rest of a name after a pattern, and the number in it; NULL if it does not match. */
static inline const char *after(const char *pattern, const char *name, size_t *number)
{
    for (; *pattern; pattern++) {
        if (*pattern == '#') {
            char *end;
            *number = strtoul(name, &end, 10);
            if (end == name) return NULL;
            name = end;
        } else if (*pattern != *name++) {
            return NULL;
        }
    }
    return !*name || !strcmp(name, ".weight") || !strcmp(name, ".bias") ? name : NULL;
}

static inline bool rename_one(char *out, size_t size, const renaming *table, const char *name)
{
    for (const renaming *r = table; r && r->from; r++) {
        size_t number = 0;
        const char *rest = after(r->from, name, &number);
        if (!rest) continue;
        const size_t head = strcspn(r->to, "#"), n = strlen(r->to);
        char digits[24] = "";
        if (r->to[head]) snprintf(digits, sizeof digits, "%zu", number);
        const char *tail = r->to[head] ? r->to + head + 1 : "";
        snprintf(out, size, "%.*s%s%s%s", (int)head, r->to, digits, tail,
                 *rest && r->to[n - 1] == '_' ? rest + 1 : rest);
        return true;
    }
    snprintf(out, size, "%s", name);
    return false;
}

static inline bool has_parts(const renaming *table)
{
    for (const renaming *r = table; r && r->from; r++)
        if (!strcmp(r->from, "blocks.#.attn.q")) return true;
    return false;
}

/* Tensors of a net under a scheme's names (NULL: timm's); fused q, k, v are stored apart where the
 * scheme names them apart. The data stays the net's. */
static inline vise_status net_tensors(vise_tensors *t, const net *n, const renaming *table,
                                      vise_err *e)
{
    for (size_t i = 0; i < n->count; i++) {
        const array *a = &n->item[i];
        char to[160];
        vise_stored x = {to, VISE_F32, a->shape, a->data, a->n * sizeof(float)};
        const char *qkv = strstr(a->name, "attn.qkv");
        size_t parts = 1;
        if (!rename_one(to, sizeof to, table, a->name) && qkv && has_parts(table)) parts = 3;
        for (size_t k = 0; k < parts; k++) {
            char from[160];
            if (parts == 3) {
                snprintf(from, sizeof from, "%.*sattn.%c%s", (int)(qkv - a->name), a->name,
                         "qkv"[k], qkv + 8);
                rename_one(to, sizeof to, table, from);
            }
            x.shape.dim[0] = a->shape.dim[0] / parts;
            x.data = a->data + k * (a->n / parts);
            x.bytes = a->n / parts * sizeof(float);
            VISE_TRY(vise_tensors_add(t, &x, e));
        }
    }
    return VISE_OK;
}

#endif
