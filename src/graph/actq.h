/* actq.h - what it means that a node rounds an operand before it uses it
 *
 * The codes are those of the plain C kernels, so a fast step that quantizes with the same rule and
 * multiplies exactly differs from a forward only by the order of its sums.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_ACTQ_H
#define VISE_GRAPH_ACTQ_H

#include "graph/op.h"
#include "kern/kern.h"

const char *vise_actq_name(vise_actq_kind kind); // "f32", "bf16", "sym", ...
bool vise_actq_from(vise_actq_kind *kind, const char *name);

/* Operand i's rounding in a list that may be NULL. */
static inline vise_actq_kind vise_actq_kind_at(const vise_actq *actq, uint32_t i)
{
    return actq ? actq[i].kind : VISE_ACTQ_NONE;
}
static inline bool vise_actq_is_coded(vise_actq_kind kind)
{
    return kind >= VISE_ACTQ_SYM;
}

/* Do they give the same codes? */
bool vise_actq_same(const vise_actq *a, const vise_actq *b);

/* What kern.h's quant_s8 is asked for. Only for codes. */
vise_quant vise_actq_quant(const vise_actq *q, uint8_t flip);
/* The same where a matrix, of which absmax is the largest |x|, is one row: mode FIXED. Of a scale
 * that is not > 0 (all zeros; NaN: a number was not finite) all codes are 0, and quant_s8 is not
 * asked. Not ASYM. */
vise_quant vise_actq_whole(const vise_actq *q, float absmax);

/* Codes become the nearest of some codes, of two the larger: entry code ^ flip of the table is that
 * level ^ flip.   table out [256]; level [n], n >= 1, ascending */
void vise_level_table(uint8_t table[256], const int8_t *level, size_t n, uint8_t flip);
/* What follows quant_s8: LEVELS replaces the codes, stored XOR flip, in place; other kinds nothing.
 *   code  inout  [rows, n]  row stride ld bytes */
void vise_actq_snap(const vise_actq *q, uint8_t *code, size_t ld, size_t rows, size_t n,
                    uint8_t flip);

/* Rows of f32. */
typedef struct vise_floats {
    const float *x;
    size_t ld, rows, n;
} vise_floats;

/* x as its rounded form says.
 *   y  out  [rows, n]  f32  tight; may not overlap x
 *   x  in   [rows, n]  f32  row stride ldx >= n                                    n >= 1
 * by: by these kernels, which have the same codes; x any rows, y tight.
 * whole: all rows are one row of the rule. Not ASYM. */
void vise_actq_apply_by(const vise_kern *k, const vise_actq *q, float *y, vise_floats x);
void vise_actq_apply(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                     size_t n);
void vise_actq_apply_whole(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                           size_t n);

/* Each rounding is one that there is: codes of 2 to 8 bits; STATIC and LEVELS with a finite scale > 0
 * and a zero point that is a code. VISE_EFORMAT names the node and the number. actq [nin] */
vise_status vise_actq_check(const vise_actq *actq, uint32_t nin, const char *node, vise_err *e);
/* No operand but the first n is rounded: for the rules of operators. VISE_EFORMAT */
vise_status vise_actq_check_first(const vise_sig *s, uint32_t n, vise_err *e);

#endif
