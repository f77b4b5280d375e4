/* lower.h - what steps/ use to turn nodes into steps.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_LOWER_H
#define VISE_EXEC_LOWER_H

#include "exec/session.h"

typedef struct vise_lowering {
    vise_session *s;
    const vise_graph *g;
    size_t from, to; // the range of nodes
    uint32_t *uses;  // [values] how often nodes of the range and the ports read a value
    uint32_t *user;  // [values] the last node of the range that reads it
    bool *kept;      // [values] given out
    bool *absorbed;  // [nodes] done by an earlier node's step
    vise_id *origin; // [slots] of the session's own operands: the value they are made from
    vise_actq *actq; // [slots] and how
    vise_id next;    // the next own id
    vise_err *e;
    vise_status status; // the first failure sticks
} vise_lowering;

/* Makes the steps of node i, or says no: then the operator's definition runs. */
typedef bool vise_lower_fn(vise_lowering *l, size_t i);
vise_lower_fn *vise_lower_for(const vise_op *op); // NULL: none

/* Zeroed memory that lives as long as the session; NULL after a failure. */
void *vise_lower_keep(vise_lowering *l, size_t n, size_t size);
/* A new step of node i, with its operands; NULL after a failure. */
vise_step *vise_lower_step(vise_lowering *l, size_t i, const vise_step_kind *kind);
/* A new slot of the session's own, shaped as rows of a value; VISE_NONE after a failure. */
vise_id vise_lower_own(vise_lowering *l, vise_id like, vise_format format);
/* Input k of node i in the form that its activation quantizer asks for; makes a converting step
 * unless the value has that form. */
vise_id vise_lower_operand(vise_lowering *l, size_t i, uint32_t k);
/* The same for any value and rounding. */
vise_id vise_lower_as(vise_lowering *l, size_t i, vise_id v, const vise_actq *q);
/* Step st does node i, too, which is the only reader of its result. */
void vise_lower_absorb(vise_lowering *l, vise_step *st, size_t i);
/* Input k of node i as rows without gaps; makes a copying step if it is columns of a wider value. */
vise_id vise_lower_tight(vise_lowering *l, size_t i, uint32_t k);
/* The only reader of v, a node of the range after which v is dead; SIZE_MAX: there is no such. */
size_t vise_lower_only_user(const vise_lowering *l, vise_id v);
/* Is node i a linear that runs as a product, and takes its operand as its rounding says? Its weight
 * has to be known when the session opens. */
bool vise_lower_is_gemm(const vise_lowering *l, size_t i);
/* Is this operand a constant of the model? */
bool vise_lower_is_const(const vise_lowering *l, vise_id v);

#endif
