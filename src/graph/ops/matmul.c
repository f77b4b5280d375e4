/* matmul.c - y = a b, or a b^T, over the last two axes
 *
 *   a  in   [..., M, K]
 *   b  in   [..., K, N], or [..., N, K] if transpose
 *   y  out  [..., M, N]   leading extents broadcast
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"transpose", VISE_ATTR_BOOL, offsetof(vise_matmul_attr, transpose), 0, 0, 1, NULL},
    {0},
};

static bool transposed(const void *attr)
{
    return ((const vise_matmul_attr *)attr)->transpose;
}

/* The axes before the last two. */
static vise_shape leading(const vise_shape *s)
{
    vise_shape l = *s;
    l.rank -= 2;
    return l;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_shape *a = s->in[0], *b = s->in[1];
    const bool t = transposed(s->attr);
    char ta[VISE_SHAPE_TEXT], tb[VISE_SHAPE_TEXT];
    if (a->rank < 2 || b->rank < 2 || a->dim[a->rank - 1] != b->dim[b->rank - (t ? 1 : 2)])
        return vise_fail(e, VISE_EFORMAT, "%s: cannot multiply %s by %s%s", s->name,
                         vise_shape_text(ta, sizeof ta, a), vise_shape_text(tb, sizeof tb, b),
                         t ? " transposed" : "");
    const vise_shape la = leading(a), lb = leading(b);
    VISE_TRY(vise_broadcast(out, &la, &lb, s->name, e));
    out->dim[out->rank++] = a->dim[a->rank - 2];
    out->dim[out->rank++] = b->dim[b->rank - (t ? 2 : 1)];
    return VISE_OK;
}

static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    return vise_mul_saturated(vise_shape_count(out), vise_shape_last(s->in[0]));
}

/* One matrix product; element (k, n) of b is at b[k * bk + n * bn]. */
typedef struct product {
    size_t M, N, K, bk, bn;
} product;

static void multiply(const product *p, float *y, const float *a, const float *b)
{
    for (size_t m = 0; m < p->M; m++)
        for (size_t n = 0; n < p->N; n++) {
            double sum = 0;
            for (size_t k = 0; k < p->K; k++)
                sum += (double)a[m * p->K + k] * (double)b[k * p->bk + n * p->bn];
            y[m * p->N + n] = (float)sum;
        }
}

static product product_of(const vise_call *c)
{
    const vise_shape *a = c->in[0].shape, *y = c->out[0].shape;
    const size_t M = y->dim[y->rank - 2], N = y->dim[y->rank - 1], K = a->dim[a->rank - 1];
    const bool t = transposed(c->attr);
    return (product){M, N, K, t ? 1 : N, t ? K : 1};
}

/* Over the matrices of y, with those of a and b that they are made of. */
static void walk_matrices(vise_walk *w, const vise_call *c)
{
    const vise_shape la = leading(c->in[0].shape), lb = leading(c->in[1].shape),
                     ly = leading(c->out[0].shape);
    vise_walk_start(w, &ly);
    vise_walk_broadcast(w, 1, &la);
    vise_walk_broadcast(w, 2, &lb);
}

static void forward(const vise_call *c)
{
    const product p = product_of(c);
    for (size_t im = 0; im < vise_call_images(c); im++) {
        vise_walk w;
        walk_matrices(&w, c);
        do
            for (size_t i = 0; i < w.n; i++)
                multiply(&p, vise_arg_at(&c->out[0], im) + (w.at[0] + i * w.step[0]) * p.M * p.N,
                         vise_arg_at(&c->in[0], im) + (w.at[1] + i * w.step[1]) * p.M * p.K,
                         vise_arg_at(&c->in[1], im) + (w.at[2] + i * w.step[2]) * p.K * p.N);
        while (vise_walk_next(&w));
    }
}

/* da += dy b^T,  db += a^T dy;  b and db as p says, da and db may be NULL. */
static void multiply_back(const product *p, float *da, float *db, const float *dy, const float *a,
                          const float *b)
{
    for (size_t m = 0; m < p->M; m++)
        for (size_t n = 0; n < p->N; n++) {
            const float d = dy[m * p->N + n];
            for (size_t k = 0; da && k < p->K; k++)
                da[m * p->K + k] += d * b[k * p->bk + n * p->bn];
            for (size_t k = 0; db && k < p->K; k++)
                db[k * p->bk + n * p->bn] += d * a[m * p->K + k];
        }
}

vise_backward_fn vise_matmul_backward;
void vise_matmul_backward(const vise_call *c, const float *dout, float *const din[])
{
    const product p = product_of(c);
    const size_t count = vise_shape_count(c->out[0].shape);
    for (size_t im = 0; im < vise_call_images(c); im++) {
        float *da = vise_call_gradient(c, din, 0, im), *db = vise_call_gradient(c, din, 1, im);
        const float *dy = dout + im * count;
        vise_walk w;
        walk_matrices(&w, c);
        do
            for (size_t i = 0; i < w.n; i++) {
                const size_t a = (w.at[1] + i * w.step[1]) * p.M * p.K;
                const size_t b = (w.at[2] + i * w.step[2]) * p.K * p.N;
                multiply_back(&p, da ? da + a : NULL, db ? db + b : NULL,
                              dy + (w.at[0] + i * w.step[0]) * p.M * p.N,
                              vise_arg_at(&c->in[0], im) + a, vise_arg_at(&c->in[1], im) + b);
            }
        while (vise_walk_next(&w));
    }
}

const vise_op vise_op_matmul = {.name = "matmul",
                                .min_in = 2,
                                .max_in = 2,
                                .attr_size = sizeof(vise_matmul_attr),
                                .attrs = attrs,
                                .shape = shape,
                                .macs = macs,
                                .forward = forward};
