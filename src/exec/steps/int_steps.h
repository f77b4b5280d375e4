/* int_steps.h - what the steps of integer networks share.
 *
 * Integers are carried by f32 where they lie between steps, and are codes where products read them.
 * Products are the table's gemm_s8 with scales of 1: its sums are below 2^24, so f32 holds them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_INT_STEPS_H
#define VISE_EXEC_INT_STEPS_H

#include "exec/lower.h"
#include "graph/int_ops.h"
#include "graph/ops.h"

/* Codes that are their own meaning. */
static const vise_actq vise_int_codes = {.kind = VISE_ACTQ_STATIC, .bits = 8, .scale = 1};

/* VISE_FMT_S8 if all that read v multiply it as codes, by a step of their own; else f32. */
vise_format vise_int_format(const vise_lowering *l, vise_id v);

/* Has int_linear n a step of its own? Its sums have to be below 2^24. */
bool vise_int_linear_fits(const vise_lowering *l, const vise_node *n);

/* Columns [j, j + n) of rows of value v from integers x: the next ones, or the last ones, behind which
 * the rows of codes end in padding. rows: of r, from `skip` on. */
void vise_int_store(vise_step *st, vise_id v, const vise_rows *r, size_t skip, size_t j,
                    vise_floats x);

#endif
