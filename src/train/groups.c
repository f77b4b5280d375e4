/* groups.c - a parameter's role is what the first node that reads it does, and where
 * SPDX-License-Identifier: MIT */
#include "train/groups.h"
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 1 + N of a node in block N; 0 of any other. */
static size_t block_of(const vise_node *n)
{
    static const char prefix[] = "blocks.";
    const size_t len = sizeof prefix - 1;
    return strncmp(n->name, prefix, len) ? 0 : 1 + strtoul(n->name + len, NULL, 10);
}

static bool is_matrix(const vise_node *n, vise_id v)
{
    const bool product = !strcmp(n->op->name, "linear") || !strcmp(n->op->name, "conv2d");
    return product && n->in[1] == v;
}

static const vise_node *reader(const vise_graph *g, vise_id v)
{
    for (size_t i = 0; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] == v) return g->node + i;
    return NULL;
}

/* Layers between a node and the output: 0 behind the last block. */
static size_t distance(const vise_graph *g, const vise_node *n, size_t blocks)
{
    if (block_of(n)) return blocks + 1 - block_of(n);
    for (; n < g->node + g->nodes; n++)
        if (block_of(n)) return blocks + 1;
    return 0;
}

void vise_groups_apply(const vise_groups *how, const vise_graph *g, const vise_id *value,
                       vise_param *p, size_t n)
{
    size_t blocks = 0;
    for (size_t i = 0; i < g->nodes; i++)
        if (block_of(g->node + i) > blocks) blocks = block_of(g->node + i);
    for (size_t i = 0; i < n; i++) {
        const vise_node *r = reader(g, value[i]);
        p[i].decay = r && is_matrix(r, value[i]) ? (float)how->decay : 0;
        p[i].rate = r ? (float)pow(how->slower, (double)distance(g, r, blocks)) : 1;
    }
}
