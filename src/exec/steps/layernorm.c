/* layernorm.c - layer normalisation by rows, written in the format that its readers multiply with
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

#include <string.h>

enum { ROWS = 8 }; // normalised in scratch before they are converted

static void layout(vise_step *st, vise_arena *m)
{
    (void)m;
    if (st->actq.kind != VISE_ACTQ_NONE)
        st->scratch = ROWS * vise_cols(st, st->out) * sizeof(float);
}

static void rows(vise_step *st, const vise_rows *r)
{
    const vise_norm_attr *a = st->attr;
    const vise_kern *k = &st->s->kern;
    const size_t n = vise_cols(st, st->out), ldx = vise_ld(st, st->in[0]) / sizeof(float);
    const size_t ldy = vise_ld(st, st->out);
    const float *x = vise_row(st, st->in[0], r), *w = vise_fixed(st, 1), *b = vise_fixed(st, 2);
    char *y = vise_row(st, st->out, r);
    if (st->actq.kind == VISE_ACTQ_NONE) {
        k->layernorm((float *)(void *)y, ldy / sizeof(float), x, ldx, w, b, r->to - r->from, n,
                     (float)a->eps);
        return;
    }
    float *part = vise_scratch(st, r->thread);
    vise_rowq *q = st->s->slot[st->out].format == VISE_FMT_S8 ? vise_rowq_at(st, st->out, r) : NULL;
    for (size_t i = 0, m; i < r->to - r->from; i += m) {
        m = r->to - r->from - i < ROWS ? r->to - r->from - i : ROWS;
        k->layernorm(part, n, x + i * ldx, ldx, w, b, m, n, (float)a->eps);
        vise_convert(st->s, &st->actq, (vise_operand){y + i * ldy, ldy, q ? q + i : NULL},
                     (vise_floats){part, n, m, n});
    }
}

static const vise_step_kind kind = {.name = "layernorm", .layout = layout, .rows = rows};

/* The node whose first operand has the form that all readers want; SIZE_MAX: f32. */
static size_t wanted(const vise_lowering *l, vise_id v)
{
    size_t found = SIZE_MAX;
    for (size_t i = l->from; i < l->to; i++) {
        const vise_node *n = &l->g->node[i];
        for (uint32_t k = 0; k < n->nin; k++) {
            if (n->in[k] != v) continue;
            if (k != 0 || !vise_lower_is_gemm(l, i)) return SIZE_MAX; // a definition reads f32
            if (found == SIZE_MAX) found = i;
            if (!vise_actq_same(&l->g->node[found].actq[0], &n->actq[0])) return SIZE_MAX;
        }
    }
    return l->kept[v] ? SIZE_MAX : found;
}

vise_lower_fn vise_lower_layernorm;
bool vise_lower_layernorm(vise_lowering *l, size_t i)
{
    vise_step *st = vise_lower_step(l, i, &kind);
    if (!st) return true;
    const size_t reader = wanted(l, st->out);
    if (reader != SIZE_MAX) {
        st->actq = l->g->node[reader].actq[0];
        st->actq_node = reader;
    }
    l->s->slot[st->out].format = vise_format_of(&st->actq);
    return true;
}
