/* rows.c - tokens as they lie, patches gathered, operands rounded
 * SPDX-License-Identifier: MIT */
#include "compress/rows.h"
#include "compress/select.h"
#include "graph/actq.h"

#include <math.h>
#include <string.h>

/* The value that the node's output is added to and that is there already. */
static vise_id added_to(const vise_graph *g, size_t node)
{
    const vise_id out = g->node[node].out;
    vise_id with = VISE_NONE;
    size_t users = 0;
    for (size_t i = node + 1; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++) {
            if (g->node[i].in[k] != out) continue;
            users++;
            if (vise_is_op(&g->node[i], "add")) with = g->node[i].in[1 - k];
        }
    if (users != 1 || with == VISE_NONE || with == out) return VISE_NONE;
    const vise_value *x = &g->value[with];
    const bool there = x->kind == VISE_VALUE_NODE && x->node < node && x->batched;
    return there && vise_shape_same(&x->shape, &g->value[out].shape) ? with : VISE_NONE;
}

vise_status vise_rows_open(vise_rows_of *r, const vise_prefix *p, size_t node, bool residual,
                           vise_err *e)
{
    const vise_graph *g = &p->c->from->graph;
    const vise_node *n = &g->node[node];
    const vise_shape *w = &g->value[n->in[1]].shape, *x = &g->value[n->in[0]].shape;
    const vise_shape *y = &g->value[n->out].shape;
    *r = (vise_rows_of){.p = p, .x = n->in[0], .added = VISE_NONE};
    r->conv = vise_is_op(n, "conv2d");
    r->n = w->dim[0];
    r->k = vise_shape_count(w) / r->n;
    r->rows = vise_shape_count(y) / r->n;
    if (residual && !r->conv) r->added = added_to(g, node);
    if (r->conv) vise_conv2d_geometry_of(&r->g, n->attr, x, w, y);
    for (unsigned i = 0; i < 2; i++)
        VISE_TRY(vise_alloc_or(&r->from[i], r->rows * r->k, sizeof(float), "a layer's rows", e));
    return r->added == VISE_NONE
               ? VISE_OK
               : vise_alloc_or(&r->missing, r->rows * r->n, sizeof(float), "a layer's rows", e);
}

vise_status vise_rows_alike(vise_rows_of *r, const float *w, vise_err *e)
{
    r->w = w;
    if (!r->missing)
        VISE_TRY(vise_alloc_or(&r->missing, r->rows * r->n, sizeof(float), "a layer's rows", e));
    return vise_alloc_or(&r->differ, r->rows * r->k, sizeof(float), "a layer's rows", e);
}

void vise_rows_close(vise_rows_of *r)
{
    vise_free(r->differ);
    vise_free(r->from[0]);
    vise_free(r->from[1]);
    vise_free(r->missing);
    *r = (vise_rows_of){0};
}

static const float *picture(const vise_rows_of *r, vise_side side, vise_id v, size_t i)
{
    const vise_value *x = &r->p->c->from->graph.value[v];
    return vise_prefix_value(r->p, side, v) + (x->batched ? i * vise_shape_count(&x->shape) : 0);
}

/* One side's rows of picture i, rounded as q says; in r->from[side] or where they lie. */
static const float *rows_of(vise_rows_of *r, vise_side side, size_t i, const vise_actq *q)
{
    const float *x = picture(r, side, r->x, i);
    float *to = r->from[side];
    if (r->conv)
        for (size_t o = 0; o < r->rows; o++)
            vise_conv2d_patch(&r->g, to + o * r->k, x, o / r->g.out[1], o % r->g.out[1]);
    if (!q || !q->kind) return r->conv ? to : x;
    if (!r->conv) {
        vise_actq_apply(q, to, x, r->k, r->rows, r->k);
        return to;
    }
    for (size_t o = 0; o < r->rows; o++) { // rounding wants another place than what it reads
        memcpy(r->from[1 - side], to + o * r->k, r->k * sizeof *to);
        vise_actq_apply(q, to + o * r->k, r->from[1 - side], r->k, 1, r->k);
    }
    return to;
}

/* r->missing of picture i: how far what the output is added to has strayed, and w (x - y). */
static vise_status find_missing(vise_rows_of *r, size_t i, const float *x, const float *y,
                                vise_dense *d, vise_err *e)
{
    const bool added = r->added != VISE_NONE;
    if (added) {
        const float *a = picture(r, VISE_ORIGINAL, r->added, i);
        const float *b = picture(r, VISE_COMPRESSED, r->added, i);
        for (size_t t = 0; t < r->rows * r->n; t++)
            r->missing[t] = a[t] - b[t];
    }
    if (!r->w) return VISE_OK;
    for (size_t t = 0; t < r->rows * r->k; t++)
        r->differ[t] = x[t] - y[t];
    const vise_product p = {.c = r->missing,
                            .ldc = r->n,
                            .a = {r->differ, r->k, 1},
                            .b = {r->w, r->k, 1},
                            .m = r->rows,
                            .n = r->n,
                            .k = r->k,
                            .add = added};
    return vise_dense_mul(d, &p, e);
}

vise_status vise_rows_sum(vise_gram *g, vise_rows_of *r, const vise_actq *q, const float *weight,
                          vise_dense *d, vise_err *e)
{
    const vise_graph *graph = &r->p->c->from->graph;
    const size_t pictures = graph->value[r->x].batched ? r->p->pictures : 1;
    for (size_t i = 0; i < pictures; i++) {
        const unsigned part = i % VISE_GRAM_HELD == VISE_GRAM_HELD - 1;
        const float *y = rows_of(r, VISE_COMPRESSED, i, q); // uses the other side's room
        const float *x = rows_of(r, VISE_ORIGINAL, i, NULL);
        VISE_TRY(find_missing(r, i, x, y, d, e));
        const vise_gram_rows more = {x, y, r->missing, r->rows,
                                     weight ? weight + i * r->rows : NULL};
        VISE_TRY(vise_gram_add(g, d, part, &more, e));
    }
    vise_gram_finish(g);
    return VISE_OK;
}
