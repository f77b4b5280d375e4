/* attention.c - head by head, scores and their gradients as whole matrices
 *
 * With P = softmax(scale Q K^T), and dY the gradient of a head's rows Y = P V:
 *   dV += P^T dY,   dP = dY V^T,   dS = scale P (dP - rowsum(P dP)),   dQ += dS K,   dK += dS^T Q
 *
 * SPDX-License-Identifier: MIT */
#include "train/attention.h"
#include "graph/ops.h"
#include "graph/ops_util.h"
#include "train/work.h"

#include <math.h>

enum { Q, K, V };

typedef struct head {
    const vise_kern *kern;
    size_t T, S, Dk, Dv, ldk, ldv; // rows lie ldk and ldv apart
    float *p, *d;                  // [T, S] probabilities and their gradients
    float *turned;                 // [S, T]
    void *panels;
} head;

static size_t padded(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void measure(head *h, const vise_shape *q, const vise_shape *k, const vise_shape *v,
                    size_t heads)
{
    h->T = q->dim[q->rank - 2];
    h->S = k->dim[k->rank - 2];
    h->ldk = q->dim[q->rank - 1];
    h->ldv = v->dim[v->rank - 1];
    h->Dk = h->ldk / heads;
    h->Dv = h->ldv / heads;
}

/* Bytes of the panels of the largest second operand: [S, Dk], [S, Dv], [Dv, T], [Dk, S] or [Dk, T]. */
static size_t panels_bytes(const head *h)
{
    const vise_gemm *g = &h->kern->gemm_f32;
    const size_t D = most(h->Dk, h->Dv), N = most(h->T, h->S);
    return most(vise_panels_bytes(g, N, D), vise_panels_bytes(g, D, N));
}

size_t vise_fast_attention_room(const vise_kern *k, const vise_sig *s)
{
    head h = {.kern = k};
    if (s->nin > 3) return 0;
    measure(&h, s->in[Q], s->in[K], s->in[V],
            (size_t)((const vise_attention_attr *)s->attr)->heads);
    return 3 * padded(h.T * h.S) + padded(panels_bytes(&h) / sizeof(float) + 1);
}

/* On this thread alone, with the head's own panels. */
static void multiply(const head *h, vise_product p)
{
    vise_product_run(h->kern, &p, h->panels);
}

/* d = scale p (d - rowsum(p d)) */
static void through_softmax(const head *h, float scale)
{
    for (size_t t = 0; t < h->T; t++) {
        const float *p = h->p + t * h->S;
        float *d = h->d + t * h->S;
        const float mean = vise_dot(p, d, h->S);
        for (size_t s = 0; s < h->S; s++)
            d[s] = scale * p[s] * (d[s] - mean);
    }
}

/* One head: its rows of q, k, v and dy, and of the gradients, NULL if not wanted. */
typedef struct rows {
    const float *q, *k, *v, *dy;
    float *dq, *dk, *dv;
} rows;

static void one_head(const head *h, const rows *r, float scale)
{
    const size_t T = h->T, S = h->S, Dk = h->Dk, Dv = h->Dv, lk = h->ldk, lv = h->ldv;
    multiply(h, (vise_product){h->p, S, {r->q, lk, 1}, {r->k, lk, 1}, T, S, Dk, false, false});
    h->kern->softmax(h->p, S, T, S, scale);
    if (r->dv) {
        vise_turn(h->turned, T, h->p, S, T, S);
        multiply(
            h, (vise_product){r->dv, lv, {h->turned, T, 1}, {r->dy, 1, lv}, S, Dv, T, true, false});
    }
    if (!r->dq && !r->dk) return;
    multiply(h, (vise_product){h->d, S, {r->dy, lv, 1}, {r->v, lv, 1}, T, S, Dv, false, false});
    through_softmax(h, scale);
    if (r->dq)
        multiply(h, (vise_product){r->dq, lk, {h->d, S, 1}, {r->k, 1, lk}, T, Dk, S, true, false});
    if (!r->dk) return;
    vise_turn(h->turned, T, h->d, S, T, S);
    multiply(h, (vise_product){r->dk, lk, {h->turned, T, 1}, {r->q, 1, lk}, S, Dk, T, true, false});
}

void vise_fast_attention(const vise_kern *k, const vise_call *c, const float *dout,
                         float *const din[], float *room)
{
    const vise_attention_attr *a = c->attr;
    const size_t heads = (size_t)a->heads;
    head h = {.kern = k, .p = room};
    measure(&h, c->in[Q].shape, c->in[K].shape, c->in[V].shape, heads);
    h.d = h.p + padded(h.T * h.S);
    h.turned = h.d + padded(h.T * h.S);
    h.panels = h.turned + padded(h.T * h.S);
    const double scale = a->scale != 0 ? a->scale : 1 / sqrt((double)h.Dk);
    const size_t leading = vise_shape_count(c->in[Q].shape) / (h.T * h.ldk);
    for (size_t i = 0; i < leading * heads; i++) {
        const size_t l = i / heads, q = l * h.T * h.ldk + i % heads * h.Dk,
                     s = l * h.S * h.ldk + i % heads * h.Dk, v = l * h.S * h.ldv + i % heads * h.Dv,
                     y = l * h.T * h.ldv + i % heads * h.Dv;
        const rows r = {c->in[Q].data + q,          c->in[K].data + s,
                        c->in[V].data + v,          dout + y,
                        din[Q] ? din[Q] + q : NULL, din[K] ? din[K] + s : NULL,
                        din[V] ? din[V] + v : NULL};
        one_head(&h, &r, (float)scale);
    }
}
