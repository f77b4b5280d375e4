/* new.c - models with random weights: published plain-ViT sizes, any other, or a teacher's students
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "model/arch/vit.h"
#include "model/student.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_DIM = 1 << 14,
    MAX_DEPTH = 512,
    MAX_CLASSES = 1 << 20,
    MAX_SIDE = 1 << 14,
    MAX_TOKENS = 1 << 20
};

typedef struct size {
    const char *name; // as timm calls it
    size_t dim, depth, heads, mlp, patch, side;
    bool distilled,
        scaled; // a distillation token and its head; layer scale, positions of patches only
} size;

static const size sizes[] = {
    {"vit_tiny_patch16_224", 192, 12, 3, 768, 16, 224, 0, 0},
    {"vit_tiny_patch16_384", 192, 12, 3, 768, 16, 384, 0, 0},
    {"vit_small_patch8_224", 384, 12, 6, 1536, 8, 224, 0, 0},
    {"vit_small_patch16_224", 384, 12, 6, 1536, 16, 224, 0, 0},
    {"vit_small_patch16_384", 384, 12, 6, 1536, 16, 384, 0, 0},
    {"vit_small_patch32_224", 384, 12, 6, 1536, 32, 224, 0, 0},
    {"vit_small_patch32_384", 384, 12, 6, 1536, 32, 384, 0, 0},
    {"vit_base_patch8_224", 768, 12, 12, 3072, 8, 224, 0, 0},
    {"vit_base_patch14_224", 768, 12, 12, 3072, 14, 224, 0, 0},
    {"vit_base_patch16_224", 768, 12, 12, 3072, 16, 224, 0, 0},
    {"vit_base_patch16_384", 768, 12, 12, 3072, 16, 384, 0, 0},
    {"vit_base_patch32_224", 768, 12, 12, 3072, 32, 224, 0, 0},
    {"vit_base_patch32_384", 768, 12, 12, 3072, 32, 384, 0, 0},
    {"vit_large_patch14_224", 1024, 24, 16, 4096, 14, 224, 0, 0},
    {"vit_large_patch16_224", 1024, 24, 16, 4096, 16, 224, 0, 0},
    {"vit_large_patch16_384", 1024, 24, 16, 4096, 16, 384, 0, 0},
    {"vit_large_patch32_224", 1024, 24, 16, 4096, 32, 224, 0, 0},
    {"vit_large_patch32_384", 1024, 24, 16, 4096, 32, 384, 0, 0},
    {"vit_huge_patch14_224", 1280, 32, 16, 5120, 14, 224, 0, 0},
    {"deit_tiny_patch16_224", 192, 12, 3, 768, 16, 224, 0, 0},
    {"deit_small_patch16_224", 384, 12, 6, 1536, 16, 224, 0, 0},
    {"deit_base_patch16_224", 768, 12, 12, 3072, 16, 224, 0, 0},
    {"deit_base_patch16_384", 768, 12, 12, 3072, 16, 384, 0, 0},
    {"deit_tiny_distilled_patch16_224", 192, 12, 3, 768, 16, 224, 1, 0},
    {"deit_small_distilled_patch16_224", 384, 12, 6, 1536, 16, 224, 1, 0},
    {"deit_base_distilled_patch16_224", 768, 12, 12, 3072, 16, 224, 1, 0},
    {"deit_base_distilled_patch16_384", 768, 12, 12, 3072, 16, 384, 1, 0},
    {"deit3_small_patch16_224", 384, 12, 6, 1536, 16, 224, 0, 1},
    {"deit3_medium_patch16_224", 512, 12, 8, 2048, 16, 224, 0, 1},
    {"deit3_base_patch16_224", 768, 12, 12, 3072, 16, 224, 0, 1},
    {"deit3_large_patch16_224", 1024, 24, 16, 4096, 16, 224, 0, 1},
    {"deit3_huge_patch14_224", 1280, 32, 16, 5120, 14, 224, 0, 1},
};
enum { SIZES = sizeof sizes / sizeof *sizes };

const char *vise_model_names(size_t i)
{
    return i < SIZES ? sizes[i].name : NULL;
}

typedef struct plan {
    size_t dim, depth, heads, mlp, patch, height, width, classes, channels;
    size_t pos_prefix;  // prefix tokens that have positions
    vise_student *from; // what its weights begin as; NULL: random
    bool distilled, scaled;
} plan;

/* ---- the plan ---- */

