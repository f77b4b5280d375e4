/* matrices.h - gradients of y = x w^T + b by the fast products.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_MATRICES_H
#define VISE_TRAIN_MATRICES_H

#include "graph/actq.h"
#include "graph/tensor.h"
#include "train/work.h"

/* Gradients are added to; NULL: not wanted.
 *   dx  +=  [rows, K]     dw  +=  [N, K]     db  +=  [N]
 *   dout  in  [rows, N]     x  in  [rows, K]     w  in  [N, K]
 *   actq  how x is rounded: dw is of the rounded x, and dx as vise_cut_gradient says
 *   dscale  +=  gradient of the logarithm of a static scale; none without dx */
typedef struct vise_linear_grad {
    float *dx, *dw, *db;
    const float *dout, *x, *w;
    const vise_actq *actq;
    double *dscale;
    size_t rows, N, K;
    bool fresh; // dx is not there yet: it is set, not added to
} vise_linear_grad;
/* The same bits for any number of threads.  VISE_ENOMEM */
vise_status vise_linear_gradients(vise_dense *d, vise_work *k, const vise_linear_grad *l,
                                  vise_err *e);

/* Numbers that a static range cuts off have no gradient. Gives that of the scale's logarithm (LSQ, Esser
 * et al., arXiv 1902.08153); of what has no static scale 0.
 *   d  inout  [n] gradient of x as rounded     x  in  [n] before */
double vise_cut_gradient(const vise_kern *k, const vise_actq *q, float *d, const float *x,
                         size_t n);

#endif
