/* vit_facts.c - what a ViT's shapes tell, and what they do not
 * SPDX-License-Identifier: MIT */
#include "model/arch/vit.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sources: configuration files and the checkpoint's own texts ---- */

enum { MAX_SOURCES = 9 };

typedef struct sources {
    const json_t *object[MAX_SOURCES];
    const char *where[MAX_SOURCES];
    size_t count;
    json_t *texts, *text_config; // owned: the checkpoint's texts as one object, one of them parsed
} sources;

typedef struct field {
    const json_t *value; // NULL: not found
    const char *key, *where;
} field;

static void add_source(sources *s, const json_t *object, const char *where)
{
    static const char *const inner[] = {"model_args", "vision_config", "pretrained_cfg"};
    if (!json_is_object(object)) return;
    s->object[s->count] = object;
    s->where[s->count++] = where;
    for (size_t i = 0; i < 3; i++) {
        const json_t *o = json_object_get(object, inner[i]);
        if (!json_is_object(o)) continue;
        s->object[s->count] = o;
        s->where[s->count++] = where;
    }
}

static void open_sources(sources *s, const vise_configs *c, const vise_tensors *t)
{
    *s = (sources){.texts = json_object()};
    for (size_t i = 0; i < t->nmeta; i++) { // "4" is a number, "gelu" a text
        json_t *v = json_loads(t->meta[i].value, JSON_DECODE_ANY, NULL);
        if (!v) v = json_string(t->meta[i].value);
        if (v) json_object_set_new(s->texts, t->meta[i].key, v);
    }
    s->text_config = json_incref(json_object_get(s->texts, "config"));
    if (c) add_source(s, c->config, "config.json");
    if (json_is_object(s->texts)) {
        s->object[s->count] = s->texts;
        s->where[s->count++] = "the checkpoint's metadata";
    }
    add_source(s, s->text_config, "the checkpoint's metadata");
}

static void close_sources(sources *s)
{
    json_decref(s->text_config);
    json_decref(s->texts);
}

/* The first of the keys (separated by spaces) in the first source that has one. */
static field lookup(const sources *s, const char *keys)
{
    for (size_t i = 0; i < s->count; i++)
        for (const char *k = keys; *k; k += strspn(k, " ")) {
            char key[40];
            const size_t n = strcspn(k, " ");
            snprintf(key, sizeof key, "%.*s", (int)n, k);
            const json_t *v = json_object_get(s->object[i], key);
            if (v && !json_is_null(v)) return (field){v, k, s->where[i]};
            k += n;
        }
    return (field){0};
}

/* "num_heads of config.json" for messages; n of its first bytes are the key. */
#define FIELD_FMT "%.*s of %s"
#define FIELD_ARG(f) (int)strcspn((f).key, " "), (f).key, (f).where

/* ---- activation, norms ---- */

static const struct act_name {
    const char *name;
    vise_act act;
} act_names[] = {
    {"gelu", VISE_ACT_GELU},
    {"gelu_tanh", VISE_ACT_GELU_TANH},
    {"gelu_pytorch_tanh", VISE_ACT_GELU_TANH},
    {"gelu_new", VISE_ACT_GELU_TANH},
    {"gelu_quick", VISE_ACT_GELU_QUICK},
    {"quick_gelu", VISE_ACT_GELU_QUICK},
    {"quickgelu", VISE_ACT_GELU_QUICK},
    {"relu", VISE_ACT_RELU},
    {"silu", VISE_ACT_SILU},
    {"swish", VISE_ACT_SILU},
};

static bool act_from(vise_act *act, const char *name)
{
    for (size_t i = 0; name && i < sizeof act_names / sizeof *act_names; i++)
        if (!strcmp(act_names[i].name, name)) {
            *act = act_names[i].act;
            return true;
        }
    return false;
}

/* What some architectures of timm have that others with the same tensors have not. */
static const struct architecture {
    const char *part; // of the name
    size_t heads;     // 0: as usual
    const char *act;  // NULL: as usual
    bool refused;     // its blocks are built otherwise
} architectures[] = {
    {"quickgelu", 0, "gelu_quick", false},
    {"vit_base_patch16_gap_", 16, NULL, false},
    {"vit_base_patch32_siglip", 0, "gelu_tanh", false},
    {"vit_large_patch16_siglip_gap_512", 0, "gelu_tanh", false},
    {"vit_so400m_patch16_siglip", 0, "gelu_tanh", false},
    {"vit_giantopt_patch16_siglip", 0, "gelu_tanh", false},
    {"_rpn_", 0, NULL, true},
};

