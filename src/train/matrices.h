/* matrices.h - gradients of y = x w^T + b by the fast products.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_MATRICES_H
#define VISE_TRAIN_MATRICES_H

#include "exec/dense.h"
#include "graph/tensor.h"

/* What products need beside their operands; grows, and is kept for the next. Zeroed: nothing yet. */
typedef struct vise_matrices {
    float *turned, *rounded; // a gradient transposed; a rounded operand or its gradient
    size_t turned_room, rounded_room;
} vise_matrices;
void vise_matrices_free(vise_matrices *m); // safe on a zeroed one

/* Gradients are added to; NULL: not wanted.
 *   dx  +=  [rows, K]     dw  +=  [N, K]     db  +=  [N]
 *   dout  in  [rows, N]     x  in  [rows, K]     w  in  [N, K]
 *   actq  how x is rounded: dw is of the rounded x, and dx as vise_cut_gradient says */
typedef struct vise_linear_grad {
    float *dx, *dw, *db;
    const float *dout, *x, *w;
    const vise_actq *actq;
    size_t rows, N, K;
} vise_linear_grad;
/* The same bits for any number of threads.  VISE_ENOMEM */
vise_status vise_linear_gradients(vise_dense *d, vise_matrices *m, const vise_linear_grad *l,
                                  vise_err *e);

/* Numbers that a static range cuts off have no gradient.
 *   d  inout  [n] gradient of x as rounded     x  in  [n] before */
void vise_cut_gradient(const vise_actq *q, float *d, const float *x, size_t n);

#endif
