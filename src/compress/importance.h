/* importance.h - how much the answer depends on each row that a matrix gives.
 *
 * g is the gradient, in one row of the output, of a random direction of the logits whose covariance is
 * that of their distribution, diag(p) - p p^T. E |g|^2 is then the trace of the row's block in the
 * Gauss-Newton matrix of the KL divergence: by so much an error in that row counts (rows weighted by
 * gradients: GuidedQuant, Kim et al., arXiv 2505.07004). Behind the last attention, for instance,
 * nothing but the class token counts.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_IMPORTANCE_H
#define VISE_COMPRESS_IMPORTANCE_H

#include "compress/prefix.h"
#include "exec/dense.h"

typedef struct vise_importance {
    size_t nodes;
    float **row; // [nodes] of matrices [pictures, rows], mean 1; NULL: all rows alike
} vise_importance;

/* The prefix stands at the start. A network that has no logits, or an operator without a gradient:
 * all rows alike. VISE_ENOMEM; VISE_ECANCEL; or as sessions fail. */
vise_status vise_importance_open(vise_importance *m, const vise_prefix *p, vise_dense *d,
                                 vise_err *e);
void vise_importance_close(vise_importance *m);

#endif
