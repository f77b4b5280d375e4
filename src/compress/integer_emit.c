/* integer_emit.c - writing the network of integers, node by node
 * SPDX-License-Identifier: MIT */
#include "compress/integer_plan.h"
#include "graph/int_ops.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The graph that is written, and the failures of this file, which stick in it. */
typedef struct emitter {
    vise_int_plan *p;
    const vise_graph *g; // as it was
    vise_graph *to;
    vise_id *map; // [values] of g in `to`
    vise_err *e;
} emitter;

static bool is(const vise_node *n, const char *op)
{
    return !strcmp(vise_int_op(n), op);
}

static size_t last_of(const vise_shape *s)
{
    return s->rank ? s->dim[s->rank - 1] : 1;
}

/* ---- constants ---- */

typedef struct text {
    char s[VISE_MAX_NAME + 1];
} text;

static text name_of(const char *node, const char *suffix)
{
    text t;
    snprintf(t.s, sizeof t.s, "%s%s", node, suffix);
    return t;
}

/* Room for n numbers of a new constant; NULL after a failure. */
static float *room(emitter *m, size_t n)
{
    float *x = NULL;
    if (!m->to->status) vise_graph_fail(m->to, vise_change_alloc(m->p->c, &x, n, sizeof *x, m->e));
    return m->to->status ? NULL : x;
}

static vise_id constant(emitter *m, const char *node, const char *suffix, const float *x,
                        const vise_shape *shape)
{
    if (m->to->status) return VISE_NONE;
    const vise_const c = {.shape = *shape, .enc = {.type = VISE_F32}, .data = x};
    return vise_graph_const(m->to, name_of(node, suffix).s, &c);
}

static vise_id vector(emitter *m, const char *node, const char *suffix, const float *x, size_t n)
{
    return constant(m, node, suffix, x, &(vise_shape){1, {n}});
}

/* Codes [n, k] whose values are the codes themselves. */
static vise_id codes(emitter *m, const char *node, const vise_int_layer *l)
{
    float *one = room(m, l->n);
    if (!one) return VISE_NONE;
    for (size_t i = 0; i < l->n; i++)
        one[i] = 1;
    const vise_const c = {.shape = {2, {l->n, l->k}},
                          .enc = {.type = VISE_U8, .bits = 8, .zero = 128},
                          .data = l->code,
                          .scale = one};
    return vise_graph_const(m->to, name_of(node, ".weight").s, &c);
}

/* A whole number that f32 holds, at most 2^30. */
static float whole(double x)
{
    return (float)rint(fmin(fmax(x, -VISE_INT_BIAS), VISE_INT_BIAS));
}

/* ---- values ---- */

/* What a value's integers stand for: x = delta code + center in channel c. */
static void meaning(const vise_int_plan *p, vise_id v, size_t c, double *delta, double *center)
{
    const vise_int_role r = p->role[v];
    const bool one = r == VISE_INT_RESIDUAL || r == VISE_INT_ANSWER;
    *delta = r == VISE_INT_RESIDUAL ? p->residual : one ? p->answer : p->grid[v].delta[c];
    *center = one ? 0 : p->grid[v].center[c];
}

/* An operand that does not depend on the image, as integers of the residual sums. */
static vise_id fixed(emitter *m, vise_id v, const float *x, const char *suffix)
{
    const vise_value *old = &m->g->value[v];
    const size_t n = vise_shape_count(&old->shape);
    float *y = room(m, n);
    if (!y) return VISE_NONE;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)vise_int_clamp((int64_t)rint((double)x[i] / m->p->residual), -VISE_INT_MOST,
                                     VISE_INT_MOST);
    return constant(m, old->name, suffix, y, &old->shape);
}

static vise_id operand(emitter *m, vise_id v)
{
    if (m->map[v] == VISE_NONE && !m->to->status && m->p->fixed[v])
        m->map[v] = fixed(m, v, m->p->fixed[v], "");
    return m->map[v];
}

/* ---- nodes ---- */

