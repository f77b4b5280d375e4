/* fuzz_vise.c - any bytes as a .vise file: metadata, graph, shape rules, costs, codes
 * SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every code, scale and level of the constants that are not large. */
static void decode_all(const vise_graph *g)
{
    enum { MOST = 1 << 16 };
    float *out = malloc(MOST * sizeof *out);
    for (size_t i = 0; out && i < g->values; i++)
        if (g->value[i].kind == VISE_VALUE_CONST && vise_shape_count(&g->value[i].shape) <= MOST)
            vise_decode(out, &g->value[i].data);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vise_err e;
    vise_model *m;
    vise_map map = {.data = data, .size = size};
    if (vise_model_alloc(&m, &e)) return 0;
    if (!vise_read_safetensors(&m->tensors, &map, &e) && vise_file_is(&m->tensors) &&
        !vise_file_load(m, 0, 0, &e)) {
        vise_model_info info;
        vise_node_info node;
        vise_model_get_info(m, &info);
        for (size_t i = 0; i < info.nodes; i++)
            vise_model_get_node(m, i, &node);
        vise_weight_info weights;
        for (size_t i = 0; vise_model_get_weights(m, i, &weights);)
            i++;
        decode_all(&m->graph);
    }
    vise_model_free(m);
    return 0;
}
