/* rng.h - random numbers that are the same on every machine for the same seed.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_RNG_H
#define VISE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014): any state is a good seed, streams by hashing a name in. */
typedef struct vise_rng {
    uint64_t state;
} vise_rng;

/* An independent stream for (seed, name), so that adding a tensor does not change another's. */
vise_rng vise_rng_named(uint64_t seed, const char *name);
uint64_t vise_rng_u64(vise_rng *r);
float vise_rng_uniform(vise_rng *r); // [0, 1), 24 bits
float vise_rng_normal(vise_rng *r);  // mean 0, variance 1, sum of 12 uniforms: no libm, so exact
/* Any order is as likely, by Fisher and Yates.   x  inout  [n] */
void vise_rng_shuffle(vise_rng *r, uint32_t *x, size_t n);
#endif
