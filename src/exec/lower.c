/* lower.c - nodes become steps, values become slots
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <string.h>

typedef struct range {
    size_t from, to;
} range;

static void *keep(vise_session *s, size_t n, size_t size, vise_err *e, vise_status *st)
{
    void *p = vise_region_take(&s->texts, n ? n : 1, size);
    if (!p && !*st) *st = vise_fail(e, VISE_ENOMEM, "out of memory: %zu x %zu bytes", n, size);
    return p;
}

static bool made_in(const vise_graph *g, vise_id v, range r)
{
    return g->value[v].kind == VISE_VALUE_NODE && g->value[v].node >= r.from &&
           g->value[v].node < r.to;
}

static bool used_after(const vise_graph *g, vise_id v, size_t node)
{
    for (size_t i = node; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] == v) return true;
    return false;
}

/* ---- ports ---- */

static void add_port(vise_session *s, vise_port_slot *ports, size_t *n, const char *name, vise_id v)
{
    const vise_slot *slot = &s->slot[v];
    ports[(*n)++] = (vise_port_slot){{name, slot->shape, slot->batched}, v};
}

static vise_status copy_port_names(vise_session *s, vise_port_slot *ports, size_t n, vise_err *e)
{
    for (size_t i = 0; i < n; i++) {
        ports[i].port.name = vise_region_str(&s->texts, ports[i].port.name);
        if (!ports[i].port.name) return vise_fail(e, VISE_ENOMEM, "out of memory: port names");
    }
    return VISE_OK;
}

/* What the range reads but does not make: the graph's inputs first, in their order. */
static void find_inputs(vise_session *s, const vise_graph *g, range r)
{
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = r.from; i < r.to; i++)
            for (uint32_t k = 0; k < g->node[i].nin; k++) {
                vise_id v = g->node[i].in[k];
                if (v == VISE_NONE || !g->value[v].batched || made_in(g, v, r)) continue;
                if ((g->value[v].kind == VISE_VALUE_INPUT) != (pass == 0)) continue;
                if (s->slot[v].kind == VISE_SLOT_INPUT) continue;
                s->slot[v].kind = VISE_SLOT_INPUT;
                add_port(s, s->in, &s->nin, g->value[v].name, v);
            }
}

static vise_status find_outputs(vise_session *s, const vise_graph *g, range r,
                                const vise_session_opts *o, vise_err *e)
{
    for (size_t i = 0; i < g->outputs; i++)
        if (made_in(g, g->output[i].value, r))
            add_port(s, s->out, &s->nout, g->output[i].name, g->output[i].value);
    for (size_t i = r.from; r.to < g->nodes && i < r.to; i++)
        if (used_after(g, g->node[i].out, r.to) && g->value[g->node[i].out].batched)
            add_port(s, s->out, &s->nout, g->node[i].name, g->node[i].out);
    for (size_t i = 0; i < o->ntaps; i++) {
        vise_id v = vise_graph_find(g, o->taps[i]);
        if (v == VISE_NONE || (!made_in(g, v, r) && s->slot[v].kind != VISE_SLOT_INPUT))
            return vise_fail(e, VISE_EARG, "tap %.200s: no such value among nodes %zu to %zu",
                             o->taps[i], r.from, r.to);
        add_port(s, s->out, &s->nout, g->value[v].name, v);
    }
    return VISE_OK;
}

/* ---- steps ---- */

/* Floats rounded up so that every thread's part of a scratch block is aligned as the first. */
static size_t whole_lines(size_t floats)
{
    const size_t line = VISE_ALIGN / sizeof(float);
    return (floats + line - 1) / line * line;
}