static const struct architecture *find_architecture(const sources *s)
{
    const char *name = json_string_value(lookup(s, "architecture").value);
    for (size_t i = 0; name && i < sizeof architectures / sizeof *architectures; i++)
        if (strstr(name, architectures[i].part)) return &architectures[i];
    return NULL;
}

static vise_status find_act(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                            const char *option, vise_strings *notes, vise_err *e)
{
    f->act = map->style->act;
    if (option)
        return act_from(&f->act, option)
                   ? VISE_OK
                   : vise_fail(e, VISE_EARG,
                               "--act %s: not one of gelu, gelu_tanh, gelu_quick, relu, silu",
                               option);
    if (f->gated) { // SwiGLU: hidden_act of a configuration does not speak of it
        f->act = VISE_ACT_SILU;
        return vise_strings_addf(notes, e,
                                 "act silu: the mlp is gated, as SwiGLU; --act changes it");
    }
    const field v = lookup(s, "hidden_act act act_layer activation hidden_activation");
    if (v.value && !act_from(&f->act, json_string_value(v.value)))
        return vise_fail(e, VISE_EFORMAT, FIELD_FMT ": %.40s is no activation known here",
                         FIELD_ARG(v),
                         json_is_string(v.value) ? json_string_value(v.value) : "a number or list");
    if (v.value) return VISE_OK;
    const struct architecture *a = find_architecture(s);
    if (a && act_from(&f->act, a->act)) return VISE_OK;
    return vise_strings_addf(notes, e,
                             "act %s: not in the file, usual for %s names; --act changes it",
                             vise_act_names[f->act], map->style->name);
}

static vise_status find_eps(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                            double option, vise_strings *notes, vise_err *e)
{
    f->ln_eps = option;
    if (option != 0) {
        if (option > 0 && option <= 1) return VISE_OK;
        return vise_fail(e, VISE_EARG, "--ln-eps %g: not in (0, 1]", option);
    }
    const field v = lookup(s, "layer_norm_eps ln_eps layer_norm_epsilon norm_eps");
    f->ln_eps = json_number_value(v.value);
    if (v.value && !(f->ln_eps > 0 && f->ln_eps <= 1))
        return vise_fail(e, VISE_EFORMAT, FIELD_FMT ": %g is not in (0, 1]", FIELD_ARG(v),
                         f->ln_eps);
    if (v.value) return VISE_OK;
    // timm's CLIP towers, told by the norm before the blocks, keep PyTorch's default
    const bool clip = vise_vit_find(map, "norm_pre.weight") != NULL;
    f->ln_eps = clip ? 1e-5 : map->style->ln_eps;
    return vise_strings_addf(
        notes, e, "ln_eps %g: not in the file, usual for %s%s; --ln-eps changes it", f->ln_eps,
        clip ? "a norm before the blocks" : map->style->name, clip ? "" : " names");
}

static vise_status find_norm(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                             const char *option, vise_strings *notes, vise_err *e)
{
    field v = lookup(s, "norm norm_position norm_first");
    const char *word = option ? option : json_string_value(v.value);
    if (!option && json_is_boolean(v.value)) word = json_is_true(v.value) ? "pre" : "post";
    f->post = map->style->post;
    const struct architecture *a = find_architecture(s);
    if (a && a->refused)
        return vise_fail(e, VISE_EFORMAT,
                         "architecture of config.json: *%s* is no plain ViT: norms "
                         "come before its residual additions",
                         a->part);
    if (word && (!strcmp(word, "pre") || !strcmp(word, "post"))) {
        f->post = !strcmp(word, "post");
        return VISE_OK;
    }
    if (option) return vise_fail(e, VISE_EARG, "--norm %s: not pre or post", option);
    if (v.value)
        return vise_fail(e, VISE_EFORMAT, FIELD_FMT ": %.40s is not pre or post", FIELD_ARG(v),
                         word ? word : "a number or list");
    return vise_strings_addf(notes, e,
                             "norm %s: not in the file, usual for %s names; --norm changes it",
                             f->post ? "post" : "pre", map->style->name);
}

/* ---- heads ---- */

