/* fold.h - channels of unequal range, evened out where it costs nothing: the network stays the same
 * function.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_FOLD_H
#define VISE_COMPRESS_FOLD_H

#include "model/change.h"

/* strength: 0 nothing, 1 all of it. skip [nodes]: not to be changed. fixed: operands will have one scale
 * for all rows; then what is far beyond the rest behind an activation is divided down by a node of
 * its own. Fails as vise_calib_channels. */
vise_status vise_fold(vise_change *c, const bool *skip, double strength, bool fixed, vise_err *e);

#endif
