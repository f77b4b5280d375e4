/* lower.c - nodes become steps, values become slots
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"

#include <string.h>

void *vise_lower_keep(vise_lowering *l, size_t n, size_t size)
{
    void *p = vise_region_take(&l->s->texts, n ? n : 1, size);
    if (!p && !l->status)
        l->status = vise_fail(l->e, VISE_ENOMEM, "out of memory: %zu x %zu bytes", n, size);
    return p;
}

/* ---- ports ---- */

static bool made_here(const vise_lowering *l, vise_id v)
{
    const vise_value *x = &l->g->value[v];
    return x->kind == VISE_VALUE_NODE && x->node >= l->from && x->node < l->to;
}

/* Made once when the session is opened, whatever the range. */
static bool made_once(const vise_lowering *l, vise_id v)
{
    const vise_value *x = &l->g->value[v];
    return x->kind == VISE_VALUE_NODE && !x->batched && x->node < l->to;
}

static void add_port(vise_session *s, vise_port_slot *ports, size_t *n, const char *name, vise_id v)
{
    const vise_slot *slot = &s->slot[v];
    ports[(*n)++] = (vise_port_slot){{name, slot->shape, slot->batched}, v};
}

static void copy_port_names(vise_lowering *l, vise_port_slot *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ports[i].port.name = vise_region_str(&l->s->texts, ports[i].port.name);
        if (!ports[i].port.name && !l->status)
            l->status = vise_fail(l->e, VISE_ENOMEM, "out of memory: port names");
    }
}

/* What the range reads but does not make: the graph's inputs first, in their order. */
static void find_inputs(vise_lowering *l)
{
    vise_session *s = l->s;
    const vise_graph *g = l->g;
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = l->from; i < l->to; i++)
            for (uint32_t k = 0; k < g->node[i].nin; k++) {
                vise_id v = g->node[i].in[k];
                if (v == VISE_NONE || !g->value[v].batched || made_here(l, v)) continue;
                if ((g->value[v].kind == VISE_VALUE_INPUT) != (pass == 0)) continue;
                if (s->slot[v].kind == VISE_SLOT_INPUT) continue;
                s->slot[v].kind = VISE_SLOT_INPUT;
                s->slot[v].tight = true;
                add_port(s, s->in, &s->nin, g->value[v].name, v);
            }
}

static void find_outputs(vise_lowering *l, const vise_session_opts *o)
{
    vise_session *s = l->s;
    const vise_graph *g = l->g;
    for (size_t i = 0; i < g->outputs; i++)
        if (made_here(l, g->output[i].value))
            add_port(s, s->out, &s->nout, g->output[i].name, g->output[i].value);
    for (size_t i = l->from; l->to < g->nodes && i < l->to; i++)
        if (vise_graph_reads(g, g->node[i].out, l->to, g->nodes) &&
            g->value[g->node[i].out].batched)
            add_port(s, s->out, &s->nout, g->node[i].name, g->node[i].out);
    for (size_t i = 0; !l->status && i < o->ntaps; i++) {
        vise_id v = vise_graph_find(g, o->taps[i]);
        if (v == VISE_NONE ||
            (!made_here(l, v) && !made_once(l, v) && s->slot[v].kind != VISE_SLOT_INPUT))
            l->status =
                vise_fail(l->e, VISE_EARG, "tap %.200s: no such value among nodes %zu to %zu",
                          o->taps[i], l->from, l->to);
        else
            add_port(s, s->out, &s->nout, g->value[v].name, v);
        if (!l->status) s->slot[v].tight = true; // so that it can be read where it lies
    }
    for (size_t i = 0; i < s->nout; i++)
        l->kept[s->out[i].slot] = true;
}

/* ---- for steps/ ---- */

