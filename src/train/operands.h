/* operands.h - the scales of operands that are rounded to a static range, while they are trained.
 *
 * What several nodes read and round alike has one scale. Logarithms are trained, so that a step is
 * relative; their gradients are those of LSQ (matrices.h).
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_OPERANDS_H
#define VISE_TRAIN_OPERANDS_H

#include "model/change.h"
#include "train/tape.h"

typedef struct vise_operand_scale {
    vise_id value;   // of the model: what is rounded
    float first;     // scale in the model
    float log, dlog; // of scale / first, and its gradient
    bool idle;       // it is not trained now, and stays what it is
} vise_operand_scale;

/* Operand `in` of a node, by its index in the model and in the network that is trained. */
typedef struct vise_operand_use {
    size_t from, to, scale;
    uint32_t in;
} vise_operand_use;

typedef struct vise_operand_scales {
    vise_operand_scale *scale; // [scales]
    vise_operand_use *use;     // [uses]
    size_t scales, uses;
} vise_operand_scales;

/* Finds them in c, of which net was built.  VISE_ENOMEM. Closed in every case. */
vise_status vise_operand_scales_open(vise_operand_scales *s, const vise_change *c,
                                     const vise_graph *net, vise_err *e);
void vise_operand_scales_close(vise_operand_scales *s);

/* After t's backward. */
void vise_operand_scales_gradients(vise_operand_scales *s, const vise_tape *t);
/* What was trained becomes what c and the network have; sessions do not know yet. */
void vise_operand_scales_encode(const vise_operand_scales *s, vise_change *c, vise_graph *net);
/* Those that nodes of [from, to) of the network alone use are trained from now on, others are idle. */
void vise_operand_scales_within(vise_operand_scales *s, size_t from, size_t to);

#endif
