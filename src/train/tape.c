/* tape.c - taps forward, nodes backward
 * SPDX-License-Identifier: MIT */
#include "train/tape.h"
#include "graph/actq.h"
#include "exec/session.h"
#include "graph/ops.h"
#include "train/attention.h"
#include "train/fast.h"
#include "train/matrices.h"

#include <string.h>

enum { ZERO_PIECE = 1 << 16 }; // floats

/* ---- opening ---- */

static bool is_const(const vise_tape *t, vise_id v)
{
    return t->m->graph.value[v].kind == VISE_VALUE_CONST;
}

static bool is_node(const vise_tape *t, vise_id v)
{
    return t->m->graph.value[v].kind == VISE_VALUE_NODE;
}

/* A constant whose numbers are read where they lie. */
static bool is_plain(const vise_tape *t, vise_id v)
{
    const vise_const *c = &t->m->graph.value[v].data;
    return is_const(t, v) && !c->enc.bits && c->enc.type == VISE_F32 &&
           (uintptr_t)c->data % sizeof(float) == 0;
}

static size_t floats_of(const vise_tape *t, vise_id v)
{
    const vise_value *x = &t->m->graph.value[v];
    return vise_shape_count(&x->shape) * (x->batched ? t->batch : 1);
}

/* Gradients flow to the constants that are wanted, to all that nodes give for pictures, and to what is
 * made of wanted constants alone. */
static vise_status find_flows(vise_tape *t, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    for (vise_id v = 0; v < g->values; v++)
        t->flows[v] = is_const(t, v) ? t->want && t->want[v]
                                     : is_node(t, v) && g->value[v].batched && v != t->input;
    for (size_t i = 0; i < t->to; i++) {
        bool needed = false;
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            needed |= g->node[i].in[k] != VISE_NONE && t->flows[g->node[i].in[k]];
        if (!g->value[g->node[i].out].batched)
            t->flows[g->node[i].out] = needed && i >= t->from; // before: given
        else if (i < t->from)
            continue;
        if (needed && t->flows[g->node[i].out] && !vise_op_backward(g->node[i].op))
            return vise_fail(e, VISE_EARG, "%s: there is no gradient of %s", g->node[i].name,
                             g->node[i].op->name);
    }
    return VISE_OK;
}

/* ---- parts ---- */

/* Is node i's value read behind node `end`, and only it of all that are made in [from, end)? */
static bool crosses_alone(const vise_tape *t, size_t from, size_t end)
{
    const vise_graph *g = &t->m->graph;
    for (size_t i = end; i < t->to; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++) {
            const vise_id v = g->node[i].in[k];
            if (v == VISE_NONE || !is_node(t, v) || !g->value[v].batched) continue;
            if (g->value[v].node >= from && g->value[v].node + 1 < end) return false;
        }
    return true;
}

/* Cuts where one value alone goes on, and about as much lies between them. */
static vise_status find_parts(vise_tape *t, size_t cuts, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    double all = 0, since = 0;
    size_t from = t->from;
    VISE_TRY(vise_alloc_or(&t->part, cuts + 1, sizeof *t->part, "a tape", e));
    for (size_t i = t->from; i < t->to; i++)
        all += (double)vise_shape_count(&g->value[g->node[i].out].shape);
    for (size_t i = t->from; i < t->to; i++) {
        since += (double)vise_shape_count(&g->value[g->node[i].out].shape);
        const bool last = i + 1 == t->to;
        if (!last && (t->parts == cuts || since * (double)(cuts + 1) < all ||
                      !g->value[g->node[i].out].batched || !crosses_alone(t, from, i + 1)))
            continue;
        t->part[t->parts++] = (vise_tape_part){.from = from, .to = i + 1};
        from = i + 1;
        since = 0;
    }
    return VISE_OK;
}

/* Does a node of the range read it, or one that serves all pictures? */
static bool is_read(const vise_tape *t, vise_id v)
{
    const vise_graph *g = &t->m->graph;
    for (size_t i = 0; i < t->to; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] == v && (i >= t->from || !g->value[g->node[i].out].batched))
                return true;
    return false;
}

