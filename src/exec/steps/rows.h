/* rows.h - splitting what works row by row, or element by element, among threads
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_STEPS_ROWS_H
#define VISE_EXEC_STEPS_ROWS_H

#include "exec/session.h"

/* Rows [from, to) of a step's operands, all seen as [rows, last extent]. */
typedef void vise_rows_fn(const vise_step *st, const vise_arg *in, float *out, size_t from,
                          size_t to);

/* Calls fn on parts of the output's rows, on all threads. in holds the step's operands. */
void vise_step_rows(vise_step *st, size_t batch, vise_rows_fn *fn);

/* Is b's shape the tail of a's, so that element i of a meets element i mod count(b) of b? */
bool vise_is_tail(const vise_shape *a, const vise_shape *b);

#endif
