/* attention.c - softmax(scale q k^T + bias + log size) v, per head
 *
 *   q     in   [..., T, H Dk]
 *   k     in   [..., S, H Dk]
 *   v     in   [..., S, H Dv]
 *   bias  in   broadcasts to [..., H, T, S]   optional
 *   size  in   [..., S], > 0                  optional: how many tokens each token stands for
 *   y     out  [..., T, H Dv]
 *
 * Rounded to codes: q and k per token and head, v with one scale for all tokens of a head, and the
 * softmax as kern.h's softmax_s8: codes c = rne(254 exp(z - max z)) over their sum, z the scores with
 * bias and size. With fewer prob_bits or a prob_step c is first replaced by the nearest of the levels
 * L, of two the larger: n = 2^prob_bits, and
 *   step 0: L_j = rne(254 j / (n - 1)), j = 0 .. n - 1
 *   else:   L_0 = 0, L_j = rne(254 2^(-(j - 1) step)), j = 1 .. n - 1
 * Rounded to bf16: q, k, v and the probabilities.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

static const vise_attr_def attrs[] = {
    {"heads", VISE_ATTR_INT, offsetof(vise_attention_attr, heads), 1, 1, VISE_MAX_DIM, NULL},
    {"scale", VISE_ATTR_REAL, offsetof(vise_attention_attr, scale), 0, 0, 1e6, NULL},
    {"prob_bits", VISE_ATTR_INT, offsetof(vise_attention_attr, prob_bits), 8, 2, 8, NULL},
    {"prob_step", VISE_ATTR_REAL, offsetof(vise_attention_attr, prob_step), 0, 0, 16, NULL},
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

size_t vise_attention_levels(const vise_attention_attr *a, int8_t level[256])
{
    const size_t last = ((size_t)1 << a->prob_bits) - 1;
    if (a->prob_bits == 8 && a->prob_step == 0) return 0;
    for (size_t i = 0; i <= last; i++) {
        const double uniform = (double)i / (double)last;
        const double power = i ? exp2(-(double)(last - i) * a->prob_step) : 0;
        level[i] = (int8_t)(lrint(254 * (a->prob_step > 0 ? power : uniform)) - 127);
    }
    return last + 1;
}

/* All of q, k and v alike: codes without zero points, as the products want them, or bf16. */
static vise_status actq(const vise_sig *s, vise_err *e)
{
    const vise_actq *a = s->actq;
    const vise_attention_attr *attr = s->attr;
    int8_t level[256];
    if (vise_attention_levels(attr, level) && !vise_actq_is_coded(a[V].kind))
        return vise_fail(e, VISE_EFORMAT,
                         "%s: probabilities of %d bits and step %g, but v is not rounded to codes",
                         s->name, (int)attr->prob_bits, attr->prob_step);
    for (uint32_t i = Q; i <= V; i++) {
        if (vise_actq_is_coded(a[i].kind) != vise_actq_is_coded(a[Q].kind) ||
            (a[i].kind == VISE_ACTQ_BF16) != (a[Q].kind == VISE_ACTQ_BF16))
            return vise_fail(e, VISE_EFORMAT, "%s: q rounded to %s and operand %u to %s", s->name,
                             vise_actq_name(a[Q].kind), i, vise_actq_name(a[i].kind));
        if (a[i].kind == VISE_ACTQ_ASYM || a[i].zero)
            return vise_fail(e, VISE_EFORMAT,
                             "%s: operand %u of an attention is rounded with a zero point", s->name,
                             i);
    }
    return vise_actq_check_first(s, V + 1, e);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    const size_t H = (size_t)((const vise_attention_attr *)s->attr)->heads;
    const size_t S = s->in[K]->dim[s->in[K]->rank - 2];
    if (!vise_actq_kind_at(s->actq, Q)) return S; // one row of scores
    const size_t Dk = vise_shape_last(s->in[K]) / H;
    return 2 * S + Dk + S * Dk + S * (vise_shape_last(out) / H); // and rounded: p, a row of q, k, v
}

/* One query row of one head. q [Dk]; k, v rows ldk, ldv apart; bias its row or NULL, step 0 or 1;
 * size [S] or NULL; p [2 S] is scratch. */
typedef struct head {
    size_t T, S, Dk, Dv, ldk, ldv, bias_at, bias_step;
    double scale;
    const float *k, *v, *bias, *size;
    float *p;
    const vise_actq *actq;   // as the call's
    const uint8_t *replaced; // [256] codes of probabilities by code, or NULL: themselves
} head;

