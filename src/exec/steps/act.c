/* act.c - GELU by parts; the other activations run by their definition
 * SPDX-License-Identifier: MIT */
#include "exec/steps/rows.h"
#include "graph/ops.h"

static bool fits(const vise_sig *sig)
{
    const vise_act_attr *a = sig->attr;
    return a->kind == VISE_ACT_GELU;
}

static void rows(const vise_step *st, const vise_arg *in, float *out, size_t from, size_t to)
{
    const vise_shape *x = in[0].shape;
    const size_t n = x->rank ? x->dim[x->rank - 1] : 1;
    st->s->kern.gelu(out + from * n, n, in[0].data + from * n, n, to - from, n, NULL);
}

static void run(vise_step *st, size_t batch)
{
    vise_step_rows(st, batch, rows);
}

extern const vise_step_kind vise_step_act;
const vise_step_kind vise_step_act = {.op = "act", .fits = fits, .run = run};
