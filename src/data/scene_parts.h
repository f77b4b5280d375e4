/* scene_parts.h - what synthetic pictures are made of: shapes and textures, as signed distances.
 *
 * Integers only, so that a picture has the same bits on every machine. A length is in units of
 * 1/4096 (VISE_UNIT); distances are below 0 inside, exact to first order at an edge, which is where
 * they are looked at, and merely far from it elsewhere. >> of a negative number rounds down, as it
 * does with every compiler that builds this.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_SCENE_PARTS_H
#define VISE_DATA_SCENE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

enum { VISE_UNIT = 4096, VISE_SHAPES = 10, VISE_TEXTURES = 10, VISE_PLAIN = VISE_TEXTURES - 1 };

/* The outline's distance at (x, y); the unit is the radius of the circle that holds the shape. */
typedef struct vise_shape_part {
    const char *name;
    int32_t (*distance)(int32_t x, int32_t y); // |x|, |y| <= 6 units
} vise_shape_part;

/* The ink's distance at (s, t); the unit is the pattern's period, (0, 0) the piece's middle. */
typedef struct vise_texture_part {
    const char *name;
    int32_t scale;                             // percent of the usual period
    bool centred;                              // the pattern has a middle
    int32_t (*distance)(int32_t s, int32_t t); // |s|, |t| <= 2^26
} vise_texture_part;

/* The first of each are the easiest to tell apart: a task of few classes takes those. */
extern const vise_shape_part vise_shape_parts[VISE_SHAPES];
extern const vise_texture_part vise_texture_parts[VISE_TEXTURES];

/* Smooth noise that is the same for the same place: 0 to VISE_UNIT - 1, a knot every unit. */
int32_t vise_scene_noise(int32_t s, int32_t t);

#endif