/* Constants as floats; again after they changed. */
static void read_constants(vise_tape *t)
{
    const vise_graph *g = &t->m->graph;
    for (vise_id v = 0; v < g->values; v++) {
        if (!is_const(t, v) || !t->value[v]) continue;
        if (!is_plain(t, v)) vise_decode(t->value[v], &g->value[v].data);
    }
}

/* Room for values; constants are decoded. */
static vise_status open_values(vise_tape *t, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    VISE_TRY(vise_alloc_or(&t->value, g->values, sizeof *t->value, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->kept, g->values, sizeof *t->kept, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->grad, g->values, sizeof *t->grad, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->dscale, g->nodes, sizeof *t->dscale, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->flows, g->values, sizeof *t->flows, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->spare, g->values, sizeof *t->spare, "a tape", e));
    VISE_TRY(vise_alloc_or(&t->spare_size, g->values, sizeof *t->spare_size, "a tape", e));
    VISE_TRY(find_flows(t, e));
    for (vise_id v = 0; v < g->values; v++) {
        if (!is_const(t, v) || !is_read(t, v)) continue;
        if (is_plain(t, v))
            t->value[v] = (float *)(uintptr_t)g->value[v].data.data; // only ever read
        else
            VISE_TRY(
                vise_alloc_or(&t->value[v], floats_of(t, v), sizeof(float), "values of a tape", e));
        if (t->flows[v])
            VISE_TRY(vise_alloc_or(&t->grad[v], floats_of(t, v), sizeof(float), "gradients", e));
    }
    read_constants(t);
    return VISE_OK;
}

static vise_status open_ports(vise_tape *t, vise_tape_part *p, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    const size_t in = vise_session_inputs(p->session), out = vise_session_outputs(p->session);
    VISE_TRY(vise_alloc_or(&p->in, in + 1, sizeof *p->in, "a tape", e));
    VISE_TRY(vise_alloc_or(&p->source, in + 1, sizeof *p->source, "a tape", e));
    VISE_TRY(vise_alloc_or(&p->out, out, sizeof *p->out, "a tape", e));
    VISE_TRY(vise_alloc_or(&p->value, out, sizeof *p->value, "a tape", e));
    for (size_t i = 0; i < in; i++)
        p->source[i] = vise_graph_find(g, vise_session_input(p->session, i)->name);
    for (size_t i = 0; i < out; i++) {
        const char *name = vise_session_output(p->session, i)->name;
        p->value[i] = vise_graph_find(g, name);
        if (t->logits && !strcmp(name, g->output[0].name) && p->to == g->nodes && !i)
            p->out[i] = t->logits;
    }
    if (p == t->part && in == 1) t->input = p->source[0];
    if (p == t->part && in != 1)
        return vise_fail(e, VISE_EARG, "nodes %zu to %zu take %zu values, a tape takes one",
                         t->from, t->to, in);
    return VISE_OK;
}

static vise_status open_session(vise_tape *t, vise_tape_part *p, const vise_tape_opts *o,
                                vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    const char **taps;
    VISE_TRY(vise_alloc_or(&taps, g->values, sizeof *taps, "a tape", e));
    vise_session_opts so = {.threads = o->threads,
                            .batch = t->batch,
                            .cpu = o->cpu,
                            .from = p->from,
                            .to = p->to,
                            .taps = taps};
    for (size_t i = p->from; i < p->to; i++)
        taps[so.ntaps++] = g->value[g->node[i].out].name;
    for (size_t i = 0; p == t->part && i < t->from; i++) { // what serves all pictures
        const vise_value *v = &g->value[g->node[i].out];
        if (!v->batched && is_read(t, g->node[i].out)) taps[so.ntaps++] = v->name;
    }
    const vise_status s = vise_session_new_lent(&p->session, t->m, &so, e);
    vise_free(taps);
    return s ? s : open_ports(t, p, e);
}

