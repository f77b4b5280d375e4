/* slice.c - a run of channels of every row: q, k and v out of their common product
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

#include <string.h>

static size_t start_of(const vise_step *st)
{
    const vise_slice_attr *a = st->attr;
    return (size_t)(a->start < 0 ? a->start + (int64_t)vise_cols(st, st->in[0]) : a->start);
}

static void rows(vise_step *st, const vise_rows *r)
{
    const size_t n = vise_cols(st, st->out) * sizeof(float);
    const size_t ldx = vise_ld(st, st->in[0]), ldy = vise_ld(st, st->out);
    const char *x = (const char *)vise_row(st, st->in[0], r) + start_of(st) * sizeof(float);
    char *y = vise_row(st, st->out, r);
    for (size_t i = 0; i < r->to - r->from; i++)
        memcpy(y + i * ldy, x + i * ldx, n);
}

static const vise_step_kind kind = {.name = "slice", .rows = rows};

/* Do all readers of v take rows with gaps between them? */
static bool all_strided(const vise_lowering *l, vise_id v)
{
    static const char *const strided[] = {"attention",     "linear",     "layernorm",    "mul",
                                          "int_attention", "int_linear", "int_layernorm"};
    for (size_t i = l->from; i < l->to; i++) {
        const vise_node *n = &l->g->node[i];
        bool ok = false;
        for (size_t k = 0; k < sizeof strided / sizeof *strided; k++)
            ok = ok || !strcmp(n->op->name, strided[k]);
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == v && !ok) return false;
    }
    return true;
}

vise_lower_fn vise_lower_slice;
bool vise_lower_slice(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_slice_attr *a = n->attr;
    vise_slot *in = &l->s->slot[n->in[0]], *out = &l->s->slot[n->out];
    if ((a->axis != -1 && a->axis != (int64_t)in->shape.rank - 1) || a->step != 1) return false;
    vise_step *st = vise_lower_step(l, i, &kind);
    if (!st) return true;
    if (in->kind == VISE_SLOT_SHARED && in->format == VISE_FMT_F32 && all_strided(l, n->out)) {
        out->root = in->root; // nothing moves
        out->shift = in->shift + start_of(st) * sizeof(float);
        l->s->steps--;
    }
    return true;
}
