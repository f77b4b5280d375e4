/* resize.h - 8-bit picture resizing, equal to Pillow's to the bit.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_RESIZE_H
#define VISE_DATA_RESIZE_H

#include "base/resample.h"

/* A line of in samples resized to out samples, of which [from, from + n) are wanted. */
typedef struct vise_axis {
    size_t in, out; // >= 1
    size_t from, n; // n >= 1, from + n <= out
} vise_axis;

/* A window of a resized picture, computed without the rest of it                        (exact)
 *
 *   out  out  [rows->n, cols->n, channels]    u8   may not overlap in
 *   in   in   [rows->in, cols->in, channels]  u8   rows tight
 *
 * channels 1 or 3; rows and cols say from how many samples to how many, and which of them are
 * wanted. Bilinear and bicubic are antialiased: columns first, rounded to u8, then rows, with
 * weights in 22-bit fixed point. Nearest takes the input under the centre. Nothing changes along an
 * axis that keeps its size. Fails with VISE_ENOMEM. */
vise_status vise_resize_u8(uint8_t *out, const uint8_t *in, size_t channels, const vise_axis *rows,
                           const vise_axis *cols, vise_filter filter, vise_err *e);

#endif
