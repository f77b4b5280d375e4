/* conv2d.c - a convolution as a GEMM over gathered patches, a depthwise one by its own kernel
 *
 * A row of the gathered matrix is one output's patch in the order (ky, kx, channel), which is how
 * the image lies in memory; the weights are reordered to match when they are packed.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

#include <string.h>

enum {
    ROWS = 98,        // most outputs of one task: whole tiles of the f32 product, half a picture
    TILES = 64,       // the same for a product of tiles of 16 rows
    NEAR = 320 << 10, // bytes of their patches
    MAX_TAPS = 128,   // of a depthwise kernel: pointers on the stack
};

typedef struct job {
    vise_step *st;
    vise_arg x, y;
    vise_conv2d_geometry g;
    size_t rows, tiles; // outputs of a task, tasks of an image
} job;

/* Tap (ky, kx) of an output: its input pixel, or NULL in the padding. */
static const float *tap_at(const vise_conv2d_geometry *g, const float *x, size_t pixel, size_t tap)
{
    const size_t y = pixel / g->out[1] * g->stride[0] + tap / g->k[1] * g->dilation[0] - g->pad[0];
    const size_t z = pixel % g->out[1] * g->stride[1] + tap % g->k[1] * g->dilation[1] - g->pad[1];
    // unsigned wrap makes a position before the image larger than its size
    return y < g->in[0] && z < g->in[1] ? x + (y * g->in[1] + z) * g->ldx : NULL;
}

static size_t task_rows(const vise_step *st)
{
    const size_t near = NEAR / vise_operand_ld(st->s, VISE_FMT_F32, st->w.k);
    const size_t most = vise_gemm_for(st->s, st->w.format)->mr > 1 ? TILES : ROWS;
    return near >= most ? most : near > 16 ? near / 16 * 16 : 16;
}

static void run_tiles(vise_step *st, size_t batch, vise_task_fn *tile)
{
    job j = {.st = st, .x = vise_step_in(st, 0), .y = vise_step_out(st)};
    vise_conv2d_geometry_of(&j.g, st->attr, j.x.shape, &st->weight, j.y.shape);
    j.rows = task_rows(st);
    j.tiles = (j.g.out[0] * j.g.out[1] + j.rows - 1) / j.rows;
    vise_pool_run(st->s->pool, j.tiles * batch, tile, &j);
}

/* ---- GEMM ---- */

/* Scratch: what the weights want, the patches as f32, then in the format of the GEMM, with room for
 * rows it may read. */
static size_t patch_bytes(const vise_step *st)
{
    return task_rows(st) * vise_operand_ld(st->s, VISE_FMT_F32, st->w.k);
}

static void layout(vise_step *st, vise_arena *m)
{
    vise_weights_layout(&st->w, st->s, m);
    st->scratch = vise_weights_scratch(&st->w, st->s) + patch_bytes(st);
    if (st->w.format != VISE_FMT_F32)
        st->scratch +=
            task_rows(st) * (vise_operand_ld(st->s, st->w.format, st->w.k) + sizeof(vise_rowq));
}

static vise_status pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    const size_t C = st->weight.dim[1], taps = st->weight.dim[2] * st->weight.dim[3];
    size_t *perm;
    VISE_TRY(vise_alloc_or(&perm, C * taps, sizeof *perm, "packing a convolution", e));
    for (size_t t = 0; t < taps; t++)
        for (size_t c = 0; c < C; c++)
            perm[t * C + c] = c * taps + t;
    vise_status s = vise_weights_pack(&st->w, st->s, g, perm, e);
    vise_free(perm);
    return s;
}

static void gather(float *row, const vise_conv2d_geometry *g, const float *x, size_t pixel)
{
    const size_t taps = g->k[0] * g->k[1], line = g->k[1] * g->C;
    // a patch inside the image is a few runs of memory
    const bool runs = g->dilation[1] == 1 && g->C == g->ldx;
    for (size_t t = 0; t < taps; t++, row += g->C) {
        if (runs && t % g->k[1] == 0 && tap_at(g, x, pixel, t) &&
            tap_at(g, x, pixel, t + g->k[1] - 1)) {
            memcpy(row, tap_at(g, x, pixel, t), line * sizeof *row);
            row += line - g->C;
            t += g->k[1] - 1;
            continue;
        }
        const float *from = tap_at(g, x, pixel, t);
        if (from)
            memcpy(row, from, g->C * sizeof *row);
        else
            memset(row, 0, g->C * sizeof *row);
    }
}

