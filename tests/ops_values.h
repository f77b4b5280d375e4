/* ops_values.h - oracles of the operators that compute
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_OPS_VALUES_H
#define TESTS_OPS_VALUES_H

#include "act_oracle.h"
#include "ops_problem.h"

static void make_act(problem *p)
{
    ((vise_act_attr *)p->attr)->kind = (int)pick(p, VISE_ACT_TANH + 1);
    p->out = operand_add(p, random_shape(p, 0, 4, 9), true)->shape;
}

static double want_act(const problem *p, size_t b, const size_t *at, double *mag)
{
    const double x = get(p, 0, b, at);
    const int kind = ((const vise_act_attr *)p->attr)->kind;
    *mag = 8 * (1 + fabs(x)); // of most: rounded argument, function, product
    if (kind == VISE_ACT_SIGMOID || kind == VISE_ACT_TANH) *mag = 8;
    if (kind == VISE_ACT_RELU || kind == VISE_ACT_RELU6) *mag = 0;
    return act_oracle(kind, x);
}

static void make_wide(problem *p)
{
    vise_shape a = random_shape(p, 0, 4, 9), b = a;
    p->out = a;
    b.rank = (uint32_t)pick(p, a.rank + 1); // the last axes of a
    for (uint32_t i = 0; i < b.rank; i++)
        b.dim[i] = pick(p, 2) ? 1 : a.dim[a.rank - b.rank + i];
    const bool swapped = pick(p, 2);
    operand_add(p, swapped ? b : a, true);
    operand_add(p, swapped ? a : b, true);
    for (uint32_t i = 0; i < a.rank; i++) // and a repeats along the axes that b has in full
        if (i >= a.rank - b.rank && b.dim[i + b.rank - a.rank] == a.dim[i] && !pick(p, 3))
            p->in[swapped ? 1 : 0].shape.dim[i] = 1;
}

static double want_add(const problem *p, size_t b, const size_t *at, double *mag)
{
    const double y = get_wide(p, 0, b, at, p->out.rank) + get_wide(p, 1, b, at, p->out.rank);
    *mag = fabs(y);
    return y;
}

static double want_mul(const problem *p, size_t b, const size_t *at, double *mag)
{
    const double y = get_wide(p, 0, b, at, p->out.rank) * get_wide(p, 1, b, at, p->out.rank);
    *mag = fabs(y);
    return y;
}

static void make_attention(problem *p)
{
    vise_attention_attr *a = (vise_attention_attr *)p->attr;
    const size_t H = 1 + pick(p, 3), Dk = extent(p, 9), Dv = extent(p, 9);
    a->heads = (int64_t)H;
    a->prob_bits = 8;
    a->scale = pick(p, 2) ? 0 : 0.3;
    vise_shape q = random_shape(p, 2, 4, 3), k, v, bias = {0}, size;
    const uint32_t r = q.rank;
    q.dim[r - 2] = extent(p, 17);
    q.dim[r - 1] = H * Dk;
    k = v = p->out = q;
    k.dim[r - 2] = v.dim[r - 2] = extent(p, 33);
    v.dim[r - 1] = p->out.dim[r - 1] = H * Dv;
    size = k;
    size.rank--;
    operand_add(p, q, true);
    operand_add(p, k, true);
    operand_add(p, v, true);
    const size_t tail[] = {H, q.dim[r - 2], k.dim[r - 2]}; // of the scores
    bias.rank = 1 + (uint32_t)pick(p, 3);
    for (uint32_t i = 0; i < bias.rank; i++)
        bias.dim[i] = pick(p, 3) ? tail[3 - bias.rank + i] : 1;
    optional_add(p, bias, true);
    optional_add(p, size, true);
}

static double want_attention(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_attention_attr *a = (const vise_attention_attr *)p->attr;
    const uint32_t r = p->out.rank;
    const size_t H = (size_t)a->heads, S = p->in[1].shape.dim[r - 2];
    const size_t Dk = p->in[0].shape.dim[r - 1] / H, h = at[r - 1] / (p->out.dim[r - 1] / H);
    double score[64], top = -HUGE_VAL, steep = 0, sum = 0, y = 0, all = 0;
    size_t q[VISE_MAX_RANK], k[VISE_MAX_RANK], v[VISE_MAX_RANK], c[VISE_MAX_RANK] = {0};
    assert_true(S <= 64);
    memcpy(q, at, sizeof q);
    memcpy(k, at, sizeof k);
    memcpy(v, at, sizeof v);
    for (size_t s = 0; s < S; s++) {
        k[r - 2] = s;
        score[s] = 0;
        for (size_t d = 0; d < Dk; d++) {
            q[r - 1] = k[r - 1] = h * Dk + d;
            score[s] += get(p, 0, b, q) * get(p, 1, b, k);
        }
        score[s] *= a->scale != 0 ? a->scale : pow((double)Dk, -0.5);
        c[r - 2] = h;
        c[r - 1] = at[r - 2];
        c[r] = s;
        if (p->in[3].present) score[s] += get_wide(p, 3, b, c, r + 1);
        if (p->in[4].present) score[s] += log(get(p, 4, b, k));
        top = fmax(top, score[s]);
    }
    for (size_t s = 0; s < S; s++) {
        v[r - 2] = s;
        sum += exp(score[s] - top);
        y += exp(score[s] - top) * get(p, 2, b, v);
        all += exp(score[s] - top) * fabs(get(p, 2, b, v));
        steep =
            fmax(steep, fabs(score[s])); // a score's rounding is an exponential's relative error
    }
    *mag = all / sum * (8 + 4 * steep);
    return y / sum;
}

static void make_conv2d(problem *p)
{
    vise_conv2d_attr *a = (vise_conv2d_attr *)p->attr;
    const size_t groups = 1 + pick(p, 3), C = extent(p, 3), N = extent(p, 3);
    a->groups = (int64_t)groups;
    a->stride = pair(p, 1, 3);
    a->pad = pair(p, 0, 2);
    a->dilation = pair(p, 1, 2);
    vise_shape w = shape_of(4, groups * N, C, 1 + pick(p, 3), 1 + pick(p, 3));
    vise_shape x = shape_of(3, 5 + pick(p, 5), 5 + pick(p, 5), groups * C, 0);
    p->out = shape_of(3, 0, 0, groups * N, 0);
    for (size_t i = 0; i < 2; i++) { // counted, not computed: where a whole kernel fits
        const size_t reach = (w.dim[2 + i] - 1) * pair_get(&a->dilation, i, 1);
        for (size_t o = 0; o + reach < x.dim[i] + 2 * pair_get(&a->pad, i, 0);
             o += pair_get(&a->stride, i, 1))
            p->out.dim[i]++;
    }
    operand_add(p, x, true);
    operand_add(p, w, false);
    optional_add(p, shape_of(1, groups * N, 0, 0, 0), false);
}

static double want_conv2d(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_conv2d_attr *a = (const vise_conv2d_attr *)p->attr;
    const vise_shape *x = &p->in[0].shape, *w = &p->in[1].shape;
    const long pad_y = (long)pair_get(&a->pad, 0, 0), pad_x = (long)pair_get(&a->pad, 1, 0);
    double y = get1(p, 2, 0, at[2]), all = fabs(y), terms = 2;
    for (size_t iy = 0; iy < x->dim[0]; iy++) // every input pixel: is it under a tap?
        for (size_t ix = 0; ix < x->dim[1]; ix++) {
            const long dy = (long)iy + pad_y - (long)(at[0] * pair_get(&a->stride, 0, 1));
            const long dx = (long)ix + pad_x - (long)(at[1] * pair_get(&a->stride, 1, 1));
            const long gy = (long)pair_get(&a->dilation, 0, 1);
            const long gx = (long)pair_get(&a->dilation, 1, 1);
            if (dy < 0 || dx < 0 || dy % gy || dx % gx) continue;
            if (dy / gy >= (long)w->dim[2] || dx / gx >= (long)w->dim[3]) continue;
            for (size_t c = 0; c < w->dim[1]; c++) {
                const size_t group = at[2] / (w->dim[0] / (size_t)a->groups);
                const size_t px[] = {iy, ix, group * w->dim[1] + c};
                const size_t tap[] = {at[2], c, (size_t)(dy / gy), (size_t)(dx / gx)};
                const double term = get(p, 0, b, px) * get(p, 1, b, tap);
                y += term;
                all += fabs(term);
                terms++;
            }
        }
    *mag = terms * all; // one rounding of at most all / 2 per product and per sum
    return y;
}

static void make_norm(problem *p)
{
    ((vise_norm_attr *)p->attr)->eps = pick(p, 2) ? 1e-5 : 0.75; // some norms are smaller
    p->out = operand_add(p, random_shape(p, 1, 4, 33), true)->shape;
    p->in[0].shape.dim[0] = p->out.dim[0] = extent(p, 5);
}

static void make_affine_norm(problem *p)
{
    make_norm(p);
    const vise_shape C = shape_of(1, p->out.dim[p->out.rank - 1], 0, 0, 0);
    optional_add(p, C, false);
    optional_add(p, C, false);
}

static void make_rmsnorm(problem *p)
{
    make_norm(p);
    optional_add(p, shape_of(1, p->out.dim[p->out.rank - 1], 0, 0, 0), false);
}

/* Mean and mean of squares of a row (the last axis). */
static void row_moments(const problem *p, size_t b, const size_t *at, double *m1, double *m2)
{
    const uint32_t last = p->out.rank - 1;
    const double C = (double)p->out.dim[last];
    size_t x[VISE_MAX_RANK];
    memcpy(x, at, sizeof x);
    *m1 = *m2 = 0;
    for (x[last] = 0; x[last] < p->out.dim[last]; x[last]++) {
        *m1 += get(p, 0, b, x) / C;
        *m2 += pow(get(p, 0, b, x), 2) / C;
    }
}