static const struct known_size {
    size_t dim, depth, mlp, heads;
    const char *name;
} known_sizes[] = {
    {192, 12, 768, 3, "tiny"},
    {384, 12, 1536, 6, "small"},
    {512, 12, 2048, 8, "medium"},
    {768, 12, 3072, 12, "base"},
    {1024, 24, 4096, 16, "large"},
    {1280, 32, 5120, 16, "huge"},
    {1408, 40, 6144, 16, "giant"},
    {1664, 48, 8192, 16, "gigantic"},
    {1536, 40, 4096, 24, "DINOv2 giant"},
    {1152, 27, 4304, 16, "so400m"},
    {320, 14, 1792, 5, "little"},
    {256, 14, 1280, 4, "wee"},
    {512, 20, 2048, 8, "mediumd"},
    {640, 12, 2560, 10, "betwixt"},
    {768, 8, 2304, 8, "old small"},
    {1536, 40, 6144, 16, "giantopt"},
    {896, 18, 2304, 14, "so150m"},
    {832, 21, 2176, 13, "so150m2"},
    {256, 10, 1024, 4, "xsmall"},
    {384, 36, 1536, 6, "deep small"},
    {896, 12, 3584, 14, "base plus"},
    {64, 6, 192, 2, "test"},
    {64, 8, 192, 2, "second test"},
};
enum { KNOWN_SIZES = sizeof known_sizes / sizeof *known_sizes };

static const struct known_size *find_size(size_t dim, size_t depth, size_t mlp)
{
    for (const struct known_size *k = known_sizes; k < known_sizes + KNOWN_SIZES; k++)
        if (k->dim == dim && k->depth == depth && k->mlp == mlp) return k;
    return NULL;
}

/* "1, 2, 4 or 8": the numbers of heads that make heads of 8 to 128 channels. */
static const char *divisors(char *buf, size_t size, size_t dim)
{
    size_t last = 0, used = 0;
    snprintf(buf, size, "a divisor of %zu", dim);
    for (size_t h = 1; h <= dim / 8 && h <= 512; h++) {
        if (dim % h || dim / h > 128) continue;
        if (last && used < size)
            used += (size_t)snprintf(buf + used, size - used, "%s%zu", used ? ", " : "", last);
        last = h;
    }
    if (last && used < size) snprintf(buf + used, size - used, "%s%zu", used ? " or " : "", last);
    return buf;
}

static vise_status find_heads(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                              uint32_t option, vise_strings *notes, vise_err *e)
{
    const vise_vit_role *q_norm = vise_vit_find(map, "blocks.0.attn.q_norm.weight");
    const size_t D = q_norm && q_norm->tensor->shape.rank == 1 ? q_norm->tensor->shape.dim[0] : 0;
    const field v = lookup(s, "num_attention_heads num_heads heads n_heads nhead");
    const json_int_t config = json_integer_value(v.value);
    if (option && (f->dim % option || (D && f->dim / option != D)))
        return vise_fail(e, VISE_EARG, "--heads %u: does not fit dim %zu%s", option, f->dim,
                         D ? " and the size of attn.q_norm" : "");
    if (option) {
        f->heads = option;
        return VISE_OK;
    }
    if (v.value && (config < 1 || config > (json_int_t)f->dim || f->dim % (size_t)config ||
                    (D && f->dim / (size_t)config != D)))
        return vise_fail(e, VISE_EFORMAT, FIELD_FMT ": %lld heads do not fit dim %zu", FIELD_ARG(v),
                         (long long)config, f->dim);
    if (v.value) {
        f->heads = (size_t)config;
        return VISE_OK;
    }
    const struct architecture *a = find_architecture(s);
    if (a && a->heads && f->dim % a->heads == 0) {
        f->heads = a->heads;
        return VISE_OK;
    }
    if (D) { // a norm over each head's channels: no assumption
        f->heads = f->dim / D;
        return f->dim % D ? vise_fail(e, VISE_EFORMAT, "%s: %zu channels do not divide dim %zu",
                                      q_norm->tensor->name, D, f->dim)
                          : VISE_OK;
    }
    const struct known_size *k = find_size(f->dim, f->depth, f->mlp);
    char text[200];
    if (!k)
        return vise_fail(
            e, VISE_EARG,
            "the number of heads is not in the file and dim %zu, depth %zu, mlp %zu is no "
            "published size: give --heads (%s)",
            f->dim, f->depth, f->mlp, divisors(text, sizeof text, f->dim));
    f->heads = k->heads;
    return vise_strings_addf(
        notes, e,
        "heads %zu: not in the file, as in the published %s size (dim %zu, depth "
        "%zu, mlp %zu); --heads changes it",
        k->heads, k->name, f->dim, f->depth, f->mlp);
}

