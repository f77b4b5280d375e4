/* vit_structure.c - roles of tensors under unknown names: by shapes and repetition
 *
 * A ViT's tensors tell what they are almost without their names. Those of the blocks repeat: they
 * are the longest list of names that differ in one number only. In a block of width C the matrices
 * are [3C, C] (qkv), [C, C] (proj; or four of them: q, k, v, proj), [F, C] and [C, F] (mlp), the
 * vectors two layernorms. Outside are a convolution [C, channels, patch, patch], [1, tokens, C]
 * (positions), [1, 1, C] (class token), a layernorm and [classes, C] (head). Where shapes are equal,
 * words in the names decide, then numbers in them, then the file's order unless the file is sorted by
 * name. What then remains is refused.
 *
 * SPDX-License-Identifier: MIT */
#include "model/arch/vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEMS = 24, MAX_COUNT = 4096, MAX_NUMBERS = 6 };

/* A weight and its bias: what stands before ".weight" and ".bias", "_weight" and "_bias". */
typedef struct stem {
    const char *name; // not ended by 0
    size_t n;
    const vise_stored *weight, *bias;
    const char *role; // NULL: none found
} stem;

typedef struct stems {
    stem item[MAX_STEMS];
    size_t count;
} stems;

/* The list of blocks: tensors named head, a number, ".", tail. */
typedef struct family {
    const char *name; // a tensor of it
    size_t head;      // bytes before the number
    size_t depth, each;
} family;

typedef struct search {
    const vise_tensors *t;
    family blocks;
    stems in, out; // of block 0; outside the blocks
    size_t dim;
    bool sorted; // by name: then the order says nothing
} search;

/* ---- repetition ---- */

/* Length of the number at s, if it is a whole component of a dotted name that goes on, or 0. */
static size_t component(const char *s)
{
    const size_t n = strspn(s, "0123456789");
    return n && n <= 4 && s[n] == '.' && (n == 1 || *s != '0') ? n : 0;
}

/* The tail of a name that belongs to the family, and its block; or NULL. */
static const char *tail_of(const family *f, const char *name, size_t *block)
{
    if (strncmp(name, f->name, f->head) != 0) return NULL;
    const size_t n = component(name + f->head);
    if (!n) return NULL;
    *block = strtoul(name + f->head, NULL, 10);
    return name + f->head + n + 1;
}

static const vise_stored *find_tail(const vise_tensors *t, const family *f, size_t block,
                                    const char *tail)
{
    for (size_t i = 0; i < t->count; i++) {
        size_t b;
        const char *other = tail_of(f, t->item[i].name, &b);
        if (other && b == block && !strcmp(other, tail)) return &t->item[i];
    }
    return NULL;
}

/* Counts the family; are all its blocks alike? Names are unique, so it is enough that block 0 has
 * each block's tensors and that there are depth times as many. */
static bool alike(const vise_tensors *t, family *f)
{
    size_t count = 0, first = 0, block;
    f->depth = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (!tail_of(f, t->item[i].name, &block)) continue;
        count++;
        first += block == 0;
        if (block >= f->depth) f->depth = block + 1;
    }
    f->each = first;
    if (!first || f->depth > VISE_VIT_DEPTH || first > 2 * MAX_STEMS || count != first * f->depth)
        return false;
    for (size_t i = 0; i < t->count; i++) {
        const char *tail = tail_of(f, t->item[i].name, &block);
        if (!tail || !block) continue;
        const vise_stored *model = find_tail(t, f, 0, tail);
        if (!model || !vise_shape_same(&model->shape, &t->item[i].shape)) return false;
    }
    return true;
}

/* Is the tensor the first of its family's block 0? So that each family is looked at once. */
static bool leads(const vise_tensors *t, const family *f, size_t tensor)
{
    size_t block;
    for (size_t i = 0; i < tensor; i++)
        if (tail_of(f, t->item[i].name, &block) && !block) return false;
    return true;
}

