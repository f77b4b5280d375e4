/* linear.c - y = x w^T + b over the last axis
 *
 *   x  in   [..., K]
 *   w  in   [N, K]
 *   b  in   [N]        optional
 *   y  out  [..., N]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"
#include "graph/ops_util.h"

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_shape *x = s->in[0], *w = s->in[1], *b = s->nin > 2 ? s->in[2] : NULL;
    char tx[VISE_SHAPE_TEXT], tw[VISE_SHAPE_TEXT];
    if (!x->rank || w->rank != 2 || x->dim[x->rank - 1] != w->dim[1])
        return vise_fail(e, VISE_EFORMAT, "%s: input %s does not fit linear weight %s", s->name,
                         vise_shape_text(tx, sizeof tx, x), vise_shape_text(tw, sizeof tw, w));
    if (b && (b->rank != 1 || b->dim[0] != w->dim[0]))
        return vise_fail(e, VISE_EFORMAT, "%s: bias %s does not fit linear weight %s", s->name,
                         vise_shape_text(tx, sizeof tx, b), vise_shape_text(tw, sizeof tw, w));
    if (s->batched[1] || (b && s->batched[2]))
        return vise_fail(e, VISE_EFORMAT, "%s: a linear's weight depends on the image", s->name);
    *out = *x;
    out->dim[out->rank - 1] = w->dim[0];
    return VISE_OK;
}

static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    return vise_mul_saturated(vise_shape_count(out), s->in[1]->dim[1]);
}

/* Rows of x may be rounded: one token each. */
static vise_status actq(const vise_sig *s, vise_err *e)
{
    return vise_actq_check_first(s, 1, e);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    (void)out;
    return vise_actq_kind_at(s->actq, 0) ? s->in[1]->dim[1] : 0; // a rounded row
}

static void forward(const vise_call *c)
{
    const size_t N = c->in[1].shape->dim[0], K = c->in[1].shape->dim[1];
    const size_t rows = vise_shape_count(c->in[0].shape) / K * (c->in[0].batched ? c->batch : 1);
    const float *x = c->in[0].data, *w = c->in[1].data, *b = c->nin > 2 ? c->in[2].data : NULL;
    float *y = c->out[0].data;
    for (size_t i = 0; i < rows; i++, x += K) {
        const float *row = x;
        if (vise_actq_kind_at(c->actq, 0)) {
            vise_actq_apply(&c->actq[0], c->scratch, x, K, 1, K);
            row = c->scratch;
        }
        for (size_t n = 0; n < N; n++) {
            float sum = b ? b[n] : 0;
            for (size_t k = 0; k < K; k++)
                sum += row[k] * w[n * K + k];
            y[i * N + n] = sum;
        }
    }
}

/* dx = dy w,  dw = dy^T x,  db = column sums of dy. */
vise_backward_fn vise_linear_backward;
void vise_linear_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t N = c->in[1].shape->dim[0], K = c->in[1].shape->dim[1];
    const size_t rows = vise_shape_count(c->in[0].shape) / K * (c->in[0].batched ? c->batch : 1);
    const float *x = c->in[0].data, *w = c->in[1].data;
    float *db = c->nin > 2 ? din[2] : NULL;
    for (size_t i = 0; i < rows; i++)
        for (size_t n = 0; n < N; n++) {
            const float g = dout[i * N + n];
            if (db) db[n] += g;
            for (size_t k = 0; din[0] && k < K; k++)
                din[0][i * K + k] += g * w[n * K + k];
            for (size_t k = 0; din[1] && k < K; k++)
                din[1][n * K + k] += g * x[i * K + k];
        }
}

const vise_op vise_op_linear = {.name = "linear",
                                .min_in = 2,
                                .max_in = 3,
                                .shape = shape,
                                .macs = macs,
                                .scratch = scratch,
                                .actq = actq,
                                .forward = forward};