/* ---- positions and sizes ---- */

static size_t square_root(size_t n)
{
    size_t r = (size_t)sqrt((double)n);
    while (r * r > n)
        r--;
    while ((r + 1) * (r + 1) <= n)
        r++;
    return r;
}

/* The side lengths a configuration gives, in pixels; false if it gives none that fit. */
static bool config_size(const vise_vit_facts *f, const sources *s, size_t size[2])
{
    const field v = lookup(s, "image_size img_size input_size");
    const size_t n = json_array_size(v.value);
    for (size_t i = 0; i < 2; i++) {
        const json_t *side =
            json_is_array(v.value) && n >= 2 ? json_array_get(v.value, n - 2 + i) : v.value;
        const json_int_t pixels = json_integer_value(side);
        if (pixels < (json_int_t)f->patch[i] || pixels > VISE_VIT_SIDE) return false;
        size[i] = (size_t)pixels;
    }
    return true;
}

/* The same in whole patches: what is left at the borders is not read. */
static bool config_grid(const vise_vit_facts *f, const sources *s, size_t patches, size_t grid[2])
{
    size_t size[2];
    if (!config_size(f, s, size)) return false;
    grid[0] = size[0] / f->patch[0];
    grid[1] = size[1] / f->patch[1];
    return grid[0] * grid[1] == patches;
}

static bool other_grid(const vise_vit_facts *f, const vise_import *opts, size_t patches,
                       size_t grid[2])
{
    const size_t r = square_root(patches);
    grid[0] = grid[1] = r;
    if (r && r * r == patches) return true;
    if (opts->height % f->patch[0] || opts->width % f->patch[1]) return false;
    grid[0] = opts->height / f->patch[0];
    grid[1] = opts->width / f->patch[1];
    return patches && grid[0] <= VISE_VIT_SIDE && grid[1] <= VISE_VIT_SIDE &&
           grid[0] * grid[1] == patches;
}

/* How many rows of pos_embed belong to prefix tokens: none, the class token's, the distillation
 * token's too, or (timm) the registers' too; what is left must be a grid: a configuration's, else a
 * square or the size asked for. */
static size_t count_grids(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                          const vise_import *opts, size_t rows)
{
    static const char *const tokens[] = {"cls_token", "dist_token", "reg_token"};
    size_t found = 0, grid[2], covered = 0, last = SIZE_MAX;
    for (size_t i = 0; i <= 3; i++) {
        const size_t n = covered != last && rows > covered ? rows - covered : 0;
        if (n && (s ? config_grid(f, s, n, grid) : other_grid(f, opts, n, grid))) {
            f->grid[0] = grid[0];
            f->grid[1] = grid[1];
            f->prefix_pos = covered;
            found++;
        }
        last = covered;
        const vise_vit_role *r = i < 3 ? vise_vit_find(map, tokens[i]) : NULL;
        if (r) covered += vise_shape_count(&r->tensor->shape) / f->dim;
    }
    f->prefix = covered;
    return found;
}

static vise_status find_grid(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                             const vise_import *opts, vise_err *e)
{
    const vise_stored *pos = vise_vit_find(map, "pos_embed")->tensor;
    const size_t rows = vise_shape_count(&pos->shape) / f->dim;
    size_t found = count_grids(f, map, s, opts, rows);
    if (!found) found = count_grids(f, map, NULL, opts, rows);
    if (found == 1) return VISE_OK;
    char text[VISE_SHAPE_TEXT];
    return vise_fail(e, VISE_EFORMAT,
                     "%s: %s is %s of patches with 0 to %zu prefix tokens before it%s", pos->name,
                     vise_shape_text(text, sizeof text, &pos->shape),
                     found ? "more than one grid" : "no grid", f->prefix,
                     found ? "" : " (not square: give the size as --size HxW)");
}

static bool same_grid(const vise_vit_facts *f, const size_t size[2])
{
    return size[0] / f->patch[0] == f->grid[0] && size[1] / f->patch[1] == f->grid[1];
}

