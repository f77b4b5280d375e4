/* integer_roles.c - what every value of a network is for, and whether integers can express it
 * SPDX-License-Identifier: MIT */
#include "compress/integer_plan.h"
#include "graph/ops.h"

#include <string.h>

vise_status vise_int_keep(vise_int_plan *p, void *out, size_t n, size_t size, vise_err *e)
{
    void *m = vise_region_take(&p->memory, n, size);
    if (!m) return vise_fail(e, VISE_ENOMEM, "out of memory: %zu x %zu bytes", n, size);
    memcpy(out, &m, sizeof m);
    return VISE_OK;
}

/* ---- what does not depend on the image ---- */

static const float *numbers(vise_int_plan *p, vise_id v, vise_err *e)
{
    const vise_value *x = &p->g->value[v];
    if (p->fixed[v] || x->kind != VISE_VALUE_CONST) return p->fixed[v];
    if (vise_int_keep(p, &p->fixed[v], vise_shape_count(&x->shape), sizeof(float), e)) return NULL;
    vise_decode(p->fixed[v], &x->data);
    return p->fixed[v];
}

/* A node's own definition on one image; batched operands count as zeros. */
static vise_status evaluate(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_value *out = &p->g->value[n->out];
    vise_sig sig;
    vise_graph_sig(p->g, n, &sig);
    vise_call c = {.attr = n->attr, .batch = 1, .nin = n->nin, .nout = 1};
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k] == VISE_NONE) continue;
        const vise_value *x = &p->g->value[n->in[k]];
        float *data = (float *)(uintptr_t)numbers(p, n->in[k], e);
        if (!data && !x->batched) return VISE_ENOMEM;
        if (!data) VISE_TRY(vise_int_keep(p, &data, vise_shape_count(&x->shape), sizeof *data, e));
        c.in[k] = (vise_arg){&x->shape, data, false};
    }
    const size_t room = n->op->scratch ? n->op->scratch(&sig, &out->shape) : 0;
    VISE_TRY(vise_alloc_or(&c.scratch, room + 1, sizeof(float), "evaluating a node", e));
    vise_status s =
        vise_int_keep(p, &p->fixed[n->out], vise_shape_count(&out->shape), sizeof(float), e);
    c.out[0] = (vise_arg){&out->shape, p->fixed[n->out], false};
    if (!s) n->op->forward(&c);
    vise_free(c.scratch);
    return s;
}

static vise_status find_fixed(vise_int_plan *p, vise_err *e)
{
    for (size_t i = 0; i < p->g->nodes; i++) {
        const vise_node *n = &p->g->node[i];
        const bool positions = !strcmp(vise_int_op(n), "embed_add"); // resized to this size
        if (!p->g->value[n->out].batched || positions) VISE_TRY(evaluate(p, n, e));
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != VISE_NONE && !p->g->value[n->in[k]].batched && !numbers(p, n->in[k], e))
                return VISE_ENOMEM;
    }
    return VISE_OK;
}

/* ---- roles, from the outputs to the input ---- */

static vise_status is_for(vise_int_plan *p, vise_id v, vise_int_role role, const vise_node *reader,
                          vise_err *e)
{
    if (!p->g->value[v].batched || p->role[v] == role) return VISE_OK;
    if (p->role[v])
        return vise_fail(e, VISE_EARG,
                         "integer: %s reads %s, which others read in another way: no integer form",
                         reader->name, p->g->value[v].name);
    p->role[v] = role;
    return VISE_OK;
}

static vise_status refuse(const vise_node *n, const char *why, vise_err *e)
{
    return vise_fail(e, VISE_EARG, "integer: %s: %s %s", n->name, vise_int_op(n), why);
}