static double want_layernorm(const problem *p, size_t b, const size_t *at, double *mag)
{
    double m1, m2;
    const size_t ch = at[p->out.rank - 1];
    row_moments(p, b, at, &m1, &m2);
    const double rstd = pow(m2 - m1 * m1 + ((const vise_norm_attr *)p->attr)->eps, -0.5);
    const double x = get(p, 0, b, at), w = get1(p, 1, 1, ch), s = get1(p, 2, 0, ch);
    *mag = (fabs(x) + fabs(m1)) * rstd * fabs(w) + fabs(s);
    return (x - m1) * rstd * w + s;
}

static double want_rmsnorm(const problem *p, size_t b, const size_t *at, double *mag)
{
    double m1, m2;
    row_moments(p, b, at, &m1, &m2);
    const double y = get(p, 0, b, at) * pow(m2 + ((const vise_norm_attr *)p->attr)->eps, -0.5) *
                     get1(p, 1, 1, at[p->out.rank - 1]);
    *mag = fabs(y);
    return y;
}

static double want_l2norm(const problem *p, size_t b, const size_t *at, double *mag)
{
    double m1, m2;
    row_moments(p, b, at, &m1, &m2);
    const double norm = sqrt(m2 * (double)p->out.dim[p->out.rank - 1]);
    const double y = get(p, 0, b, at) / fmax(norm, ((const vise_norm_attr *)p->attr)->eps);
    *mag = fabs(y);
    return y;
}