/* The size asked for; else what an image processor makes of pictures; else that of the positions. */
static vise_status find_size_in_pixels(vise_vit_facts *f, const sources *s, const vise_import *opts,
                                       const vise_configs *c, vise_strings *notes, vise_err *e)
{
    const uint32_t want[2] = {opts->height, opts->width};
    size_t told[2];
    for (size_t i = 0; i < 2; i++) {
        f->size[i] = want[i] ? want[i] : f->grid[i] * f->patch[i];
        if (f->size[i] > VISE_VIT_SIDE || f->size[i] % f->patch[i])
            return vise_fail(e, want[i] ? VISE_EARG : VISE_EFORMAT,
                             "%s %zu: not a multiple of the patch, %zu, up to %d",
                             i ? "width" : "height", f->size[i], f->patch[i], VISE_VIT_SIDE);
    }
    if (want[0] || want[1]) return VISE_OK;
    const bool cropped =
        vise_recipe_processor_size(c, told) && told[0] >= f->patch[0] && told[1] >= f->patch[1];
    if (!cropped && !config_size(f, s, told)) return VISE_OK;
    if (cropped || same_grid(f, told)) memcpy(f->size, told, sizeof f->size);
    if (same_grid(f, told)) return VISE_OK;
    if (cropped)
        return vise_strings_addf(notes, e,
                                 "size %zux%zu: as preprocessor_config.json says, not %zux%zu of "
                                 "the position embeddings; --size changes it",
                                 told[0], told[1], f->grid[0] * f->patch[0],
                                 f->grid[1] * f->patch[1]);
    return vise_strings_addf(
        notes, e,
        "size %zux%zu: of the position embeddings, not %zux%zu as a configuration "
        "says; --size changes it",
        f->size[0], f->size[1], told[0], told[1]);
}

/* ---- shapes ---- */

static const vise_shape *shape_of(const vise_vit_map *map, const char *role)
{
    const vise_vit_role *r = vise_vit_find(map, role);
    return r ? &r->tensor->shape : NULL;
}

static vise_status wrong(const vise_vit_map *map, const char *role, const char *expected,
                         vise_err *e)
{
    char text[VISE_SHAPE_TEXT];
    const vise_stored *x = vise_vit_find(map, role)->tensor;
    return vise_fail(e, VISE_EFORMAT, "%s: shape %s, expected %s", x->name,
                     vise_shape_text(text, sizeof text, &x->shape), expected);
}

/* A linear layer over flattened patches is a convolution if the order in which pixels were flattened
 * is known: it is for one channel. */
static vise_status find_patch(vise_vit_facts *f, const vise_vit_map *map, vise_err *e)
{
    const char *role = "patch_embed.proj.weight";
    const vise_shape *w = shape_of(map, role);
    const size_t K = w->rank == 2 ? w->dim[1] : 0, r = square_root(K);
    if (w->rank == 4) {
        f->channels = w->dim[1];
        f->patch[0] = w->dim[2];
        f->patch[1] = w->dim[3];
    } else if (K && r * r == K) {
        f->linear_patch = true;
        f->channels = 1;
        f->patch[0] = f->patch[1] = r;
    } else {
        return wrong(
            map, role,
            "[dim, channels, patch, patch] (a linear layer over flattened patches does not "
            "tell their order, unless there is one channel)",
            e);
    }
    if (f->channels != 1 && f->channels != 3)
        return wrong(map, role, "1 or 3 channels of pictures", e);
    if (f->patch[0] > VISE_VIT_SIDE || f->patch[1] > VISE_VIT_SIDE)
        return wrong(map, role, "patches of at most 16384 pixels a side", e);
    f->dim = w->dim[0];
    return VISE_OK;
}

/* Tokens and positions: [..., n, dim] with extents of 1 before; a lone token may be [dim]. */
static vise_status check_rows(const vise_vit_facts *f, const vise_vit_map *map, const char *role,
                              size_t most, vise_err *e)
{
    const vise_shape *s = shape_of(map, role);
    if (!s) return VISE_OK;
    const size_t rows = s->rank >= 2 ? s->dim[s->rank - 2] : 1;
    if (s->rank && s->dim[s->rank - 1] == f->dim && rows <= most &&
        vise_shape_count(s) == rows * f->dim)
        return VISE_OK;
    char text[60];
    snprintf(text, sizeof text, "[1, %s, %zu]", most == 1 ? "1" : "tokens", f->dim);
    return wrong(map, role, text, e);
}