static size_t or_else(uint32_t option, size_t otherwise)
{
    return option ? option : otherwise;
}

static vise_status bounded(const char *what, size_t x, size_t most, vise_err *e)
{
    return x && x <= most ? VISE_OK
                          : vise_fail(e, VISE_EARG, "%s %zu: expected 1 to %zu", what, x, most);
}

static vise_status check_plan(const plan *p, vise_err *e)
{
    VISE_TRY(bounded("--dim", p->dim, MAX_DIM, e));
    VISE_TRY(bounded("--depth", p->depth, MAX_DEPTH, e));
    VISE_TRY(bounded("--mlp-ratio gives a hidden width of", p->mlp, 8 * MAX_DIM, e));
    VISE_TRY(bounded("--patch", p->patch, 1024, e));
    VISE_TRY(bounded("--classes", p->classes, MAX_CLASSES, e));
    VISE_TRY(bounded("--size height", p->height, MAX_SIDE, e));
    VISE_TRY(bounded("--size width", p->width, MAX_SIDE, e));
    if (!p->heads || p->dim % p->heads)
        return vise_fail(e, VISE_EARG, "--heads %zu does not divide --dim %zu: give --heads",
                         p->heads, p->dim);
    if (p->height % p->patch || p->width % p->patch)
        return vise_fail(e, VISE_EARG, "--size %zux%zu is not a multiple of --patch %zu", p->height,
                         p->width, p->patch);
    return bounded("--size and --patch give a number of patches of",
                   (p->height / p->patch) * (p->width / p->patch), MAX_TOKENS, e);
}

/* Its dimensions, where options do not change them. */
static vise_status make_plan(plan *p, const size *s, const vise_new *o, vise_err *e)
{
    const double ratio = o->mlp_ratio;
    if (ratio != 0 && !(ratio > 0 && ratio <= 64))
        return vise_fail(e, VISE_EARG, "--mlp-ratio %g: not in (0, 64]", ratio);
    *p = (plan){.dim = or_else(o->dim, s->dim),
                .depth = or_else(o->depth, s->depth),
                .patch = or_else(o->patch, s->patch),
                .height = or_else(o->height, s->side),
                .width = or_else(o->width, s->side),
                .classes = or_else(o->classes, 1000),
                .channels = 3,
                .distilled = s->distilled || o->distilled,
                .scaled = s->scaled};
    p->pos_prefix = p->scaled ? 0 : 1 + (size_t)p->distilled;
    const size_t head_dim = s->heads ? s->dim / s->heads : 64; // kept when only dim is changed
    p->heads = or_else(o->heads, p->dim % head_dim ? 0 : p->dim / head_dim);
    p->mlp =
        (size_t)((double)p->dim * (ratio != 0 ? ratio : (double)s->mlp / (double)s->dim) + 0.5);
    return VISE_OK;
}

static vise_status plan_named(plan *p, const char *name, const vise_new *o, vise_err *e)
{
    static const size free_size = {"vit", 192, 12, 0, 768, 16, 224, 0, 0}; // as tiny
    const size *s = !strcmp(name, free_size.name) ? &free_size : NULL;
    for (size_t i = 0; !s && i < SIZES; i++)
        if (!strcmp(sizes[i].name, name)) s = &sizes[i];
    if (!s) return vise_fail(e, VISE_EARG, "%.80s: no published size of that name, nor vit", name);
    if (o->blocks || o->nblocks)
        return vise_fail(e, VISE_EARG, "--blocks are those of a teacher: give --from");
    VISE_TRY(make_plan(p, s, o, e));
    return check_plan(p, e);
}

/* Which blocks of the teacher there will be. */
static vise_status choose_blocks(plan *p, const vise_new *o, const vise_teacher *t, vise_err *e)
{
    if (o->nblocks > MAX_DEPTH)
        return vise_fail(e, VISE_EARG, "--blocks: %zu of them, expected 1 to %d", o->nblocks,
                         MAX_DEPTH);
    if (!o->nblocks)
        return p->depth <= t->depth
                   ? VISE_OK
                   : vise_fail(e, VISE_EARG,
                               "--depth %zu: the teacher has %zu blocks, give --blocks", p->depth,
                               t->depth);
    if (o->depth && o->depth != o->nblocks)
        return vise_fail(e, VISE_EARG, "--depth %u: --blocks lists %zu", o->depth, o->nblocks);
    for (size_t i = 0; i < o->nblocks; i++)
        if (o->blocks[i] >= t->depth)
            return vise_fail(e, VISE_EARG, "--blocks %u: the teacher's are 0 to %zu", o->blocks[i],
                             t->depth - 1);
    p->depth = o->nblocks;
    return VISE_OK;
}

