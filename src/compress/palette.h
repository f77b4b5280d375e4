/* palette.h - the levels of a palette: few numbers that many are replaced by.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_PALETTE_H
#define VISE_COMPRESS_PALETTE_H

#include "base/mem.h"

enum { VISE_PALETTE_BINS = 4096 };

/* Weighted numbers by bins; sums of weights, and of weights times numbers and their squares. */
typedef struct vise_points {
    double lo, hi; // where the first bin begins and the last ends
    double n[VISE_PALETTE_BINS], x[VISE_PALETTE_BINS], xx[VISE_PALETTE_BINS];
} vise_points;

/* Empties p for numbers in [lo, hi]. */
void vise_points_open(vise_points *p, double lo, double hi);
void vise_points_add(vise_points *p, double x, double weight);

/* The k centroids of least weighted squared error, ascending; of fewer occupied bins the last repeats.
 * The best partition of the bins into k intervals, by dynamic programming (Wang and Song, The R
 * Journal 3/2, 2011); each step by divide and conquer, for the best borders ascend.
 *   book  out  [k]  2 <= k <= 256   VISE_ENOMEM */
vise_status vise_kmeans(float *book, size_t k, const vise_points *p, vise_err *e);

/* The nearest of k ascending numbers; of two as near the smaller. */
static inline size_t vise_nearest_in(const float *book, size_t k, float x)
{
    size_t at = 0; // the last whose border to the next but one lies below x
    for (size_t n = k; n > 1;) {
        const size_t half = n / 2;
        at += x > 0.5f * (book[at + half - 1] + book[at + half]) ? half : 0;
        n -= half;
    }
    return at;
}

#endif