static vise_status make_step(vise_session *s, const vise_graph *g, size_t i, vise_step *st,
                             vise_err *e)
{
    const vise_node *n = &g->node[i];
    vise_status status = VISE_OK;
    vise_sig sig;
    vise_graph_sig(g, n, &sig);
    *st = (vise_step){.op = n->op, .nin = n->nin, .out = n->out, .node = i, .s = s};
    memcpy(st->in, n->in, sizeof st->in);
    memcpy(st->actq, n->actq, sizeof st->actq);
    void *attr = keep(s, 1, n->op->attr_size, e, &status);
    if (status) return status;
    memcpy(attr, n->attr, n->op->attr_size);
    st->attr = attr;
    st->kind = vise_step_kind_for(n->op, &sig);
    // a weight that is itself computed cannot be packed ahead: the plain definition runs
    if (st->kind->packs && g->value[n->in[1]].kind != VISE_VALUE_CONST)
        st->kind = &vise_step_forward;
    if (st->kind->packs) st->weight = g->value[n->in[1]].shape;
    if (st->kind == &vise_step_forward && n->op->scratch)
        st->scratch_size = whole_lines(n->op->scratch(&sig, &g->value[n->out].shape));
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k] == VISE_NONE || (st->kind->packs && k == 1)) continue;
        if (g->value[n->in[k]].kind == VISE_VALUE_CONST) s->slot[n->in[k]].kind = VISE_SLOT_CONST;
    }
    vise_slot *out = &s->slot[n->out];
    out->kind = out->batched ? VISE_SLOT_SHARED : VISE_SLOT_FOLDED;
    return VISE_OK;
}

/* A reshape of a value in the block is that value; nothing moves. */
static bool is_alias(const vise_session *s, const vise_step *st)
{
    if (strcmp(st->op->name, "reshape") != 0) return false;
    const vise_slot *in = &s->slot[st->in[0]];
    return in->kind == VISE_SLOT_SHARED && s->slot[st->out].kind == VISE_SLOT_SHARED;
}

static void touch(vise_session *s, vise_id v, size_t step)
{
    vise_slot *root = &s->slot[s->slot[v].root];
    if (step < root->first) root->first = step;
    if (step > root->last) root->last = step;
}

static void find_lifetimes(vise_session *s)
{
    for (size_t i = 0; i < s->steps; i++) {
        const vise_step *st = &s->step[i];
        touch(s, st->out, i);
        for (uint32_t k = 0; k < st->nin; k++)
            if (st->in[k] != VISE_NONE) touch(s, st->in[k], i);
    }
    for (size_t i = 0; i < s->nout; i++)
        touch(s, s->out[i].slot, s->steps); // given out after the last step
}

static vise_status make_steps(vise_session *s, const vise_graph *g, range r, vise_err *e)
{
    // nodes before the range that do not depend on images are folded too, if anything may read them
    for (size_t i = 0; i < r.to; i++) {
        const bool batched = g->value[g->node[i].out].batched;
        if (i < r.from && batched) continue;
        vise_step *st = &s->step[s->steps];
        VISE_TRY(make_step(s, g, i, st, e));
        if (is_alias(s, st))
            s->slot[st->out].root = s->slot[st->in[0]].root;
        else
            s->steps++;
    }
    return VISE_OK;
}

vise_status vise_lower(vise_session *s, const vise_graph *g, const vise_session_opts *o,
                       vise_err *e)
{
    const range r = {o->from, o->to ? o->to : g->nodes};
    vise_status st = VISE_OK;
    if (r.from >= r.to || r.to > g->nodes)
        return vise_fail(e, VISE_EARG, "nodes %zu to %zu of %zu are no range", r.from, r.to,
                         g->nodes);
    s->slots = g->values;
    s->slot = keep(s, g->values, sizeof *s->slot, e, &st);
    s->step = keep(s, r.to, sizeof *s->step, e, &st);
    s->in = keep(s, g->values, sizeof *s->in, e, &st);
    s->out = keep(s, g->values + g->outputs + o->ntaps, sizeof *s->out, e, &st);
    VISE_TRY(st);
    for (vise_id i = 0; i < s->slots; i++)
        s->slot[i] = (vise_slot){.batched = g->value[i].batched,
                                 .shape = g->value[i].shape,
                                 .root = i,
                                 .first = SIZE_MAX};
    find_inputs(s, g, r);
    VISE_TRY(make_steps(s, g, r, e));
    VISE_TRY(find_outputs(s, g, r, o, e));
    if (!s->nout) return vise_fail(e, VISE_EARG, "nodes %zu to %zu give nothing out", r.from, r.to);
    find_lifetimes(s);
    VISE_TRY(copy_port_names(s, s->in, s->nin, e));
    return copy_port_names(s, s->out, s->nout, e);
}
