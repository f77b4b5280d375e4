/* rows.h - the rows that a matrix is applied to, of both networks, and what its output is added to.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_ROWS_H
#define VISE_COMPRESS_ROWS_H

#include "compress/gram.h"
#include "compress/prefix.h"
#include "graph/ops.h"

typedef struct vise_rows_of {
    const vise_prefix *p;
    vise_id x;         // the operand
    vise_id added;     // what the output is added to, known before the node; VISE_NONE: nothing
    size_t rows, n, k; // per picture; of the weight
    bool conv;         // rows are patches
    vise_conv2d_geometry g;
    float *from[2]; // [rows, k] of one picture: patches, and of the compressed network rounded ones
    float *missing; // [rows, n], or NULL
    const float *w; // [n, k] or NULL, borrowed: what inputs differ in is missing at the output
    float *differ;  // [rows, k]
} vise_rows_of;

/* The prefix stands before the node. residual: look for what the output is added to. VISE_ENOMEM */
vise_status vise_rows_open(vise_rows_of *r, const vise_prefix *p, size_t node, bool residual,
                           vise_err *e);
/* Takes what the inputs differ in, times w, for missing at the output; the gram is one of VISE_GRAM_ALIKE
 * and VISE_GRAM_RESIDUAL. VISE_ENOMEM */
vise_status vise_rows_alike(vise_rows_of *r, const float *w, vise_err *e);
void vise_rows_close(vise_rows_of *r);
/* Adds all pictures to g and finishes it; the compressed network's rows rounded as q says.
 *   weight  in  [pictures, rows] or NULL: all rows alike */
vise_status vise_rows_sum(vise_gram *g, vise_rows_of *r, const vise_actq *q, const float *weight,
                          vise_dense *d, vise_err *e);

#endif
