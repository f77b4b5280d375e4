/* graph.c - building a network, and what it costs
 * SPDX-License-Identifier: MIT */
#include "graph/graph.h"
#include "graph/actq.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void vise_graph_init(vise_graph *g, vise_err *e)
{
    *g = (vise_graph){.e = e};
}

void vise_graph_free(vise_graph *g)
{
    vise_free(g->value);
    vise_free(g->node);
    vise_free(g->index);
    vise_region_free(&g->texts);
    *g = (vise_graph){0};
}

void vise_graph_fail(vise_graph *g, vise_status s)
{
    if (!g->status) g->status = s;
}

/* Shorthand for the sticky failures of this file. */
#define FAIL(g, code, ...) vise_graph_fail(g, vise_fail((g)->e, code, __VA_ARGS__))

/* ---- names: open addressing over value ids, rebuilt when half full ---- */

static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

static void index_put(vise_graph *g, vise_id id)
{
    size_t i = hash(g->value[id].name) & (g->index_size - 1);
    while (g->index[i] != VISE_NONE)
        i = (i + 1) & (g->index_size - 1);
    g->index[i] = id;
}

static bool index_room(vise_graph *g)
{
    if (2 * (g->values + 1) < g->index_size) return true;
    size_t size = g->index_size ? 2 * g->index_size : 256;
    uint32_t *index = vise_alloc(size, sizeof *index);
    if (!index) return false;
    memset(index, 0xff, size * sizeof *index);
    vise_free(g->index);
    g->index = index;
    g->index_size = size;
    for (size_t i = 0; i < g->values; i++)
        index_put(g, (vise_id)i);
    return true;
}

vise_id vise_graph_find(const vise_graph *g, const char *name)
{
    if (!g->index_size) return VISE_NONE;
    for (size_t i = hash(name) & (g->index_size - 1);; i = (i + 1) & (g->index_size - 1)) {
        if (g->index[i] == VISE_NONE) return VISE_NONE;
        if (!strcmp(g->value[g->index[i]].name, name)) return g->index[i];
    }
}

/* ---- values ---- */

static bool shape_ok(vise_graph *g, const char *name, const vise_shape *s)
{
    char text[VISE_SHAPE_TEXT];
    size_t count;
    bool ok = s->rank <= VISE_MAX_RANK && vise_shape_count_within(s, VISE_MAX_COUNT, &count);
    for (uint32_t i = 0; ok && i < s->rank; i++)
        ok = s->dim[i] <= VISE_MAX_DIM;
    if (!ok)
        FAIL(g, VISE_EFORMAT, "%s: shape %s is out of bounds", name,
             vise_shape_text(text, sizeof text, s));
    return ok;
}

static vise_id add_value(vise_graph *g, vise_value v)
{
    if (g->status || !shape_ok(g, v.name, &v.shape)) return VISE_NONE;
    if (vise_graph_find(g, v.name) != VISE_NONE) {
        FAIL(g, VISE_EFORMAT, "%s: the name is used twice", v.name);
        return VISE_NONE;
    }
    if (g->values == g->values_room) {
        size_t room = g->values_room ? 2 * g->values_room : 256;
        vise_value *p = vise_realloc(g->value, g->values * sizeof *p, room, sizeof *p);
        if (!p) {
            FAIL(g, VISE_ENOMEM, "out of memory: %zu values", room);
            return VISE_NONE;
        }
        g->value = p;
        g->values_room = room;
    }
    v.name = vise_region_str(&g->texts, v.name);
    if (!v.name || !index_room(g)) {
        FAIL(g, VISE_ENOMEM, "out of memory: names of values");
        return VISE_NONE;
    }
    g->value[g->values] = v;
    index_put(g, (vise_id)g->values);
    return (vise_id)g->values++;
}