/* A student: what options do not say is as in the teacher. */
static vise_status plan_student(plan *p, const char *name, const vise_new *o, vise_err *e)
{
    const vise_teacher *t = p->from->teacher;
    vise_student *from = p->from;
    if (strcmp(name, "vit") != 0)
        return vise_fail(e, VISE_EARG, "--from gives dimensions: NAME has to be vit, not %.80s",
                         name);
    if (!o->patch && t->patch[0] != t->patch[1])
        return vise_fail(e, VISE_EARG, "--from: the teacher has patches of %zux%zu: give --patch",
                         t->patch[0], t->patch[1]);
    if (!o->classes && !t->classes)
        return vise_fail(e, VISE_EARG, "--from: the teacher has no head: give --classes");
    const vise_recipe *r = &o->from->recipe;
    const size as = {NULL,        t->dim,    t->depth,     t->heads, t->mlp,
                     t->patch[0], r->height, t->distilled, t->scaled};
    VISE_TRY(make_plan(p, &as, o, e));
    p->from = from;
    p->channels = t->channels;
    if (!o->width) p->width = r->width;
    if (!o->classes) p->classes = t->classes;
    const size_t rows = (size_t)t->pos->skip; // of positions that the teacher's prefix tokens have
    p->pos_prefix = !rows || t->distilled ? rows : 1 + (size_t)p->distilled;
    VISE_TRY(choose_blocks(p, o, t, e));
    VISE_TRY(check_plan(p, e));
    from->blocks = o->nblocks ? o->blocks : NULL;
    from->depth = p->depth;
    from->prefix = p->pos_prefix;
    from->grid[0] = p->height / p->patch;
    from->grid[1] = p->width / p->patch;
    return VISE_OK;
}

/* ---- tensors ---- */

/* How numbers are drawn: around 0 (weights), around 0 and small (biases), around 1 (norms). */
typedef enum kind { WEIGHT, BIAS, ONE } kind;

/* Names and shapes first, without data, so that one block can hold all of them. */
typedef struct maker {
    vise_tensors *t;
    const vise_student *from; // or NULL
    vise_err *e;
    vise_status status;
} maker;

static void put(maker *m, const char *name, vise_shape shape)
{
    const vise_stored x = {name, VISE_F32, shape, NULL, vise_shape_count(&shape) * sizeof(float)};
    if (!m->status) m->status = vise_tensors_add(m->t, &x, m->e);
}

/* NAME.weight and NAME.bias of a linear layer [rows, cols]; cols 0: of a norm. */
static void put_layer(maker *m, const char *name, size_t rows, size_t cols)
{
    char text[64];
    snprintf(text, sizeof text, "%s.weight", name);
    put(m, text, cols ? (vise_shape){2, {rows, cols}} : (vise_shape){1, {rows}});
    snprintf(text, sizeof text, "%s.bias", name);
    if (m->from && !vise_student_has(m->from, text)) // or it would be random where there is none
        return;
    put(m, text, (vise_shape){1, {rows}});
}

static void put_block(maker *m, const plan *p, size_t i)
{
    const struct part {
        const char *name;
        size_t rows, cols;
    } parts[] = {{"norm1", p->dim, 0},          {"attn.qkv", 3 * p->dim, p->dim},
                 {"attn.proj", p->dim, p->dim}, {"norm2", p->dim, 0},
                 {"mlp.fc1", p->mlp, p->dim},   {"mlp.fc2", p->dim, p->mlp}};
    char text[64];
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        snprintf(text, sizeof text, "blocks.%zu.%s", i, parts[k].name);
        put_layer(m, text, parts[k].rows, parts[k].cols);
    }
    for (size_t k = 1; k <= 2 && p->scaled; k++) {
        snprintf(text, sizeof text, "blocks.%zu.ls%zu.gamma", i, k);
        put(m, text, (vise_shape){1, {p->dim}});
    }
}