static vise_status find_shapes(vise_vit_facts *f, const vise_vit_map *map, vise_err *e)
{
    static const char *const needed[] = {"patch_embed.proj.weight", "pos_embed"};
    for (size_t i = 0; i < 2; i++)
        if (!shape_of(map, needed[i]))
            return vise_fail(e, VISE_EFORMAT, "%s is missing", needed[i]);
    if (!map->depth) return vise_fail(e, VISE_EFORMAT, "blocks.0 is missing");
    VISE_TRY(find_patch(f, map, e));
    VISE_TRY(check_rows(f, map, "pos_embed", VISE_MAX_DIM, e));
    VISE_TRY(check_rows(f, map, "cls_token", 1, e));
    VISE_TRY(check_rows(f, map, "dist_token", 1, e));
    VISE_TRY(check_rows(f, map, "reg_token", 256, e));
    const char *down = vise_vit_find(map, "blocks.0.mlp.w3.weight") ? "blocks.0.mlp.w3.weight"
                                                                    : "blocks.0.mlp.fc2.weight";
    const vise_shape *w = shape_of(map, down), *head = shape_of(map, "head.weight");
    if (!w) return vise_fail(e, VISE_EFORMAT, "%s is missing", down);
    if (w->rank != 2) return wrong(map, down, "[dim, mlp]", e);
    const vise_shape *up = shape_of(map, "blocks.0.mlp.fc1.weight");
    f->mlp = w->dim[1];
    f->gated = !up || (up->rank == 2 && up->dim[0] == 2 * f->mlp);
    f->depth = map->depth;
    f->classes = head && head->rank == 2 ? head->dim[0] : 0;
    f->head_cols = f->classes ? head->dim[1] : f->dim;
    if (head && !f->classes) return wrong(map, "head.weight", "[classes, dim]", e);
    const vise_shape *pre = shape_of(map, "pre_logits.fc.weight");
    if (pre && pre->rank != 2) return wrong(map, "pre_logits.fc.weight", "[n, dim]", e);
    if (pre && !head) f->head_cols = pre->dim[0];
    f->cls_and_mean = (pre ? pre->dim[1] : f->head_cols) == 2 * f->dim;
    return VISE_OK;
}

/* Mean of the patch tokens, or the class token? */
static vise_status find_pool(vise_vit_facts *f, const vise_vit_map *map, const sources *s,
                             vise_strings *notes, vise_err *e)
{
    const bool cls = vise_vit_find(map, "cls_token") != NULL;
    const field v = lookup(s, "global_pool");
    const char *pool = json_string_value(v.value);
    f->mean_pool =
        !cls || (vise_vit_find(map, "fc_norm.weight") && !vise_vit_find(map, "norm.weight"));
    if (pool && *pool) {
        f->mean_pool = !strcmp(pool, "avg");
        if (f->mean_pool || (cls && !strcmp(pool, "token"))) return VISE_OK;
        return vise_fail(e, VISE_EFORMAT, FIELD_FMT ": %.40s does not fit these tensors",
                         FIELD_ARG(v), pool);
    }
    return f->mean_pool && cls
               ? vise_strings_addf(
                     notes, e,
                     "pooling by the mean of the patch tokens: there is fc_norm and no norm")
               : VISE_OK;
}

vise_status vise_vit_find_facts(vise_vit_facts *f, const vise_vit_map *map, vise_model *m,
                                const vise_import *opts, const vise_configs *c, vise_err *e)
{
    sources s;
    *f = (vise_vit_facts){0};
    VISE_TRY(find_shapes(f, map, e));
    open_sources(&s, c, &m->tensors);
    vise_status st = find_heads(f, map, &s, opts->heads, &m->notes, e);
    if (!st) st = find_eps(f, map, &s, opts->ln_eps, &m->notes, e);
    if (!st) st = find_act(f, map, &s, opts->act, &m->notes, e);
    if (!st) st = find_norm(f, map, &s, opts->norm, &m->notes, e);
    if (!st) st = find_pool(f, map, &s, &m->notes, e);
    if (!st) st = find_grid(f, map, &s, opts, e);
    if (!st) st = find_size_in_pixels(f, &s, opts, c, &m->notes, e);
    close_sources(&s);
    return st;
}
