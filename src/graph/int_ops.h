/* int_ops.h - what the operators of integer networks share: their constants as integers
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_INT_OPS_H
#define VISE_GRAPH_INT_OPS_H

#include "graph/op.h"
#include "kern/fixed.h"

enum { VISE_INT_CODE = 127, VISE_INT_BIAS = 1 << 30, VISE_INT_EXPONENTS = 8 };

/* A positive f32 is a fixed-point number: mult / 2^shift with mult < 2^24. What is not in [2^-37,
 * 2^15) counts as 0. */
void vise_fixed_of(int32_t *mult, int32_t *shift, float f);
/* Constants of requant from f32: bias NULL: zeros.   room  out  [3, n] */
vise_requant vise_requant_read(int32_t *room, const float *bias, const float *mult, size_t n,
                               int64_t lo, int64_t hi);
void vise_int_read(int32_t *to, const float *from, size_t n, int32_t lo, int32_t hi);

/* The exponent of a row of integers that becomes codes: the least r with |x| <= 127 2^r, at most
 * `exponents`.   x  in  [n] */
int vise_int_exponent(const float *x, size_t n, int exponents);

/* lo <= hi. VISE_EFORMAT names the node. */
vise_status vise_int_check_range(const vise_sig *s, int64_t lo, int64_t hi, vise_err *e);

#endif
