/* linear.c - a linear as one GEMM over all tokens of all images
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

enum { ROWS = 96, PANELS = 8 }; // of one task: an input tile and weights that fit the L2 cache

static void layout(vise_step *st, vise_arena *m)
{
    const size_t n = st->weight.dim[0], k = st->weight.dim[1];
    st->packed = vise_arena_take(m, vise_panels_bytes(&st->s->kern.gemm_f32, n, k), 1);
}

static vise_status pack(vise_step *st, const vise_const *w, vise_err *e)
{
    return vise_pack_const(st->packed, &st->s->kern.gemm_f32, w, NULL, e);
}

typedef struct job {
    const vise_step *st;
    const float *x, *bias;
    float *y;
    size_t rows, row_tiles;
} job;

static void tile(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const vise_gemm *g = &j->st->s->kern.gemm_f32;
    const size_t n = j->st->weight.dim[0], k = j->st->weight.dim[1], width = PANELS * g->nr;
    const size_t i = task % j->row_tiles * ROWS, c = task / j->row_tiles * width;
    const size_t m = j->rows - i < ROWS ? j->rows - i : ROWS, cols = n - c < width ? n - c : width;
    (void)thread;
    g->run(&(vise_gemm_args){.c = j->y + i * n + c,
                             .ldc = n,
                             .a = j->x + i * k,
                             .lda = k * sizeof(float),
                             .w = j->st->packed + c * k,
                             .bias = j->bias ? j->bias + c : NULL,
                             .m = m,
                             .n = cols,
                             .k = k});
}

static void run(vise_step *st, size_t batch)
{
    const vise_arg x = vise_step_in(st, 0), b = vise_step_in(st, 2), y = vise_step_out(st);
    job j = {st, x.data, b.data, y.data, vise_arg_rows(&x, batch), 0};
    const size_t width = PANELS * st->s->kern.gemm_f32.nr;
    j.row_tiles = (j.rows + ROWS - 1) / ROWS;
    vise_step_split(st, j.row_tiles * ((st->weight.dim[0] + width - 1) / width), tile, &j);
}

extern const vise_step_kind vise_step_linear;
const vise_step_kind vise_step_linear = {
    .op = "linear", .packs = true, .layout = layout, .pack = pack, .run = run};
