/* int_attention.c - attention in integers, with a table for exp
 *
 *   q      in   [T, H Dk]  codes in [-127, 127]                       Dk <= 1024
 *   k      in   [S, H Dk]  codes
 *   v      in   [S, H Dv]  codes                                          S <= 65536
 *   table  in   [n]        e(i): 254 at 0, falling                        n <= 1024
 *   step   in   [H]        entries per score, in units of 2^-20
 *   bias   in   [H Dv]     integers, at most 2^30
 *   mult   in   [H Dv]     fixed-point numbers, as int_linear's
 *   y      out  [T, H Dv]
 *
 * Per head and row of q, with s = q k^T and d = max s - s:
 *   p = table[min(floor(d step / 2^20 + 1/2), n - 1)]
 *   r = floor(2^36 / sum p + 1/2), at most 2^30
 *   t = floor((p v) r / 2^20 + 1/2)               the mean of v weighted by p, in units of 2^-16
 *   y = floor((t + bias) mult + 1/2), clamped to [lo, hi]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

enum { Q, K, V, TABLE, STEP, BIAS, MULT, MOST_S = 65536, MOST_D = 1024 };

static const vise_attr_def attrs[] = {
    {"lo", VISE_ATTR_INT, offsetof(vise_int_attention_attr, lo), -VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"hi", VISE_ATTR_INT, offsetof(vise_int_attention_attr, hi), VISE_INT_CODE, -VISE_INT_MOST,
     VISE_INT_MOST, NULL},
    {"heads", VISE_ATTR_INT, offsetof(vise_int_attention_attr, heads), 1, 1, VISE_MAX_DIM, NULL},
    {0},
};

static bool operands_fit(const vise_sig *s, size_t heads)
{
    const vise_shape *q = s->in[Q], *k = s->in[K], *v = s->in[V];
    return q->rank == 2 && k->rank == 2 && v->rank == 2 && q->dim[1] == k->dim[1] &&
           k->dim[0] == v->dim[0] && q->dim[1] % heads == 0 && v->dim[1] % heads == 0 &&
           k->dim[0] <= MOST_S && q->dim[1] / heads <= MOST_D;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_int_attention_attr *a = s->attr;
    const vise_shape *q = s->in[Q], *k = s->in[K], *v = s->in[V], *t = s->in[TABLE];
    const size_t heads = (size_t)a->heads;
    char tq[VISE_SHAPE_TEXT], tk[VISE_SHAPE_TEXT], tv[VISE_SHAPE_TEXT];
    if (!operands_fit(s, heads))
        return vise_fail(e, VISE_EFORMAT,
                         "%s: q %s, k %s, v %s do not fit integer attention of "
                         "%zu heads",
                         s->name, vise_shape_text(tq, sizeof tq, q),
                         vise_shape_text(tk, sizeof tk, k), vise_shape_text(tv, sizeof tv, v),
                         heads);
    if (t->rank != 1 || t->dim[0] < 2 || t->dim[0] > VISE_INT_TABLE_MOST || s->batched[TABLE])
        return vise_fail(e, VISE_EFORMAT, "%s: %s is not a table of 2 to %d entries", s->name,
                         vise_shape_text(tq, sizeof tq, t), VISE_INT_TABLE_MOST);
    if (s->in[STEP]->rank != 1 || s->in[STEP]->dim[0] != heads || s->batched[STEP])
        return vise_fail(e, VISE_EFORMAT, "%s: %s are not steps of %zu heads", s->name,
                         vise_shape_text(tq, sizeof tq, s->in[STEP]), heads);
    VISE_TRY(vise_int_check_range(s, a->lo, a->hi, e));
    *out = *q;
    out->dim[1] = v->dim[1];
    return vise_check_channels(s, BIAS, v->dim[1], e);
}

static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    return vise_mul_saturated(vise_shape_count(s->in[Q]) + vise_shape_count(out), s->in[K]->dim[0]);
}

/* One head of one image. Operands are codes as i32. */
typedef struct head {
    size_t S, Dk, Dv, table;
    vise_requant post; // of this head's columns
    int32_t *e, *row, *k, *v;
    float *scores;
    uint8_t *p;
    vise_int_softmax soft;
} head;

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    const size_t H = (size_t)((const vise_int_attention_attr *)s->attr)->heads;
    const size_t S = s->in[K]->dim[0], Dk = s->in[K]->dim[1] / H, Dv = out->dim[1] / H;
    return s->in[TABLE]->dim[0] + 3 * out->dim[1] + S * (Dk + Dv) + Dk + S + (S + 3) / 4;
}

