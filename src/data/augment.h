/* augment.h - training: a picture as a network has not yet seen it, and batches of mixtures.
 *
 * All is decided by the random numbers given, so a picture's view is the same for any number of
 * threads if each has a stream of its own.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_AUGMENT_H
#define VISE_DATA_AUGMENT_H

#include "base/rng.h"
#include "data/preprocess.h"

/* All zero: what evaluation does. */
typedef struct vise_augment {
    double area_lo;      // [0, 1] a random box of this share of the area or more, of a ratio of 3/4
                         // to 4/3, fills the input; 0: the recipe's resize and crop
    size_t pad;          // instead: the input is moved by up to this many pixels, over black;
                         // below both of its sides
    double flip;         // [0, 1] probability of a mirrored picture
    double jitter;       // [0, 1] brightness, contrast, saturation by factors of 1 +- jitter
    double erase;        // [0, 1] probability that a box of 2 to 33 % becomes noise
    size_t ra_ops;       // operations of distort.h, drawn anew for every picture; at most 16
    double ra_magnitude; // [0, 10] of those, in both directions
} vise_augment;

/* One view of a picture.
 *
 *   pixels  out  [r->height, r->width, r->channels]     f32
 *   im      in   [im->height, im->width, im->channels]  u8
 *   rng     inout
 *
 * In this order: crop or move, flip, jitter, RandAugment, the recipe's normalisation, erasing with
 * normal noise (mean 0, variance 1). Sources: Szegedy et al., arXiv 1409.4842 (crops); Cubuk et al.,
 * arXiv 1909.13719; Zhong et al., arXiv 1708.04896 (erasing).
 * Fails with VISE_EARG (a field of a is out of range, area_lo and pad are set) or as vise_preprocess. */
vise_status vise_augment_run(float *pixels, const vise_recipe *r, const vise_augment *a,
                             const vise_image *im, vise_rng *rng, vise_err *e);

/* ---- mixtures ---- */

typedef struct vise_mix {
    double mixup, cutmix; // [0.01, 4] the parameter of Beta(a, a), 0: not used; both: one or the
                          // other, evenly
} vise_mix;

typedef struct vise_mix_batch {
    float *pixels;  // inout [n, height, width, channels]
    float *targets; // inout [n, classes] probabilities
    size_t n, height, width, channels;
    size_t classes;
} vise_mix_batch;

vise_status vise_mix_check(const vise_mix *m, vise_err *e); // VISE_EARG: a field is out of range

/* Mixes every image i with image n - 1 - i, pixels and targets alike; each pair, and so both of it,
 * with a share of its own.
 *
 *   mixup   x = s * x_i + (1 - s) * x_j,  s from Beta(mixup, mixup)
 *   cutmix  a box of share 1 - s of the image, s from Beta(cutmix, cutmix), is x_j's; what of it
 *           lies outside is cut off, and s is corrected for that
 *
 * The one in the middle of an odd batch stays. Sources: Zhang et al., arXiv 1710.09412; Yun et al.,
 * arXiv 1905.04899. */
void vise_mix_run(const vise_mix_batch *b, const vise_mix *m, vise_rng *rng);

/* Beta(a, a) by Johnk's method; 0 < a <= 4: a share of 1 / binomial(2a, a) of the tries succeeds. The
 * last bits are libm's. Source: Johnk, Metrika 8, 1964. */
double vise_beta(double a, vise_rng *rng);

#endif
