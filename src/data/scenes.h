/* scenes.h - synthetic pictures of one object among clutter, drawn from (seed, index).
 *
 * vise.h has vise_scene_draw; docs/SCENES.md says what is drawn and what decides the label. The
 * lots are drawn first, in fractions of the picture's sides: what is on picture i does not depend on its
 * size. Integers only: the same bits on every machine, for any number of threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_SCENES_H
#define VISE_DATA_SCENES_H

#include "base/status.h"

enum {
    VISE_SCENE_MIN_SIDE = 16, // pixels
    VISE_SCENE_MAX_SIDE = 4096,
};

/* Fails with VISE_EARG, naming what is out of range. */
vise_status vise_scenes_check(const vise_scenes *s, vise_err *e);

/* The class of picture index, without drawing it. Every classes pictures in a row, the first at a
 * multiple, have each class once. */
size_t vise_scene_label(const vise_scenes *s, size_t index);

#endif
