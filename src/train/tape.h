/* tape.h - what a network computes on some pictures, and gradients backwards through it.
 *
 * Forward is a session with every value tapped, so it computes what any session does, rounded
 * operands included. Backward goes through the nodes from the last to the first: each operator's
 * definition (graph/op.h), picture by picture on all threads; matrices by the fast products. Through
 * the rounding of an operand gradients go as if it were not there, but for numbers beyond a static
 * range, where they end (straight-through estimator, Bengio et al., arXiv 1308.3432).
 *
 * A tape may be cut into parts: only what crosses a cut is kept on the way forward, and backward runs
 * each part again first (gradient checkpointing, Chen et al., arXiv 1604.06174).
 *
 * Results are the same for any number of threads, and of parts.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_TAPE_H
#define VISE_TRAIN_TAPE_H

#include "model/model.h"
#include "train/work.h"

/* Called with the gradient of what a node gives, when it is complete.   dout [images, shape] */
typedef void vise_tape_seen(void *user, size_t node, const float *dout);

/* Nodes [from, to) and the session that runs them. */
typedef struct vise_tape_part {
    size_t from, to;
    vise_session *session;
    const float **in; // [inputs]
    float **out;      // [outputs] where those go that the session does not hold
    vise_id *source;  // [inputs] what they are
    vise_id *value;   // [outputs] likewise
} vise_tape_part;

typedef struct vise_tape {
    const vise_model *m;  // borrowed
    const bool *want;     // [values] constants whose gradients are wanted, or NULL: none; borrowed
    vise_dense *dense;    // borrowed
    vise_tape_part *part; // [parts]
    size_t parts, now;    // now: the part whose values are there
    size_t from, to;      // nodes
    vise_id input;        // what forward is given
    size_t batch, images; // most; of the last forward
    char *memory;         // of sessions, one at a time
    float *copies;        // of values that lie in a session with gaps, of one part at a time
    float **kept;         // [values] what crosses a cut or was asked for, or NULL
    float **value; // [values] [images, shape] of nodes of the part that is there, and what is
                   // kept; constants as floats
    float **grad;  // [values] of constants: summed up since they were last cleared; of nodes:
                   // while backward needs them
    /* [nodes] of the logarithms of operands' static scales, summed up since they were last cleared */
    double (*dscale)[VISE_MAX_IN];
    bool *flows;   // [values] has a gradient
    float *logits; // [batch, first output] of the network, if it is in the range
    float **spare; // [spares] gradients no longer needed, and how many floats they have
    size_t *spare_size, spares;
    vise_work work;
    vise_tape_seen *seen; // may be NULL
    void *user;
} vise_tape;

/* For at most `batch` pictures at once; threads and cpu as vise_session_opts. The range must have one
 * input that depends on pictures; what is made before it for all pictures is given. Fails as
 * vise_session_new; VISE_EARG: an operator on the way has no backward. */
typedef struct vise_tape_opts {
    size_t batch, threads;
    const char *cpu;
    const bool *want;
    size_t from, to;  // nodes; 0, 0: all
    size_t cuts;      // into about as many parts and one; 0: one part
    const bool *keep; // [values] nodes' values to be read after forward whatever the parts, or NULL
} vise_tape_opts;
vise_status vise_tape_open(vise_tape *t, const vise_model *m, vise_dense *dense,
                           const vise_tape_opts *o, vise_err *e);
void vise_tape_close(vise_tape *t); // safe on a zeroed one

/* Constants of the model have other numbers now, encoded as before. VISE_ENOMEM */
vise_status vise_tape_refresh(vise_tape *t, vise_err *e);
void vise_tape_clear(vise_tape *t); // constants' gradients become 0

/* 1 <= images <= batch.   in  [images, the range's input]  must stay until backward is done */
void vise_tape_forward(vise_tape *t, size_t images, const float *in);

/* Where gradients start: of a value that depends on pictures.   d  in  [images, shape] */
typedef struct vise_seed {
    vise_id value;
    const float *d;
} vise_seed;
vise_status vise_tape_backward(vise_tape *t, const vise_seed *seed, size_t seeds, vise_err *e);

#endif
