/* vit_names.c - the naming schemes of ViT checkpoints, as tables, and the map from names to roles
 * SPDX-License-Identifier: MIT */
#include "model/arch/vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* '#' in `from` is a block's number, which takes the place of '#' in `to`. A name that goes on with
 * .weight or .bias keeps it. */
typedef struct rule {
    const char *from, *to;
} rule;

static const rule timm[] = {
    {"cls_token", "cls_token"},
    {"dist_token", "dist_token"},
    {"reg_token", "reg_token"},
    {"register_tokens", "reg_token"},
    {"pos_embed", "pos_embed"},
    {"patch_embed.proj", "patch_embed.proj"},
    {"norm_pre", "norm_pre"},
    {"blocks.#.norm1", "blocks.#.norm1"},
    {"blocks.#.attn.qkv", "blocks.#.attn.qkv"},
    {"blocks.#.attn.q", "blocks.#.attn.q"},
    {"blocks.#.attn.k", "blocks.#.attn.k"},
    {"blocks.#.attn.v", "blocks.#.attn.v"},
    {"blocks.#.attn.q_proj", "blocks.#.attn.q"},
    {"blocks.#.attn.k_proj", "blocks.#.attn.k"},
    {"blocks.#.attn.v_proj", "blocks.#.attn.v"},
    {"blocks.#.attn.q_bias", "blocks.#.attn.q_bias"},
    {"blocks.#.attn.v_bias", "blocks.#.attn.v_bias"},
    {"blocks.#.attn.q_norm", "blocks.#.attn.q_norm"},
    {"blocks.#.attn.k_norm", "blocks.#.attn.k_norm"},
    {"blocks.#.attn.proj", "blocks.#.attn.proj"},
    {"blocks.#.ls1.gamma", "blocks.#.ls1.gamma"},
    {"blocks.#.gamma_1", "blocks.#.ls1.gamma"},
    {"blocks.#.norm2", "blocks.#.norm2"},
    {"blocks.#.mlp.fc1", "blocks.#.mlp.fc1"},
    {"blocks.#.mlp.fc2", "blocks.#.mlp.fc2"},
    {"blocks.#.mlp.w12", "blocks.#.mlp.w12"},
    {"blocks.#.mlp.w3", "blocks.#.mlp.w3"},
    {"blocks.#.ls2.gamma", "blocks.#.ls2.gamma"},
    {"blocks.#.gamma_2", "blocks.#.ls2.gamma"},
    {"norm", "norm"},
    {"fc_norm", "fc_norm"},
    {"pre_logits.fc", "pre_logits.fc"},
    {"head", "head"},
    {"head_dist", "head_dist"},
    {0},
};

/* transformers' ViTModel, DeiTModel, ViTMSNModel */
static const rule hf_vit[] = {
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.distillation_token", "dist_token"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
    {"encoder.layer.#.layernorm_before", "blocks.#.norm1"},
    {"encoder.layer.#.attention.attention.query", "blocks.#.attn.q"},
    {"encoder.layer.#.attention.attention.key", "blocks.#.attn.k"},
    {"encoder.layer.#.attention.attention.value", "blocks.#.attn.v"},
    {"encoder.layer.#.attention.output.dense", "blocks.#.attn.proj"},
    {"encoder.layer.#.layernorm_after", "blocks.#.norm2"},
    {"encoder.layer.#.intermediate.dense", "blocks.#.mlp.fc1"},
    {"encoder.layer.#.output.dense", "blocks.#.mlp.fc2"},
    {"layernorm", "norm"},
    {"classifier", "head"},
    {"cls_classifier", "head"},
    {"distillation_classifier", "head_dist"},
    {0},
};