static void add_port(vise_graph *g, vise_port_ref *ports, size_t *n, const char *name, vise_id v)
{
    if (g->status) return;
    for (size_t i = 0; i < *n; i++)
        if (!strcmp(ports[i].name, name)) FAIL(g, VISE_EFORMAT, "%s: a port named twice", name);
    if (*n == VISE_MAX_PORTS) FAIL(g, VISE_EFORMAT, "%s: more than %d ports", name, VISE_MAX_PORTS);
    if (g->status) return; // the first failure keeps its message
    const char *copy = vise_region_str(&g->texts, name);
    if (!copy) {
        FAIL(g, VISE_ENOMEM, "out of memory: port %s", name);
        return;
    }
    ports[(*n)++] = (vise_port_ref){copy, v};
}

vise_id vise_graph_input(vise_graph *g, const char *name, const vise_shape *shape)
{
    vise_id id = add_value(g, (vise_value){.name = name,
                                           .kind = VISE_VALUE_INPUT,
                                           .batched = true,
                                           .shape = *shape,
                                           .node = VISE_NONE});
    add_port(g, g->input, &g->inputs, name, id);
    return id;
}

vise_id vise_graph_const(vise_graph *g, const char *name, const vise_const *data)
{
    return add_value(g, (vise_value){.name = name,
                                     .kind = VISE_VALUE_CONST,
                                     .shape = data->shape,
                                     .node = VISE_NONE,
                                     .data = *data});
}

void vise_graph_output(vise_graph *g, const char *name, vise_id value)
{
    if (!g->status && value >= g->values)
        FAIL(g, VISE_EFORMAT, "%s: an output without a value", name);
    add_port(g, g->output, &g->outputs, name, value);
}

/* ---- nodes ---- */

static bool operands_ok(vise_graph *g, const vise_op *op, const char *name, uint32_t nin,
                        const vise_id *in)
{
    if (nin < op->min_in || nin > op->max_in) {
        FAIL(g, VISE_EFORMAT, "%s: %s takes %u to %u inputs, not %u", name, op->name, op->min_in,
             op->max_in, nin);
        return false;
    }
    for (uint32_t i = 0; i < nin; i++) {
        if (in[i] == VISE_NONE && i >= op->min_in) continue;
        if (in[i] < g->values) continue;
        FAIL(g, VISE_EFORMAT, "%s: input %u of %s is not an earlier value", name, i, op->name);
        return false;
    }
    return true;
}

static const void *keep_attr(vise_graph *g, const vise_op *op, const void *attr, const char *name)
{
    static const char none;
    if (!op->attr_size) return &none;
    void *p = vise_region_take(&g->texts, 1, op->attr_size);
    if (!p) {
        FAIL(g, VISE_ENOMEM, "out of memory: attributes of %s", name);
        return NULL;
    }
    if (attr)
        memcpy(p, attr, op->attr_size);
    else
        vise_attr_defaults(op, p);
    vise_graph_fail(g, vise_attr_check(op, p, name, g->e));
    return p;
}

static bool node_room(vise_graph *g, const char *name)
{
    if (g->nodes < g->nodes_room) return true;
    size_t room = g->nodes_room ? 2 * g->nodes_room : 256;
    vise_node *p =
        room > VISE_MAX_NODES ? NULL : vise_realloc(g->node, g->nodes * sizeof *p, room, sizeof *p);
    if (!p) {
        FAIL(g, room > VISE_MAX_NODES ? VISE_EFORMAT : VISE_ENOMEM, "%s: no room for %zu nodes",
             name, room);
        return false;
    }
    g->node = p;
    g->nodes_room = room;
    return true;
}

vise_id vise_graph_add(vise_graph *g, const char *op_name, const char *name, const void *attr,
                       uint32_t nin, const vise_id *in)
{
    if (g->status) return VISE_NONE;
    const vise_op *op = vise_op_find(op_name);
    if (!op) {
        FAIL(g, VISE_EFORMAT, "%s: unknown operator %s", name, op_name);
        return VISE_NONE;
    }
    if (!operands_ok(g, op, name, nin, in) || !node_room(g, name)) return VISE_NONE;
    vise_node n = {.op = op, .nin = nin, .attr = keep_attr(g, op, attr, name), .name = name};
    for (uint32_t i = 0; i < nin; i++)
        n.in[i] = in[i];
    if (g->status) return VISE_NONE;

    vise_sig s;
    vise_value v = {.name = name, .kind = VISE_VALUE_NODE, .node = (uint32_t)g->nodes};
    vise_graph_sig(g, &n, &s);
    for (uint32_t i = 0; i < nin; i++)
        v.batched |= s.batched[i];
    vise_graph_fail(g, op->shape(&s, &v.shape, g->e));
    n.out = add_value(g, v);
    if (g->status) return VISE_NONE;
    n.name = g->value[n.out].name;
    g->node[g->nodes++] = n;
    return n.out;
}

