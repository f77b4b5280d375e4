/* rows.c - splitting rows among threads
 * SPDX-License-Identifier: MIT */
#include "exec/steps/rows.h"

enum { ELEMENTS = 16384 }; // of one task: its input and output stay in the L2 cache

typedef struct job {
    const vise_step *st;
    vise_rows_fn *fn;
    vise_arg in[VISE_MAX_IN];
    float *out;
    size_t rows, grain;
} job;

static void part(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const size_t from = task * j->grain, to = from + j->grain;
    (void)thread;
    j->fn(j->st, j->in, j->out, from, to < j->rows ? to : j->rows);
}

void vise_step_rows(vise_step *st, size_t batch, vise_rows_fn *fn)
{
    const vise_arg out = vise_step_out(st);
    job j = {.st = st, .fn = fn, .out = out.data, .rows = vise_arg_rows(&out, batch)};
    for (uint32_t i = 0; i < st->nin; i++)
        j.in[i] = vise_step_in(st, i);
    const size_t cols = vise_shape_count(out.shape) * (out.batched ? batch : 1) / j.rows;
    j.grain = cols < ELEMENTS ? ELEMENTS / cols : 1;
    vise_step_split(st, (j.rows + j.grain - 1) / j.grain, part, &j);
}

bool vise_is_tail(const vise_shape *a, const vise_shape *b)
{
    if (b->rank > a->rank) return false;
    for (uint32_t i = 1; i <= b->rank; i++)
        if (a->dim[a->rank - i] != b->dim[b->rank - i]) return false;
    return true;
}
