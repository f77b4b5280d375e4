/* measure.h - what commands that time models share: random input for a session, and medians.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_MEASURE_H
#define VISE_CLI_MEASURE_H

#include "vise.h"

/* A session with buffers for all its ports; their batch. Zeroed: safe to close. */
typedef struct feed {
    vise_session *session;
    size_t batch;
    float **in, **out; // per port
} feed;

/* Takes the session. Inputs are uniform in [-1, 1), as normalised pixels are. */
void feed_open(feed *f, vise_session *s, size_t batch, uint64_t seed);
void feed_run(const feed *f);
void feed_close(feed *f); // frees the session too

void measure_sort(double *x, size_t n);
/* The q-quantile of sorted values, between its neighbours where it falls between. */
double measure_quantile(const double *sorted, size_t n, double q);

#endif
