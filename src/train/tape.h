/* tape.h - what a network computes on some pictures, and gradients backwards through it.
 *
 * Forward is a session with every value tapped, so it computes what any session does, rounded
 * operands included. Backward goes through the nodes from the last to the first: each operator's
 * definition (graph/op.h), picture by picture on all threads; matrices by the fast products. Through
 * the rounding of an operand gradients go as if it were not there, but for numbers beyond a static
 * range, where they end (straight-through estimator, Bengio et al., arXiv 1308.3432).
 *
 * What does not depend on the pictures has no gradient, nor have constants that reach them only through
 * that. Results are the same for any number of threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_TAPE_H
#define VISE_TRAIN_TAPE_H

#include "model/model.h"
#include "train/work.h"

/* Called with the gradient of what a node gives, when it is complete.   dout [images, shape] */
typedef void vise_tape_seen(void *user, size_t node, const float *dout);

typedef struct vise_tape {
    const vise_model *m; // borrowed
    const bool *want;    // [values] constants whose gradients are wanted, or NULL: none; borrowed
    vise_dense *dense;   // borrowed
    vise_session *session;
    float **to;           // [outputs of the session] the network's own, then values
    size_t batch, images; // most; of the last forward
    float **value;        // [values] [images, shape] of nodes; constants as floats
    float **grad;         // [values] of constants: summed up since the tape was opened; of nodes:
                          // while backward needs them
    bool *flows;          // [values] has a gradient
    float *logits;        // [batch, first output]
    float **spare;        // [spares] gradients no longer needed, and how many floats they have
    size_t *spare_size, spares;
    vise_work work;
    vise_tape_seen *seen; // may be NULL
    void *user;
} vise_tape;

/* For at most `batch` pictures at once; threads and cpu as vise_session_opts. m must have one input.
 * Fails as vise_session_new; VISE_EARG: an operator on the way has no backward. */
typedef struct vise_tape_opts {
    size_t batch, threads;
    const char *cpu;
    const bool *want;
} vise_tape_opts;
vise_status vise_tape_open(vise_tape *t, const vise_model *m, vise_dense *dense,
                           const vise_tape_opts *o, vise_err *e);
void vise_tape_close(vise_tape *t); // safe on a zeroed one

/* 1 <= images <= batch.   pixels  in  [images, input]  must stay until backward is done */
void vise_tape_forward(vise_tape *t, size_t images, const float *pixels);
/*   dlogits  in  [images, first output].  VISE_ENOMEM */
vise_status vise_tape_backward(vise_tape *t, const float *dlogits, vise_err *e);

#endif