/* transformers' Dinov2Model, Dinov2WithRegistersModel */
static const rule hf_dinov2[] = {
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.register_tokens", "reg_token"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
    {"encoder.layer.#.norm1", "blocks.#.norm1"},
    {"encoder.layer.#.attention.attention.query", "blocks.#.attn.q"},
    {"encoder.layer.#.attention.attention.key", "blocks.#.attn.k"},
    {"encoder.layer.#.attention.attention.value", "blocks.#.attn.v"},
    {"encoder.layer.#.attention.output.dense", "blocks.#.attn.proj"},
    {"encoder.layer.#.layer_scale1.lambda1", "blocks.#.ls1.gamma"},
    {"encoder.layer.#.norm2", "blocks.#.norm2"},
    {"encoder.layer.#.mlp.fc1", "blocks.#.mlp.fc1"},
    {"encoder.layer.#.mlp.fc2", "blocks.#.mlp.fc2"},
    {"encoder.layer.#.mlp.weights_in", "blocks.#.mlp.w12"},
    {"encoder.layer.#.mlp.weights_out", "blocks.#.mlp.w3"},
    {"encoder.layer.#.layer_scale2.lambda1", "blocks.#.ls2.gamma"},
    {"layernorm", "norm"},
    {"classifier", "head"},
    {0},
};

/* transformers' CLIPVisionModel and CLIPVisionModelWithProjection */
static const rule hf_clip[] = {
    {"embeddings.class_embedding", "cls_token"},
    {"embeddings.patch_embedding", "patch_embed.proj"},
    {"embeddings.position_embedding.weight", "pos_embed"},
    {"pre_layrnorm", "norm_pre"}, // spelt so
    {"encoder.layers.#.layer_norm1", "blocks.#.norm1"},
    {"encoder.layers.#.self_attn.q_proj", "blocks.#.attn.q"},
    {"encoder.layers.#.self_attn.k_proj", "blocks.#.attn.k"},
    {"encoder.layers.#.self_attn.v_proj", "blocks.#.attn.v"},
    {"encoder.layers.#.self_attn.out_proj", "blocks.#.attn.proj"},
    {"encoder.layers.#.layer_norm2", "blocks.#.norm2"},
    {"encoder.layers.#.mlp.fc1", "blocks.#.mlp.fc1"},
    {"encoder.layers.#.mlp.fc2", "blocks.#.mlp.fc2"},
    {"post_layernorm", "norm"},
    {"visual_projection", "head"},
    // CLIPForImageClassification's head, of patches before post_layernorm: known, so that nothing
    // else takes it for a head of the class token; no graph has a place for it
    {"classifier", "head_of_patches"},
    {0},
};

static const rule torchvision[] = {
    {"class_token", "cls_token"},
    {"conv_proj", "patch_embed.proj"},
    {"encoder.pos_embedding", "pos_embed"},
    {"encoder.layers.encoder_layer_#.ln_1", "blocks.#.norm1"},
    {"encoder.layers.encoder_layer_#.self_attention.in_proj_weight", "blocks.#.attn.qkv.weight"},
    {"encoder.layers.encoder_layer_#.self_attention.in_proj_bias", "blocks.#.attn.qkv.bias"},
    {"encoder.layers.encoder_layer_#.self_attention.out_proj", "blocks.#.attn.proj"},
    {"encoder.layers.encoder_layer_#.ln_2", "blocks.#.norm2"},
    {"encoder.layers.encoder_layer_#.mlp.linear_1", "blocks.#.mlp.fc1"},
    {"encoder.layers.encoder_layer_#.mlp.linear_2", "blocks.#.mlp.fc2"},
    {"encoder.layers.encoder_layer_#.mlp.0", "blocks.#.mlp.fc1"},
    {"encoder.layers.encoder_layer_#.mlp.3", "blocks.#.mlp.fc2"},
    {"encoder.ln", "norm"},
    {"heads.pre_logits", "pre_logits.fc"},
    {"heads.head", "head"},
    {0},
};

