/* params.h - the constants of a model while they are trained: floats that move, and what the network
 * computes with.
 *
 * A plain constant is its floats, rounded to its type. A coded one keeps a float for every number (its
 * master), the logarithms of its scales, and its codebooks; the codes are the nearest ones, found anew
 * after every step. Gradients pass to the masters as if there were no rounding, inside of the range of
 * levels (straight-through estimator, Bengio et al., arXiv 1308.3432); those of scales are of LSQ (Esser
 * et al., arXiv 1902.08153), of which logarithms take care that a step is relative; those of centroids
 * are sums over what is assigned to them. So every format stays what its kernels run.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_PARAMS_H
#define VISE_TRAIN_PARAMS_H

#include "model/change.h"
#include "train/operands.h"
#include "train/optim.h"
#include "train/tape.h"

typedef struct vise_trained { // a constant
    const char *name;
    vise_id from, to;              // value in the model, and in the network that is trained
    size_t n, cols;                // numbers; of a row
    float *x;                      // [n] what is trained
    vise_encoding enc;             // of what the network has; the rest is of coded ones
    size_t scales, levels;         // how many scales, and numbers in codebooks
    const float *first;            // [scales] in the model
    float *log_scale, *dlog_scale; // of scale / first: 0 gives the first ones back to the bit
    float *book, *dbook;
    bool idle;               // it is not trained now, and stays what it is
    bool plain;              // f32: the network has x itself
    bool whole, half;        // centroids are whole numbers; scales are f16 numbers
    float *scale, *codebook; // what the network has
    void *data;              // likewise: elements or codes
    const uint8_t *mult;     // of the model
} vise_trained;

typedef struct vise_params {
    vise_change *c;   // borrowed
    vise_model net;   // the network that is trained: its constants lie in c
    bool *want;       // [values of net]
    bool fixed_codes; // see vise_params_opts
    vise_trained *trained;
    size_t count;
    vise_operand_scales operands;
    vise_param *param; // [params] what an optimizer moves: of constants, then scales of operands
    size_t params;
} vise_params;

typedef struct vise_params_opts {
    const char *only, *skip; // patterns of names, separated by commas; "": all, none
    bool fixed_codes; // coded constants keep their codes: scales and codebooks alone are trained
    double decay;     // of weights with two or more axes
    double layers;    // what the rate is multiplied by from a block to the one before it
    double scales; // and of logarithms of scales, and of centroids; 0: they are not trained. Scales
                   // of operands are unless `only` names what is
} vise_params_opts;

/* VISE_EARG: a pattern that fits nothing; VISE_ENOMEM. Closed in every case. */
vise_status vise_params_open(vise_params *p, vise_change *c, const vise_params_opts *o,
                             vise_err *e);
void vise_params_close(vise_params *p);

/* Is what x is of idle? */
bool vise_params_is_idle(const vise_params *p, const vise_param *x);
/* After t's backward: its gradients, which masters read where they lie, are cut where levels end, and
 * those of scales and codebooks are made of them. */
void vise_params_gradients(vise_params *p, const vise_tape *t, vise_dense *d);
/* What was trained becomes what the network has (plain floats are already); sessions do not know yet. */
void vise_params_encode(vise_params *p, vise_dense *d);
/* Tells the optimizer's rows where t keeps gradients. */
void vise_params_connect(vise_params *p, const vise_tape *t);

#endif
