/* feed.h - batches of a training set: shuffled, changed at random, with targets; the same for a step of
 * a seed whatever came before.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_FEED_H
#define VISE_TRAIN_FEED_H

#include "data/augment.h"
#include "exec/dense.h"
#include "train/recipe.h"

typedef struct vise_feed {
    const vise_data *data; // borrowed
    const vise_recipe *recipe;
    vise_augment augment;
    vise_mix mix;
    double smoothing;
    uint64_t seed;
    size_t count, batch, classes, floats;
    uint64_t epoch;  // of order
    uint32_t *order; // [count]
    float *pixels;   // [batch, floats]
    float *target;   // [batch, classes]
    size_t *label;   // [batch] before mixing
} vise_feed;

/* A set of fewer pictures than a batch makes batches of all of it. VISE_EARG: labels that the model has
 * no class for; VISE_ENOMEM. Closed in every case. */
typedef struct vise_feed_opts {
    const vise_data *data;
    const vise_recipe *recipe;
    const vise_training *how;
    size_t classes;
    uint64_t seed;
} vise_feed_opts;
vise_status vise_feed_open(vise_feed *f, const vise_feed_opts *o, vise_err *e);
void vise_feed_close(vise_feed *f);
/* The batch of a step. Fails as a picture does that cannot be read. */
vise_status vise_feed_step(vise_feed *f, uint64_t step, vise_dense *d, vise_err *e);

#endif