/* p becomes the softmax's codes + 127. Returns what to multiply by; NaN if a score is. */
static double softmax_codes(float *p, size_t n, const uint8_t *replaced)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        max = p[i] > max ? p[i] : max; // NaN comes back through expf
    for (size_t i = 0; i < n; i++) {
        p[i] = rintf(254 * expf(p[i] - max));
        if (replaced && !isnan(p[i]))
            p[i] = (float)((int8_t)replaced[(uint8_t)((int)p[i] - 127)] + 127);
        sum += (double)p[i];
    }
    return (double)(1 / (float)sum);
}

/* The weights of v's rows from the scores in h->p, to be multiplied by *factor. */
static const float *weigh(const head *h, double *factor)
{
    *factor = 1;
    if (vise_actq_is_coded(vise_actq_kind_at(h->actq, V))) {
        *factor = softmax_codes(h->p, h->S, h->replaced);
        return h->p;
    }
    vise_softmax_row(h->p, h->S);
    if (!vise_actq_kind_at(h->actq, V)) return h->p;
    vise_actq_apply(&h->actq[V], h->p + h->S, h->p, h->S, 1, h->S);
    return h->p + h->S;
}

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
    double factor;
    const float *p = weigh(h, &factor);
    for (size_t d = 0; d < h->Dv; d++) {
        double sum = 0;
        for (size_t s = 0; s < h->S; s++)
            sum += (double)p[s] * (double)h->v[s * h->ldv + d];
        y[d] = (float)(sum * factor);
    }
}

/* Rounds what the rows of a head share, behind p and a row of q; h then reads that. */
static void round_head(head *h, bool fresh)
{
    float *k = h->p + 2 * h->S + h->Dk, *v = k + h->S * h->Dk;
    if (fresh) {
        vise_actq_apply(&h->actq[K], k, h->k, h->ldk, h->S, h->Dk);
        vise_actq_apply_whole(&h->actq[V], v, h->v, h->ldv, h->S, h->Dv);
    }
    h->k = k;
    h->v = v;
    h->ldk = h->Dk;
    h->ldv = h->Dv;
}

/* Which row of scores: image, leading index, head, query. */
typedef struct place {
    size_t b, l, head, t;
} place;

/* Where it begins in one image's part of k, of v, of q and of y. */
static size_t at_k(const head *h, const place *r)
{
    return r->l * h->S * h->ldk + r->head * h->Dk;
}

static size_t at_v(const head *h, const place *r)
{
    return r->l * h->S * h->ldv + r->head * h->Dv;
}

static size_t at_q(const head *h, const place *r)
{
    return (r->l * h->T + r->t) * h->ldk + r->head * h->Dk;
}

static size_t at_y(const head *h, const place *r)
{
    return (r->l * h->T + r->t) * h->ldv + r->head * h->Dv;
}

/* The operands that a row reads; bias_at and bias_step are known. Returns its query. */
static const float *row_inputs(head *h, const vise_call *c, const place *r)
{
    const float *bias = vise_call_optional(c, BIAS, r->b),
                *size = vise_call_optional(c, SIZE, r->b);
    h->k = vise_arg_at(&c->in[K], r->b) + at_k(h, r);
    h->v = vise_arg_at(&c->in[V], r->b) + at_v(h, r);
    h->bias = bias ? bias + h->bias_at : NULL;
    h->size = size ? size + r->l * h->S : NULL;
    return vise_arg_at(&c->in[Q], r->b) + at_q(h, r);
}

/* What backward gets beside the call; NULL in forward. */
typedef struct gradients {
    const float *dout;
    float *const *din;
} gradients;

typedef void row_fn(const vise_call *c, head h, const place *r, const gradients *g);

static void row_forward(const vise_call *c, head h, const place *r, const gradients *g)
{
    (void)g;
    float *y = vise_arg_at(&c->out[0], r->b) + at_y(&h, r);
    const float *q = row_inputs(&h, c, r);
    if (vise_actq_kind_at(h.actq, Q)) {
        float *row = h.p + 2 * h.S;
        vise_actq_apply(&h.actq[Q], row, q, h.Dk, 1, h.Dk);
        q = row;
        round_head(&h, r->t == 0);
    }
    attend(&h, y, q);
}