/* What a cut separates from its readers stays. */
static vise_status open_kept(vise_tape *t, const bool *keep, vise_err *e)
{
    const vise_graph *g = &t->m->graph;
    for (size_t p = 0; p < t->parts; p++)
        for (size_t i = 0; i < vise_session_inputs(t->part[p].session); i++) {
            const vise_id v = t->part[p].source[i];
            if (v == t->input || t->kept[v]) continue;
            VISE_TRY(vise_alloc_or(&t->kept[v], floats_of(t, v), sizeof(float), "a tape", e));
        }
    for (vise_id v = 0; keep && t->parts > 1 && v < g->values; v++)
        if (keep[v] && !t->kept[v])
            VISE_TRY(vise_alloc_or(&t->kept[v], floats_of(t, v), sizeof(float), "a tape", e));
    return VISE_OK;
}

/* Is an output a value that cannot be read where the session has it? */
static bool has_gaps(const vise_tape_part *p, size_t i)
{
    return p->value[i] != VISE_NONE && !p->out[i] && !vise_session_rows(p->session, i);
}

/* Memory of the part that is there: of its session, and of values that lie in it with gaps. */
static vise_status open_memory(vise_tape *t, vise_err *e)
{
    size_t bytes = VISE_ALIGN, copies = 1;
    for (size_t p = 0; p < t->parts; p++) {
        const vise_session *s = t->part[p].session;
        if (s->shared_bytes > bytes) bytes = s->shared_bytes;
    }
    VISE_TRY(vise_alloc_or(&t->memory, bytes, 1, "values of a tape", e));
    for (size_t p = 0; p < t->parts; p++) {
        size_t n = 0;
        vise_session_place(t->part[p].session, t->memory);
        for (size_t i = 0; i < vise_session_outputs(t->part[p].session); i++)
            if (has_gaps(&t->part[p], i)) n += floats_of(t, t->part[p].value[i]);
        if (n > copies) copies = n;
    }
    VISE_TRY(vise_alloc_or(&t->copies, copies, sizeof(float), "values of a tape", e));
    for (size_t p = 0; p < t->parts; p++) {
        float *at = t->copies;
        for (size_t i = 0; i < vise_session_outputs(t->part[p].session); i++) {
            if (!has_gaps(&t->part[p], i)) continue;
            t->part[p].out[i] = at;
            at += floats_of(t, t->part[p].value[i]);
        }
    }
    return VISE_OK;
}

vise_status vise_tape_open(vise_tape *t, const vise_model *m, vise_dense *dense,
                           const vise_tape_opts *o, vise_err *e)
{
    const vise_graph *g = &m->graph;
    *t = (vise_tape){.m = m,
                     .want = o->want,
                     .dense = dense,
                     .batch = o->batch ? o->batch : 1,
                     .from = o->from,
                     .to = o->to ? o->to : g->nodes,
                     .input = VISE_NONE};
    if (g->inputs != 1)
        return vise_fail(e, VISE_EARG, "the model takes something else than one picture");
    if (t->to == g->nodes)
        VISE_TRY(vise_alloc_or(&t->logits, floats_of(t, g->output[0].value), sizeof(float),
                               "values of a tape", e));
    VISE_TRY(find_parts(t, o->cuts, e));
    for (size_t i = 0; i < t->parts; i++)
        VISE_TRY(open_session(t, &t->part[i], o, e));
    VISE_TRY(open_values(t, e));
    VISE_TRY(open_kept(t, o->keep, e));
    return open_memory(t, e);
}

static void close_part(vise_tape_part *p)
{
    vise_session_free(p->session);
    vise_free(p->in);
    vise_free(p->out);
    vise_free(p->source);
    vise_free(p->value);
}

void vise_tape_close(vise_tape *t)
{
    for (vise_id v = 0; t->kept && v < t->m->graph.values; v++) {
        if (is_const(t, v) && !is_plain(t, v)) vise_free(t->value[v]);
        vise_free(t->kept[v]);
    }
    for (vise_id v = 0; t->grad && v < t->m->graph.values; v++)
        vise_free(t->grad[v]);
    for (size_t i = 0; i < t->spares; i++)
        vise_free(t->spare[i]);
    for (size_t i = 0; t->part && i < t->parts; i++)
        close_part(&t->part[i]);
    vise_free(t->part);
    vise_free(t->memory);
    vise_free(t->copies);
    vise_free(t->value);
    vise_free(t->kept);
    vise_free(t->grad);
    vise_free(t->dscale);
    vise_free(t->flows);
    vise_free(t->logits);
    vise_free(t->spare);
    vise_free(t->spare_size);
    vise_work_free(&t->work);
    *t = (vise_tape){0};
}