static vise_int_range_attr range_of(const vise_int_plan *p, vise_id v)
{
    const vise_int_role r = p->role[v];
    if (r == VISE_INT_RESIDUAL || r == VISE_INT_ANSWER || r == VISE_INT_TABLE)
        return (vise_int_range_attr){-VISE_INT_MOST, VISE_INT_MOST};
    const int64_t most = VISE_INT_CODE * (1 << p->grid[v].exponents);
    return (vise_int_range_attr){-most, most};
}

static vise_id product(emitter *m, const vise_node *n, vise_id x)
{
    const vise_int_layer *l = &m->p->layer[n - m->g->node];
    float *bias = room(m, l->n), *mult = room(m, l->n);
    if (!mult) return VISE_NONE;
    for (size_t j = 0; j < l->n; j++) {
        double delta, center;
        meaning(m->p, n->out, j, &delta, &center);
        bias[j] = whole(l->bias[j] - center / l->scale[j]);
        mult[j] = (float)(l->scale[j] / delta);
    }
    const vise_int_range_attr r = range_of(m->p, n->out);
    const vise_int_linear_attr a = {r.lo, r.hi, m->p->grid[n->in[0]].exponents};
    const vise_id w = codes(m, n->name, l), b = vector(m, n->name, ".bias", bias, l->n);
    return vise_graph_add(m->to, "int_linear", n->name, &a, 4,
                          (vise_id[]){x, w, b, vector(m, n->name, ".mult", mult, l->n)});
}

static vise_id linear(emitter *m, const vise_node *n)
{
    return product(m, n, m->map[n->in[0]]);
}

static vise_id reshape(emitter *m, const char *node, const char *suffix, vise_id x, vise_ints to)
{
    return vise_graph_add(m->to, "reshape", name_of(node, suffix).s, &(vise_reshape_attr){to}, 1,
                          &x);
}

/* A picture's pixels as codes, cut into patches whose numbers lie side by side. */
static vise_id conv2d(emitter *m, const vise_node *n)
{
    const vise_shape *x = &m->g->value[n->in[0]].shape, *w = &m->g->value[n->in[1]].shape;
    const vise_shape *y = &m->g->value[n->out].shape;
    const vise_int_grid *g = &m->p->grid[n->in[0]];
    const size_t C = last_of(x);
    float *scale = room(m, C), *offset = room(m, C);
    if (!offset) return VISE_NONE;
    for (size_t c = 0; c < C; c++) {
        scale[c] = (float)(1 / g->delta[c]);
        offset[c] = (float)(-g->center[c] / g->delta[c]);
    }
    const vise_id in[3] = {m->map[n->in[0]], vector(m, n->name, ".codes.scale", scale, C),
                           vector(m, n->name, ".codes.offset", offset, C)};
    vise_id v = vise_graph_add(m->to, "int_quant", name_of(n->name, ".codes").s, NULL, 3, in);
    const int64_t H = (int64_t)y->dim[0], W = (int64_t)y->dim[1], line = (int64_t)(w->dim[3] * C);
    v = reshape(m, n->name, ".lines", v, (vise_ints){4, {H, (int64_t)w->dim[2], W, line}});
    v = vise_graph_add(m->to, "permute", name_of(n->name, ".order").s,
                       &(vise_permute_attr){{4, {0, 2, 1, 3}}}, 1, &v);
    v = reshape(m, n->name, ".patches", v, (vise_ints){3, {H, W, -1}});
    return product(m, n, v);
}

