/* operand.h - how an operand is rounded with one scale for all rows: chosen from values it had.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_OPERAND_H
#define VISE_COMPRESS_OPERAND_H

#include "compress/round.h"
#include "graph/actq.h"

/* STATIC rounding to `bits` for values like these. symmetric: its zero is 0. NaN and infinities must not
 * occur.   x  in  [n] */
vise_actq vise_static_of(const float *x, size_t n, uint32_t bits, bool symmetric,
                         vise_fit_kind fit);

#endif