/* ---- forward ---- */

static void run_part(vise_tape *t, size_t i)
{
    vise_tape_part *p = &t->part[i];
    vise_session_place(p->session, t->memory);
    for (size_t k = 0; k < vise_session_inputs(p->session); k++)
        p->in[k] = t->value[p->source[k]];
    vise_session_run(p->session, t->images, p->in, p->out);
    for (size_t k = 0; k < vise_session_outputs(p->session); k++) {
        const vise_id v = p->value[k];
        const float *x = vise_session_rows(p->session, k);
        if (v == VISE_NONE) continue; // an output of the network, under its own name
        t->value[v] = x ? (float *)(uintptr_t)x : p->out[k]; // only ever read
        if (!t->kept[v]) continue;
        const size_t images = t->m->graph.value[v].batched ? t->images : 1;
        memcpy(t->kept[v], t->value[v],
               vise_shape_count(&t->m->graph.value[v].shape) * images * sizeof(float));
        t->value[v] = t->kept[v];
    }
    t->now = i;
}

void vise_tape_forward(vise_tape *t, size_t images, const float *in)
{
    t->images = images;
    t->value[t->input] = (float *)(uintptr_t)in; // only ever read
    for (size_t i = 0; i < t->parts; i++)
        run_part(t, i);
}

vise_status vise_tape_refresh(vise_tape *t, vise_err *e)
{
    read_constants(t);
    for (size_t i = 0; i < t->parts; i++)
        VISE_TRY(vise_session_refresh(t->part[i].session, t->m, e));
    return VISE_OK;
}

/* ---- memory of gradients ---- */

static void zero_piece(void *ctx, size_t from, size_t to)
{
    memset((float *)ctx + from, 0, (to - from) * sizeof(float));
}

/* On all threads: it is memory that limits, and each has a way to it. */
static void zero(const vise_tape *t, float *x, size_t n)
{
    vise_dense_rows(t->dense, n, ZERO_PIECE, zero_piece, x);
}

void vise_tape_clear(vise_tape *t)
{
    for (vise_id v = 0; v < t->m->graph.values; v++)
        if (is_const(t, v) && t->grad[v]) zero(t, t->grad[v], floats_of(t, v));
    memset(t->dscale, 0, t->m->graph.nodes * sizeof *t->dscale);
}

/* A gradient for v, if it has none yet: then it is fresh, and what lies there does not count. */
static vise_status take(vise_tape *t, vise_id v, bool *fresh, vise_err *e)
{
    const size_t n = floats_of(t, v);
    *fresh = !t->grad[v];
    if (t->grad[v]) return VISE_OK;
    for (size_t i = 0; i < t->spares; i++) {
        if (t->spare_size[i] != n) continue;
        t->grad[v] = t->spare[i];
        t->spare[i] = t->spare[--t->spares];
        t->spare_size[i] = t->spare_size[t->spares];
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
    vise_fast f = {.dense = t->dense, .work = &t->work, .op = n->op, .dout = dout};
    f.call.attr = n->attr;
    f.call.batch = t->images;
    f.call.nin = n->nin;
    f.call.nout = 1;
    f.call.actq = n->actq;
    f.call.out[0] = (vise_arg){&out->shape, t->value[n->out], out->batched};
    f.dscale = t->dscale[n - g->node];
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
    const bool *fresh;            // [inputs] gradients that are not there yet
    size_t images;                // 1 if the node serves all
    float *room;                  // of all pictures
    size_t per_picture;           // floats of it, the operator's scratch first
    size_t fast;                  // where an attention by fast products works, or 0
    size_t rounded[VISE_MAX_IN];  // where a rounded operand lies in it, or 0
    size_t constant[VISE_MAX_IN]; // where the gradient lies of what serves all pictures, or 0
    size_t cut[VISE_MAX_IN];      // where a gradient lies that a static range cuts, or 0
    size_t scales;                // where gradients of operands' scales lie, [nin]
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
    j->scales = reserve(j, n->nin);
    const vise_kern *kern = &t->dense->kern;
    const size_t fast = is_attention(n) ? vise_fast_attention_room(kern, &j->sig) : 0;
    if (fast) j->fast = reserve(j, fast);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!has(n, k)) continue;
        const size_t size = vise_shape_count(&t->m->graph.value[n->in[k]].shape);
        if (n->actq[k].kind) j->rounded[k] = reserve(j, size);
        if (!t->m->graph.value[n->in[k]].batched && t->flows[n->in[k]])
            j->constant[k] = reserve(j, size);
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
        vise_actq_apply_by(&j->t->dense->kern, q, to, (vise_floats){x, d, n / d, d});
    else
        memcpy(to, x, n * sizeof *to);
}

