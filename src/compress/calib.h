/* calib.h - what the values of a model look like on real pictures.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_CALIB_H
#define VISE_COMPRESS_CALIB_H

#include "model/change.h"

enum { VISE_CALIB_PICTURES = 32 }; // when no limit is given

typedef struct vise_range {
    float lo, hi; // lo <= 0 <= hi
} vise_range;

/* The ranges of the values that are wanted, over the calibration pictures of c->opts, in the model
 * as it was. VISE_EARG: there are no pictures; VISE_EFORMAT: a number is not finite; or as sessions
 * and data sets fail.
 *   range  out  [values]
 *   want   in   [values]  values of the graph that depend on the picture */
vise_status vise_calib_ranges(vise_range *range, const vise_change *c, const bool *want,
                              vise_err *e);
/* The same for each channel (index along the last axis) of the values for which range is not NULL.
 *   range  inout  [values]  NULL, or [channels] zeroed */
vise_status vise_calib_channels(vise_range *const *range, const vise_change *c, vise_err *e);

#endif
