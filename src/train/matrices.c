/* matrices.c - dw = dout^T x with the gradient transposed, dx = dout w as it is
 * SPDX-License-Identifier: MIT */
#include "train/matrices.h"
#include "graph/actq.h"

void vise_cut_gradient(const vise_actq *q, float *d, const float *x, size_t n)
{
    if (q->kind < VISE_ACTQ_STATIC) return;
    const vise_quant how = vise_actq_quant(q, 0);
    const float s = q->scale, lo = s * (float)(how.lo - q->zero),
                hi = s * (float)(how.hi - q->zero);
    for (size_t i = 0; i < n; i++)
        if (x[i] < lo || x[i] > hi) d[i] = 0;
}

enum { CHUNK = 384 }; // rows that are transposed at once, so that they stay in the cache

typedef struct turning {
    float *to;
    const float *from;
    size_t rows, cols;
} turning;

/* Whole rows: memory is read as it lies. */
static void turn_rows(void *ctx, size_t from, size_t to)
{
    const turning *t = ctx;
    vise_turn(t->to + from, t->rows, t->from + from * t->cols, t->cols, to - from, t->cols);
}

typedef struct rounding {
    const vise_linear_grad *l;
    float *to;
} rounding;

static void round_rows(void *ctx, size_t from, size_t to)
{
    const rounding *r = ctx;
    const size_t K = r->l->K;
    vise_actq_apply(r->l->actq, r->to + from * K, r->l->x + from * K, K, to - from, K);
}

/* dx += what is left of its gradient, or in dx itself. */
static void cut_rows(void *ctx, size_t from, size_t to)
{
    const rounding *r = ctx;
    const size_t at = from * r->l->K, n = (to - from) * r->l->K;
    vise_cut_gradient(r->l->actq, r->to + at, r->l->x + at, n);
    for (size_t i = at; r->to != r->l->dx && i < at + n; i++)
        r->l->dx[i] += r->to[i];
}

/* dw += dout^T x, x as the node rounds it; db += sums of dout. */
static vise_status constants(vise_dense *d, vise_work *k, const vise_linear_grad *l, vise_err *e)
{
    const float *x = l->x;
    if (!l->dw && l->db) vise_column_sums(d, l->db, l->dout, l->N, l->rows, l->N);
    if (!l->dw) return VISE_OK;
    if (l->actq->kind) {
        VISE_TRY(vise_work_need(k, VISE_WORK_ROUNDED, l->rows * l->K, e));
        vise_dense_rows(d, l->rows, 64, round_rows, &(rounding){l, k->p[VISE_WORK_ROUNDED]});
        x = k->p[VISE_WORK_ROUNDED];
    }
    VISE_TRY(vise_work_need(k, VISE_WORK_TURNED, CHUNK * l->N, e));
    float *turned = k->p[VISE_WORK_TURNED];
    for (size_t r = 0; r < l->rows; r += CHUNK) {
        const size_t n = l->rows - r < CHUNK ? l->rows - r : CHUNK;
        turning t = {turned, l->dout + r * l->N, n, l->N};
        if (l->db)
            vise_column_sums(d, l->db, t.from, l->N, n, l->N); // these rows come to the cache
        vise_dense_rows(d, n, 32, turn_rows, &t);
        const vise_product p = {.c = l->dw,
                                .ldc = l->K,
                                .a = {turned, n, 1},
                                .b = {x + r * l->K, 1, l->K},
                                .m = l->N,
                                .n = l->K,
                                .k = n,
                                .add = true};
        VISE_TRY(vise_dense_mul(d, &p, e));
    }
    return VISE_OK;
}

vise_status vise_linear_gradients(vise_dense *d, vise_work *k, const vise_linear_grad *l,
                                  vise_err *e)
{
    VISE_TRY(constants(d, k, l, e));
    if (!l->dx) return VISE_OK;
    float *to = l->dx;
    const size_t n = l->rows * l->K;
    const bool cuts = l->actq->kind >= VISE_ACTQ_STATIC;
    if (cuts && !l->fresh) {
        VISE_TRY(vise_work_need(k, VISE_WORK_ROUNDED, n, e));
        to = k->p[VISE_WORK_ROUNDED];
    }
    const vise_product p = {
        to,   l->K, {l->dout, l->N, 1}, {l->w, 1, l->K}, l->rows, l->K, l->N, !cuts && !l->fresh,
        false};
    VISE_TRY(vise_dense_mul(d, &p, e));
    if (!cuts) return VISE_OK;
    vise_dense_rows(d, l->rows, 64, cut_rows, &(rounding){l, to});
    return VISE_OK;
}
