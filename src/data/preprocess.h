/* preprocess.h - the recipe: from a decoded picture to the numbers a network was trained on.
 *
 * timm's evaluation transform. In order: grey if the recipe has one channel; resize; crop, or pad
 * where the picture is smaller; (x / 255 - mean) / std in f32.
 *
 *   center  a square input: the shorter side becomes S = floor(size / crop_pct), the longer one
 *           floor(S * long / short); other inputs: both sides are divided by the smaller of the two
 *           ratios to floor(size / crop_pct) and rounded. Padding is black.
 *   squash  both sides become floor(size / crop_pct). Padding is black.
 *   border  both sides are divided by the larger ratio and rounded; padding is the mean colour.
 *
 * The middle of a side starts at (side - size) / 2 with halves rounded to even. Unlike timm, which
 * for inputs that are not square resizes bilinearly whatever was asked for, the recipe's filter is
 * used always, and a side never shrinks below 1 pixel.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_PREPROCESS_H
#define VISE_DATA_PREPROCESS_H

#include "data/image.h"

/* Applies a recipe                                                                      (exact)
 *
 *   pixels  out  [r->height, r->width, r->channels]           f32
 *   raw     in   [im->height, im->width, im->channels]  u8   in im->data, which is not changed
 *
 * Fails with VISE_EARG (a field of the recipe is unset or out of range), VISE_EFORMAT (the picture
 * is too long and thin to be resized) or VISE_ENOMEM. */
vise_status vise_preprocess(float *pixels, const vise_recipe *r, const vise_image *im, vise_err *e);

/* ---- its steps, for training, which puts others between them ---- */

typedef struct vise_box {
    size_t top, left, height, width; // inside a picture, at least 1 x 1
} vise_box;

/* VISE_EARG: a field is unset or out of range. */
vise_status vise_recipe_usable(const vise_recipe *r, vise_err *e);

/* All but the normalisation                                                             (exact)
 *
 *   canvas  out  [r->height, r->width, r->channels]     u8
 *   im      in   [im->height, im->width, im->channels]  u8
 *   box     in   the part of im that is resized to fill the canvas; NULL: as the recipe says
 *
 * Fails as vise_preprocess. */
vise_status vise_frame(uint8_t *canvas, const vise_recipe *r, const vise_image *im,
                       const vise_box *box, vise_err *e);

/* pixels = (canvas / 255 - mean) / std; both [r->height, r->width, r->channels]; r is usable. (exact) */
void vise_normalise(float *pixels, const vise_recipe *r, const uint8_t *canvas);

/* Rec. 601 luma of a red, green and blue sample in 16-bit fixed point, as Pillow's convert("L"). */
static inline uint8_t vise_luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

#endif
