/* conv2d.c - an ungrouped convolution as a GEMM over gathered patches
 *
 * A row of the gathered matrix is one output's patch in the order (ky, kx, channel), which is how
 * the image lies in memory; the weights are reordered to match when they are packed.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"
#include "graph/ops.h"

#include <string.h>

enum { ROWS = 24 }; // outputs of one task

static bool fits(const vise_sig *sig)
{
    const vise_conv2d_attr *a = sig->attr;
    return a->groups == 1;
}

static size_t patch(const vise_step *st)
{
    return st->weight.dim[1] * st->weight.dim[2] * st->weight.dim[3];
}

static void layout(vise_step *st, vise_arena *m)
{
    const size_t n = vise_panels_bytes(&st->s->kern.gemm_f32, st->weight.dim[0], patch(st));
    st->packed = vise_arena_take(m, n, 1);
    st->scratch_size = ROWS * patch(st);
}

static vise_status pack(vise_step *st, const vise_const *w, vise_err *e)
{
    const size_t C = st->weight.dim[1], taps = st->weight.dim[2] * st->weight.dim[3];
    size_t *perm;
    VISE_TRY(vise_alloc_or(&perm, C * taps, sizeof *perm, "packing a convolution", e));
    for (size_t t = 0; t < taps; t++)
        for (size_t c = 0; c < C; c++)
            perm[t * C + c] = c * taps + t;
    vise_status s = vise_pack_const(st->packed, &st->s->kern.gemm_f32, w, perm, e);
    vise_free(perm);
    return s;
}

typedef struct job {
    const vise_step *st;
    vise_arg x, y;
    const float *bias;
    vise_conv2d_geometry g;
    size_t tiles; // of one image
} job;

static void gather(float *row, const vise_conv2d_geometry *g, const float *x, size_t pixel)
{
    const size_t C = g->C, y = pixel / g->out[1], xo = pixel % g->out[1];
    for (size_t ky = 0; ky < g->k[0]; ky++)
        for (size_t kx = 0; kx < g->k[1]; kx++, row += C) {
            // unsigned wrap makes a position before the image larger than its size
            const size_t iy = y * g->stride[0] + ky * g->dilation[0] - g->pad[0];
            const size_t ix = xo * g->stride[1] + kx * g->dilation[1] - g->pad[1];
            if (iy < g->in[0] && ix < g->in[1])
                memcpy(row, x + (iy * g->in[1] + ix) * g->ldx, C * sizeof *row);
            else
                memset(row, 0, C * sizeof *row);
        }
}

static void tile(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const size_t b = task / j->tiles, from = task % j->tiles * ROWS, K = patch(j->st), N = j->g.N;
    const size_t pixels = j->g.out[0] * j->g.out[1];
    const size_t m = pixels - from < ROWS ? pixels - from : ROWS;
    float *rows = j->st->scratch + thread * j->st->scratch_size;
    for (size_t i = 0; i < m; i++)
        gather(rows + i * K, &j->g, vise_arg_at(&j->x, b), from + i);
    j->st->s->kern.gemm_f32.run(&(vise_gemm_args){.c = vise_arg_at(&j->y, b) + from * N,
                                                  .ldc = N,
                                                  .a = rows,
                                                  .lda = K * sizeof(float),
                                                  .w = j->st->packed,
                                                  .bias = j->bias,
                                                  .m = m,
                                                  .n = N,
                                                  .k = K});
}

static void run(vise_step *st, size_t batch)
{
    job j = {.st = st, .x = vise_step_in(st, 0), .y = vise_step_out(st)};
    j.bias = vise_step_in(st, 2).data;
    vise_conv2d_geometry_of(&j.g, st->attr, j.x.shape, &st->weight, j.y.shape);
    j.tiles = (j.g.out[0] * j.g.out[1] + ROWS - 1) / ROWS;
    vise_step_split(st, j.tiles * (j.y.batched ? batch : 1), tile, &j);
}

extern const vise_step_kind vise_step_conv2d;
const vise_step_kind vise_step_conv2d = {
    .op = "conv2d", .fits = fits, .packs = true, .layout = layout, .pack = pack, .run = run};