vise_step *vise_lower_step(vise_lowering *l, size_t i, const vise_step_kind *kind)
{
    const vise_node *n = &l->g->node[i];
    void *attr = vise_lower_keep(l, 1, n->op->attr_size + 1);
    const char *name = l->status ? NULL : vise_region_str(&l->s->texts, n->name);
    if (!name && !l->status) l->status = vise_fail(l->e, VISE_ENOMEM, "out of memory: %s", n->name);
    if (l->status) return NULL;
    memcpy(attr, n->attr, n->op->attr_size);
    vise_step *st = &l->s->step[l->s->steps++];
    *st = (vise_step){.kind = kind,
                      .op = n->op,
                      .name = name,
                      .attr = attr,
                      .nin = n->nin,
                      .out = n->out,
                      .node = i,
                      .actq_node = i,
                      .w = {.from = VISE_NONE, .bias_from = VISE_NONE, .scale_from = VISE_NONE},
                      .epi = {.add = VISE_NONE},
                      .s = l->s};
    memcpy(st->in, n->in, sizeof st->in);
    return st;
}

vise_id vise_lower_own(vise_lowering *l, vise_id like, vise_format format)
{
    vise_session *s = l->s;
    const vise_id id = l->next++;
    s->slot[id] = s->slot[like];
    s->slot[id].kind = s->slot[like].batched ? VISE_SLOT_SHARED : VISE_SLOT_FOLDED;
    s->slot[id].format = format;
    s->slot[id].root = id;
    s->slot[id].shift = 0;
    s->slot[id].tight = false;
    return id;
}

bool vise_lower_is_const(const vise_lowering *l, vise_id v)
{
    return v != VISE_NONE && l->g->value[v].kind == VISE_VALUE_CONST;
}

size_t vise_lower_only_user(const vise_lowering *l, vise_id v)
{
    if (l->uses[v] != 1 || l->kept[v] || l->absorbed[l->user[v]]) return SIZE_MAX;
    return l->user[v];
}

static void convert_rows(vise_step *st, const vise_rows *r)
{
    const bool codes = st->s->slot[st->out].format == VISE_FMT_S8;
    const vise_operand to = {vise_row(st, st->out, r), vise_ld(st, st->out),
                             codes ? vise_rowq_at(st, st->out, r) : NULL};
    const vise_floats x = {vise_row(st, st->in[0], r), vise_ld(st, st->in[0]) / sizeof(float),
                           r->to - r->from, vise_cols(st, st->out)};
    vise_convert(st->s, &st->actq, to, x);
}

static const vise_step_kind convert = {.name = "convert", .rows = convert_rows};

/* q is that of operand `in` of node i, or VISE_MAX_IN: of none. */
static vise_id lower_as(vise_lowering *l, size_t i, vise_id v, const vise_actq *q, uint32_t in)
{
    const vise_format f = vise_format_of(q);
    if (l->s->slot[v].format == f) return v; // f32, or its own step writes what all readers want
    for (vise_id id = (vise_id)l->g->values; id < l->next; id++)
        if (l->origin[id] == v && vise_actq_same(&l->actq[id], q)) return id;
    const vise_id own = vise_lower_own(l, v, f);
    vise_step *st = vise_lower_step(l, i, &convert);
    if (!st) return VISE_NONE;
    l->origin[own] = v;
    l->actq[own] = *q;
    st->actq = *q;
    st->actq_in = in;
    st->in[0] = v;
    st->nin = 1;
    st->out = own;
    return own;
}

vise_id vise_lower_as(vise_lowering *l, size_t i, vise_id v, const vise_actq *q)
{
    return lower_as(l, i, v, q, VISE_MAX_IN);
}

vise_id vise_lower_operand(vise_lowering *l, size_t i, uint32_t k)
{
    return lower_as(l, i, l->g->node[i].in[k], &l->g->node[i].actq[k], k);
}

void vise_lower_absorb(vise_lowering *l, vise_step *st, size_t i)
{
    l->absorbed[i] = true;
    l->s->slot[st->out].kind = VISE_SLOT_UNUSED; // it never exists
    st->out = l->g->node[i].out;
    l->s->slot[st->out].kind = VISE_SLOT_SHARED;
}

/* Is it some columns of its root? */
static bool is_columns(const vise_session *s, vise_id v)
{
    return vise_shape_count(&s->slot[v].shape) != vise_shape_count(&s->slot[s->slot[v].root].shape);
}

