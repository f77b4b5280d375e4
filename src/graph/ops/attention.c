/* attention.c - softmax(scale q k^T + bias + log size) v, per head
 *
 *   q     in   [..., T, H Dk]
 *   k     in   [..., S, H Dk]
 *   v     in   [..., S, H Dv]
 *   bias  in   broadcasts to [..., H, T, S]   optional
 *   size  in   [..., S], > 0                  optional: how many tokens each token stands for
 *   y     out  [..., T, H Dv]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

static const vise_attr_def attrs[] = {
    {"heads", VISE_ATTR_INT, offsetof(vise_attention_attr, heads), 1, 1, VISE_MAX_DIM, NULL},
    {"scale", VISE_ATTR_REAL, offsetof(vise_attention_attr, scale), 0, 0, 1e6, NULL},
    {0},
};

enum { Q, K, V, BIAS, SIZE };

static const vise_shape *optional(const vise_sig *s, uint32_t i)
{
    return i < s->nin ? s->in[i] : NULL;
}

/* The shape of all scores, [..., H, T, S]: one axis more than q has. */
static void scores_shape(vise_shape *out, const vise_shape *q, const vise_shape *k, size_t heads)
{
    *out = *q;
    out->rank++;
    out->dim[q->rank - 2] = heads;
    out->dim[q->rank - 1] = q->dim[q->rank - 2];
    out->dim[q->rank] = k->dim[q->rank - 2];
}

static bool operands_fit(const vise_sig *s, size_t heads)
{
    const vise_shape *q = s->in[Q], *k = s->in[K], *v = s->in[V];
    const uint32_t r = q->rank;
    if (r < 2 || r >= VISE_MAX_RANK || k->rank != r || v->rank != r) return false;
    for (uint32_t i = 0; i < r - 2; i++)
        if (q->dim[i] != k->dim[i] || q->dim[i] != v->dim[i]) return false;
    return q->dim[r - 1] == k->dim[r - 1] && k->dim[r - 2] == v->dim[r - 2] &&
           q->dim[r - 1] % heads == 0 && v->dim[r - 1] % heads == 0;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_shape *q = s->in[Q], *k = s->in[K], *v = s->in[V];
    const vise_shape *bias = optional(s, BIAS), *size = optional(s, SIZE);
    const size_t heads = (size_t)((const vise_attention_attr *)s->attr)->heads;
    char a[VISE_SHAPE_TEXT], b[VISE_SHAPE_TEXT], d[VISE_SHAPE_TEXT];
    if (!operands_fit(s, heads))
        return vise_fail(e, VISE_EFORMAT, "%s: q %s, k %s, v %s do not fit attention of %zu heads",
                         s->name, vise_shape_text(a, sizeof a, q), vise_shape_text(b, sizeof b, k),
                         vise_shape_text(d, sizeof d, v), heads);
    vise_shape scores, all, weights = *k;
    scores_shape(&scores, q, k, heads);
    if (bias &&
        (vise_broadcast(&all, bias, &scores, s->name, NULL) || !vise_shape_same(&all, &scores)))
        return vise_fail(e, VISE_EFORMAT, "%s: bias %s does not broadcast to the scores %s",
                         s->name, vise_shape_text(a, sizeof a, bias),
                         vise_shape_text(b, sizeof b, &scores));
    weights.rank--;
    if (size && !vise_shape_same(size, &weights))
        return vise_fail(e, VISE_EFORMAT, "%s: token sizes %s do not fit k %s", s->name,
                         vise_shape_text(a, sizeof a, size), vise_shape_text(b, sizeof b, k));
    *out = *q;
    out->dim[out->rank - 1] = v->dim[v->rank - 1];
    return VISE_OK;
}

/* T S Dk for the scores and T S Dv for the sums, for every head and leading index. */
static uint64_t macs(const vise_sig *s, const vise_shape *out)
{
    const uint64_t S = s->in[K]->dim[s->in[K]->rank - 2];
    return vise_mul_saturated(vise_shape_count(s->in[Q]) + vise_shape_count(out), S);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    (void)out;
    return s->in[K]->dim[s->in[K]->rank - 2]; // one row of scores
}

/* One query row of one head. q [Dk]; k, v rows ldk, ldv apart; bias its row or NULL, step 0 or 1;
 * size [S] or NULL; p [S] is scratch. */
typedef struct head {
    size_t S, Dk, Dv, ldk, ldv, bias_step;
    double scale;
    const float *k, *v, *bias, *size;
    float *p;
} head;

static void attend(const head *h, float *y, const float *q)
{
    for (size_t s = 0; s < h->S; s++) {
        double dot = 0;
        for (size_t d = 0; d < h->Dk; d++)
            dot += (double)q[d] * (double)h->k[s * h->ldk + d];
        dot *= h->scale;
        if (h->bias) dot += (double)h->bias[s * h->bias_step];
        if (h->size) dot += log((double)h->size[s]);
        h->p[s] = (float)dot;
    }
    vise_softmax_row(h->p, h->S);
    for (size_t d = 0; d < h->Dv; d++) {
        double sum = 0;
        for (size_t s = 0; s < h->S; s++)
            sum += (double)h->p[s] * (double)h->v[s * h->ldv + d];
        y[d] = (float)sum;
    }
}

static void forward(const vise_call *c)
{
    const vise_attention_attr *a = c->attr;
    const vise_shape *q = c->in[Q].shape, *k = c->in[K].shape, *v = c->in[V].shape;
    const size_t H = (size_t)a->heads, T = q->dim[q->rank - 2], S = k->dim[k->rank - 2];
    const size_t ldk = vise_shape_last(k), ldv = vise_shape_last(v), Dk = ldk / H, Dv = ldv / H;
    const vise_shape no_bias = {0};
    vise_shape scores;
    scores_shape(&scores, q, k, H);
    vise_walk w;
    for (size_t b = 0; b < vise_call_images(c); b++) {
        const float *bias = vise_call_optional(c, BIAS, b), *size = vise_call_optional(c, SIZE, b);
        vise_walk_start(&w, &scores);
        vise_walk_broadcast(&w, 1, bias ? c->in[BIAS].shape : &no_bias);
        size_t row = 0;
        do { // rows of scores: leading indices, then heads, then queries
            const size_t t = row % T, hd = row / T % H, l = row / T / H;
            const head h = {.S = S,
                            .Dk = Dk,
                            .Dv = Dv,
                            .ldk = ldk,
                            .ldv = ldv,
                            .scale = a->scale != 0 ? a->scale : 1 / sqrt((double)Dk),
                            .k = vise_arg_at(&c->in[K], b) + l * S * ldk + hd * Dk,
                            .v = vise_arg_at(&c->in[V], b) + l * S * ldv + hd * Dv,
                            .bias = bias ? bias + w.at[1] : NULL,
                            .bias_step = w.step[1],
                            .size = size ? size + l * S : NULL,
                            .p = c->scratch};
            attend(&h, vise_arg_at(&c->out[0], b) + (l * T + t) * ldv + hd * Dv,
                   vise_arg_at(&c->in[Q], b) + (l * T + t) * ldk + hd * Dk);
            row++;
        } while (vise_walk_next(&w));
    }
}

const vise_op vise_op_attention = {.name = "attention",
                                   .min_in = 3,
                                   .max_in = 5,
                                   .attr_size = sizeof(vise_attention_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .macs = macs,
                                   .scratch = scratch,
                                   .forward = forward};
