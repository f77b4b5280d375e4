/* matrices.c - dw = dout^T x with the gradient transposed, dx = dout w as it is
 * SPDX-License-Identifier: MIT */
#include "train/matrices.h"
#include "graph/actq.h"

void vise_matrices_free(vise_matrices *m)
{
    vise_free(m->turned);
    vise_free(m->rounded);
    *m = (vise_matrices){0};
}

static vise_status room(float **p, size_t *have, size_t n, vise_err *e)
{
    if (n <= *have) return VISE_OK;
    vise_free(*p);
    *p = NULL;
    *have = 0;
    VISE_TRY(vise_alloc_or(p, n, sizeof(float), "gradients", e));
    *have = n;
    return VISE_OK;
}

void vise_cut_gradient(const vise_actq *q, float *d, const float *x, size_t n)
{
    if (q->kind < VISE_ACTQ_STATIC) return;
    const vise_quant how = vise_actq_quant(q, 0);
    const float s = q->scale, lo = s * (float)(how.lo - q->zero),
                hi = s * (float)(how.hi - q->zero);
    for (size_t i = 0; i < n; i++)
        if (x[i] < lo || x[i] > hi) d[i] = 0;
}

typedef struct turn {
    float *to;
    const float *from;
    size_t rows, cols;
} turn;

static void turn_columns(void *ctx, size_t from, size_t to)
{
    const turn *t = ctx;
    for (size_t i = 0; i < t->rows; i++)
        for (size_t j = from; j < to; j++)
            t->to[j * t->rows + i] = t->from[i * t->cols + j];
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

/* dw += dout^T x, x as the node rounds it; db += sums of dout. */
static vise_status constants(vise_dense *d, vise_matrices *m, const vise_linear_grad *l,
                             vise_err *e)
{
    const float *x = l->x;
    for (size_t i = 0; l->db && i < l->rows; i++)
        for (size_t j = 0; j < l->N; j++)
            l->db[j] += l->dout[i * l->N + j];
    if (!l->dw) return VISE_OK;
    if (l->actq->kind) {
        VISE_TRY(room(&m->rounded, &m->rounded_room, l->rows * l->K, e));
        vise_dense_rows(d, l->rows, 64, round_rows, &(rounding){l, m->rounded});
        x = m->rounded;
    }
    VISE_TRY(room(&m->turned, &m->turned_room, l->rows * l->N, e));
    turn r = {m->turned, l->dout, l->rows, l->N};
    vise_dense_rows(d, l->N, 16, turn_columns, &r);
    const vise_product p = {l->dw, l->K, {m->turned, l->rows, 1}, {x, 1, l->K}, l->N, l->K, l->rows,
                            true,  false};
    return vise_dense_mul(d, &p, e);
}

vise_status vise_linear_gradients(vise_dense *d, vise_matrices *m, const vise_linear_grad *l,
                                  vise_err *e)
{
    VISE_TRY(constants(d, m, l, e));
    if (!l->dx) return VISE_OK;
    float *to = l->dx;
    const size_t n = l->rows * l->K;
    const bool cuts = l->actq->kind >= VISE_ACTQ_STATIC;
    if (cuts) {
        VISE_TRY(room(&m->rounded, &m->rounded_room, n, e));
        to = m->rounded;
    }
    const vise_product p = {to,    l->K, {l->dout, l->N, 1}, {l->w, 1, l->K}, l->rows, l->K, l->N,
                            !cuts, false};
    VISE_TRY(vise_dense_mul(d, &p, e));
    if (!cuts) return VISE_OK;
    vise_cut_gradient(l->actq, to, l->x, n);
    for (size_t i = 0; i < n; i++)
        l->dx[i] += to[i];
    return VISE_OK;
}
