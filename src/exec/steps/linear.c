/* linear.c - a linear as a GEMM by rows, with the activation, layer scale and residual sum that
 * follow it
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

#include <string.h>

static void layout(vise_step *st, vise_arena *m)
{
    vise_weights_layout(&st->w, st->s, m);
    st->scratch = vise_weights_scratch(&st->w, st->s);
}

static vise_status pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    return vise_weights_pack(&st->w, st->s, g, NULL, e);
}

static void rows(vise_step *st, const vise_rows *r)
{
    vise_gemm_args g = vise_weights_args(&st->w, &st->epi);
    g.c = vise_row(st, st->out, r);
    g.ldc = vise_ld(st, st->out) / sizeof(float);
    g.a = vise_row(st, st->in[0], r);
    g.lda = vise_ld(st, st->in[0]);
    g.m = r->to - r->from;
    if (st->w.format == VISE_FMT_S8) {
        g.rowq = vise_rowq_at(st, st->in[0], r);
        g.zeros = st->actq.kind != VISE_ACTQ_SYM;
    }
    if (st->epi.add != VISE_NONE) {
        g.add = vise_row(st, st->epi.add, r);
        g.ldadd = vise_ld(st, st->epi.add) / sizeof(float);
    }
    vise_weights_run(&st->w, st->s, &g, vise_scratch(st, r->thread));
}

static const vise_step_kind kind = {.name = "gemm", .layout = layout, .pack = pack, .rows = rows};

/* ---- what may follow ---- */

static bool is(const vise_lowering *l, size_t i, const char *op)
{
    return i != SIZE_MAX && !strcmp(l->g->node[i].op->name, op);
}

static void take_act(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    if (!is(l, i, "act")) return;
    const vise_act_attr *a = l->g->node[i].attr;
    st->epi.act = vise_act_kernel(&l->s->kern, a->kind, &st->epi.param);
    if (!st->epi.act) return;
    vise_lower_absorb(l, st, i);
}

/* A factor per channel. */
static void take_scale(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    if (st->epi.act || st->w.format == VISE_FMT_BF16 || !is(l, i, "mul")) return;
    const vise_node *n = &l->g->node[i];
    const vise_id by = n->in[n->in[0] == st->out];
    if (!vise_lower_is_const(l, by) || l->g->value[by].shape.rank != 1 ||
        l->g->value[by].shape.dim[0] != st->w.n)
        return;
    st->w.scale_from = by;
    vise_lower_absorb(l, st, i);
}

/* A sum with a value that is there already. */
static void take_add(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    if (!is(l, i, "add")) return;
    const vise_node *n = &l->g->node[i];
    const vise_id with = n->in[n->in[0] == st->out];
    const vise_slot *x = &l->s->slot[with];
    const bool there = x->kind == VISE_SLOT_SHARED || x->kind == VISE_SLOT_INPUT;
    if (with == st->out || !there || x->format != VISE_FMT_F32 ||
        !vise_shape_same(&x->shape, &l->g->value[st->out].shape))
        return;
    st->epi.add = with;
    vise_lower_absorb(l, st, i);
}

bool vise_lower_is_gemm(const vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_id bias = n->nin > 2 ? n->in[2] : VISE_NONE;
    return !strcmp(n->op->name, "linear") && vise_lower_is_const(l, n->in[1]) &&
           (bias == VISE_NONE || vise_lower_is_const(l, bias)) &&
           vise_weights_exact(&l->g->value[n->in[1]].data, vise_format_of(&n->actq[0]));
}

vise_lower_fn vise_lower_linear;
bool vise_lower_linear(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_id bias = n->nin > 2 ? n->in[2] : VISE_NONE;
    if (!vise_lower_is_gemm(l, i)) return false;
    const vise_id x = vise_lower_operand(l, i, 0);
    vise_step *st = vise_lower_step(l, i, &kind);
    if (!st) return true;
    const vise_shape *w = &l->g->value[n->in[1]].shape;
    st->in[0] = x;
    st->nin = 1;
    st->actq = n->actq[0];
    st->w.n = w->dim[0];
    st->w.k = w->dim[1];
    st->w.format = vise_format_of(&n->actq[0]);
    st->w.from = n->in[1];
    st->w.bias_from = bias;
    vise_weights_keep_codes(&st->w, l->s, &l->g->value[n->in[1]].data, false);
    take_act(l, st);
    take_scale(l, st);
    take_add(l, st);
    st->weight_bytes = vise_weights_bytes(&st->w, l->s);
    return true;
}