/* torch.nn.TransformerEncoder inside a network that names the rest as most do */
static const rule torch_encoder[] = {
    {"cls_token", "cls_token"},
    {"class_token", "cls_token"},
    {"cls", "cls_token"},
    {"pos_embed", "pos_embed"},
    {"pos_embedding", "pos_embed"},
    {"position_embedding", "pos_embed"},
    {"position_embeddings", "pos_embed"},
    {"positional_embedding", "pos_embed"},
    {"pos_emb", "pos_embed"},
    {"patch_embed", "patch_embed.proj"},
    {"patch_embed.proj", "patch_embed.proj"},
    {"patch_embed.projection", "patch_embed.proj"},
    {"patch_embedding", "patch_embed.proj"},
    {"patch_embedding.proj", "patch_embed.proj"},
    {"patch_embedding.projection", "patch_embed.proj"},
    {"conv_proj", "patch_embed.proj"},
    {"layers.#.self_attn.in_proj_weight", "blocks.#.attn.qkv.weight"},
    {"layers.#.self_attn.in_proj_bias", "blocks.#.attn.qkv.bias"},
    {"layers.#.self_attn.out_proj", "blocks.#.attn.proj"},
    {"layers.#.linear1", "blocks.#.mlp.fc1"},
    {"layers.#.linear2", "blocks.#.mlp.fc2"},
    {"layers.#.norm1", "blocks.#.norm1"},
    {"layers.#.norm2", "blocks.#.norm2"},
    {"norm", "norm"},
    {"ln", "norm"},
    {"layer_norm", "norm"},
    {"mlp_head.0", "norm"},
    {"mlp_head.1", "head"},
    {"mlp_head", "head"},
    {"head", "head"},
    {"fc", "head"},
    {"classifier", "head"},
    {0},
};

#define EXACT VISE_ACT_GELU
static const struct scheme {
    const rule *rules;
    vise_vit_style style;
} schemes[] = {
    {timm, {"timm", 1e-6, EXACT, false, VISE_VIT_HALF, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, false}},
    {hf_vit,
     {"Hugging Face ViT", 1e-12, EXACT, false, VISE_VIT_HALF, VISE_BILINEAR, VISE_CROP_SQUASH, 1,
      true}},
    {hf_dinov2,
     {"Hugging Face DINOv2", 1e-6, EXACT, false, VISE_VIT_IMAGENET, VISE_BICUBIC, VISE_CROP_CENTER,
      0.875, true}},
    {hf_clip,
     {"Hugging Face CLIP", 1e-5, VISE_ACT_GELU_QUICK, false, VISE_VIT_CLIP, VISE_BICUBIC,
      VISE_CROP_CENTER, 1, true}},
    {torchvision,
     {"torchvision", 1e-6, EXACT, false, VISE_VIT_IMAGENET, VISE_BILINEAR, VISE_CROP_CENTER, 0.875,
      false}},
    {torch_encoder,
     {"torch.nn.TransformerEncoder", 1e-5, VISE_ACT_RELU, true, VISE_VIT_HALF, VISE_BICUBIC,
      VISE_CROP_CENTER, 0.9, false}},
};
enum { SCHEMES = sizeof schemes / sizeof *schemes };

/* What wrappers put before a network's own names. */
static const char *const prefixes[] = {
    "module.",        "model.",          "_orig_mod.",
    "vit.",           "deit.",           "dinov2.",
    "backbone.",      "encoder.",        "base_model.",
    "vision_model.",  "visual.",         "trunk.",
    "net.",           "student.",        "teacher.",
    "transformer.",   "base_encoder.",   "network.",
    "image_encoder.", "vision_encoder.", "transformer_encoder.",
    "vision_tower.",  "vit_msn.",        "dinov2_with_registers.",
};

/* '*' matches anything. */
static const struct harmless {
    const char *pattern, *why;
} harmless[] = {
    {"*num_batches_tracked", "a counter of training"},
    {"*position_ids", "a list of 0, 1, 2, ..."},
    {"*mask_token", "stands for masked patches in training"},
    {"*pooler.dense.*", "Hugging Face's pooler is not read by its classifiers"},
    {"*dino_head.*", "a head of self-supervised training"},
    {"*ibot_head.*", "a head of self-supervised training"},
    {"head.mlp.*", "a head of self-supervised training"},
    {"head.last_layer.*", "a head of self-supervised training"},
    {"text_model.*", "the text tower"},
    {"text_projection.*", "the text tower"},
    {"logit_scale", "scales similarities of pictures and texts"},
};
enum { HARMLESS = sizeof harmless / sizeof *harmless };