static vise_status put_all(vise_tensors *t, const plan *p, vise_err *e)
{
    maker m = {.t = t, .from = p->from, .e = e};
    const size_t C = p->dim, patches = (p->height / p->patch) * (p->width / p->patch);
    const vise_shape token = {3, {1, 1, C}};
    put(&m, "cls_token", token);
    if (p->distilled) put(&m, "dist_token", token);
    put(&m, "pos_embed", (vise_shape){3, {1, p->pos_prefix + patches, C}});
    put(&m, "patch_embed.proj.weight", (vise_shape){4, {C, p->channels, p->patch, p->patch}});
    put(&m, "patch_embed.proj.bias", (vise_shape){1, {C}});
    for (size_t i = 0; i < p->depth; i++)
        put_block(&m, p, i);
    put_layer(&m, "norm", C, 0);
    put_layer(&m, "head", p->classes, C);
    if (p->distilled) put_layer(&m, "head_dist", p->classes, C);
    return m.status;
}

static kind kind_of(const char *name)
{
    const size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".bias")) return BIAS;
    if (n > 6 && !strcmp(name + n - 6, ".gamma")) return ONE;
    return strstr(name, "norm") ? ONE : WEIGHT;
}

/* What was taken from a teacher. */
typedef struct taken {
    size_t tensors;
    vise_listing rest; // still random
} taken;

static vise_status take(taken *k, const vise_student *from, const vise_stored *x, float *data,
                        vise_err *e)
{
    bool copied;
    VISE_TRY(vise_student_copy(from, x->name, &x->shape, data, &copied, e));
    if (copied)
        k->tensors++;
    else
        vise_listing_add(&k->rest, x->name, &x->shape);
    return VISE_OK;
}

/* Nothing is 0 or 1 exactly, so that no part of a computation can be left out unseen. What a teacher
 * gives comes over that, so that the rest is the same with and without one. */
static vise_status fill(vise_tensors *t, uint64_t seed, const vise_student *from, taken *k,
                        vise_err *e)
{
    static const float mean[] = {0, 0, 1}, spread[] = {0.02f, 0.01f, 0.02f};
    size_t total = 0;
    float *block;
    for (size_t i = 0; i < t->count; i++)
        total += t->item[i].bytes / sizeof(float); // bounded by check_plan: under 2^42
    VISE_TRY(vise_alloc_or(&block, total, sizeof *block, "random weights", e));
    VISE_TRY(vise_tensors_own(t, block, e));
    for (size_t i = 0; i < t->count; i++) {
        vise_stored *x = &t->item[i];
        vise_rng r = vise_rng_named(seed, x->name);
        const kind q = kind_of(x->name);
        const size_t n = x->bytes / sizeof(float);
        for (size_t j = 0; j < n; j++)
            block[j] = mean[q] + spread[q] * vise_rng_normal(&r);
        if (from) VISE_TRY(take(k, from, x, block, e));
        x->data = block;
        block += n;
    }
    return VISE_OK;
}

/* ---- the model ---- */

static vise_status add_history(vise_model *m, const char *name, const vise_new *o,
                               const char *student, vise_err *e)
{
    char text[256];
    const struct given {
        const char *key;
        uint32_t value;
    } given[] = {{"dim", o->dim},        {"depth", o->depth},   {"heads", o->heads},
                 {"patch", o->patch},    {"height", o->height}, {"width", o->width},
                 {"classes", o->classes}};
    size_t n = (size_t)snprintf(text, sizeof text, "new %.60s seed=%llu", name,
                                (unsigned long long)o->seed);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].value)
            n +=
                (size_t)snprintf(text + n, sizeof text - n, " %s=%u", given[i].key, given[i].value);
    if (o->mlp_ratio != 0)
        n += (size_t)snprintf(text + n, sizeof text - n, " mlp-ratio=%.17g", o->mlp_ratio);
    if (o->distilled) snprintf(text + n, sizeof text - n, " distilled");
    return vise_strings_addf(&m->history, e, "%s%s", text, student);
}

/* "0,2,5", cut at the end of buf. */
static void block_list(char *buf, size_t room, const vise_student *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->depth && n < room; i++)
        n += (size_t)snprintf(buf + n, room - n, "%s%zu", i ? "," : "", vise_student_block(s, i));
    if (n >= room) memcpy(buf + room - 4, "...", 4);
}