static void attend(const head *h, float *y, const vise_fixed_kern *kern)
{
    int32_t sum;
    for (size_t s = 0; s < h->S; s++) {
        int32_t dot = 0;
        for (size_t d = 0; d < h->Dk; d++)
            dot += h->row[d] * h->k[s * h->Dk + d];
        h->scores[s] = (float)dot;
    }
    kern->softmax(h->p, h->S, h->S, &sum, h->scores, h->S, 1, h->S, &h->soft, 0);
    const int64_t ratio = vise_int_ratio(sum);
    for (size_t d = 0; d < h->Dv; d++) {
        int64_t all = 0;
        for (size_t s = 0; s < h->S; s++)
            all += ((int8_t)h->p[s] + VISE_INT_CODE) * h->v[s * h->Dv + d];
        const int64_t mean = vise_int_clamp(vise_int_shift(all * ratio, 36 - VISE_INT_RATIO_BITS),
                                            -VISE_INT_MOST, VISE_INT_MOST);
        y[d] = (float)vise_requant_one(mean, &h->post, d);
    }
}

static void read_codes(int32_t *to, const float *from, size_t ld, size_t rows, size_t n)
{
    for (size_t i = 0; i < rows; i++)
        vise_int_read(to + i * n, from + i * ld, n, -VISE_INT_CODE, VISE_INT_CODE);
}

static void one_head(const vise_call *c, size_t image, size_t i, head h)
{
    const size_t ldk = c->in[K].shape->dim[1], ldv = c->in[V].shape->dim[1];
    const size_t T = c->in[Q].shape->dim[0];
    vise_fixed_kern kern;
    vise_fixed_c(&kern);
    read_codes(h.k, vise_arg_at(&c->in[K], image) + i * h.Dk, ldk, h.S, h.Dk);
    read_codes(h.v, vise_arg_at(&c->in[V], image) + i * h.Dv, ldv, h.S, h.Dv);
    vise_int_read(&h.soft.step, c->in[STEP].data + i, 1, 1, VISE_INT_STEP_MOST);
    h.post.bias += i * h.Dv;
    h.post.mult += i * h.Dv;
    h.post.shift += i * h.Dv;
    for (size_t t = 0; t < T; t++) {
        read_codes(h.row, vise_arg_at(&c->in[Q], image) + t * ldk + i * h.Dk, ldk, 1, h.Dk);
        attend(&h, vise_arg_at(&c->out[0], image) + t * ldv + i * h.Dv, &kern);
    }
}

static void forward(const vise_call *c)
{
    const vise_int_attention_attr *a = c->attr;
    const size_t H = (size_t)a->heads, n = c->in[TABLE].shape->dim[0];
    const size_t all = c->out[0].shape->dim[1];
    head h = {.S = c->in[K].shape->dim[0],
              .Dk = c->in[K].shape->dim[1] / H,
              .Dv = all / H,
              .e = (int32_t *)(void *)c->scratch};
    int32_t *post = h.e + n;
    h.row = post + 3 * all;
    h.k = h.row + h.Dk;
    h.v = h.k + h.S * h.Dk;
    h.scores = (float *)(void *)(h.v + h.S * h.Dv);
    h.p = (uint8_t *)(h.scores + h.S);
    vise_int_read(h.e, c->in[TABLE].data, n, 0, VISE_INT_PROB);
    h.soft = (vise_int_softmax){.table = h.e, .n = n};
    h.post = vise_requant_read(post, c->in[BIAS].data, c->in[MULT].data, all, a->lo, a->hi);
    for (size_t image = 0; image < vise_call_images(c); image++)
        for (size_t i = 0; i < H; i++)
            one_head(c, image, i, h);
}

const vise_op vise_op_int_attention = {.name = "int_attention",
                                       .min_in = 7,
                                       .max_in = 7,
                                       .attr_size = sizeof(vise_int_attention_attr),
                                       .attrs = attrs,
                                       .shape = shape,
                                       .macs = macs,
                                       .scratch = scratch,
                                       .forward = forward};