/* y_c = (w x + b - center) / delta: the largest shift at which all factors have 23 bits. */
static vise_id layernorm(emitter *m, const vise_node *n)
{
    const vise_int_grid *g = &m->p->grid[n->out];
    const size_t C = g->channels;
    const double *d = g->delta, eps = ((const vise_norm_attr *)n->attr)->eps;
    const float *gamma = n->nin > 1 && n->in[1] != VISE_NONE ? m->p->fixed[n->in[1]] : NULL;
    const float *beta = n->nin > 2 && n->in[2] != VISE_NONE ? m->p->fixed[n->in[2]] : NULL;
    float *w = room(m, C), *b = room(m, C);
    if (!b) return VISE_NONE;
    double most = 1e-30;
    for (size_t c = 0; c < C; c++)
        most = fmax(most, fabs(gamma ? (double)gamma[c] : 1) / d[c]);
    const double unit = sqrt((double)C) / (1 << VISE_INT_UNIT_BITS);
    const int shift = (int)fmin(fmax(floor(23 - log2(most * unit)), 16), 40);
    for (size_t c = 0; c < C; c++) {
        const double factor = (gamma ? (double)gamma[c] : 1) / d[c] * unit;
        const double offset = ((beta ? (double)beta[c] : 0) - g->center[c]) / d[c];
        w[c] = whole(ldexp(factor, shift));
        b[c] = whole(ldexp(offset, VISE_INT_BIAS_BITS));
    }
    const double scaled = eps * (double)C / (m->p->residual * m->p->residual);
    const vise_int_range_attr range = range_of(m->p, n->out);
    const vise_int_layernorm_attr a = {range.lo, range.hi, (int64_t)fmin(rint(scaled), 0x1p52),
                                       shift};
    return vise_graph_add(m->to, "int_layernorm", n->name, &a, 3,
                          (vise_id[]){m->map[n->in[0]], vector(m, n->name, ".weight", w, C),
                                      vector(m, n->name, ".bias", b, C)});
}

/* e^-x from 254 down to where it rounds to 0. */
static vise_id exponentials(emitter *m, const char *node, double *per_nat)
{
    const double last = log(2.0 * VISE_INT_PROB);
    float *t = room(m, VISE_INT_TABLE_MOST);
    if (!t) return VISE_NONE;
    *per_nat = (VISE_INT_TABLE_MOST - 1) / last;
    for (size_t i = 0; i < VISE_INT_TABLE_MOST; i++)
        t[i] = (float)floor(VISE_INT_PROB * exp(-(double)i / *per_nat) + 0.5);
    t[VISE_INT_TABLE_MOST - 1] = 0;
    return vector(m, node, ".table", t, VISE_INT_TABLE_MOST);
}

static vise_id steps(emitter *m, const vise_node *n, double per_nat)
{
    const vise_attention_attr *a = n->attr;
    const vise_int_grid *q = &m->p->grid[n->in[0]], *k = &m->p->grid[n->in[1]];
    const size_t H = (size_t)a->heads, D = q->channels / H;
    const double scale = a->scale > 0 ? a->scale : 1 / sqrt((double)D);
    float *step = room(m, H);
    if (!step) return VISE_NONE;
    for (size_t h = 0; h < H; h++) {
        const double one = q->delta[h * D] * k->delta[h * D] * scale * per_nat;
        step[h] = whole(fmin(fmax(ldexp(one, VISE_INT_STEP_BITS), 1), VISE_INT_STEP_MOST));
    }
    return vector(m, n->name, ".step", step, H);
}

static vise_id attention(emitter *m, const vise_node *n)
{
    const vise_int_grid *v = &m->p->grid[n->in[2]], *y = &m->p->grid[n->out];
    const size_t C = y->channels;
    float *bias = room(m, C), *mult = room(m, C);
    double per_nat = 0;
    if (!mult) return VISE_NONE;
    for (size_t c = 0; c < C; c++) {
        const double unit = ldexp(v->delta[c], -VISE_INT_RATIO_BITS);
        bias[c] = whole((v->center[c] - y->center[c]) / unit);
        mult[c] = (float)(unit / y->delta[c]);
    }
    const vise_int_range_attr range = range_of(m->p, n->out);
    const vise_int_attention_attr a = {range.lo, range.hi,
                                       ((const vise_attention_attr *)n->attr)->heads};
    const vise_id table = exponentials(m, n->name, &per_nat);
    const vise_id in[] = {m->map[n->in[0]],
                          m->map[n->in[1]],
                          m->map[n->in[2]],
                          table,
                          steps(m, n, per_nat),
                          vector(m, n->name, ".bias", bias, C),
                          vector(m, n->name, ".mult", mult, C)};
    return vise_graph_add(m->to, "int_attention", n->name, &a, 7, in);
}