/* History, notes and class names of a student: first how its teacher was made. */
static vise_status describe(vise_model *m, const plan *p, const vise_new *o, taken *k, vise_err *e)
{
    char blocks[600], line[700];
    const vise_model *from = o->from;
    const size_t all = m->tensors.count;
    block_list(blocks, sizeof blocks, p->from);
    for (size_t i = 0; i < from->history.count; i++)
        VISE_TRY(vise_strings_add(&m->history, from->history.item[i], e));
    snprintf(line, sizeof line, " from=teacher blocks=%s copied=%zu/%zu", blocks, k->tensors, all);
    VISE_TRY(add_history(m, "vit", o, line, e));
    VISE_TRY(vise_strings_addf(&m->notes, e, "%zu of %zu tensors are the teacher's; its blocks %s",
                               k->tensors, all, blocks));
    if (k->tensors < all)
        VISE_TRY(vise_strings_addf(&m->notes, e, "still random: %s", vise_listing_text(&k->rest)));
    for (size_t i = 0; p->classes == from->labels.count && i < p->classes; i++)
        VISE_TRY(vise_strings_add(&m->labels, from->labels.item[i], e));
    return VISE_OK;
}

/* What DeiTs are fed; the others are fed what the family says. */
static const vise_recipe imagenet = {.mean = {0.485f, 0.456f, 0.406f},
                                     .std = {0.229f, 0.224f, 0.225f}};

static vise_recipe recipe_of(const plan *p, const char *name, const vise_new *o)
{
    if (!p->from) return strncmp(name, "deit", 4) ? (vise_recipe){0} : imagenet;
    vise_recipe r = o->from->recipe;
    r.height = (uint32_t)p->height;
    r.width = (uint32_t)p->width;
    return r;
}

static vise_status build(vise_model *m, const plan *p, const char *name, const vise_new *o,
                         vise_err *e)
{
    const vise_arch *arch = vise_arch_find("vit");
    const vise_teacher *t = p->from ? p->from->teacher : NULL;
    const vise_import import = {.recipe = recipe_of(p, name, o),
                                .heads = (uint32_t)p->heads,
                                .ln_eps = t ? t->ln_eps : 1e-6,
                                .act = t ? t->act : "gelu",
                                .norm = "pre",
                                .height = (uint32_t)p->height,
                                .width = (uint32_t)p->width};
    m->family = arch->name;
    VISE_TRY(arch->build(m, &import, &(vise_configs){0}, e));
    vise_strings_free(&m->notes); // there was no file to assume anything about
    return VISE_OK;
}

static vise_status fill_model(vise_model *m, const char *name, const vise_new *o, vise_err *e)
{
    vise_teacher teacher;
    vise_student student = {.teacher = &teacher};
    plan p = {.from = o->from ? &student : NULL};
    taken k = {0};
    if (o->from) VISE_TRY(vise_teacher_read(&teacher, o->from, e));
    VISE_TRY(o->from ? plan_student(&p, name, o, e) : plan_named(&p, name, o, e));
    VISE_TRY(put_all(&m->tensors, &p, e));
    char side[64]; // or a grid of 7 x 28 patches would be taken for 14 x 14
    snprintf(side, sizeof side, "[%zu, %zu]", p.height, p.width);
    VISE_TRY(vise_tensors_add_text(&m->tensors, "img_size", side, e));
    VISE_TRY(fill(&m->tensors, o->seed, p.from, &k, e));
    if (o->from && !k.tensors)
        return vise_fail(e, VISE_EARG,
                         "--from: nothing of the teacher, of dim %zu, fits a student of dim %zu",
                         teacher.dim, p.dim);
    VISE_TRY(build(m, &p, name, o, e));
    return o->from ? describe(m, &p, o, &k, e) : add_history(m, name, o, "", e);
}

vise_status vise_model_new(vise_model **out, const char *name, const vise_new *opts, vise_err *e)
{
    vise_model *m;
    *out = NULL;
    VISE_TRY(vise_model_alloc(&m, e));
    vise_status s = fill_model(m, name, opts ? opts : &(vise_new){0}, e);
    if (s)
        vise_model_free(m);
    else
        *out = m;
    return s;
}
