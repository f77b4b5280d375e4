/* tune.h - the numbers that stay continuous in a rounded network, moved by gradients so that its answers
 * are the original's.
 *
 * Scales of coded matrices, biases, and gains and shifts of norms follow the gradient of the mean KL
 * divergence between the original's answers and the rounded network's, by Adam (Kingma, Ba, arXiv
 * 1412.6980) with a cosine schedule. No labels. Pictures come as they are and mirrored. Every
 * eighth picture is held out; the state after the epoch that was best on them is kept, which may
 * be the first one.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_TUNE_H
#define VISE_COMPRESS_TUNE_H

#include "compress/change.h"
#include "exec/dense.h"

typedef struct vise_tuning {
    size_t epochs;
    double rate;       // of the first steps, relative to the size of what they change
    size_t pictures;   // when no limit is given
    const bool *fixed; // [values] constants that must stay
} vise_tuning;

/* c's constants are changed in place. VISE_ENOMEM, VISE_ECANCEL, or as sessions and data sets fail. */
vise_status vise_tune(vise_change *c, const vise_tuning *how, vise_dense *d, vise_err *e);

#endif