/* A table in finer steps than its input's, then the codes of each channel. */
static vise_id act(emitter *m, const vise_node *n)
{
    const vise_int_grid *y = &m->p->grid[n->out];
    const double step = m->p->grid[n->in[0]].delta[0], unit = step / VISE_INT_GAIN;
    const vise_int_lut_attr a = m->p->table[n - m->g->node];
    const vise_int_range_attr range = range_of(m->p, n->out);
    float *t = room(m, VISE_INT_ENTRIES), *bias = room(m, y->channels);
    float *mult = room(m, y->channels);
    if (!mult) return VISE_NONE;
    for (int64_t i = 0; i < VISE_INT_ENTRIES; i++)
        t[i] = whole((double)vise_int_act(n, (float)((double)(a.first + i) * step)) / unit);
    for (size_t c = 0; c < y->channels; c++) {
        bias[c] = whole(-y->center[c] / unit);
        mult[c] = (float)(unit / y->delta[c]);
    }
    const vise_id in[2] = {m->map[n->in[0]], vector(m, n->name, ".table", t, VISE_INT_ENTRIES)};
    const vise_id x = vise_graph_add(m->to, "int_lut", name_of(n->name, ".function").s, &a, 2, in);
    return vise_graph_add(m->to, "int_scale", n->name, &range, 3,
                          (vise_id[]){x, vector(m, n->name, ".bias", bias, y->channels),
                                      vector(m, n->name, ".mult", mult, y->channels)});
}

static vise_id add(emitter *m, const vise_node *n)
{
    const vise_id in[2] = {operand(m, n->in[0]), operand(m, n->in[1])};
    return vise_graph_add(m->to, "int_add", n->name, NULL, 2, in);
}

/* Positions, resized to this input. */
static vise_id embed_add(emitter *m, const vise_node *n)
{
    const vise_id table = fixed(m, n->out, m->p->fixed[n->out], ".table");
    return vise_graph_add(m->to, "int_add", n->name, NULL, 2, (vise_id[]){m->map[n->in[0]], table});
}

static vise_id mul(emitter *m, const vise_node *n)
{
    return m->map[n->in[m->g->value[n->in[0]].batched ? 0 : 1]]; // its product did it
}

static vise_id same(emitter *m, const vise_node *n)
{
    vise_id in[VISE_MAX_IN];
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = operand(m, n->in[k]);
    return vise_graph_add(m->to, n->op->name, n->name, n->attr, n->nin, in);
}

typedef vise_id node_fn(emitter *m, const vise_node *n);

static node_fn *writer(const vise_node *n)
{
    static const struct {
        const char *op;
        node_fn *fn;
    } table[] = {
        {"act", act},
        {"add", add},
        {"attention", attention},
        {"conv2d", conv2d},
        {"linear", linear},
        {"embed_add", embed_add},
        {"layernorm", layernorm},
        {"mul", mul},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is(n, table[i].op)) return table[i].fn;
    return same;
}

static void outputs(emitter *m)
{
    for (size_t i = 0; i < m->g->outputs && !m->to->status; i++) {
        const vise_port_ref *o = &m->g->output[i];
        const vise_int_dequant_attr a = {m->p->answer};
        const vise_id v = vise_graph_add(m->to, "int_dequant", name_of(o->name, ".floats").s, &a, 1,
                                         &m->map[o->value]);
        vise_graph_output(m->to, o->name, v);
    }
}

vise_status vise_int_emit(vise_int_plan *p, vise_err *e)
{
    emitter m = {.p = p, .g = p->g, .e = e};
    VISE_TRY(vise_int_keep(p, &m.map, p->g->values, sizeof *m.map, e));
    memset(m.map, 0xff, p->g->values * sizeof *m.map); // VISE_NONE
    m.to = vise_change_rewrite(p->c, e);
    for (size_t i = 0; i < p->g->inputs; i++) {
        const vise_port_ref *in = &p->g->input[i];
        m.map[in->value] = vise_graph_input(m.to, in->name, &p->g->value[in->value].shape);
    }
    for (size_t i = 0; i < p->g->nodes && !m.to->status; i++) {
        const vise_node *n = &p->g->node[i];
        if (p->g->value[n->out].batched) m.map[n->out] = writer(n)(&m, n);
    }
    outputs(&m);
    return m.to->status;
}
