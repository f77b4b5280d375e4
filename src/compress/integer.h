/* integer.h - what the pass "integer" measures and how it chooses grids.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_INTEGER_H
#define VISE_COMPRESS_INTEGER_H

#include "model/change.h"

/* ---- integer_stats.c: what the channels (last axis) of a value look like on real pictures ---- */

typedef struct vise_spread {
    size_t channels;
    double count;          // numbers of each channel
    float *lo, *hi;        // [channels]
    double *mean, *square; // [channels] averages of x and x^2
} vise_spread;

/* Measures the wanted values over the calibration pictures of c->opts. Fails as vise_calib_ranges;
 * what is there is freed by vise_spread_free in any case.
 *   s  out  [values];  want  in  [values] */
vise_status vise_spread_measure(vise_spread *s, const vise_change *c, const bool *want,
                                vise_err *e);
void vise_spread_free(vise_spread *s, size_t n);

/* ---- integer_fit.c: grids x = delta code + center, codes from -127 to 127, or with exponents
 * x = delta 2^r code + center, r a row's own, from 0 to exponents ---- */

typedef struct vise_int_grid {
    size_t channels;
    double *delta, *center; // [channels]
    int exponents;
} vise_int_grid;

/* Each channel its own grid: for what keeps its channels apart. */
void vise_fit_channels(vise_int_grid *g, const vise_spread *s);
/* For the input of a product: deltas half way, as factors, between each channel's own and that of the
 * widest, so that neither x nor w delta becomes much coarser than the other; exponents for tokens of
 * unequal size, with room for what was not seen. */
void vise_fit_input(vise_int_grid *g, const vise_spread *s);
/* q and k of one head, channels [from, from + n): what is lost on one side of a channel's product is
 * won on the other, so that all products have one scale. q's centers are 0; k's cancel in the
 * softmax. */
void vise_fit_scores(vise_int_grid *gq, vise_int_grid *gk, const vise_spread *q,
                     const vise_spread *k, size_t from, size_t n);

#endif
