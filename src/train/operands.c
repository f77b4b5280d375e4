/* operands.c - which operands share a scale, and its gradient
 * SPDX-License-Identifier: MIT */
#include "train/operands.h"
#include "graph/actq.h"

#include <math.h>

/* The scale of operand k of node i of the model; a new one unless an earlier node rounds the same value
 * in the same way. */
static size_t scale_of(vise_operand_scales *s, const vise_change *c, size_t i, uint32_t k)
{
    const vise_node *node = c->from->graph.node;
    for (size_t u = 0; u < s->uses; u++) {
        const vise_operand_use *use = &s->use[u];
        if (node[use->from].in[use->in] == node[i].in[k] &&
            vise_actq_same(&c->actq[use->from][use->in], &c->actq[i][k]))
            return use->scale;
    }
    s->scale[s->scales] =
        (vise_operand_scale){.value = node[i].in[k], .first = c->actq[i][k].scale};
    return s->scales++;
}

vise_status vise_operand_scales_open(vise_operand_scales *s, const vise_change *c,
                                     const vise_graph *net, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    size_t most = 0;
    *s = (vise_operand_scales){0};
    for (size_t i = 0; i < g->nodes; i++)
        most += g->node[i].nin;
    VISE_TRY(vise_alloc_or(&s->scale, most + 1, sizeof *s->scale, "scales of operands", e));
    VISE_TRY(vise_alloc_or(&s->use, most + 1, sizeof *s->use, "scales of operands", e));
    for (size_t i = 0; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++) {
            const vise_id out = vise_graph_find(net, g->node[i].name);
            if (c->actq[i][k].kind < VISE_ACTQ_STATIC || out == VISE_NONE) continue;
            const size_t scale = scale_of(s, c, i, k);
            s->use[s->uses++] = (vise_operand_use){i, net->value[out].node, scale, k};
        }
    return VISE_OK;
}

void vise_operand_scales_close(vise_operand_scales *s)
{
    vise_free(s->scale);
    vise_free(s->use);
    *s = (vise_operand_scales){0};
}

void vise_operand_scales_gradients(vise_operand_scales *s, const vise_tape *t)
{
    for (size_t i = 0; i < s->scales; i++)
        s->scale[i].dlog = 0;
    for (size_t i = 0; i < s->uses; i++)
        s->scale[s->use[i].scale].dlog += (float)t->dscale[s->use[i].to][s->use[i].in];
}

void vise_operand_scales_encode(const vise_operand_scales *s, vise_change *c, vise_graph *net)
{
    for (size_t i = 0; i < s->uses; i++) {
        const vise_operand_use *u = &s->use[i];
        const vise_operand_scale *scale = &s->scale[u->scale];
        if (scale->idle) continue;
        c->actq[u->from][u->in].scale = scale->first * expf(scale->log);
        net->node[u->to].actq[u->in].scale = c->actq[u->from][u->in].scale;
    }
}

void vise_operand_scales_within(vise_operand_scales *s, size_t from, size_t to)
{
    for (size_t i = 0; i < s->scales; i++)
        s->scale[i].idle = false;
    for (size_t i = 0; i < s->uses; i++)
        if (s->use[i].to < from || s->use[i].to >= to) s->scale[s->use[i].scale].idle = true;
}
