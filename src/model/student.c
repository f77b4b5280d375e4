/* student.c - what a new model takes over from a teacher: dimensions and weights
 * SPDX-License-Identifier: MIT */
#include "model/student.h"
#include "graph/ops_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the teacher's dimensions ---- */

/* The text behind "blocks.N.", or NULL; *n is N. */
static const char *in_block(const char *name, size_t *n)
{
    if (strncmp(name, "blocks.", 7) != 0) return NULL;
    char *end;
    *n = strtoul(name + 7, &end, 10);
    return end > name + 7 && *end == '.' ? end + 1 : NULL;
}

/* A constant of a plain ViT? */
static bool is_plain(const char *name)
{
    static const char *const outside[] = {"cls_token",
                                          "dist_token",
                                          "pos_embed",
                                          "patch_embed.proj.weight",
                                          "patch_embed.proj.bias",
                                          "norm.weight",
                                          "norm.bias",
                                          "head.weight",
                                          "head.bias",
                                          "head_dist.weight",
                                          "head_dist.bias",
                                          NULL};
    static const char *const inside[] = {"norm1.weight",  "norm1.bias",       "attn.qkv.weight",
                                         "attn.qkv.bias", "attn.q.weight",    "attn.q.bias",
                                         "attn.k.weight", "attn.k.bias",      "attn.v.weight",
                                         "attn.v.bias",   "attn.proj.weight", "attn.proj.bias",
                                         "norm2.weight",  "norm2.bias",       "mlp.fc1.weight",
                                         "mlp.fc1.bias",  "mlp.fc2.weight",   "mlp.fc2.bias",
                                         "ls1.gamma",     "ls2.gamma",        NULL};
    size_t n;
    const char *part = in_block(name, &n);
    for (const char *const *k = part ? inside : outside; *k; k++)
        if (!strcmp(*k, part ? part : name)) return true;
    return false;
}

static const vise_const *find_const(const vise_graph *g, const char *name)
{
    const vise_id v = vise_graph_find(g, name);
    return v != VISE_NONE && g->value[v].kind == VISE_VALUE_CONST ? &g->value[v].data : NULL;
}

static const vise_node *find_node(const vise_graph *g, const char *name, const char *op)
{
    const vise_id v = vise_graph_find(g, name);
    if (v == VISE_NONE || g->value[v].kind != VISE_VALUE_NODE) return NULL;
    const vise_node *n = &g->node[g->value[v].node];
    return strcmp(n->op->name, op) ? NULL : n;
}

static size_t count_blocks(const vise_graph *g)
{
    char name[48];
    for (size_t i = 0;; i++) {
        snprintf(name, sizeof name, "blocks.%zu.attn", i);
        if (!find_node(g, name, "attention")) return i;
    }
}

/* A constant's shape where it has the rank. */
static const size_t *extents(const vise_graph *g, const char *name, uint32_t rank)
{
    const vise_const *c = find_const(g, name);
    return c && c->shape.rank == rank ? c->shape.dim : NULL;
}

static vise_status no_part(const char *what, vise_err *e)
{
    return vise_fail(e, VISE_EARG, "--from: the teacher is no plain ViT: it has no %s", what);
}

/* What the graph's nodes tell. */
static vise_status read_nodes(vise_teacher *t, vise_err *e)
{
    const vise_graph *g = t->g;
    const vise_node *pos = find_node(g, "pos_embed.add", "embed_add");
    const vise_node *attn = find_node(g, "blocks.0.attn", "attention");
    const vise_node *norm = find_node(g, "blocks.0.norm1", "layernorm");
    const vise_node *act = find_node(g, "blocks.0.mlp.act", "act");
    if (!find_const(g, "cls_token") || !find_node(g, "pool", "reshape"))
        return no_part("class token that its answer is read from", e);
    if (!pos) return no_part("positions", e);
    if (!attn) return no_part("attention in its first block", e);
    if (!norm || norm->in[0] == vise_graph_find(g, "blocks.0.add1"))
        return no_part("layernorm before the attention of its first block", e);
    if (!act) return no_part("activation in its first block", e);
    t->pos = pos->attr;
    t->heads = (size_t)((const vise_attention_attr *)attn->attr)->heads;
    t->ln_eps = ((const vise_norm_attr *)norm->attr)->eps;
    t->act = vise_act_names[((const vise_act_attr *)act->attr)->kind];
    return VISE_OK;
}

vise_status vise_teacher_read(vise_teacher *t, const vise_model *m, vise_err *e)
{
    const vise_graph *g = &m->graph;
    *t = (vise_teacher){.g = g, .depth = count_blocks(g)};
    for (size_t i = 0; i < g->values; i++)
        if (g->value[i].kind == VISE_VALUE_CONST && !is_plain(g->value[i].name))
            return vise_fail(e, VISE_EARG,
                             "--from: the teacher is no plain ViT: %.200s has no place in one",
                             g->value[i].name);
    VISE_TRY(read_nodes(t, e));
    const size_t *patch = extents(g, "patch_embed.proj.weight", 4);
    const size_t *up = extents(g, "blocks.0.mlp.fc1.weight", 2);
    const size_t *head = extents(g, "head.weight", 2);
    if (!patch) return no_part("patch embedding", e);
    if (!up) return no_part("MLP in its first block", e);
    t->dim = patch[0];
    t->channels = patch[1];
    t->patch[0] = patch[2];
    t->patch[1] = patch[3];
    t->mlp = up[0];
    t->classes = head ? head[0] : 0;
    t->distilled = find_const(g, "dist_token") && find_const(g, "head_dist.weight");
    t->scaled = find_const(g, "blocks.0.ls1.gamma") != NULL;
    if (t->dim % t->heads) // pruned, say: the size of a head cannot be told from it
        return vise_fail(e, VISE_EARG, "--from: the teacher has %zu heads, which do not divide %zu",
                         t->heads, t->dim);
    return VISE_OK;
}