static void make_groupnorm(problem *p)
{
    vise_groupnorm_attr *a = (vise_groupnorm_attr *)p->attr;
    vise_shape s = random_shape(p, 1, 4, 5);
    a->groups = 1 + (int64_t)pick(p, 3);
    a->eps = 1e-3;
    s.dim[s.rank - 1] = (size_t)a->groups * extent(p, 5);
    p->out = operand_add(p, s, true)->shape;
    optional_add(p, shape_of(1, s.dim[s.rank - 1], 0, 0, 0), false);
    optional_add(p, shape_of(1, s.dim[s.rank - 1], 0, 0, 0), false);
}

static double want_groupnorm(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_groupnorm_attr *a = (const vise_groupnorm_attr *)p->attr;
    const size_t last = p->out.rank - 1, each = p->out.dim[last] / (size_t)a->groups;
    double n = 0, m1 = 0, m2 = 0;
    for (size_t i = 0; i < vise_shape_count(&p->out); i++) {
        size_t x[VISE_MAX_RANK];
        coordinates(x, &p->out, i);
        if (x[last] / each != at[last] / each) continue;
        n++;
        m1 += get(p, 0, b, x);
        m2 += pow(get(p, 0, b, x), 2);
    }
    m1 /= n;
    const double rstd = pow(m2 / n - m1 * m1 + a->eps, -0.5), x = get(p, 0, b, at);
    const double w = get1(p, 1, 1, at[last]), s = get1(p, 2, 0, at[last]);
    *mag = (fabs(x) + fabs(m1)) * rstd * fabs(w) + fabs(s);
    return (x - m1) * rstd * w + s;
}

static void make_linear(problem *p)
{
    vise_shape x = random_shape(p, 1, 4, 33);
    if (x.rank > 1) x.dim[0] = extent(p, 3);
    const size_t N = extent(p, 17);
    p->out = x;
    p->out.dim[x.rank - 1] = N;
    operand_add(p, x, true);
    operand_add(p, shape_of(2, N, x.dim[x.rank - 1], 0, 0), false);
    optional_add(p, shape_of(1, N, 0, 0, 0), false);
}

static double want_linear(const problem *p, size_t b, const size_t *at, double *mag)
{
    const size_t last = p->out.rank - 1, K = p->in[1].shape.dim[1];
    size_t x[VISE_MAX_RANK];
    double y = get1(p, 2, 0, at[last]), all = fabs(y);
    memcpy(x, at, sizeof x);
    for (size_t k = K; k-- > 0;) {
        x[last] = k;
        const double term = get(p, 0, b, x) * get(p, 1, b, (size_t[]){at[last], k});
        y += term;
        all += fabs(term);
    }
    *mag = 2 * ((double)K + 1) * all;
    return y;
}