static void copy_rows(vise_step *st, const vise_rows *r)
{
    const size_t n = vise_cols(st, st->out) * sizeof(float);
    const size_t ldx = vise_ld(st, st->in[0]), ldy = vise_ld(st, st->out);
    const char *x = vise_row(st, st->in[0], r);
    char *y = vise_row(st, st->out, r);
    for (size_t i = 0; i < r->to - r->from; i++)
        memcpy(y + i * ldy, x + i * ldx, n);
}

static const vise_step_kind copy = {.name = "copy", .rows = copy_rows};

vise_id vise_lower_tight(vise_lowering *l, size_t i, uint32_t k)
{
    const vise_id v = l->g->node[i].in[k];
    if (v == VISE_NONE) return v;
    if (!is_columns(l->s, v)) return v;
    const vise_id own = vise_lower_own(l, v, VISE_FMT_F32);
    vise_step *st = vise_lower_step(l, i, &copy);
    if (!st) return VISE_NONE;
    st->in[0] = v;
    st->nin = 1;
    st->out = own;
    return own;
}

/* ---- nodes ---- */

/* A reshape of a value in the block is that value; nothing moves. */
static bool alias(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    vise_slot *in = &l->s->slot[n->in[0]], *out = &l->s->slot[n->out];
    if (strcmp(n->op->name, "reshape") != 0 || in->kind != VISE_SLOT_SHARED ||
        is_columns(l->s, n->in[0]) || in->format != VISE_FMT_F32 || !out->batched)
        return false;
    out->root = in->root;
    out->kind = in->kind;
    if (in->rows != out->rows) l->s->slot[in->root].tight = true;
    return true;
}

static void run_forward(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    vise_sig sig;
    vise_graph_sig(l->g, n, &sig);
    vise_id in[VISE_MAX_IN];
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = vise_lower_tight(l, i, k);
    vise_step *st = vise_lower_step(l, i, &vise_step_forward);
    vise_actq *rounds = vise_lower_keep(l, VISE_MAX_IN, sizeof *rounds);
    if (!st || !rounds) return;
    memcpy(rounds, n->actq, sizeof n->actq);
    st->rounds = rounds;
    memcpy(st->in, in, n->nin * sizeof *in);
    if (n->op->scratch)
        st->scratch = n->op->scratch(&sig, &l->g->value[n->out].shape) * sizeof(float);
}

static void make_steps(vise_lowering *l)
{
    // nodes before the range that do not depend on images are folded too, if anything may read them
    for (size_t i = 0; !l->status && i < l->to; i++) {
        const vise_node *n = &l->g->node[i];
        vise_slot *out = &l->s->slot[n->out];
        if ((i < l->from && out->batched) || l->absorbed[i]) continue;
        out->kind = out->batched ? VISE_SLOT_SHARED : VISE_SLOT_FOLDED;
        if (alias(l, i)) continue;
        vise_lower_fn *fn = vise_lower_for(n->op);
        if (!out->batched || !fn || !fn(l, i)) run_forward(l, i);
    }
}

static void own_levels(vise_lowering *l, vise_actq *q)
{
    if (q->kind != VISE_ACTQ_LEVELS) return;
    int8_t *level = vise_lower_keep(l, (size_t)1 << q->bits, sizeof *level);
    if (level) q->level = memcpy(level, q->level, (size_t)1 << q->bits);
}

/* A session may outlive its model. */
static void keep_levels(vise_lowering *l)
{
    for (size_t i = 0; !l->status && i < l->s->steps; i++) {
        vise_step *st = &l->s->step[i];
        own_levels(l, &st->actq);
        own_levels(l, &st->actq_v);
        for (uint32_t k = 0; st->rounds && k < st->nin; k++)
            own_levels(l, &st->rounds[k]);
    }
}

/* Steps that no image changes go to their own list; their order stays. */
static void part_folds(vise_session *s)
{
    const size_t steps = s->steps;
    s->steps = 0;
    for (size_t i = 0; i < steps; i++)
        if (s->slot[s->step[i].out].batched)
            s->step[s->steps++] = s->step[i];
        else
            s->fold[s->folds++] = s->step[i];
}

