/* mul.c - products with one factor per channel: layer scale
 * SPDX-License-Identifier: MIT */
#include "exec/steps/rows.h"

static bool fits(const vise_sig *sig)
{
    return sig->in[1]->rank == 1 && !sig->batched[1] && vise_is_tail(sig->in[0], sig->in[1]);
}

static void rows(const vise_step *st, const vise_arg *in, float *out, size_t from, size_t to)
{
    const size_t n = in[1].shape->dim[0];
    (void)st;
    for (size_t r = from; r < to; r++)
        for (size_t i = 0; i < n; i++)
            out[r * n + i] = in[0].data[r * n + i] * in[1].data[i];
}

static void run(vise_step *st, size_t batch)
{
    vise_step_rows(st, batch, rows);
}

extern const vise_step_kind vise_step_mul;
const vise_step_kind vise_step_mul = {.op = "mul", .fits = fits, .run = run};
