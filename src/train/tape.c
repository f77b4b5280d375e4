/* tape.c - taps forward, nodes backward
 * SPDX-License-Identifier: MIT */
#include "train/tape.h"
#include "graph/actq.h"
#include "graph/ops.h"
#include "train/attention.h"
#include "train/fast.h"
#include "train/matrices.h"

#include <string.h>

/* ---- opening ---- */

static bool is_const(const vise_tape *t, vise_id v)
{
    return t->m->graph.value[v].kind == VISE_VALUE_CONST;
}

static size_t floats_of(const vise_tape *t, vise_id v)
{
    const vise_value *x = &t->m->graph.value[v];
    return vise_shape_count(&x->shape) * (x->batched ? t->batch : 1);
}

/* Gradients flow to the constants that are wanted, and to all that nodes give for pictures. */
static vise_status find_flows(vise_tape *t, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    for (vise_id v = 0; v < g->values; v++)
        t->flows[v] = is_const(t, v) ? t->want && t->want[v]
                                     : g->value[v].kind == VISE_VALUE_NODE && g->value[v].batched;
    for (size_t i = 0; i < g->nodes; i++) {
        bool needed = false;
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            needed |= g->node[i].in[k] != VISE_NONE && t->flows[g->node[i].in[k]];
        if (needed && t->flows[g->node[i].out] && !vise_op_backward(g->node[i].op))
            return vise_fail(e, VISE_EARG, "%s: there is no gradient of %s", g->node[i].name,
                             g->node[i].op->name);
    }
    return VISE_OK;
}

/* Room for values; constants are decoded. */
static vise_status open_values(vise_tape *t, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    VISE_TRY(vise_alloc_or(&t->value, g->values, sizeof *t->value, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->grad, g->values, sizeof *t->grad, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->flows, g->values, sizeof *t->flows, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->spare, g->values, sizeof *t->spare, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->spare_size, g->values, sizeof *t->spare_size, "a tape", e));
    VISE_TRY(find_flows(t, e));
    for (vise_id v = 0; v < g->values; v++) {
        if (g->value[v].kind == VISE_VALUE_INPUT) continue;
        VISE_TRY(
            vise_alloc_or(&t->value[v], floats_of(t, v), sizeof(float), "values of a tape", e));
        if (is_const(t, v)) vise_decode(t->value[v], &g->value[v].data);
        if (is_const(t, v) && t->flows[v])
            VISE_TRY(vise_alloc_or(&t->grad[v], floats_of(t, v), sizeof(float), "gradients", e));
    }
    return VISE_OK;
}

static vise_status open_session(vise_tape *t, const vise_tape_opts *o, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    const char **taps;
    VISE_TRY(vise_alloc_or(&taps, g->values, sizeof *taps, "a tape", e));
    vise_session_opts so = {.threads = o->threads, .batch = t->batch, .cpu = o->cpu, .taps = taps};
    for (vise_id v = 0; v < g->values; v++)
        if (g->value[v].kind == VISE_VALUE_NODE) taps[so.ntaps++] = g->value[v].name;
    const vise_status s = vise_session_new(&t->session, t->m, &so, e);
    vise_free(taps);
    if (s) return s;
    const size_t outputs = vise_session_outputs(t->session);
    VISE_TRY(vise_alloc_or(&t->to, outputs, sizeof *t->to, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->logits, floats_of(t, g->output[0].value), sizeof(float),
                           "values of a tape", e));
    t->to[0] = t->logits; // other outputs of the network are not asked for
    for (size_t i = g->outputs; i < outputs; i++)
        t->to[i] = t->value[vise_graph_find(g, vise_session_output(t->session, i)->name)];
    return VISE_OK;
}

vise_status vise_tape_open(vise_tape *t, const vise_model *m, vise_dense *dense,
                           const vise_tape_opts *o, vise_err *e)
{
    *t = (vise_tape){.m = m, .want = o->want, .dense = dense, .batch = o->batch ? o->batch : 1};
    if (m->graph.inputs != 1)
        return vise_fail(e, VISE_EARG, "the model takes something else than one picture");
    VISE_TRY(open_values(t, e));
    return open_session(t, o, e);
}

void vise_tape_close(vise_tape *t)
{
    for (vise_id v = 0; t->value && v < t->m->graph.values; v++)
        if (t->m->graph.value[v].kind != VISE_VALUE_INPUT) vise_free(t->value[v]);
    for (vise_id v = 0; t->grad && v < t->m->graph.values; v++)
        vise_free(t->grad[v]);
    for (size_t i = 0; i < t->spares; i++)
        vise_free(t->spare[i]);
    vise_session_free(t->session);
    vise_free(t->value);
    vise_free(t->grad);
    vise_free(t->flows);
    vise_free(t->to);
    vise_free(t->logits);
    vise_free(t->spare);
    vise_free(t->spare_size);
    vise_work_free(&t->work);
    *t = (vise_tape){0};
}

