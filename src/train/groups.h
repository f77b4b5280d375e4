/* groups.h - which weights decay, and which layers learn slower.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_GROUPS_H
#define VISE_TRAIN_GROUPS_H

#include "graph/graph.h"
#include "train/optim.h"

/* decay: of matrices of linear layers and convolutions; all else (biases, norms, positions, tokens,
 * layer scales) has none. slower: the rate of a layer is this times that of the next (layer-wise decay
 * of BEiT, arXiv 2106.08254); the layers are what comes before the blocks, each block, and what follows
 * the last; 1: one rate for all. */
typedef struct vise_groups {
    double decay, slower;
} vise_groups;

/* Fills in rate and decay.
 *   p      inout [n]
 *   value  in    [n] the constant of g that each is */
void vise_groups_apply(const vise_groups *how, const vise_graph *g, const vise_id *value,
                       vise_param *p, size_t n);

#endif
