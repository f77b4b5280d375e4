/* integer.h - what the pass "integer" measures and how it chooses grids.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_INTEGER_H
#define VISE_COMPRESS_INTEGER_H

#include "compress/change.h"

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

/* ---- integer_fit.c: grids x = delta code + center, codes from -127 to 127 ---- */

typedef struct vise_grid {
    size_t channels;
    double *delta, *center; // [channels]
} vise_grid;

/* Each channel its own grid: for what keeps its channels apart. */
void vise_fit_channels(vise_grid *g, const vise_spread *s);
/* For the input of a product: deltas half way, as factors, between each channel's own and that of the
 * widest, so that neither x nor w delta becomes much coarser than the other. */
void vise_fit_input(vise_grid *g, const vise_spread *s);
/* For neurons behind an activation, most of which hardly fire on the pictures at hand, and may on
 * others: one delta for all but the few that go far beyond. VISE_ENOMEM */
vise_status vise_fit_sparse(vise_grid *g, const vise_spread *s, vise_err *e);
/* q and k of one head, channels [from, from + n): what is lost on one side of a channel's product is
 * won on the other, so that all products have one scale. q's centers are 0; k's cancel in the
 * softmax. */
void vise_fit_scores(vise_grid *gq, vise_grid *gk, const vise_spread *q, const vise_spread *k,
                     size_t from, size_t n);
/* Codes of a row of w delta and their scale, with the least error of the product, where the codes that
 * they meet have the average squares `square`.   code  out  [n]   w, square  in  [n] */
double vise_fit_row(int8_t *code, const double *w, const double *square, size_t n);

#endif
