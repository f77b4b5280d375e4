/* budget.h - how many bits each matrix gets, so that the model fits a budget.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_BUDGET_H
#define VISE_COMPRESS_BUDGET_H

#include "model/change.h"

/* What a matrix costs and loses at every width. Losses are finite. */
typedef struct vise_choice {
    uint64_t cost[VISE_WIDTHS];
    double loss[VISE_WIDTHS];
} vise_choice;

/* A width for each, of little loss in total, at a total cost of at most budget. All begin at their
 * least cost; then, one by one, that step to another width is made which gains most per cost, of those
 * that still fit; of equal ones the first. While all fit this walks the lower convex hulls, and what it
 * has chosen is the best for what it costs; at the end it is off by less than one step's gain. False,
 * and all at their least cost: even that is more than budget.
 *   pick  out  [n]  indices of widths   of  in  [n] */
bool vise_budget_pick(uint8_t *pick, const vise_choice *of, size_t n, uint64_t budget);

/* Bits for the matrices that want names, by their sensitivity in c as it is now. budget: "2.5MB" or
 * "900kB", for all constants as they will be stored; or a number from 2 to 8, the mean bits of a
 * weight, codes alone. VISE_EARG: no such budget, or more is needed, with the numbers; or as
 * vise_sensitivity_measure.
 *   bits  out  [nodes]  8, 6, 5, 4, 3 or 2; untouched for others   want  in  [nodes] */
vise_status vise_budget_bits(uint8_t *bits, const vise_change *c, const bool *want,
                             const char *budget, size_t group, vise_err *e);

#endif