/* ---- counterparts ---- */

size_t vise_student_block(const vise_student *s, size_t i)
{
    if (s->blocks) return s->blocks[i];
    return s->depth == 1
               ? 0
               : (i * (s->teacher->depth - 1) + (s->depth - 1) / 2) / (s->depth - 1); // nearest
}

enum { NAME_ROOM = 64 };

/* The teacher's name for a tensor of the student; q, k or v instead of qkv if part is one of them. */
static void counterpart(char text[NAME_ROOM], const vise_student *s, const char *name,
                        const char *part)
{
    size_t n;
    const char *role = in_block(name, &n);
    if (part && role)
        snprintf(text, NAME_ROOM, "blocks.%zu.attn.%s%s", vise_student_block(s, n), part,
                 role + strlen("attn.qkv"));
    else if (role)
        snprintf(text, NAME_ROOM, "blocks.%zu.%s", vise_student_block(s, n), role);
    else if (!s->teacher->distilled && !strcmp(name, "dist_token"))
        snprintf(text, NAME_ROOM, "cls_token");
    else if (!s->teacher->distilled && !strncmp(name, "head_dist.", 10))
        snprintf(text, NAME_ROOM, "head.%s", name + 10);
    else
        snprintf(text, NAME_ROOM, "%s", name);
}

static const char *const parts[] = {"q", "k", "v"};

/* Are these names of fused q, k, v in the student that are three layers in the teacher? Fills c, NULL
 * where there is none. */
static bool find_three(const vise_student *s, const char *name, const vise_const *c[3])
{
    char text[NAME_ROOM];
    if (!strstr(name, ".attn.qkv.")) return false;
    for (size_t i = 0; i < 3; i++) {
        counterpart(text, s, name, parts[i]);
        c[i] = find_const(s->teacher->g, text);
    }
    return c[0] || c[1] || c[2];
}

static const vise_const *find_one(const vise_student *s, const char *name)
{
    char text[NAME_ROOM];
    counterpart(text, s, name, NULL);
    return find_const(s->teacher->g, text);
}

bool vise_student_has(const vise_student *s, const char *name)
{
    const vise_const *c[3];
    return find_one(s, name) || find_three(s, name, c);
}

/* ---- weights ---- */

static vise_shape without_ones(const vise_shape *s)
{
    uint32_t skip = 0;
    while (skip < s->rank && s->dim[skip] == 1)
        skip++;
    return vise_shape_of(s->rank - skip, s->dim + skip);
}

static bool fits(const vise_shape *a, const vise_shape *b)
{
    const vise_shape x = without_ones(a), y = without_ones(b);
    return vise_shape_same(&x, &y);
}

/* Rows of q, then of k, then of v; those of a bias that is not there are 0. */
static bool copy_three(const vise_const *const c[3], const vise_shape *shape, float *out)
{
    vise_shape third = *shape;
    third.dim[0] /= 3;
    for (size_t i = 0; i < 3; i++)
        if (c[i] ? !fits(&c[i]->shape, &third) : shape->rank != 1) return false;
    const size_t n = vise_shape_count(&third);
    for (size_t i = 0; i < 3; i++)
        if (c[i])
            vise_decode(out + i * n, c[i]);
        else
            memset(out + i * n, 0, n * sizeof *out);
    return true;
}

static vise_status copy_positions(const vise_student *s, const vise_const *c, size_t C, float *out,
                                  bool *copied, vise_err *e)
{
    const vise_embed_add_attr *pos = s->teacher->pos;
    const size_t grid[2] = {(size_t)pos->grid_h, (size_t)pos->grid_w}, skip = (size_t)pos->skip;
    if (c->shape.dim[c->shape.rank - 1] != C) return VISE_OK;
    const vise_map_resize g = vise_map_resize_of(grid, s->grid, VISE_BICUBIC, !pos->aliased);
    const size_t room = vise_map_resize_scratch(&g);
    float *scratch;
    VISE_TRY(vise_alloc_or(&scratch, room + vise_shape_count(&c->shape), sizeof *scratch,
                           "positions of the teacher", e));
    float *table = scratch + room;
    vise_decode(table, c);
    for (size_t i = 0; i < s->prefix; i++, out += C)
        memcpy(out, table + (i < skip ? i : 0) * C, C * sizeof *out);
    table += skip * C;
    if (grid[0] == s->grid[0] && grid[1] == s->grid[1])
        memcpy(out, table, grid[0] * grid[1] * C * sizeof *out);
    else
        vise_map_resize_run(&g, out, table, C, scratch);
    vise_free(scratch);
    *copied = true;
    return VISE_OK;
}

vise_status vise_student_copy(const vise_student *s, const char *name, const vise_shape *shape,
                              float *out, bool *copied, vise_err *e)
{
    const vise_const *three[3], *c = find_one(s, name);
    *copied = false;
    if (c && !strcmp(name, "pos_embed"))
        return copy_positions(s, c, shape->dim[shape->rank - 1], out, copied, e);
    if (c) {
        *copied = fits(&c->shape, shape);
        if (*copied) vise_decode(out, c);
    } else if (find_three(s, name, three)) {
        *copied = copy_three(three, shape, out);
    }
    return VISE_OK;
}
