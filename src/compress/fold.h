/* fold.h - channels of unequal range, evened out where it costs nothing: the network stays the same
 * function.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_FOLD_H
#define VISE_COMPRESS_FOLD_H

#include "compress/change.h"

/* strength: 0 nothing, 1 all of it. skip [nodes]: not to be changed. */
vise_status vise_fold(vise_change *c, const bool *skip, double strength, vise_err *e);

#endif
