/* attention.c - softmax attention, one head of one image (or window) at a time
 *
 * A task packs its head's K and V once and walks tiles of query rows; only a tile of scores exists
 * at any time.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"
#include "graph/ops.h"

#include <math.h>

enum { ROWS = 24 }; // query rows of a tile

/* A bias per score or a size per token runs by the plain definition until a family needs speed. */
static bool fits(const vise_sig *sig)
{
    for (uint32_t i = 3; i < sig->nin; i++)
        if (sig->in[i]) return false;
    return true;
}

typedef struct dims {
    size_t lead, H, T, S, Dk, Dv;
} dims;

static dims dims_of(const vise_step *st)
{
    const vise_attention_attr *a = st->attr;
    const vise_shape *q = &st->s->slot[st->in[0]].shape, *v = &st->s->slot[st->in[2]].shape;
    dims d = {.lead = 1, .H = (size_t)a->heads};
    for (uint32_t i = 0; i + 2 < q->rank; i++)
        d.lead *= q->dim[i];
    d.T = q->dim[q->rank - 2];
    d.S = v->dim[v->rank - 2];
    d.Dk = q->dim[q->rank - 1] / d.H;
    d.Dv = v->dim[v->rank - 1] / d.H;
    return d;
}

static void layout(vise_step *st, vise_arena *m)
{
    const dims d = dims_of(st);
    const vise_gemm *g = &st->s->kern.gemm_f32;
    (void)m;
    st->scratch_size =
        (vise_panels_bytes(g, d.S, d.Dk) + vise_panels_bytes(g, d.Dv, d.S)) / 4 + ROWS * d.S;
}

typedef struct job {
    const vise_step *st;
    dims d;
    vise_arg q, k, v, y;
    float scale;
    size_t splits, rows; // tasks per head, and query rows of each
} job;

static void head(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const dims d = j->d;
    const vise_kern *kern = &j->st->s->kern;
    const vise_gemm *g = &kern->gemm_f32;
    const size_t from = task % j->splits * j->rows;
    const size_t h = task / j->splits % d.H, l = task / j->splits / d.H % d.lead;
    const size_t b = task / j->splits / d.H / d.lead, end = from + j->rows;
    float *pk = j->st->scratch + thread * j->st->scratch_size;
    float *pv = pk + vise_panels_bytes(g, d.S, d.Dk) / 4;
    float *scores = pv + vise_panels_bytes(g, d.Dv, d.S) / 4; // [ROWS, S]
    const float *q = vise_arg_at(&j->q, b) + l * d.T * d.H * d.Dk + h * d.Dk;
    const float *k = vise_arg_at(&j->k, b) + l * d.S * d.H * d.Dk + h * d.Dk;
    const float *v = vise_arg_at(&j->v, b) + l * d.S * d.H * d.Dv + h * d.Dv;
    float *y = vise_arg_at(&j->y, b) + l * d.T * d.H * d.Dv + h * d.Dv;
    g->pack(pk, NULL, k, d.H * d.Dk, 1, d.S, d.Dk, 0);
    g->pack(pv, NULL, v, 1, d.H * d.Dv, d.Dv, d.S, 0);
    for (size_t i = from; i < end && i < d.T; i += ROWS) {
        size_t m = end - i < ROWS ? end - i : ROWS;
        if (m > d.T - i) m = d.T - i;
        g->run(&(vise_gemm_args){.c = scores,
                                 .ldc = d.S,
                                 .a = q + i * d.H * d.Dk,
                                 .lda = d.H * d.Dk * 4,
                                 .w = pk,
                                 .m = m,
                                 .n = d.S,
                                 .k = d.Dk});
        kern->softmax(scores, d.S, m, d.S, j->scale);
        g->run(&(vise_gemm_args){.c = y + i * d.H * d.Dv,
                                 .ldc = d.H * d.Dv,
                                 .a = scores,
                                 .lda = d.S * 4,
                                 .w = pv,
                                 .m = m,
                                 .n = d.Dv,
                                 .k = d.S});
    }
}

static void run(vise_step *st, size_t batch)
{
    const vise_attention_attr *a = st->attr;
    job j = {.st = st, .d = dims_of(st), .splits = 1};
    j.q = vise_step_in(st, 0);
    j.k = vise_step_in(st, 1);
    j.v = vise_step_in(st, 2);
    j.y = vise_step_out(st);
    j.scale = a->scale > 0 ? (float)a->scale : 1 / sqrtf((float)j.d.Dk);
    const size_t heads = j.d.H * j.d.lead * (j.y.batched ? batch : 1);
    // few heads for many threads: split the query rows, although every part packs K and V again
    if (heads % st->s->threads && heads < 4 * st->s->threads) j.splits = 2;
    j.rows = (j.d.T + j.splits - 1) / j.splits;
    vise_step_split(st, heads * j.splits, head, &j);
}

extern const vise_step_kind vise_step_attention;
const vise_step_kind vise_step_attention = {
    .op = "attention", .fits = fits, .layout = layout, .run = run};
