/* act.c - activations by rows
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

static void rows(vise_step *st, const vise_rows *r)
{
    st->epi.act(vise_row(st, st->out, r), vise_ld(st, st->out) / sizeof(float),
                vise_row(st, st->in[0], r), vise_ld(st, st->in[0]) / sizeof(float), r->to - r->from,
                vise_cols(st, st->out), st->epi.param);
}

static const vise_step_kind kind = {.name = "act", .rows = rows};

vise_act_fn *vise_act_kernel(const vise_kern *k, int act, const float **param)
{
    static const float silu[] = {1, 0}, quick[] = {1.702f, 0};
    static const float tanh_form[] = {1.5957691216f, 0.0713548162f}; // 2 c and 2 c 0.044715
    *param = act == VISE_ACT_SILU         ? silu
             : act == VISE_ACT_GELU_QUICK ? quick
             : act == VISE_ACT_GELU_TANH  ? tanh_form
                                          : NULL;
    return act == VISE_ACT_GELU ? k->gelu : *param ? k->swish : NULL;
}

vise_lower_fn vise_lower_act;
bool vise_lower_act(vise_lowering *l, size_t i)
{
    const vise_act_attr *a = l->g->node[i].attr;
    const float *param;
    vise_act_fn *act = vise_act_kernel(&l->s->kern, a->kind, &param);
    if (!act) return false; // by its definition
    vise_step *st = vise_lower_step(l, i, &kind);
    if (st) st->epi = (vise_epilogue){act, param, VISE_NONE};
    return true;
}