static void make_matmul(problem *p)
{
    const bool t = ((vise_matmul_attr *)p->attr)->transpose = pick(p, 2);
    const size_t M = extent(p, 17), N = extent(p, 17), K = extent(p, 33);
    const uint32_t lead = (uint32_t)pick(p, 3);
    vise_shape a = {.rank = lead + 2}, b = a;
    p->out = a;
    for (uint32_t i = 0; i < lead; i++) {
        const size_t n = extent(p, 3), one = pick(p, 3);
        a.dim[i] = one == 0 ? 1 : n;
        b.dim[i] = one == 1 ? 1 : n;
        p->out.dim[i] = n;
    }
    p->out.dim[lead] = a.dim[lead] = M;
    p->out.dim[lead + 1] = N;
    a.dim[lead + 1] = K;
    b.dim[lead] = t ? N : K;
    b.dim[lead + 1] = t ? K : N;
    operand_add(p, a, true);
    if (lead && b.dim[0] == 1) // a leading 1 may as well be absent
        b = vise_shape_of(b.rank - 1, b.dim + 1);
    operand_add(p, b, true);
}

static double want_matmul(const problem *p, size_t b, const size_t *at, double *mag)
{
    const bool t = ((const vise_matmul_attr *)p->attr)->transpose;
    const uint32_t r = p->out.rank;
    double y = 0, all = 0;
    size_t x[VISE_MAX_RANK], w[VISE_MAX_RANK];
    memcpy(x, at, sizeof x);
    memcpy(w, at, sizeof w);
    for (size_t k = 0; k < p->in[0].shape.dim[r - 1]; k++) {
        x[r - 1] = k;
        w[r - 2] = t ? at[r - 1] : k;
        w[r - 1] = t ? k : at[r - 1];
        // a matrix of extent 1 is at 0 anyway, so broadcasting its axes changes nothing
        const double term = get_wide(p, 0, b, x, r) * get_wide(p, 1, b, w, r);
        y += term;
        all += fabs(term);
    }
    *mag = all;
    return y;
}

static void make_mean(problem *p)
{
    vise_ints *axes = &((vise_mean_attr *)p->attr)->axes;
    const vise_shape s = random_shape(p, 1, 4, 7);
    const unsigned mask = 1 + (unsigned)pick(p, (1u << s.rank) - 1);
    p->out = (vise_shape){0};
    for (uint32_t i = s.rank; i-- > 0;) // listed backwards, some counted from the end
        if (mask >> i & 1) axes->v[axes->n++] = (int64_t)i - (pick(p, 2) ? (int64_t)s.rank : 0);
    for (uint32_t i = 0; i < s.rank; i++)
        if (!(mask >> i & 1)) p->out.dim[p->out.rank++] = s.dim[i];
    operand_add(p, s, true);
}

static double want_mean(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_shape *s = &p->in[0].shape;
    const vise_ints *axes = &((const vise_mean_attr *)p->attr)->axes;
    double sum = 0, all = 0, n = 0;
    for (size_t i = 0; i < vise_shape_count(s);
         i++) { // every input: does it belong to this output?
        size_t x[VISE_MAX_RANK], kept[VISE_MAX_RANK] = {0}, k = 0;
        coordinates(x, s, i);
        for (uint32_t a = 0; a < s->rank; a++) {
            bool gone = false;
            for (uint32_t j = 0; j < axes->n; j++)
                gone |= axes->v[j] == (int64_t)a || axes->v[j] + (int64_t)s->rank == (int64_t)a;
            if (!gone) kept[k++] = x[a];
        }
        if (memcmp(kept, at, k * sizeof *at) != 0) continue;
        n++;
        sum += get(p, 0, b, x);
        all += fabs(get(p, 0, b, x));
    }
    *mag = all / n;
    return sum / n;
}

static void make_softmax(problem *p)
{
    p->out = operand_add(p, random_shape(p, 0, 4, 17), true)->shape;
}

static double want_softmax(const problem *p, size_t b, const size_t *at, double *mag)
{
    const uint32_t r = p->out.rank;
    const double x = get(p, 0, b, at);
    double sum = 0, top = fabs(x);
    size_t y[VISE_MAX_RANK];
    memcpy(y, at, sizeof y);
    for (size_t i = 0; i < (r ? p->out.dim[r - 1] : 1); i++) {
        if (r) y[r - 1] = i;
        sum += exp(get(p, 0, b, y) - x);
        top = fmax(top, fabs(get(p, 0, b, y)));
    }
    *mag = (4 + 2 * top) / sum; // x - max is rounded before it is an exponent
    return 1 / sum;
}

#endif
