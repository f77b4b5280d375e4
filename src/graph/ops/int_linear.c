/* int_linear.c - y = floor((x w^T + bias) mult + 1/2), clamped to [lo, hi], over the last axis
 *
 *   x     in   [..., K]  codes in [-127, 127], or integers    K <= 65536
 *   w     in   [N, K]    codes in [-127, 127]
 *   bias  in   [N]       integers, at most 2^30
 *   mult  in   [N]       [2^-37, 2^15), each a fixed-point number: 24 bits and a shift
 *   y     out  [..., N]
 *
 * With exponents, x are integers, and become codes row by row: r is the least of 0 .. exponents with
 * |x| <= 127 2^r for the row, codes are x / 2^r to nearest, ties to even, and x w^T is
 * 2^r (codes w^T), clamped to +-2^24.
 *
 * Exact, in 64-bit integers (kern/fixed.h). What is out of range counts as the nearest that is not.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

enum { MOST_K = 65536 };

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_linear_attr, lo), -VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_linear_attr, hi), VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"exponents", VISE_ATTR_INT, offsetof(vise_int_linear_attr, exponents), 0, 0,
     VISE_INT_EXPONENTS, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_linear_attr *a = s->attr;
    const vise_shape *x = s->in[0], *w = s->in[1];
    char tx[VISE_SHAPE_TEXT], tw[VISE_SHAPE_TEXT];
    if (!x->rank || w->rank != 2 || x->dim[x->rank - 1] != w->dim[1] || w->dim[1] > MOST_K)
        return vise_fail(e, VISE_EFORMAT, "%s: input %s does not fit integer weight %s", s->name,
                         vise_shape_text(tx, sizeof tx, x), vise_shape_text(tw, sizeof tw, w));
    if (s->batched[1])
        return vise_fail(e, VISE_EFORMAT, "%s: a linear's weight depends on the image", s->name);
    VISE_TRY(vise_int_check_range(s, a->lo, a->hi, e));
    *out = *x;
    out->dim[out->rank - 1] = w->dim[0];
    return vise_check_channels(s, 2, w->dim[0], e);
}

static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    return vise_mul_saturated(vise_shape_count(out), s->in[1]->dim[1]);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    return 3 * vise_shape_last(out) + s->in[1]->dim[1]; // requant's constants, a row
}

/* Row x as codes and their exponent. */
static int read_row(int32_t *code, const float *x, size_t K, int exponents)
{
    const int r = vise_int_exponent(x, K, exponents);
    vise_int_read(code, x, K, -VISE_INT_CODE * (1 << r), VISE_INT_CODE * (1 << r));
    for (size_t k = 0; r && k < K; k++) {
        const int32_t half = (1 << (r - 1)) - 1, odd = code[k] >> r & 1;
        code[k] = (code[k] + half + odd) >> r;
    }
    return r;
}

static void forward(const vise_call *c)
{
    const vise_int_linear_attr *a = c->attr;
    const size_t N = c->in[1].shape->dim[0], K = c->in[1].shape->dim[1];
    const size_t rows = vise_call_images(c) * (vise_shape_count(c->in[0].shape) / K);
    const float *w = c->in[1].data;
    int32_t *room = (int32_t *)(void *)c->scratch, *x = room + 3 * N;
    const vise_requant q = vise_requant_read(room, c->in[2].data, c->in[3].data, N, a->lo, a->hi);
    for (size_t i = 0; i < rows; i++) {
        const int r = read_row(x, c->in[0].data + i * K, K, (int)a->exponents);
        for (size_t n = 0; n < N; n++) {
            int32_t sum = 0; // at most 65536 127 127 < 2^30
            for (size_t k = 0; k < K; k++)
                sum += x[k] * vise_int_of(w[n * K + k], VISE_INT_CODE);
            const int64_t scaled = (int64_t)sum * (1 << r), most = VISE_INT_SUM;
            c->out[0].data[i * N + n] = (float)vise_requant_one(
                a->exponents ? vise_int_clamp(scaled, -most, most) : scaled, &q, n);
        }
    }
}

const vise_op vise_op_int_linear = {.name = "int_linear",
                                    .min_in = 4,
                                    .max_in = 4,
                                    .attr_size = sizeof(vise_int_linear_attr),
                                    .attrs = attrs,
                                    .shape = shape,
                                    .macs = macs,
                                    .scratch = scratch,
                                    .forward = forward};