void vise_tape_forward(vise_tape *t, size_t images, const float *pixels)
{
    t->images = images;
    t->value[t->m->graph.input[0].value] = (float *)(uintptr_t)pixels; // only ever read
    vise_session_run(t->session, images, &pixels, t->to);
}

/* ---- memory of gradients ---- */

/* A gradient of zeros for v, if it has none yet. */
static vise_status take(vise_tape *t, vise_id v, vise_err *e)
{
    const size_t n = floats_of(t, v);
    if (t->grad[v]) return VISE_OK;
    for (size_t i = 0; i < t->spares; i++) {
        if (t->spare_size[i] != n) continue;
        t->grad[v] = t->spare[i];
        t->spare[i] = t->spare[--t->spares];
        t->spare_size[i] = t->spare_size[t->spares];
        memset(t->grad[v], 0, n * sizeof(float));
        return VISE_OK;
    }
    return vise_alloc_or(&t->grad[v], n, sizeof(float), "gradients", e);
}

static void give(vise_tape *t, vise_id v)
{
    t->spare[t->spares] = t->grad[v];
    t->spare_size[t->spares++] = floats_of(t, v);
    t->grad[v] = NULL;
}

/* ---- operators that have a fast version, all pictures at once ---- */

static bool has(const vise_node *n, uint32_t k)
{
    return k < n->nin && n->in[k] != VISE_NONE;
}

/* Node n for all pictures; gradients of constants are added to where they are kept. */
static vise_fast whole(vise_tape *t, const vise_node *n, const float *dout)
{
    const vise_graph *g = &t->m->graph;
    const vise_value *out = &g->value[n->out];
    vise_fast f = {t->dense, &t->work, n->op, {.attr = n->attr, .batch = t->images}, dout, {0}};
    f.call.nin = n->nin;
    f.call.nout = 1;
    f.call.actq = n->actq;
    f.call.out[0] = (vise_arg){&out->shape, t->value[n->out], out->batched};
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!has(n, k)) continue;
        const vise_value *v = &g->value[n->in[k]];
        f.call.in[k] = (vise_arg){&v->shape, t->value[n->in[k]], v->batched};
        f.din[k] = t->flows[n->in[k]] ? t->grad[n->in[k]] : NULL;
    }
    return f;
}

/* ---- any other operator, picture by picture ---- */

typedef struct general {
    vise_tape *t;
    const vise_node *n;
    vise_sig sig;
    const float *dout;
    float *room;                  // of all pictures
    size_t per_picture;           // floats of it, the operator's scratch first
    size_t fast;                  // where an attention by fast products works, or 0
    size_t rounded[VISE_MAX_IN];  // where a rounded operand lies in it, or 0
    size_t constant[VISE_MAX_IN]; // where a constant's gradient lies, or 0
    size_t cut[VISE_MAX_IN];      // where a gradient that may be cut lies, or 0
} general;

static size_t reserve(general *j, size_t n)
{
    const size_t at = j->per_picture;
    j->per_picture += (n + 15) / 16 * 16;
    return at;
}

static bool is_attention(const vise_node *n)
{
    return !strcmp(n->op->name, "attention");
}

static void measure(general *j)
{
    const vise_tape *t = j->t;
    const vise_node *n = j->n;
    const vise_value *out = &t->m->graph.value[n->out];
    vise_graph_sig(&t->m->graph, n, &j->sig);
    const size_t scratch = n->op->scratch ? n->op->scratch(&j->sig, &out->shape) : 0;
    reserve(j, scratch + 1); // so that nothing else lies at 0
    const vise_kern *kern = &t->dense->kern;
    const size_t fast = is_attention(n) ? vise_fast_attention_room(kern, &j->sig) : 0;
    if (fast) j->fast = reserve(j, fast);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!has(n, k)) continue;
        const size_t size = vise_shape_count(&t->m->graph.value[n->in[k]].shape);
        if (n->actq[k].kind) j->rounded[k] = reserve(j, size);
        if (is_const(t, n->in[k]) && t->flows[n->in[k]]) j->constant[k] = reserve(j, size);
        if (n->actq[k].kind >= VISE_ACTQ_STATIC) j->cut[k] = reserve(j, size);
    }
}

/* What an attention reads: q and k per token and head, v by its static scale. An operand whose rows
 * the node makes itself (patches, v's whole head) stays as it is. */
