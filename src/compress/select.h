/* select.h - which nodes of a network a pass is for.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_SELECT_H
#define VISE_COMPRESS_SELECT_H

#include "graph/graph.h"

/* Does the node apply a constant matrix to rows: a linear, or a convolution of one group? */
bool vise_is_matrix(const vise_graph *g, const vise_node *n);
bool vise_is_op(const vise_node *n, const char *op);
/* How many leading operands of a node can be rounded: 0, 1, or q, k and v. */
uint32_t vise_rounded_operands(const vise_graph *g, const vise_node *n);

/* Which nodes a list of patterns names: separated by commas, * stands for anything. Every pattern has to
 * match one. VISE_EARG, with what in front of the pattern.
 *   named  inout  [nodes]  set where a pattern matches */
vise_status vise_select(bool *named, const vise_graph *g, const char *list, const char *what,
                        vise_err *e);

#endif
