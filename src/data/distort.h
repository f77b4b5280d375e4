/* distort.h - the operations on a picture that RandAugment draws from.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_DISTORT_H
#define VISE_DATA_DISTORT_H

#include <stddef.h>
#include <stdint.h>

typedef enum vise_distortion {
    VISE_BRIGHTNESS,   // blended with black by 1 + 0.9 amount
    VISE_CONTRAST,     // with its mean luma, likewise
    VISE_SATURATION,   // with its luma, likewise; grey pictures stay
    VISE_SHARPNESS,    // with a smoothed copy, likewise
    VISE_POSTERIZE,    // the lower round(4 |amount|) bits become 0
    VISE_SOLARIZE,     // what is at least 256 - 256 |amount| is inverted
    VISE_AUTOCONTRAST, // every channel is stretched to [0, 255], whatever the amount
    VISE_EQUALIZE,     // every channel's histogram is evened out, whatever the amount
    VISE_SHEAR_X,      // along rows by 0.3 amount, about the middle
    VISE_SHEAR_Y,      // along columns
    VISE_TRANSLATE_X,  // by 0.45 amount of the width
    VISE_TRANSLATE_Y,  // of the height
    VISE_ROTATE,       // by 30 amount degrees about the middle
    VISE_DISTORTIONS,
} vise_distortion;

typedef struct vise_canvas {
    size_t height, width, channels; // channels 1 or 3
    uint8_t *p, *spare;             // [height, width, channels] each; they may change places
    uint8_t fill[3];                // the colour where an operation moves the picture away
} vise_canvas;

/* Distorts the picture in v->p. An amount of 0 changes nothing, but for autocontrast and equalize.
 * Geometry is bilinear: places have 16 bits of fraction, weights 11. All else is whole numbers.
 *
 *   amount  in  [-1, 1]: its size is RandAugment's magnitude / 10. The first four take any whose
 *               factor is in [0, 2].
 *
 * Source: Cubuk et al., "RandAugment", arXiv 1909.13719, with the ranges that timm uses. */
void vise_distort(vise_canvas *v, vise_distortion what, double amount);

#endif