static void gemm_tile(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    vise_step *st = j->st;
    const size_t b = task / j->tiles, from = task % j->tiles * j->rows,
                 pixels = j->y.shape->dim[0] * j->y.shape->dim[1];
    const size_t m = pixels - from < j->rows ? pixels - from : j->rows, N = j->g.N, all = st->w.n;
    const size_t lda = vise_operand_ld(st->s, VISE_FMT_F32, st->w.k), ldf = lda / sizeof(float);
    char *scratch = vise_scratch(st, thread);
    char *patches = scratch + vise_weights_scratch(&st->w, st->s);
    char *codes = patches + patch_bytes(st);
    float *rows = (float *)(void *)patches;
    vise_gemm_args g = vise_weights_args(&st->w, &st->epi);
    g.a = patches;
    g.lda = lda;
    g.m = m;
    g.n = N;
    g.ldc = all;
    for (size_t q = 0; q < j->g.groups; q++) {
        for (size_t i = 0; i < m; i++)
            gather(rows + i * ldf, &j->g, vise_arg_at(&j->x, b) + q * j->g.C, from + i);
        if (st->w.format != VISE_FMT_F32) {
            g.lda = vise_operand_ld(st->s, st->w.format, st->w.k);
            vise_rowq *rowq = (vise_rowq *)(void *)(codes + j->rows * g.lda);
            vise_convert(st->s, &st->actq, (vise_operand){codes, g.lda, rowq},
                         (vise_floats){rows, ldf, m, st->w.k});
            g.a = codes;
            g.rowq = rowq;
            g.zeros = st->actq.kind != VISE_ACTQ_SYM;
        }
        g.c = vise_arg_at(&j->y, b) + from * all + q * N;
        vise_weights_run(&st->w, st->s, &g, scratch);
        g.w = (const char *)g.w + vise_weights_bytes(&st->w, st->s) / j->g.groups;
        if (g.bias) g.bias += N;
        if (g.wscale) g.wscale += N;
        if (g.wsum) g.wsum += N;
    }
}

static void run_gemm(vise_step *st, size_t batch)
{
    run_tiles(st, batch, gemm_tile);
}

static const vise_step_kind gemm = {
    .name = "gemm", .layout = layout, .pack = pack, .run = run_gemm};

/* ---- depthwise ---- */

static void depthwise_layout(vise_step *st, vise_arena *m)
{
    st->w.panels = vise_arena_take(m, st->w.n * st->w.k, sizeof(float)); // [taps, n]
    if (st->w.bias_from != VISE_NONE) st->w.bias = vise_arena_take(m, st->w.n, sizeof(float));
}

static vise_status depthwise_pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    const size_t n = st->w.n, taps = st->w.k;
    float *w, *to = st->w.panels;
    VISE_TRY(vise_alloc_or(&w, n * taps, sizeof *w, "packing a convolution", e));
    vise_decode(w, &g->value[st->w.from].data);
    for (size_t i = 0; i < n * taps; i++)
        to[i % taps * n + i / taps] = w[i];
    vise_free(w);
    if (st->w.bias) vise_decode(st->w.bias, &g->value[st->w.bias_from].data);
    return VISE_OK;
}

static void depthwise_tile(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const size_t b = task / j->tiles, n = j->st->w.n, pixels = j->g.out[0] * j->g.out[1];
    const float *x = vise_arg_at(&j->x, b), *tap[MAX_TAPS];
    float *y = vise_arg_at(&j->y, b);
    (void)thread;
    for (size_t i = task % j->tiles * j->rows, end = i + j->rows; i < end && i < pixels; i++) {
        for (size_t t = 0; t < j->st->w.k; t++)
            tap[t] = tap_at(&j->g, x, i, t);
        j->st->s->kern.depthwise(y + i * n, tap, j->st->w.panels, j->st->w.bias, j->st->w.k, n);
    }
}

static void run_depthwise(vise_step *st, size_t batch)
{
    run_tiles(st, batch, depthwise_tile);
}

static const vise_step_kind depthwise = {
    .name = "depthwise", .layout = depthwise_layout, .pack = depthwise_pack, .run = run_depthwise};

vise_lower_fn vise_lower_conv2d;
bool vise_lower_conv2d(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_conv2d_attr *a = n->attr;
    const vise_shape *w = &l->g->value[n->in[1]].shape;
    const vise_id bias = n->nin > 2 ? n->in[2] : VISE_NONE;
    if (!vise_lower_is_const(l, n->in[1]) || (bias != VISE_NONE && !vise_lower_is_const(l, bias)))
        return false;
    if (!vise_weights_exact(&l->g->value[n->in[1]].data, vise_format_of(&n->actq[0]))) return false;
    const bool dw = w->dim[1] == 1 && (size_t)a->groups == w->dim[0] && a->groups > 1 &&
                    w->dim[2] * w->dim[3] <= MAX_TAPS && n->actq[0].kind == VISE_ACTQ_NONE;
    const vise_id x = vise_lower_tight(l, i, 0);
    vise_step *st = vise_lower_step(l, i, dw ? &depthwise : &gemm);
    if (!st) return true;
    st->in[0] = x;
    st->nin = 1;
    st->actq = n->actq[0];
    st->weight = *w;
    st->w.groups = (size_t)a->groups;
    st->w.n = w->dim[0];
    st->w.k = w->dim[1] * w->dim[2] * w->dim[3];
    st->w.format = vise_format_of(&n->actq[0]);
    st->w.from = n->in[1];
    st->w.bias_from = bias;
    vise_weights_keep_codes(&st->w, l->s, &l->g->value[n->in[1]].data, w->dim[2] * w->dim[3] > 1);
    st->weight_bytes = vise_weights_bytes(&st->w, l->s);
    return true;
}