static bool like(const char *pattern, const char *name)
{
    const bool open_start = *pattern == '*';
    pattern += open_start;
    size_t n = strlen(pattern);
    const bool open_end = n && pattern[n - 1] == '*';
    n -= open_end;
    for (const char *p = name; *p; p++) {
        if (!strncmp(p, pattern, n) && (open_end || !p[n])) return true;
        if (!open_start) return false;
    }
    return false;
}

static const struct harmless *find_harmless(const char *name)
{
    for (size_t i = 0; i < HARMLESS; i++)
        if (like(harmless[i].pattern, name)) return &harmless[i];
    return NULL;
}

bool vise_vit_harmless(const char *name)
{
    return find_harmless(name) != NULL;
}

static vise_status note_harmless(const vise_tensors *t, vise_strings *notes, vise_err *e)
{
    for (size_t k = 0; k < HARMLESS; k++) {
        const char *first = NULL;
        size_t n = 0;
        for (size_t i = 0; i < t->count; i++) {
            if (find_harmless(t->item[i].name) != &harmless[k]) continue;
            if (!n++) first = t->item[i].name;
        }
        if (n == 1)
            VISE_TRY(vise_strings_addf(notes, e, "left out %s: %s", first, harmless[k].why));
        if (n > 1)
            VISE_TRY(vise_strings_addf(notes, e, "left out %zu tensors, %s and so on: %s", n, first,
                                       harmless[k].why));
    }
    return VISE_OK;
}

/* ---- one name ---- */

/* Length of the canonical decimal number that s starts with, or 0. */
static size_t number(const char *s)
{
    const size_t n = strspn(s, "0123456789");
    return n <= 5 && (n == 1 || *s != '0') ? n : 0;
}

static bool apply(char role[VISE_VIT_ROLE], const rule *r, const char *name)
{
    const char *digits = "";
    size_t n = 0;
    const char *from = r->from;
    for (; *from; from++) {
        if (*from != '#') {
            if (*from != *name++) return false;
            continue;
        }
        digits = name;
        n = number(name);
        if (!n) return false;
        name += n;
    }
    if (*name && strcmp(name, ".weight") != 0 && strcmp(name, ".bias") != 0) return false;
    const size_t head = strcspn(r->to, "#");
    const char *tail = r->to[head] ? r->to + head + 1 : "";
    snprintf(role, VISE_VIT_ROLE, "%.*s%.*s%s%s", (int)head, r->to, (int)n, digits, tail, name);
    return true;
}

/* The role of a name in a scheme, with as few wrappers' prefixes taken off as it needs. */
static bool role_of(char role[VISE_VIT_ROLE], const rule *rules, const char *name)
{
    for (;;) {
        for (const rule *r = rules; r->from; r++)
            if (apply(role, r, name)) return true;
        size_t n = 0;
        for (size_t i = 0; !n && i < sizeof prefixes / sizeof *prefixes; i++)
            if (!strncmp(name, prefixes[i], strlen(prefixes[i]))) n = strlen(prefixes[i]);
        if (!n) return false;
        name += n;
    }
}

static const struct scheme *best_scheme(const vise_tensors *t, size_t *known, bool *has_blocks)
{
    const struct scheme *best = schemes;
    *known = 0;
    *has_blocks = false;
    for (size_t k = 0; k < SCHEMES; k++) {
        size_t n = 0;
        bool blocks = false;
        for (size_t i = 0; i < t->count; i++) {
            char role[VISE_VIT_ROLE];
            if (!role_of(role, schemes[k].rules, t->item[i].name)) continue;
            blocks |= !strncmp(role, "blocks.", 7);
            n++;
        }
        if (n <= *known) continue;
        *known = n;
        *has_blocks = blocks;
        best = &schemes[k];
    }
    return best;
}

size_t vise_vit_known_names(const vise_tensors *t, bool *has_blocks)
{
    size_t known;
    best_scheme(t, &known, has_blocks);
    return known;
}

/* ---- the map ---- */

vise_status vise_vit_map_room(vise_vit_map *map, const vise_tensors *t, vise_err *e)
{
    VISE_TRY(vise_alloc_or(&map->role, t->count, sizeof *map->role, "roles of tensors", e));
    return vise_alloc_or(&map->unknown, t->count, sizeof *map->unknown, "roles of tensors", e);
}

