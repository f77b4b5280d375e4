/* work.h - scratch of gradients that outlives a node, and what several of them do with it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_WORK_H
#define VISE_TRAIN_WORK_H

#include "exec/dense.h"

/* What a part is for; two that are in use at once differ. */
typedef enum vise_work_part {
    VISE_WORK_TURNED,  // a gradient transposed
    VISE_WORK_ROUNDED, // a rounded operand, or its gradient
    VISE_WORK_PATCHES, // of a convolution's input
    VISE_WORK_DPATCHES,
    VISE_WORK_SUMS,  // of pieces of rows
    VISE_WORK_ROOMS, // of operators that go picture by picture
    VISE_WORK_PARTS,
} vise_work_part;

/* Parts grow and stay. Zeroed: nothing yet. */
typedef struct vise_work {
    float *p[VISE_WORK_PARTS];
    size_t room[VISE_WORK_PARTS]; // floats
} vise_work;
void vise_work_free(vise_work *w); // safe on a zeroed one
/* At least n floats, 64-byte aligned; what they were is lost or not.  VISE_ENOMEM */
vise_status vise_work_need(vise_work *w, vise_work_part part, size_t n, vise_err *e);

/* to[j][i] = from[i][j].
 *   to  out  [cols, rows] row stride ldt     from  in  [rows, cols] row stride ld */
void vise_turn(float *to, size_t ldt, const float *from, size_t ld, size_t rows, size_t cols);

/* to[j] += sum of column j, the same bits for any number of threads.
 *   to  +=  [cols]     x  in  [rows, cols] row stride ld */
void vise_column_sums(vise_dense *d, float *to, const float *x, size_t ld, size_t rows,
                      size_t cols);

#endif
