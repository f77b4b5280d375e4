/* slice.c - a run of channels of every row: q, k and v out of their common product
 * SPDX-License-Identifier: MIT */
#include "exec/steps/rows.h"
#include "graph/ops.h"

#include <string.h>

static bool fits(const vise_sig *sig)
{
    const vise_slice_attr *a = sig->attr;
    const int64_t rank = sig->in[0]->rank;
    return (a->axis == -1 || a->axis == rank - 1) && a->step == 1;
}

static void rows(const vise_step *st, const vise_arg *in, float *out, size_t from, size_t to)
{
    const vise_slice_attr *a = st->attr;
    const vise_shape *x = in[0].shape, *y = &st->s->slot[st->out].shape;
    const size_t ldx = x->dim[x->rank - 1], n = y->dim[y->rank - 1];
    const size_t start = (size_t)(a->start < 0 ? a->start + (int64_t)ldx : a->start);
    for (size_t r = from; r < to; r++)
        memcpy(out + r * n, in[0].data + r * ldx + start, n * sizeof *out);
}

static void run(vise_step *st, size_t batch)
{
    vise_step_rows(st, batch, rows);
}

extern const vise_step_kind vise_step_slice;
const vise_step_kind vise_step_slice = {.op = "slice", .fits = fits, .run = run};
