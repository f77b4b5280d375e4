/* fit.h - the weights that make a layer's output what it was, from sums of its inputs (gram.h).
 *
 * With a = 1 the target W* = (W C + D) H^-1 is the least-squares answer to what the compressed layers
 * before have done to the inputs; any rounding that is good for inputs of Gram matrix H then rounds W*
 * in the place of W: |W X + E - Q Y|^2 = tr((W* - Q) H (W* - Q)^T) + const. Between 0 and 1 it goes only
 * part of the way. (Asymmetric calibration: ERQ, arXiv 2407.06794; GPTAQ, arXiv 2504.02692.)
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_FIT_H
#define VISE_COMPRESS_FIT_H

#include "compress/gram.h"
#include "compress/round.h"

/* What to try; each list ends with a negative number. The best by error on pictures held out is done
 * again with all pictures. */
typedef struct vise_fitting {
    vise_rounding rounding;
    float target[8]; // how far towards W*
    float damp[8];   // what is added to H's diagonal, in units of its mean
    bool refine;     // polish and refit count when choosing, too
    const vise_blas *blas;
} vise_fitting;

typedef struct vise_fit_result {
    float target, damp;
    double error; // held out, less a constant; INFINITY: there was nothing to choose from
} vise_fit_result;

/* r: opened for w. w [n, k]. g is complete, and its parts are merged by this.
 * VISE_ENOMEM; VISE_EFORMAT: H is not finite */
vise_status vise_fit(vise_rounded *r, vise_fit_result *result, const float *w, vise_gram *g,
                     const vise_fitting *how, vise_dense *d, vise_err *e);
/* The bias with which layer Q's mean output is what W's was, plus what was missing.
 *   bias  out  [n]   old  in  [n] or NULL */
void vise_fit_bias(float *bias, const float *old, const float *w, const float *q,
                   const vise_gram *g);

#endif
