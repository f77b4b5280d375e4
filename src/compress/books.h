/* books.h - the palettes of a matrix: which numbers its codes stand for.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_BOOKS_H
#define VISE_COMPRESS_BOOKS_H

#include "compress/palette.h"
#include "compress/round.h"

/* Scales, and centroids by k-means of the scaled weights.
 *   w  in  [n, k]   weight  in  [k]  of squared errors   VISE_ENOMEM */
vise_status vise_books_choose(vise_rounded *r, const float *w, const float *weight,
                              const vise_palette *how, vise_err *e);

/* The centroids that make the error (w - q) h (w - q)^T of all rows least, for the codes that there are
 * (GPTVQ, van Baalen et al., arXiv 2402.15319); by coordinate descent, so that whole numbers stay so.
 *   rest  in  [n, k]  (w - q) h   h  in  [k, k]   VISE_ENOMEM */
vise_status vise_books_refit(vise_rounded *r, const float *rest, const float *h,
                             const vise_palette *how, vise_dense *d, vise_err *e);

/* The root of the weighted mean square of n rows.   weight  in  [k], or NULL: all alike */
float vise_rows_size(const float *w, const float *weight, size_t n, size_t k);

/* Makes centroids whole: book becomes numbers in [-127, 127], and what they are multiples of is returned;
 * the best of several units, by the squared error of p. */
float vise_book_whole(float *book, size_t k, const vise_points *p);

#endif
