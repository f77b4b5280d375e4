/* fast.h - gradients of a node for all pictures at once, by the fast kernels and all threads: what the
 * operator's own backward computes, in another order. The same bits for any number of threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_FAST_H
#define VISE_TRAIN_FAST_H

#include "graph/op.h"
#include "train/work.h"

/* A call of backward, as in op.h, but with operands before they are rounded: of a rounded matrix or
 * convolution the gradients are those of the rounded operand, and end beyond a static range. The
 * call's scratch may be NULL. */
typedef struct vise_fast {
    vise_dense *dense;
    vise_work *work;
    const vise_op *op;
    vise_call call;
    const float *dout;
    float *din[VISE_MAX_IN]; // NULL: not wanted
    bool fresh;              // din[0] is not there yet: it is set, not added to
    double *dscale;          // of the first operand, as matrices.h; NULL: not wanted
} vise_fast;

/* linear; conv2d of one group; layernorm with a weight; act of GELU. */
bool vise_fast_knows(const vise_fast *f);
vise_status vise_fast_backward(const vise_fast *f, vise_err *e); // VISE_ENOMEM

#endif