static void round_operand(const general *j, uint32_t k, float *to, const float *x)
{
    const vise_actq *q = &j->n->actq[k];
    const vise_shape *s = j->sig.in[k];
    const size_t n = vise_shape_count(s);
    size_t d = 0;
    if (is_attention(j->n))
        d = s->dim[s->rank - 1] / (size_t)((const vise_attention_attr *)j->n->attr)->heads;
    if (d && (k < 2 || q->kind >= VISE_ACTQ_STATIC))
        vise_actq_apply(q, to, x, d, n / d, d);
    else
        memcpy(to, x, n * sizeof *to);
}

static void one_picture(void *ctx, size_t from, size_t to)
{
    const general *j = ctx;
    const vise_tape *t = j->t;
    const vise_node *n = j->n;
    const vise_graph *g = &t->m->graph;
    for (size_t b = from; b < to; b++) {
        float *at = j->room + b * j->per_picture, *din[VISE_MAX_IN] = {0};
        vise_call c = {
            .attr = n->attr, .batch = 1, .nin = n->nin, .nout = 1, .actq = n->actq, .scratch = at};
        for (uint32_t k = 0; k < n->nin; k++) {
            if (!has(n, k)) continue;
            const vise_value *v = &g->value[n->in[k]];
            const size_t size = vise_shape_count(&v->shape);
            c.in[k] =
                (vise_arg){&v->shape, t->value[n->in[k]] + (v->batched ? b * size : 0), v->batched};
            if (j->rounded[k]) {
                round_operand(j, k, at + j->rounded[k], c.in[k].data);
                c.in[k].data = at + j->rounded[k];
            }
            if (!t->flows[n->in[k]]) continue;
            const size_t waits = j->cut[k] ? j->cut[k] : j->constant[k]; // until it is collected
            din[k] = waits ? at + waits : t->grad[n->in[k]] + b * size;
            if (waits) memset(din[k], 0, size * sizeof *din[k]);
        }
        const vise_value *out = &g->value[n->out];
        const size_t size = vise_shape_count(&out->shape);
        c.out[0] = (vise_arg){&out->shape, t->value[n->out] + b * size, true};
        if (j->fast)
            vise_fast_attention(&t->dense->kern, &c, j->dout + b * size, din, at + j->fast);
        else
            vise_op_backward(n->op)(&c, j->dout + b * size, din);
    }
}

/* What waited in room: constants' gradients, in the pictures' order, and those that may be cut. */
static void collect(const general *j)
{
    const vise_tape *t = j->t;
    for (uint32_t k = 0; k < j->n->nin; k++) {
        const vise_id v = j->n->in[k];
        if (!has(j->n, k) || !t->flows[v] || (!j->constant[k] && !j->cut[k])) continue;
        const size_t size = vise_shape_count(&t->m->graph.value[v].shape);
        for (size_t b = 0; b < t->images; b++) {
            float *d = j->room + b * j->per_picture + (j->cut[k] ? j->cut[k] : j->constant[k]);
            float *sum = t->grad[v] + (j->cut[k] ? b * size : 0);
            if (j->cut[k]) vise_cut_gradient(&j->n->actq[k], d, t->value[v] + b * size, size);
            for (size_t i = 0; i < size; i++)
                sum[i] += d[i];
        }
    }
}

static vise_status general_backward(vise_tape *t, const vise_node *n, const float *dout,
                                    vise_err *e)
{
    general j = {.t = t, .n = n, .dout = dout};
    measure(&j);
    VISE_TRY(vise_work_need(&t->work, VISE_WORK_ROOMS, t->images * j.per_picture, e));
    j.room = t->work.p[VISE_WORK_ROOMS];
    vise_dense_rows(t->dense, t->images, 1, one_picture, &j);
    collect(&j);
    return VISE_OK;
}

/* ---- all nodes ---- */

static vise_status node_backward(vise_tape *t, size_t i, vise_err *e)
{
    const vise_node *n = &t->m->graph.node[i];
    bool needed = false;
    if (!t->grad[n->out]) return VISE_OK; // nothing behind it reads it
    if (t->seen) t->seen(t->user, i, t->grad[n->out]);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!has(n, k) || !t->flows[n->in[k]]) continue;
        VISE_TRY(take(t, n->in[k], e));
        needed = true;
    }
    const vise_fast f = whole(t, n, t->grad[n->out]);
    if (needed && vise_fast_knows(&f))
        VISE_TRY(vise_fast_backward(&f, e));
    else if (needed)
        VISE_TRY(general_backward(t, n, t->grad[n->out], e));
    give(t, n->out);
    return VISE_OK;
}

vise_status vise_tape_backward(vise_tape *t, const float *dlogits, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    const vise_id out = g->output[0].value;
    VISE_TRY(take(t, out, e));
    memcpy(t->grad[out], dlogits,
           vise_shape_count(&g->value[out].shape) * t->images * sizeof(float));
    for (size_t i = g->nodes; i-- > 0;)
        VISE_TRY(node_backward(t, i, e));
    return VISE_OK;
}
