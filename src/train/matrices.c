/* matrices.c - dw = dout^T x with the gradient transposed, dx = dout w as it is
 * SPDX-License-Identifier: MIT */
#include "train/matrices.h"
#include "graph/actq.h"

enum {
    SOME = 2048, // numbers that are rounded at once
    LANES = 16,  // that the compiler makes vectors of
    CHUNK = 384, // rows that are transposed at once, so that they stay in the cache
    CUT = 64,    // rows of one sum
};

/* d ends beyond lo and hi; the sum of d dy / dlog(scale). y: x as rounded */
static double cut_some(float *d, const float *x, const float *y, size_t n, const float range[2])
{
    const float lo = range[0], hi = range[1];
    float sum[LANES] = {0}, all = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const bool inside = x[i + j] >= lo && x[i + j] <= hi;
            sum[j] += d[i + j] * (y[i + j] - (inside ? x[i + j] : 0));
            d[i + j] = inside ? d[i + j] : 0;
        }
    for (; i < n; i++) {
        const bool inside = x[i] >= lo && x[i] <= hi;
        sum[0] += d[i] * (y[i] - (inside ? x[i] : 0));
        d[i] = inside ? d[i] : 0;
    }
    for (size_t j = 0; j < LANES; j++)
        all += sum[j];
    return (double)all;
}

double vise_cut_gradient(const vise_kern *k, const vise_actq *q, float *d, const float *x, size_t n)
{
    if (q->kind < VISE_ACTQ_STATIC) return 0;
    const vise_quant how = vise_actq_quant(q, 0);
    const bool levels = q->kind == VISE_ACTQ_LEVELS;
    const int first = levels ? q->level[0] : how.lo,
              last = levels ? q->level[((size_t)1 << q->bits) - 1] : how.hi;
    const float range[2] = {q->scale * (float)(first - q->zero),
                            q->scale * (float)(last - q->zero)};
    float y[SOME];
    double sum = 0;
    for (size_t i = 0; i < n; i += SOME) {
        const size_t m = n - i < SOME ? n - i : SOME;
        vise_actq_apply_by(k, q, y, (vise_floats){x + i, m, 1, m});
        sum += cut_some(d + i, x + i, y, m, range);
    }
    return sum;
}

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
    const vise_kern *k;
    const vise_linear_grad *l;
    float *to;
    float *sums; // [pieces of CUT rows] gradients of the scale's logarithm
} rounding;

static void round_rows(void *ctx, size_t from, size_t to)
{
    const rounding *r = ctx;
    const size_t K = r->l->K;
    const vise_floats x = {r->l->x + from * K, K, to - from, K};
    vise_actq_apply_by(r->k, r->l->actq, r->to + from * K, x);
}

/* dx += what is left of its gradient, or in dx itself. */
static void cut_rows(void *ctx, size_t from, size_t to)
{
    const rounding *r = ctx;
    const size_t at = from * r->l->K, n = (to - from) * r->l->K;
    r->sums[from / CUT] = (float)vise_cut_gradient(r->k, r->l->actq, r->to + at, r->l->x + at, n);
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
        vise_dense_rows(d, l->rows, 64, round_rows,
                        &(rounding){&d->kern, l, k->p[VISE_WORK_ROUNDED], NULL});
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
    const size_t pieces = (l->rows + CUT - 1) / CUT;
    VISE_TRY(vise_work_need(k, VISE_WORK_SUMS, pieces, e));
    rounding r = {&d->kern, l, to, k->p[VISE_WORK_SUMS]};
    vise_dense_rows(d, l->rows, CUT, cut_rows, &r);
    for (size_t i = 0; l->dscale && i < pieces; i++)
        *l->dscale += (double)r.sums[i];
    return VISE_OK;
}