void vise_vit_map_free(vise_vit_map *map)
{
    vise_free(map->role);
    vise_free(map->unknown);
    vise_region_free(&map->texts);
    *map = (vise_vit_map){0};
}

vise_status vise_vit_map_add(vise_vit_map *map, const char *role, const vise_stored *tensor,
                             vise_err *e)
{
    const char *copy = vise_region_str(&map->texts, role);
    if (!copy) return vise_fail(e, VISE_ENOMEM, "out of memory: roles of tensors");
    map->role[map->roles++] = (vise_vit_role){.name = copy, .tensor = tensor};
    if (!strncmp(role, "blocks.", 7)) {
        const size_t block = strtoul(role + 7, NULL, 10);
        if (block >= VISE_VIT_DEPTH)
            return vise_fail(e, VISE_EFORMAT, "%s is of block %zu, the most is %d", tensor->name,
                             block, VISE_VIT_DEPTH - 1);
        if (block >= map->depth) map->depth = block + 1;
    }
    return VISE_OK;
}

static int by_role(const void *a, const void *b)
{
    return strcmp(((const vise_vit_role *)a)->name, ((const vise_vit_role *)b)->name);
}

vise_status vise_vit_map_sort(vise_vit_map *map, vise_err *e)
{
    if (map->roles) qsort(map->role, map->roles, sizeof *map->role, by_role);
    for (size_t i = 1; i < map->roles; i++)
        if (!strcmp(map->role[i - 1].name, map->role[i].name))
            return vise_fail(e, VISE_EFORMAT, "both %s and %s could be %s",
                             map->role[i - 1].tensor->name, map->role[i].tensor->name,
                             map->role[i].name);
    return VISE_OK;
}

vise_vit_role *vise_vit_find(const vise_vit_map *map, const char *role)
{
    const vise_vit_role key = {.name = role};
    return map->roles ? bsearch(&key, map->role, map->roles, sizeof key, by_role) : NULL;
}

bool vise_vit_any_block(const vise_vit_map *map, const char *role)
{
    for (size_t i = 0; i < map->depth; i++) {
        char name[VISE_VIT_ROLE];
        snprintf(name, sizeof name, "blocks.%zu.%s", i, role);
        if (vise_vit_find(map, name)) return true;
    }
    return false;
}

vise_status vise_vit_map_names(vise_vit_map *map, const vise_tensors *t, vise_strings *notes,
                               vise_err *e)
{
    size_t known;
    bool has_blocks;
    const struct scheme *s = best_scheme(t, &known, &has_blocks);
    map->style = &s->style;
    VISE_TRY(vise_vit_map_room(map, t, e));
    for (size_t i = 0; i < t->count; i++) {
        char role[VISE_VIT_ROLE];
        const vise_stored *x = &t->item[i];
        if (find_harmless(x->name)) continue;
        if (role_of(role, s->rules, x->name))
            VISE_TRY(vise_vit_map_add(map, role, x, e));
        else
            map->unknown[map->unknowns++] = x;
    }
    VISE_TRY(note_harmless(t, notes, e));
    return vise_vit_map_sort(map, e);
}

/* ---- lists in messages ---- */

void vise_listing_add(vise_listing *l, const char *name, const vise_shape *shape)
{
    char text[VISE_SHAPE_TEXT] = "";
    const size_t room = sizeof l->text - 20 - l->used; // 20: " and 65535 more"
    if (shape) vise_shape_text(text, sizeof text, shape);
    const char *comma = l->used ? ", " : "", *space = shape ? " " : "";
    const int n = snprintf(NULL, 0, "%s%.120s%s%s", comma, name, space, text);
    if (l->left || (size_t)n >= room) {
        l->left++;
        return;
    }
    snprintf(l->text + l->used, room, "%s%.120s%s%s", comma, name, space, text);
    l->used += (size_t)n;
}

const char *vise_listing_text(vise_listing *l)
{
    if (l->left) snprintf(l->text + l->used, sizeof l->text - l->used, " and %zu more", l->left);
    return l->text;
}
