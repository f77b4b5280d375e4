/* resample.h - which inputs make an output when a line of samples is resized, and by how much.
 *
 * The weights of Pillow's antialiased resize: the filter is stretched by the shrink factor, centred
 * at (i + 0.5) * scale, cut at the borders and normalised to sum 1. Shared by picture resizing, the
 * resize operator and position embeddings.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_RESAMPLE_H
#define VISE_BASE_RESAMPLE_H

#include "base/mem.h"

/* How a line of `in` samples becomes one of `out`; both >= 1. antialias: stretch the filter when
 * shrinking (Pillow, timm); without it the filter keeps its width and bicubic uses a = -0.75 as
 * PyTorch does, else a = -0.5. Source: Keys, "Cubic convolution interpolation", 1981. VISE_NEAREST
 * takes the input under the centre. */
typedef struct vise_resize {
    size_t in, out;
    vise_filter filter;
    bool antialias;
} vise_resize;

size_t vise_taps_max(const vise_resize *r); // inputs that one output may need
/* The taps of output i: sum over j < count of weight[j] * input[*first + j]. Returns count.
 *   weight  out  [vise_taps_max]  0 beyond count */
size_t vise_taps_at(const vise_resize *r, size_t i, size_t *first, double *weight);

#endif