/* The largest family; of equal ones the first found, which has the shortest head. */
static bool find_blocks(search *s)
{
    const vise_tensors *t = s->t;
    for (size_t i = 0; i < t->count; i++) {
        const char *name = t->item[i].name;
        size_t numbers = 0;
        for (const char *p = name; *p && numbers < MAX_NUMBERS; p++) {
            if (*p != '0' || !component(p) || (p > name && p[-1] != '.')) continue;
            family f = {.name = name, .head = (size_t)(p - name)};
            numbers++;
            if (!leads(t, &f, i) || !alike(t, &f)) continue;
            if (f.depth * f.each > s->blocks.depth * s->blocks.each) s->blocks = f;
        }
    }
    return s->blocks.each != 0;
}

/* ---- stems ---- */

static bool ends(const char *s, const char *end, size_t *stem_bytes)
{
    const size_t n = strlen(s), m = strlen(end);
    if (n < m || strcmp(s + n - m, end) != 0) return false;
    *stem_bytes = n - m;
    return true;
}

static bool add_stem(stems *l, const vise_stored *x, const char *tail)
{
    size_t n = strlen(tail);
    const bool bias = ends(tail, ".bias", &n) || ends(tail, "_bias", &n);
    if (!bias && !ends(tail, ".weight", &n)) ends(tail, "_weight", &n);
    stem *at = NULL;
    for (size_t i = 0; i < l->count; i++)
        if (l->item[i].n == n && !strncmp(l->item[i].name, tail, n)) at = &l->item[i];
    if (!at) {
        if (l->count == MAX_STEMS) return false;
        at = &l->item[l->count++];
        *at = (stem){.name = tail, .n = n};
    }
    if (bias ? at->bias != NULL : at->weight != NULL) return false;
    if (bias)
        at->bias = x;
    else
        at->weight = x;
    return true;
}

static bool collect(search *s)
{
    s->sorted = true;
    const char *last = NULL;
    for (size_t i = 0; i < s->t->count; i++) {
        const vise_stored *x = &s->t->item[i];
        if (vise_vit_harmless(x->name)) continue;
        size_t block;
        const char *tail = tail_of(&s->blocks, x->name, &block);
        if (tail && block) continue;
        if (last && strcmp(last, x->name) > 0) s->sorted = false;
        last = x->name;
        if (!add_stem(tail ? &s->in : &s->out, x, tail ? tail : x->name)) return false;
    }
    return true;
}

/* ---- words ---- */

/* Does the stem have one of the words (separated by spaces), between characters that are no
 * letters? */
static bool has_word(const stem *s, const char *words)
{
    while (*words) {
        const size_t n = strcspn(words, " ");
        for (size_t i = 0; i + n <= s->n; i++) {
            const char before = i ? s->name[i - 1] : '.',
                       after = i + n < s->n ? s->name[i + n] : '.';
            if (strncmp(s->name + i, words, n) != 0) continue;
            if ((before < 'a' || before > 'z') && (after < 'a' || after > 'z')) return true;
        }
        words += n;
        words += strspn(words, " ");
    }
    return false;
}

/* Are a and b the same but for numbers, and a's first differing number the smaller? */
static bool numbered(const stem *a, const stem *b)
{
    const char *p = a->name, *q = b->name, *pe = p + a->n, *qe = q + b->n;
    int order = 0;
    while (p < pe && q < qe) {
        const size_t n = strspn(p, "0123456789"), m = strspn(q, "0123456789");
        if (!n != !m) return false;
        if (!n) {
            if (*p++ != *q++) return false;
            continue;
        }
        const unsigned long x = strtoul(p, NULL, 10), y = strtoul(q, NULL, 10);
        if (!order) order = x < y ? -1 : x > y;
        p += n;
        q += m;
    }
    return p == pe && q == qe && order < 0;
}

/* The role of one of two stems that look alike: a word that only one of them has decides, then their
 * numbers, then their order in the file. Says whether a is the first of the two. */
static bool first_of_two(const search *s, const stem *a, const stem *b, const char *second_words,
                         const char *first_words, bool *decided)
{
    const bool a2 = has_word(a, second_words), b2 = has_word(b, second_words);
    const bool a1 = has_word(a, first_words), b1 = has_word(b, first_words);
    *decided = true;
    if (a2 != b2) return b2;
    if (a1 != b1) return a1;
    if (numbered(a, b)) return true;
    if (numbered(b, a)) return false;
    *decided = !s->sorted;
    return a < b;
}

