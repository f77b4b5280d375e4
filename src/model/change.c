/* change.c - building the changed graph, and handing it and its memory to the model
 * SPDX-License-Identifier: MIT */
#include "model/change.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = VISE_MAX_NAME + 16 };

vise_status vise_change_open(vise_change *c, const vise_model *m, const vise_eval_opts *opts,
                             vise_err *e)
{
    const vise_graph *g = &m->graph;
    *c = (vise_change){.from = m, .opts = opts};
    VISE_TRY(vise_alloc_or(&c->data, g->values, sizeof *c->data, "a changed model", e));
    VISE_TRY(vise_alloc_or(&c->actq, g->nodes, sizeof *c->actq, "a changed model", e));
    VISE_TRY(vise_alloc_or(&c->attr, g->nodes, sizeof *c->attr, "a changed model", e));
    VISE_TRY(vise_alloc_or(&c->factor, g->nodes, sizeof *c->factor, "a changed model", e));
    for (size_t i = 0; i < g->values; i++)
        c->data[i] = g->value[i].data;
    for (size_t i = 0; i < g->nodes; i++)
        c->attr[i] = g->node[i].attr;
    for (size_t i = 0; i < g->nodes; i++)
        memcpy(c->actq[i], g->node[i].actq, sizeof c->actq[i]);
    return VISE_OK;
}

vise_status vise_change_alloc(vise_change *c, void *out, size_t n, size_t size, vise_err *e)
{
    if (c->blocks == c->room) {
        const size_t room = c->room ? 2 * c->room : 64;
        void **p = vise_realloc(c->block, c->blocks * sizeof *p, room, sizeof *p);
        if (!p) return vise_fail(e, VISE_ENOMEM, "out of memory: a list of %zu blocks", room);
        c->block = p;
        c->room = room;
    }
    VISE_TRY(vise_alloc_or(&c->block[c->blocks], n, size, "a changed constant", e));
    memcpy(out, &c->block[c->blocks++], sizeof(void *));
    return VISE_OK;
}

vise_graph *vise_change_rewrite(vise_change *c, vise_err *e)
{
    vise_graph_init(&c->graph, e);
    c->rewritten = true;
    return &c->graph;
}

/* ---- the changed graph ---- */

/* A name with something behind it. */
static const char *longer(char buf[NAME_ROOM], const char *name, const char *suffix)
{
    snprintf(buf, NAME_ROOM, "%s%s", name, suffix);
    return buf;
}

/* x times a factor per channel, as a node of the old one's name. */
static vise_id multiply(vise_graph *to, const vise_change *c, size_t i, vise_id x)
{
    char name[NAME_ROOM];
    const vise_value *v = &c->from->graph.value[c->from->graph.node[i].out];
    const vise_const k = {.shape = {1, {v->shape.dim[v->shape.rank - 1]}},
                          .enc = {.type = VISE_F32},
                          .data = c->factor[i]};
    const vise_id by = vise_graph_const(to, longer(name, v->name, ".factor"), &k);
    return vise_graph_add(to, "mul", v->name, NULL, 2, (vise_id[]){x, by});
}

/* Node i of the old graph g in the new one. map: old values' ids in the new one. */
static void add_node(vise_graph *to, const vise_change *c, size_t i, vise_id *map)
{
    const vise_graph *g = &c->from->graph;
    const vise_node *n = &g->node[i];
    vise_id in[VISE_MAX_IN];
    for (uint32_t k = 0; k < n->nin; k++) {
        const vise_id v = n->in[k];
        if (v != VISE_NONE && map[v] == VISE_NONE) // a constant that no node has read so far
            map[v] = vise_graph_const(to, g->value[v].name, &c->data[v]);
        in[k] = v == VISE_NONE ? VISE_NONE : map[v];
    }
    char raw[NAME_ROOM];
    const char *name = c->factor[i] ? longer(raw, n->name, ".raw") : n->name;
    const vise_id out = vise_graph_add(to, n->op->name, name, c->attr[i], n->nin, in);
    vise_graph_set_actq(to, out, c->actq[i]);
    map[n->out] = c->factor[i] ? multiply(to, c, i, out) : out;
}

vise_status vise_change_build(vise_graph *to, const vise_change *c, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    vise_id *map;
    vise_graph_init(to, e);
    VISE_TRY(vise_alloc_or(&map, g->values, sizeof *map, "a changed model", e));
    memset(map, 0xff, g->values * sizeof *map); // VISE_NONE
    for (size_t i = 0; i < g->inputs; i++) {
        const vise_port_ref *p = &g->input[i];
        map[p->value] = vise_graph_input(to, p->name, &g->value[p->value].shape);
    }
    for (size_t i = 0; i < g->nodes; i++)
        add_node(to, c, i, map);
    for (size_t i = 0; i < g->outputs; i++)
        vise_graph_output(to, g->output[i].name, map[g->output[i].value]);
    vise_free(map);
    return vise_graph_finish(to);
}

vise_status vise_change_commit(vise_change *c, vise_model *m, const char *line, vise_err *e)
{
    vise_graph changed;
    vise_status s;
    if (c->rewritten) {
        changed = c->graph;
        c->graph = (vise_graph){0};
        s = vise_graph_finish(&changed);
    } else {
        s = vise_change_build(&changed, c, e);
    }
    while (!s && c->blocks) // a block that the model owns and does not use does no harm
        s = vise_tensors_own(&m->tensors, c->block[--c->blocks], e);
    if (!s) s = vise_strings_add(&m->history, line, e);
    if (s) {
        vise_graph_free(&changed);
        return s;
    }
    vise_graph_free(&m->graph);
    m->graph = changed;
    return VISE_OK;
}

void vise_change_close(vise_change *c)
{
    for (size_t i = 0; i < c->blocks; i++)
        vise_free(c->block[i]);
    vise_graph_free(&c->graph);
    vise_free(c->block);
    vise_free(c->actq);
    vise_free(c->attr);
    vise_free(c->factor);
    vise_free(c->data);
    *c = (vise_change){0};
}