/* Gradients of picture b's operands with static scales become those of what is rounded, and of scales. */
static void cut(const general *j, size_t b, float *at)
{
    for (uint32_t k = 0; k < j->n->nin; k++) {
        if (!j->cut[k] || !j->t->flows[j->n->in[k]]) continue;
        const vise_value *v = &j->t->m->graph.value[j->n->in[k]];
        const size_t size = vise_shape_count(&v->shape);
        const float *x = j->t->value[j->n->in[k]] + (v->batched ? b * size : 0);
        float *d = at + j->cut[k];
        at[j->scales + k] =
            (float)vise_cut_gradient(&j->t->dense->kern, &j->n->actq[k], d, x, size);
        float *sum = v->batched ? j->t->grad[j->n->in[k]] + b * size : at + j->constant[k];
        for (size_t i = 0; i < size; i++)
            sum[i] += d[i];
    }
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
            if (j->constant[k]) memset(at + j->constant[k], 0, size * sizeof *at);
            if (j->cut[k]) memset(at + j->cut[k], 0, size * sizeof *at);
            din[k] = j->cut[k]        ? at + j->cut[k]
                     : j->constant[k] ? at + j->constant[k]
                                      : t->grad[n->in[k]] + b * size;
            if (j->fresh[k] && !j->cut[k] && !j->constant[k])
                memset(din[k], 0, size * sizeof *din[k]);
        }
        const vise_value *out = &g->value[n->out];
        const size_t size = vise_shape_count(&out->shape);
        c.out[0] = (vise_arg){&out->shape, t->value[n->out] + b * size, out->batched};
        if (j->fast)
            vise_fast_attention(&t->dense->kern, &c, j->dout + b * size, din, at + j->fast);
        else
            vise_op_backward(n->op)(&c, j->dout + b * size, din);
        cut(j, b, at);
    }
}

/* What waited in room: gradients of constants and the like, and of scales, in the pictures' order. */
static void collect(const general *j)
{
    const vise_tape *t = j->t;
    for (uint32_t k = 0; k < j->n->nin; k++) {
        const vise_id v = j->n->in[k];
        if (!has(j->n, k) || !t->flows[v]) continue;
        const size_t size = vise_shape_count(&t->m->graph.value[v].shape);
        for (size_t b = 0; b < j->images; b++) {
            const float *at = j->room + b * j->per_picture;
            if (j->cut[k]) t->dscale[j->n - t->m->graph.node][k] += (double)at[j->scales + k];
            for (size_t i = 0; j->constant[k] && i < size; i++)
                t->grad[v][i] += at[j->constant[k] + i];
        }
    }
}

static vise_status general_backward(vise_tape *t, const vise_node *n, const bool *fresh,
                                    vise_err *e)
{
    const size_t images = t->m->graph.value[n->out].batched ? t->images : 1;
    general j = {.t = t, .n = n, .dout = t->grad[n->out], .fresh = fresh, .images = images};
    measure(&j);
    for (uint32_t k = 0; k < n->nin; k++) // what collect adds to
        if (fresh[k] && (j.constant[k] || j.cut[k]))
            zero(t, t->grad[n->in[k]], floats_of(t, n->in[k]));
    VISE_TRY(vise_work_need(&t->work, VISE_WORK_ROOMS, images * j.per_picture, e));
    j.room = t->work.p[VISE_WORK_ROOMS];
    vise_dense_rows(t->dense, images, 1, one_picture, &j);
    collect(&j);
    return VISE_OK;
}