/* ---- roles in a block ---- */

static bool is_matrix(const stem *s, size_t rows, size_t cols)
{
    return s->weight && s->weight->shape.rank == 2 && s->weight->shape.dim[0] == rows &&
           s->weight->shape.dim[1] == cols &&
           (!s->bias || (s->bias->shape.rank == 1 && s->bias->shape.dim[0] == rows));
}

static bool is_norm(const stem *s, size_t dim)
{
    return s->weight && s->bias && s->weight->shape.rank == 1 && s->weight->shape.dim[0] == dim &&
           vise_shape_same(&s->weight->shape, &s->bias->shape);
}

static bool find_norms(search *s)
{
    stem *norm[2];
    size_t n = 0;
    for (size_t i = 0; i < s->in.count; i++) {
        if (!is_norm(&s->in.item[i], s->dim)) continue;
        if (n < 2) norm[n] = &s->in.item[i];
        n++;
    }
    if (n != 2) return false;
    bool decided;
    const bool first = first_of_two(s, norm[0], norm[1], "mlp ffn ff feed feedforward after post",
                                    "attn attention msa before pre input", &decided);
    if (!decided) return false;
    norm[first ? 0 : 1]->role = "norm1";
    norm[first ? 1 : 0]->role = "norm2";
    return true;
}

/* The two matrices [F, C] and [C, F], or [2F, C] and [C, F]. F == C and F == 3C are only told by
 * words. */
static bool find_mlp(search *s)
{
    const size_t C = s->dim;
    stem *up = NULL, *down = NULL;
    for (size_t i = 0; i < s->in.count; i++) {
        stem *x = &s->in.item[i];
        if (!x->weight || x->weight->shape.rank != 2 || x->weight->shape.dim[0] != C) continue;
        const size_t F = x->weight->shape.dim[1];
        if (F == C || !is_matrix(x, C, F)) continue;
        if (down) return false;
        down = x;
    }
    if (!down) return false;
    const size_t F = down->weight->shape.dim[1];
    for (size_t i = 0; i < s->in.count; i++) {
        stem *x = &s->in.item[i];
        if (x == down || !(is_matrix(x, F, C) || is_matrix(x, 2 * F, C))) continue;
        const bool could_be_qkv = is_matrix(x, 3 * C, C);
        if (could_be_qkv && has_word(x, "qkv in_proj attn attention self_attn self_attention"))
            continue;
        if (up) return false;
        up = x;
    }
    if (!up) return false;
    up->role = "mlp.fc1"; // [2F, C]: a gated mlp, as in timm
    down->role = "mlp.fc2";
    return true;
}

static bool find_attention(search *s)
{
    const size_t C = s->dim;
    static const char *const role[] = {"attn.q", "attn.k", "attn.v", "attn.proj"};
    static const char *const words[] = {
        "q query q_proj query_proj to_q wq q_linear", "k key k_proj key_proj to_k wk k_linear",
        "v value v_proj value_proj to_v wv v_linear",
        "o out proj out_proj o_proj to_out wo output dense projection"};
    stem *square[4], *qkv = NULL;
    size_t n = 0;
    for (size_t i = 0; i < s->in.count; i++) {
        stem *x = &s->in.item[i];
        if (x->role) continue;
        if (is_matrix(x, 3 * C, C)) {
            if (qkv) return false;
            qkv = x;
        } else if (is_matrix(x, C, C)) {
            if (n == 4) return false;
            square[n++] = x;
        }
    }
    if (qkv && n == 1) {
        qkv->role = "attn.qkv";
        square[0]->role = "attn.proj";
        return true;
    }
    if (qkv || n != 4) return false;
    for (size_t i = 0; i < 4; i++) {
        size_t r = 0;
        while (r < 4 && !has_word(square[i], words[r]))
            r++;
        if (r == 4) return false;
        for (size_t j = 0; j < i; j++)
            if (square[j]->role == role[r]) return false;
        square[i]->role = role[r];
    }
    return true;
}

/* ---- roles outside ---- */

static bool leading_ones(const vise_shape *s, uint32_t keep)
{
    for (uint32_t i = 0; i + keep < s->rank; i++)
        if (s->dim[i] != 1) return false;
    return true;
}

