/* walk.h - the oracle of sessions: every node by its operator's definition, one image at a time
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_WALK_H
#define TESTS_WALK_H

#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline float *walk_constant(const vise_value *v)
{
    float *p = calloc(vise_shape_count(&v->shape), sizeof *p);
    assert_non_null(p);
    vise_decode(p, &v->data);
    return p;
}

/* values[i]: every value of the graph for one image; released with free_values. */
static inline float **walk(const vise_graph *g, const float *pixels)
{
    float **values = calloc(g->values, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < g->values; i++)
        if (g->value[i].kind == VISE_VALUE_CONST) values[i] = walk_constant(&g->value[i]);
    float *in = malloc(vise_shape_count(&g->value[g->input[0].value].shape) * sizeof *in);
    assert_non_null(in);
    memcpy(in, pixels, vise_shape_count(&g->value[g->input[0].value].shape) * sizeof *in);
    values[g->input[0].value] = in;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        vise_sig sig;
        vise_graph_sig(g, n, &sig);
        vise_call c = {.attr = n->attr, .batch = 1, .nin = n->nin, .nout = 1, .actq = n->actq};
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != VISE_NONE)
                c.in[k] = (vise_arg){&g->value[n->in[k]].shape, values[n->in[k]],
                                     g->value[n->in[k]].batched};
        const vise_value *out = &g->value[n->out];
        float *scratch = n->op->scratch ? calloc(n->op->scratch(&sig, &out->shape) + 1, 4) : NULL;
        values[n->out] = calloc(vise_shape_count(&out->shape), sizeof(float));
        c.out[0] = (vise_arg){&out->shape, values[n->out], out->batched};
        c.scratch = scratch;
        n->op->forward(&c);
        free(scratch);
    }
    return values;
}

static inline void free_values(const vise_graph *g, float **values)
{
    for (size_t i = 0; i < g->values; i++)
        free(values[i]);
    free(values);
}

#endif
