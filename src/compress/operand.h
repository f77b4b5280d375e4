/* operand.h - how an operand is rounded with one scale for all rows: chosen from values it had.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_OPERAND_H
#define VISE_COMPRESS_OPERAND_H

#include "compress/round.h"
#include "graph/actq.h"

/* Values that an operand had: x [n], no NaN or infinities. weight [cols] of the squared errors of column
 * i % cols, or NULL: all alike. */
typedef struct vise_samples {
    const float *x;
    size_t n;
    const float *weight;
    size_t cols;
} vise_samples;

/* STATIC rounding to `bits` for values like these. symmetric: its zero is 0. */
vise_actq vise_static_of(const vise_samples *s, uint32_t bits, bool symmetric, vise_fit_kind fit);

/* The same with 2^bits free levels on a grid of 8 bits: those of least squared error (one-dimensional
 * k-means, solved exactly).   level  out  [2^bits]  what the result points to;  bits 2..5 */
vise_actq vise_levels_of(int8_t *level, const vise_samples *s, uint32_t bits, bool symmetric);

#endif
