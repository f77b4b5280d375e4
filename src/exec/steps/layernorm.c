/* layernorm.c - layer normalisation by rows
 * SPDX-License-Identifier: MIT */
#include "exec/steps/rows.h"
#include "graph/ops.h"

static void rows(const vise_step *st, const vise_arg *in, float *out, size_t from, size_t to)
{
    const vise_norm_attr *a = st->attr;
    const size_t n = in[0].shape->dim[in[0].shape->rank - 1];
    st->s->kern.layernorm(out + from * n, n, in[0].data + from * n, n, in[1].data, in[2].data,
                          to - from, n, (float)a->eps);
}

static void run(vise_step *st, size_t batch)
{
    vise_step_rows(st, batch, rows);
}

extern const vise_step_kind vise_step_layernorm;
const vise_step_kind vise_step_layernorm = {.op = "layernorm", .run = run};
