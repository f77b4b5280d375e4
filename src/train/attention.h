/* attention.h - attention's gradients by the fast products: what the operator's own backward computes,
 * in another order.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_ATTENTION_H
#define VISE_TRAIN_ATTENTION_H

#include "graph/op.h"
#include "kern/kern.h"

/* Floats of scratch for a node of these operands; 0: it has a bias or sizes, which this does not know. */
size_t vise_fast_attention_room(const vise_kern *k, const vise_sig *s);
/* One picture, otherwise as vise_backward_fn.   room  scratch, 64-byte aligned */
void vise_fast_attention(const vise_kern *k, const vise_call *c, const float *dout,
                         float *const din[], float *room);

#endif