/* The convolution over patches tells the width of the network; else the positions [1, tokens, C]. */
static bool find_dim(search *s)
{
    stem *conv = NULL, *pos = NULL;
    for (size_t i = 0; i < s->out.count; i++) {
        stem *x = &s->out.item[i];
        if (!x->weight) continue;
        const vise_shape *w = &x->weight->shape;
        if (w->rank == 4) {
            if (conv) return false;
            conv = x;
        }
        if (w->rank == 3 && w->dim[0] == 1 && w->dim[1] > 1 && !x->bias) {
            if (pos && !has_word(x, "pos pos_embed pos_embedding position position_embedding"))
                continue;
            pos = x;
        }
    }
    if (!conv && !pos) return false;
    s->dim = conv ? conv->weight->shape.dim[0] : pos->weight->shape.dim[2];
    if (conv) conv->role = "patch_embed.proj";
    if (pos) pos->role = "pos_embed";
    return s->dim > 1 && s->dim <= VISE_MAX_DIM;
}

static const char *token_role(const stem *x, size_t tokens)
{
    if (has_word(x, "reg register registers reg_token register_tokens")) return "reg_token";
    if (has_word(x, "dist distillation dist_token distillation_token")) return "dist_token";
    if (has_word(x, "pos position positions positional pos_emb pos_embed pos_embedding "
                    "position_embedding position_embeddings positional_embedding"))
        return "pos_embed";
    return tokens == 1 ? "cls_token" : NULL;
}

static void find_outside(search *s)
{
    for (size_t i = 0; i < s->out.count; i++) {
        stem *x = &s->out.item[i];
        if (x->role || !x->weight) continue;
        const vise_shape *w = &x->weight->shape;
        const bool row = !x->bias && w->rank && w->dim[w->rank - 1] == s->dim;
        if (row && leading_ones(w, 2) && w->rank >= 2) {
            const size_t tokens = w->dim[w->rank - 2];
            x->role = token_role(x, tokens);
        } else if (row && w->rank == 1 &&
                   has_word(x, "cls class cls_token class_token "
                               "class_embedding")) {
            x->role = "cls_token";
        }
        if (x->role) continue;
        if (is_norm(x, s->dim)) {
            x->role = has_word(x, "pre norm_pre pre_norm ln_pre") ? "norm_pre" : "norm";
        } else if (w->rank == 2 && is_matrix(x, w->dim[0], s->dim)) {
            x->role = has_word(x, "dist head_dist") ? "head_dist" : "head";
        } else if (w->rank == 2 && is_matrix(x, s->dim, w->dim[1])) {
            x->role = "patch_embed.proj";
        }
    }
}

/* ---- what came of it ---- */

static const vise_vit_style plain = {.name = "plain PyTorch",
                                     .ln_eps = 1e-5,
                                     .act = VISE_ACT_GELU,
                                     .pictures = VISE_VIT_HALF,
                                     .filter = VISE_BICUBIC,
                                     .crop = VISE_CROP_CENTER,
                                     .crop_pct = 0.9};
static const vise_vit_style encoder = {.name = "torch.nn.TransformerEncoder",
                                       .ln_eps = 1e-5,
                                       .act = VISE_ACT_RELU,
                                       .post = true,
                                       .pictures = VISE_VIT_HALF,
                                       .filter = VISE_BICUBIC,
                                       .crop = VISE_CROP_CENTER,
                                       .crop_pct = 0.9};

/* Takes the role from stems that have the same one. */
static bool one_of_each(stems *l)
{
    for (size_t i = 0; i < l->count; i++)
        for (size_t j = 0; j < i; j++) {
            stem *a = &l->item[i], *b = &l->item[j];
            if (!a->role || !b->role || strcmp(a->role, b->role) != 0) continue;
            a->role = b->role = NULL;
            return false;
        }
    return true;
}

static vise_status refuse(const search *s, const char *why, vise_err *e)
{
    vise_listing l = {0};
    const stems *lists[] = {&s->in, &s->out};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->count; i++) {
            const stem *x = &lists[k]->item[i];
            const vise_stored *w = x->weight ? x->weight : x->bias;
            if (!x->role) vise_listing_add(&l, w->name, &w->shape);
        }
    return vise_fail(e, VISE_EFORMAT, "no known naming scheme, and by structure %s%s%s", why,
                     l.used ? ": " : "", vise_listing_text(&l));
}