static vise_status must_be(const vise_int_plan *p, const vise_node *n, unsigned roles, vise_err *e)
{
    static const char *const words[] = {"has no reader",
                                        "makes a picture",
                                        "makes what is summed or normalised",
                                        "makes what is multiplied",
                                        "makes a query",
                                        "makes a key",
                                        "makes a value",
                                        "is cut in parts",
                                        "makes what an activation reads",
                                        "makes an output"};
    const vise_int_role r = p->role[n->out];
    if (roles >> r & 1) return VISE_OK;
    return vise_fail(e, VISE_EARG, "integer: %s: %s %s, which has no integer form", n->name,
                     vise_int_op(n), words[r]);
}

#define ROLE(r) (1u << VISE_INT_##r)
enum {
    PRODUCT = ROLE(RESIDUAL) | ROLE(QUERY) | ROLE(KEY) | ROLE(VALUE) | ROLE(PARTS) | ROLE(TABLE) |
              ROLE(ANSWER)
};

typedef vise_status role_fn(vise_int_plan *p, const vise_node *n, vise_err *e);

static bool weights_fixed(const vise_int_plan *p, const vise_node *n)
{
    for (uint32_t k = 1; k < n->nin; k++)
        if (n->in[k] != VISE_NONE && p->g->value[n->in[k]].batched) return false;
    return true;
}

static vise_status of_linear(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_id x = n->in[0];
    VISE_TRY(must_be(p, n, PRODUCT, e));
    p->tap[x] = x;
    return is_for(p, x, VISE_INT_INPUT, n, e);
}

static size_t pair_at(const vise_ints *v, unsigned axis, size_t none)
{
    return vise_pair_at(v, axis, none);
}

/* Patches side by side: a linear of what is in them. */
static vise_status of_conv2d(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_conv2d_attr *a = n->attr;
    const vise_shape *x = &p->g->value[n->in[0]].shape, *w = &p->g->value[n->in[1]].shape;
    VISE_TRY(must_be(p, n, ROLE(RESIDUAL), e));
    bool patches = a->groups == 1 && p->g->value[n->in[0]].kind == VISE_VALUE_INPUT;
    for (unsigned i = 0; i < 2; i++)
        patches = patches && pair_at(&a->stride, i, 1) == w->dim[2 + i] &&
                  pair_at(&a->pad, i, 0) == 0 && pair_at(&a->dilation, i, 1) == 1 &&
                  x->dim[i] % w->dim[2 + i] == 0;
    if (!patches) return refuse(n, "is not of whole patches of the picture side by side", e);
    return is_for(p, n->in[0], VISE_INT_PICTURE, n, e);
}

static vise_status of_layernorm(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    VISE_TRY(must_be(p, n, ROLE(INPUT), e));
    return is_for(p, n->in[0], VISE_INT_RESIDUAL, n, e);
}

static vise_status of_act(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    VISE_TRY(must_be(p, n, ROLE(INPUT), e));
    return is_for(p, n->in[0], VISE_INT_TABLE, n, e);
}

static vise_status of_attention(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    static const vise_int_role roles[] = {VISE_INT_QUERY, VISE_INT_KEY, VISE_INT_VALUE};
    VISE_TRY(must_be(p, n, ROLE(INPUT), e));
    for (uint32_t k = 3; k < n->nin; k++)
        if (n->in[k] != VISE_NONE) return refuse(n, "with a bias or token sizes", e);
    for (uint32_t k = 0; k < 3; k++) {
        if (p->g->value[n->in[k]].shape.rank != 2 || !p->g->value[n->in[k]].batched)
            return refuse(n, "of windows", e);
        VISE_TRY(is_for(p, n->in[k], roles[k], n, e));
    }
    return VISE_OK;
}

static vise_status of_sum(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_shape *y = &p->g->value[n->out].shape;
    VISE_TRY(must_be(p, n, ROLE(RESIDUAL), e));
    for (uint32_t k = 0; k < n->nin; k++) {
        const bool table = !strcmp(vise_int_op(n), "embed_add") && k == 1;
        if (!strcmp(vise_int_op(n), "add") && !vise_shape_same(&p->g->value[n->in[k]].shape, y))
            return refuse(n, "of different shapes", e);
        if (!table) VISE_TRY(is_for(p, n->in[k], VISE_INT_RESIDUAL, n, e));
    }
    return VISE_OK;
}