/* With levels of the graph's own. */
static vise_actq keep_actq(vise_graph *g, const vise_actq *q, const char *name)
{
    vise_actq own = *q;
    own.level = NULL;
    if (q->kind != VISE_ACTQ_LEVELS) return own;
    int8_t *level = vise_region_take(&g->texts, (size_t)1 << q->bits, sizeof *level);
    if (level)
        own.level = memcpy(level, q->level, (size_t)1 << q->bits);
    else
        FAIL(g, VISE_ENOMEM, "out of memory: levels of %s", name);
    return own;
}

void vise_graph_set_actq(vise_graph *g, vise_id value, const vise_actq *actq)
{
    if (g->status) return;
    assert(value < g->values && g->value[value].kind == VISE_VALUE_NODE);
    vise_node *n = &g->node[g->value[value].node];
    vise_sig s;
    vise_graph_sig(g, n, &s);
    s.actq = actq;
    vise_graph_fail(g, vise_actq_check(actq, n->nin, n->name, g->e));
    if (!g->status && n->op->actq) vise_graph_fail(g, n->op->actq(&s, g->e));
    if (!g->status && !n->op->actq) vise_graph_fail(g, vise_actq_check_first(&s, 0, g->e));
    for (uint32_t i = 0; !g->status && i < n->nin; i++)
        n->actq[i] = keep_actq(g, &actq[i], n->name);
}

vise_status vise_graph_finish(vise_graph *g)
{
    if (!g->status && (!g->inputs || !g->outputs || !g->nodes))
        FAIL(g, VISE_EFORMAT, "the graph has %zu inputs, %zu nodes and %zu outputs", g->inputs,
             g->nodes, g->outputs);
    for (size_t i = 0; !g->status && i < g->outputs; i++) {
        const vise_value *v = &g->value[g->output[i].value];
        if (v->kind != VISE_VALUE_NODE || !v->batched)
            FAIL(g, VISE_EFORMAT, "%s: output %s is not computed from the input", v->name,
                 g->output[i].name);
    }
    g->e = NULL; // belongs to the builder's caller
    return g->status;
}

void vise_graph_sig(const vise_graph *g, const vise_node *n, vise_sig *s)
{
    *s = (vise_sig){.name = n->name, .attr = n->attr, .nin = n->nin, .actq = n->actq};
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == VISE_NONE) continue;
        s->in[i] = &g->value[n->in[i]].shape;
        s->batched[i] = g->value[n->in[i]].batched;
    }
}

void vise_graph_cost(const vise_graph *g, const vise_node *n, vise_cost *c)
{
    vise_sig s;
    const vise_shape *out = &g->value[n->out].shape;
    vise_graph_sig(g, n, &s);
    *c = (vise_cost){.macs = n->op->macs ? n->op->macs(&s, out) : 0,
                     .act_bytes = vise_shape_count(out) * sizeof(float)};
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == VISE_NONE) continue;
        const vise_value *v = &g->value[n->in[i]];
        if (v->kind == VISE_VALUE_CONST) {
            c->params += vise_shape_count(&v->shape);
            c->weight_bytes += vise_const_bytes(&v->data);
        } else {
            c->act_bytes += vise_shape_count(&v->shape) * sizeof(float);
        }
    }
}

bool vise_graph_reads(const vise_graph *g, vise_id v, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] == v) return true;
    return false;
}

size_t vise_graph_block_end(const vise_graph *g, size_t i)
{
    char name[40];
    size_t last = SIZE_MAX;
    snprintf(name, sizeof name, "blocks.%zu.", i);
    for (size_t k = 0; k < g->nodes; k++)
        if (!strncmp(g->node[k].name, name, strlen(name))) last = k;
    return last;
}
