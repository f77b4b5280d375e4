/* sensitivity.h - what it costs to round one matrix alone, for every matrix and width.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_SENSITIVITY_H
#define VISE_COMPRESS_SENSITIVITY_H

#include "model/change.h"
#include "compress/round.h"

enum { VISE_SENSITIVITY_PICTURES = 16 }; // when no count is given

/* How codes on vise_grid_of(bits) are stored; group 0, or at most 6 bits have it. */
vise_encoding vise_codes_of(uint32_t bits, size_t group);

/* A row for each matrix that is still floats in c, all but its kl. A constant that several nodes read
 * belongs to the first of them. Released with vise_sensitivity_free. VISE_ENOMEM
 *   want  in  [nodes]  the nodes that count; NULL: all */
vise_status vise_sensitivity_list(vise_sensitivity_row **rows, size_t *n, const vise_change *c,
                                  const bool *want, size_t group, vise_err *e);
/* Fills in the kl of these rows, on the first c->opts->limit pictures: the original is c as it is now,
 * and stays so. VISE_EARG: no pictures, or no logits; VISE_EFORMAT: a number is not finite;
 * VISE_ECANCEL; or as sessions fail. */
vise_status vise_sensitivity_measure(vise_sensitivity_row *rows, size_t n, const vise_change *c,
                                     size_t group, vise_err *e);

#endif
