/* batch.h - a model with the buffers to run batches of a data set through it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_BATCH_H
#define VISE_DATA_BATCH_H

#include "base/pool.h"

typedef struct vise_runner {
    vise_session *session;
    vise_pool *readers; // decode pictures side by side; NULL: one thread
    vise_recipe recipe;
    size_t batch;
    size_t floats_in, floats_out; // of one image, first input and output
    float *pixels;                // [batch, floats_in]
    const float *in;              // what the next run reads: pixels, or another runner's
    float **out;                  // [outputs] each [batch, shape]
} vise_runner;

/* Threads, batch and CPU level are o's. Fails as vise_session_new; also with VISE_EARG when the
 * model takes anything but one picture. */
vise_status vise_runner_open(vise_runner *r, const vise_model *m, const vise_eval_opts *o,
                             const char *const *taps, size_t ntaps, vise_err *e);
void vise_runner_close(vise_runner *r); // safe on a zeroed one

/* Pictures [first, first + n) of d into r->pixels. Fails on the first that cannot be read. */
vise_status vise_runner_read(vise_runner *r, const vise_data *d, size_t first, size_t n,
                             vise_err *e);
/* If b's recipe is a's, b reads a's pixels and the answer is true. */
bool vise_runner_same_input(const vise_runner *a, vise_runner *b);
void vise_runner_run(vise_runner *r, size_t n);

#endif