/* A layer scale: the product before it takes it up. */
static vise_status of_mul(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const uint32_t x = p->g->value[n->in[0]].batched ? 0 : 1;
    const vise_id by = n->in[1 - x], from = n->in[x];
    const vise_shape *s = &p->g->value[by].shape, *y = &p->g->value[n->out].shape;
    const vise_value *v = &p->g->value[from];
    VISE_TRY(must_be(p, n, ROLE(RESIDUAL), e));
    if (p->g->value[by].batched || s->rank != 1 || s->dim[0] != y->dim[y->rank - 1] ||
        v->kind != VISE_VALUE_NODE || strcmp(vise_int_op(&p->g->node[v->node]), "linear") != 0)
        return refuse(n, "is not a layer scale behind a linear", e);
    p->gain[from] = by;
    return is_for(p, from, VISE_INT_RESIDUAL, n, e);
}

/* The same numbers in another order, or some of them. */
static vise_status of_rows(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_shape *x = &p->g->value[n->in[0]].shape, *y = &p->g->value[n->out].shape;
    const vise_int_role r = p->role[n->out];
    const bool slice = !strcmp(vise_int_op(n), "slice"),
               same = x->rank && y->rank && x->dim[x->rank - 1] == y->dim[y->rank - 1];
    if (r == VISE_INT_RESIDUAL || r == VISE_INT_ANSWER) return is_for(p, n->in[0], r, n, e);
    if (slice && !same) return is_for(p, n->in[0], VISE_INT_PARTS, n, e);
    if (!same || (!slice && strcmp(vise_int_op(n), "reshape") != 0))
        return refuse(n, "moves channels", e);
    p->root[n->out] = n->in[0];
    const vise_id tap = p->tap[n->out];
    p->tap[n->in[0]] = p->role[n->in[0]] && p->tap[n->in[0]] != tap ? n->in[0] : tap;
    return is_for(p, n->in[0], r, n, e);
}

static const struct rule {
    const char *op;
    role_fn *fn;
} rules[] = {
    {"act", of_act},
    {"add", of_sum},
    {"attention", of_attention},
    {"concat", of_sum},
    {"conv2d", of_conv2d},
    {"embed_add", of_sum},
    {"layernorm", of_layernorm},
    {"linear", of_linear},
    {"mul", of_mul},
    {"permute", of_rows},
    {"reshape", of_rows},
    {"slice", of_rows},
};

static vise_status role_of(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].op, vise_int_op(n)) != 0) continue;
        const bool product = !strcmp(vise_int_op(n), "linear") || !strcmp(vise_int_op(n), "conv2d");
        if ((product || !strcmp(vise_int_op(n), "layernorm")) && !weights_fixed(p, n))
            return refuse(n, "whose weights depend on the image", e);
        return rules[i].fn(p, n, e);
    }
    return refuse(n, "has no integer form", e);
}

vise_status vise_int_find_roles(vise_int_plan *p, vise_err *e)
{
    const vise_graph *g = p->g;
    for (vise_id v = 0; v < g->values; v++) {
        p->root[v] = p->tap[v] = v;
        p->gain[v] = VISE_NONE;
    }
    for (size_t i = 0; i < g->outputs; i++)
        p->role[g->output[i].value] = VISE_INT_ANSWER;
    for (size_t i = g->nodes; i-- > 0;)
        if (g->value[g->node[i].out].batched) VISE_TRY(role_of(p, &g->node[i], e));
    return find_fixed(p, e);
}

float vise_int_act(const vise_node *n, float x)
{
    const vise_shape one = {1, {1}};
    float y;
    const vise_call c = {.attr = n->attr,
                         .batch = 1,
                         .nin = 1,
                         .nout = 1,
                         .in = {{&one, &x, false}},
                         .out = {{&one, &y, false}}};
    n->op->forward(&c);
    return y;
}