/* Every row of scores of a call; h as far as it is not the call's own. */
static void each_row(const vise_call *c, head h, row_fn *row, const gradients *g)
{
    const vise_attention_attr *a = c->attr;
    const vise_shape *q = c->in[Q].shape, *k = c->in[K].shape;
    const size_t H = (size_t)a->heads;
    h.T = q->dim[q->rank - 2];
    h.S = k->dim[k->rank - 2];
    h.ldk = vise_shape_last(k);
    h.ldv = vise_shape_last(c->in[V].shape);
    h.Dk = h.ldk / H;
    h.Dv = h.ldv / H;
    h.scale = a->scale != 0 ? a->scale : 1 / sqrt((double)h.Dk);
    h.p = c->scratch;
    const vise_shape no_bias = {0};
    const bool bias = vise_call_optional(c, BIAS, 0);
    vise_shape scores;
    scores_shape(&scores, q, k, H);
    vise_walk w;
    for (size_t b = 0; b < vise_call_images(c); b++) {
        vise_walk_start(&w, &scores);
        vise_walk_broadcast(&w, 1, bias ? c->in[BIAS].shape : &no_bias);
        size_t i = 0;
        do { // rows of scores: leading indices, then heads, then queries
            h.bias_at = w.at[1];
            h.bias_step = w.step[1];
            row(c, h, &(place){b, i / h.T / H, i / h.T % H, i % h.T}, g);
            i++;
        } while (vise_walk_next(&w));
    }
}

static void forward(const vise_call *c)
{
    head h = {.actq = c->actq};
    int8_t level[256];
    uint8_t replaced[256];
    const size_t levels = vise_attention_levels(c->attr, level);
    if (levels) vise_level_table(replaced, level, levels, 0);
    if (levels) h.replaced = replaced;
    each_row(c, h, row_forward, NULL);
}

/* The gradients that a row adds to, each NULL if not wanted; strides as the operands'. */
typedef struct row_gradients {
    float *dq, *dk, *dv, *dbias, *dsize;
} row_gradients;

/* With p = softmax(z), z = scale q k^T + bias + log size, and dp = dy v^T:
 *   dv += p dy,  dz = p (dp - sum p dp),  dbias += dz,  dsize += dz / size,
 *   dq += scale dz k,  dk += scale dz q.
 * dp is made twice rather than kept: forward's scratch is one row. */
static void attend_backward(const head *h, const row_gradients *d, const float *dy, const float *q)
{
    float *p = h->p;
    double mean = 0; // sum p dp
    for (size_t s = 0; s < h->S; s++) {
        double z = h->scale * (double)vise_dot(q, h->k + s * h->ldk, h->Dk);
        if (h->bias) z += (double)h->bias[s * h->bias_step];
        if (h->size) z += log((double)h->size[s]);
        p[s] = (float)z;
    }
    vise_softmax_row(p, h->S);
    for (size_t s = 0; s < h->S; s++) {
        mean += (double)p[s] * (double)vise_dot(dy, h->v + s * h->ldv, h->Dv);
        if (d->dv) vise_axpy(d->dv + s * h->ldv, p[s], dy, h->Dv);
    }
    if (!d->dq && !d->dk && !d->dbias && !d->dsize) return;
    for (size_t s = 0; s < h->S; s++) {
        const float dp = vise_dot(dy, h->v + s * h->ldv, h->Dv);
        const float dz = p[s] * (float)((double)dp - mean), scaled = (float)h->scale * dz;
        if (d->dbias) d->dbias[s * h->bias_step] += dz;
        if (d->dsize && h->size) d->dsize[s] += dz / h->size[s];
        if (d->dq) vise_axpy(d->dq, scaled, h->k + s * h->ldk, h->Dk);
        if (d->dk) vise_axpy(d->dk + s * h->ldk, scaled, q, h->Dk);
    }
}

static void row_backward(const vise_call *c, head h, const place *r, const gradients *g)
{
    const float *q = row_inputs(&h, c, r);
    const float *dy = g->dout + r->b * vise_shape_count(c->out[0].shape) + at_y(&h, r);
    row_gradients d = {
        vise_call_gradient(c, g->din, Q, r->b), vise_call_gradient(c, g->din, K, r->b),
        vise_call_gradient(c, g->din, V, r->b), vise_call_gradient(c, g->din, BIAS, r->b),
        vise_call_gradient(c, g->din, SIZE, r->b)};
    if (d.dq) d.dq += at_q(&h, r);
    if (d.dk) d.dk += at_k(&h, r);
    if (d.dv) d.dv += at_v(&h, r);
    if (d.dbias) d.dbias += h.bias_at;
    if (d.dsize) d.dsize += r->l * h.S;
    attend_backward(&h, &d, dy, q);
}

vise_backward_fn vise_attention_backward;
void vise_attention_backward(const vise_call *c, const float *dout, float *const din[])
{
    each_row(c, (head){0}, row_backward, &(gradients){dout, din});
}

const vise_op vise_op_attention = {.name = "attention",
                                   .min_in = 3,
                                   .max_in = 5,
                                   .attr_size = sizeof(vise_attention_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .macs = macs,
                                   .scratch = scratch,
                                   .actq = actq,
                                   .forward = forward};