/* ---- sums: both operands have the same gradient ---- */

static bool is_sum(const vise_tape *t, const vise_node *n)
{
    if (strcmp(n->op->name, "add") != 0 || n->in[0] == n->in[1]) return false;
    const vise_value *a = &t->m->graph.value[n->in[0]], *b = &t->m->graph.value[n->in[1]];
    return a->batched && b->batched && vise_shape_count(&a->shape) == vise_shape_count(&b->shape);
}

typedef struct passing {
    float *to;
    const float *from;
    bool fresh;
} passing;

static void pass_on(void *ctx, size_t from, size_t to)
{
    const passing *p = ctx;
    if (p->fresh) {
        memcpy(p->to + from, p->from + from, (to - from) * sizeof *p->to);
        return;
    }
    for (size_t i = from; i < to; i++)
        p->to[i] += p->from[i];
}

/* An operand without a gradient takes the sum's memory, the other a copy. */
static vise_status sum_backward(vise_tape *t, const vise_node *n, vise_err *e)
{
    const size_t count = vise_shape_count(&t->m->graph.value[n->out].shape) * t->images;
    vise_id heir = VISE_NONE;
    for (uint32_t k = 0; k < 2; k++) {
        const vise_id v = n->in[k];
        if (!t->flows[v]) continue;
        if (heir == VISE_NONE && !t->grad[v]) {
            heir = v;
            continue;
        }
        passing p = {.from = t->grad[n->out]};
        VISE_TRY(take(t, v, &p.fresh, e));
        p.to = t->grad[v];
        vise_dense_rows(t->dense, count, ZERO_PIECE, pass_on, &p);
    }
    if (heir == VISE_NONE) {
        give(t, n->out);
    } else {
        t->grad[heir] = t->grad[n->out];
        t->grad[n->out] = NULL;
    }
    return VISE_OK;
}

/* ---- all nodes ---- */

static vise_status node_backward(vise_tape *t, size_t i, vise_err *e)
{
    const vise_node *n = &t->m->graph.node[i];
    bool needed = false, fresh[VISE_MAX_IN] = {false};
    if (!t->grad[n->out]) return VISE_OK; // nothing behind it reads it
    if (t->seen) t->seen(t->user, i, t->grad[n->out]);
    if (is_sum(t, n)) return sum_backward(t, n, e);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!has(n, k) || !t->flows[n->in[k]]) continue;
        VISE_TRY(take(t, n->in[k], &fresh[k], e));
        needed = true;
    }
    vise_fast f = whole(t, n, t->grad[n->out]);
    const bool batched = t->m->graph.value[n->out].batched && f.call.in[0].batched;
    if (needed && batched && vise_fast_knows(&f)) {
        f.fresh = fresh[0];
        for (uint32_t k = 1; k < n->nin; k++)
            if (fresh[k]) zero(t, t->grad[n->in[k]], floats_of(t, n->in[k]));
        VISE_TRY(vise_fast_backward(&f, e));
    } else if (needed) {
        VISE_TRY(general_backward(t, n, fresh, e));
    }
    give(t, n->out);
    return VISE_OK;
}

/* Gradients start here; a value may have several seeds. */
static vise_status sow(vise_tape *t, const vise_seed *seed, vise_err *e)
{
    const size_t n = vise_shape_count(&t->m->graph.value[seed->value].shape) * t->images;
    bool fresh;
    VISE_TRY(take(t, seed->value, &fresh, e));
    if (fresh) memset(t->grad[seed->value], 0, n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        t->grad[seed->value][i] += seed->d[i];
    return VISE_OK;
}

vise_status vise_tape_backward(vise_tape *t, const vise_seed *seed, size_t seeds, vise_err *e)
{
    for (size_t i = 0; i < seeds; i++)
        VISE_TRY(sow(t, &seed[i], e));
    for (size_t p = t->parts; p-- > 0;) {
        if (t->now != p) run_part(t, p);
        for (size_t i = t->part[p].to; i-- > t->part[p].from;)
            VISE_TRY(node_backward(t, i, e));
    }
    return VISE_OK;
}
