/* add.c - sums of two values of one shape, and products with one factor per channel
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"

static void add_rows(vise_step *st, const vise_rows *r)
{
    const size_t n = vise_cols(st, st->out), ldy = vise_ld(st, st->out) / sizeof(float);
    const size_t lda = vise_ld(st, st->in[0]) / sizeof(float);
    const size_t ldb = vise_ld(st, st->in[1]) / sizeof(float);
    const float *a = vise_row(st, st->in[0], r), *b = vise_row(st, st->in[1], r);
    float *y = vise_row(st, st->out, r);
    for (size_t i = 0; i < r->to - r->from; i++, y += ldy, a += lda, b += ldb)
        for (size_t j = 0; j < n; j++)
            y[j] = a[j] + b[j];
}

static const vise_step_kind add = {.name = "add", .rows = add_rows};

vise_lower_fn vise_lower_add, vise_lower_mul;
bool vise_lower_add(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_value *a = &l->g->value[n->in[0]], *b = &l->g->value[n->in[1]];
    if (!vise_shape_same(&a->shape, &b->shape) || !a->batched || !b->batched) return false;
    vise_lower_step(l, i, &add);
    return true;
}

static void mul_rows(vise_step *st, const vise_rows *r)
{
    const size_t n = vise_cols(st, st->out), ldy = vise_ld(st, st->out) / sizeof(float);
    const size_t ldx = vise_ld(st, st->in[0]) / sizeof(float);
    const float *x = vise_row(st, st->in[0], r), *by = vise_fixed(st, 1);
    float *y = vise_row(st, st->out, r);
    for (size_t i = 0; i < r->to - r->from; i++, y += ldy, x += ldx)
        for (size_t j = 0; j < n; j++)
            y[j] = x[j] * by[j];
}

static const vise_step_kind mul = {.name = "mul", .rows = mul_rows};

bool vise_lower_mul(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_value *x = &l->g->value[n->in[0]], *by = &l->g->value[n->in[1]];
    if (by->batched || by->shape.rank != 1 || !x->shape.rank ||
        x->shape.dim[x->shape.rank - 1] != by->shape.dim[0])
        return false;
    vise_lower_step(l, i, &mul);
    return true;
}
