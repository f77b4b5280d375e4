/* integer.h - what the pass "integer" measures and how it chooses grids.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_INTEGER_H
#define VISE_COMPRESS_INTEGER_H

#include "compress/change.h"

/* ---- integer_stats.c: what the channels (last axis) of a value look like on real pictures ---- */

enum { VISE_SPREAD_BINS = 512 };

typedef struct vise_spread {
    size_t channels;
    double count;          // numbers of each channel
    float *lo, *hi;        // [channels]
    double *mean, *square; // [channels] averages of x and x^2
    uint32_t *bin;         // [channels, VISE_SPREAD_BINS] of equal width from lo to hi
} vise_spread;

/* Measures the wanted values, in two passes over the calibration pictures of c->opts. Fails as
 * vise_calib_ranges; what is there is freed by vise_spread_free in any case.
 *   s  out  [values];  want  in  [values] */
vise_status vise_spread_measure(vise_spread *s, const vise_change *c, const bool *want,
                                vise_err *e);
void vise_spread_free(vise_spread *s, size_t n);

/* ---- integer_fit.c: grids x = delta code + center, codes from -127 to 127 ---- */

typedef struct vise_grid {
    size_t channels;
    double *delta, *center; // [channels]
} vise_grid;

/* Rows that a value is multiplied with: w [n, channels]. */
typedef struct vise_rows_of {
    const float *w;
    size_t n;
} vise_rows_of;

/* Each channel its own grid: the one whose rounding and cutting off have the least squared error. */
void vise_fit_channels(vise_grid *g, const vise_spread *s);
/* The same for the input of a product: deltas between each channel's own and one for all, so that the
 * errors of the product from rounding x and from rounding w delta are least together. */
vise_status vise_fit_input(vise_grid *g, const vise_spread *s, vise_rows_of w, vise_err *e);
/* One delta and one center for all channels. */
void vise_fit_tensor(vise_grid *g, const vise_spread *s, vise_rows_of w);
/* q and k of one head, channels [from, from + n): what is lost on one side of a channel's product is
 * won on the other, so that all products have one scale, which is returned. q's centers are 0; k's
 * cancel in the softmax. */
double vise_fit_scores(vise_grid *gq, vise_grid *gk, const vise_spread *q, const vise_spread *k,
                       size_t from, size_t n);
/* Codes of a row of w delta and their scale: the least error of the product, where the codes that it
 * meets have the average square `square`.   code  out  [n]   w, square  in  [n] */
double vise_fit_row(int8_t *code, const double *w, const double *square, size_t n);

#endif