static vise_status find_roles(search *s, vise_err *e)
{
    if (s->t->count > MAX_COUNT)
        return vise_fail(e, VISE_EFORMAT, "no known naming scheme in %zu tensors", s->t->count);
    if (!find_blocks(s)) return refuse(s, "no blocks that are all alike were found", e);
    if (!collect(s)) return refuse(s, "a block of a ViT has fewer tensors than were found", e);
    if (!find_dim(s)) return refuse(s, "neither patch nor position embedding was found", e);
    const bool norms = find_norms(s), mlp = find_mlp(s), attention = find_attention(s);
    find_outside(s);
    if (!norms) return refuse(s, "two norms per block were not told apart", e);
    if (!mlp) return refuse(s, "the mlp of the blocks was not found", e);
    if (!attention) return refuse(s, "the attention of the blocks was not found", e);
    if (!one_of_each(&s->in) || !one_of_each(&s->out))
        return refuse(s, "two tensors could play one role", e);
    for (size_t i = 0; i < s->in.count; i++)
        if (!s->in.item[i].role) return refuse(s, "these tensors of a block do not fit", e);
    for (size_t i = 0; i < s->out.count; i++)
        if (!s->out.item[i].role) return refuse(s, "these tensors do not fit", e);
    return VISE_OK;
}

static vise_status add_role(vise_vit_map *map, const stem *x, const vise_stored *tensor, bool bias,
                            const char *block, vise_err *e)
{
    char role[VISE_VIT_ROLE];
    const bool whole = !strcmp(x->role, "cls_token") || !strcmp(x->role, "reg_token") ||
                       !strcmp(x->role, "dist_token") || !strcmp(x->role, "pos_embed");
    snprintf(role, sizeof role, "%s%s%s", block, x->role, whole ? "" : bias ? ".bias" : ".weight");
    return vise_vit_map_add(map, role, tensor, e);
}

static vise_status add_roles(vise_vit_map *map, const search *s, vise_err *e)
{
    const vise_stored *const end = s->t->item + s->t->count;
    for (const vise_stored *x = s->t->item; x < end; x++) {
        if (vise_vit_harmless(x->name)) continue;
        char block[24] = "";
        size_t n;
        const char *tail = tail_of(&s->blocks, x->name, &n);
        const stems *l = tail ? &s->in : &s->out;
        const vise_stored *model = tail ? find_tail(s->t, &s->blocks, 0, tail) : x;
        if (tail) snprintf(block, sizeof block, "blocks.%zu.", n);
        for (size_t i = 0; i < l->count; i++) {
            const stem *st = &l->item[i];
            if (st->weight == model) VISE_TRY(add_role(map, st, x, false, block, e));
            if (st->bias == model) VISE_TRY(add_role(map, st, x, true, block, e));
        }
    }
    return VISE_OK;
}

vise_status vise_vit_map_structure(vise_vit_map *map, const vise_tensors *t, vise_strings *notes,
                                   vise_err *e)
{
    search s = {.t = t, .blocks = {.name = ""}};
    VISE_TRY(find_roles(&s, e));
    VISE_TRY(vise_vit_map_room(map, t, e));
    VISE_TRY(add_roles(map, &s, e));
    bool linear1 = false, self_attn = false;
    for (size_t i = 0; i < s.in.count; i++) {
        linear1 |= has_word(&s.in.item[i], "linear1");
        self_attn |= has_word(&s.in.item[i], "self_attn");
    }
    map->style = linear1 && self_attn ? &encoder : &plain;
    VISE_TRY(vise_strings_add(notes, "names of no known scheme: matched by structure", e));
    for (size_t i = 0; i < map->roles; i++) {
        const char *from = map->role[i].tensor->name, *to = map->role[i].name;
        if (!strcmp(from, to)) continue;
        VISE_TRY(vise_strings_addf(notes, e, "mapped %s -> %s", from, to));
    }
    return vise_vit_map_sort(map, e);
}