static void find_constants(vise_lowering *l)
{
    vise_session *s = l->s;
    for (size_t i = 0; i < s->steps; i++) {
        const vise_step *st = &s->step[i];
        for (uint32_t k = 0; k < st->nin; k++)
            if (st->in[k] < l->g->values && l->g->value[st->in[k]].kind == VISE_VALUE_CONST)
                s->slot[st->in[k]].kind = VISE_SLOT_CONST;
    }
}

static void count_uses(vise_lowering *l)
{
    for (size_t i = l->from; i < l->to; i++)
        for (uint32_t k = 0; k < l->g->node[i].nin; k++) {
            const vise_id v = l->g->node[i].in[k];
            if (v == VISE_NONE) continue;
            l->uses[v]++;
            l->user[v] = (uint32_t)i;
        }
}

/* A node makes at most one slot of its own per operand, and one more. */
static size_t own_slots(const vise_graph *g, size_t nodes)
{
    size_t n = 0;
    for (size_t i = 0; i < nodes; i++)
        n += g->node[i].nin + 1;
    return n;
}

static void start(vise_lowering *l, const vise_session_opts *o)
{
    vise_session *s = l->s;
    const vise_graph *g = l->g;
    s->slots = g->values + own_slots(g, l->to);
    s->slot = vise_lower_keep(l, s->slots, sizeof *s->slot);
    s->step = vise_lower_keep(l, own_slots(g, l->to) + l->to, sizeof *s->step);
    s->fold = vise_lower_keep(l, l->to, sizeof *s->fold);
    s->in = vise_lower_keep(l, g->values, sizeof *s->in);
    s->out = vise_lower_keep(l, g->values + g->outputs + o->ntaps, sizeof *s->out);
    if (l->status) return;
    for (vise_id i = 0; i < g->values; i++) {
        const vise_shape *x = &g->value[i].shape;
        const size_t cols = x->rank ? x->dim[x->rank - 1] : 1;
        s->slot[i] = (vise_slot){.batched = g->value[i].batched,
                                 .shape = *x,
                                 .rows = vise_shape_count(x) / cols,
                                 .first = SIZE_MAX,
                                 .root = i};
    }
}

static vise_status lower(vise_lowering *l, const vise_session_opts *o)
{
    start(l, o);
    VISE_TRY(l->status);
    find_inputs(l);
    find_outputs(l, o);
    VISE_TRY(l->status);
    count_uses(l);
    make_steps(l);
    VISE_TRY(l->status);
    keep_levels(l);
    find_constants(l); // of all steps
    part_folds(l->s);
    if (!l->s->nout)
        return vise_fail(l->e, VISE_EARG, "nodes %zu to %zu give nothing out", l->from, l->to);
    copy_port_names(l, l->s->in, l->s->nin);
    copy_port_names(l, l->s->out, l->s->nout);
    return l->status;
}

vise_status vise_lower(vise_session *s, const vise_graph *g, const vise_session_opts *o,
                       vise_err *e)
{
    vise_lowering l = {.s = s, .g = g, .from = o->from, .to = o->to ? o->to : g->nodes, .e = e};
    if (l.from >= l.to || l.to > g->nodes)
        return vise_fail(e, VISE_EARG, "nodes %zu to %zu of %zu are no range", l.from, l.to,
                         g->nodes);
    const size_t slots = g->values + own_slots(g, l.to);
    vise_arena m = {0};
    for (int pass = 0; pass < 2; pass++) {
        l.uses = vise_arena_take(&m, g->values, sizeof *l.uses);
        l.user = vise_arena_take(&m, g->values, sizeof *l.user);
        l.kept = vise_arena_take(&m, g->values, sizeof *l.kept);
        l.absorbed = vise_arena_take(&m, g->nodes, sizeof *l.absorbed);
        l.origin = vise_arena_take(&m, slots, sizeof *l.origin);
        l.actq = vise_arena_take(&m, slots, sizeof *l.actq);
        if (!pass) VISE_TRY(vise_arena_commit(&m, e));
    }
    for (size_t i = 0; i < slots; i++)
        l.origin[i] = VISE_NONE;
    l.next = (vise_id)g->values;
    const vise_status st = lower(&l, o);
    vise_free(m.base);
    return st;
}
