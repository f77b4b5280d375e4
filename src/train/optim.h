/* optim.h - steps that make a loss smaller: AdamW, SGD and LAMB, clipping, averages, rates.
 *
 * Results are the same for any number of threads. A step allocates nothing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_OPTIM_H
#define VISE_TRAIN_OPTIM_H

#include "exec/dense.h"

/* A tensor that is trained.
 *   x     inout [n]  borrowed
 *   grad  in    [n]  borrowed; of the mean loss */
typedef struct vise_param {
    const char *name;
    float *x, *grad;
    size_t n;
    float rate;  // times a step's rate: 1, or less for layers near the picture
    float decay; // of weights, per unit of rate; 0 for biases, norms, positions, tokens
} vise_param;

typedef enum vise_optim_kind {
    VISE_OPTIM_ADAMW, // Loshchilov and Hutter, arXiv 1711.05101
    VISE_OPTIM_SGD,   // decay is added to the gradient; momentum without dampening, as PyTorch
    VISE_OPTIM_LAMB,  // You et al., arXiv 1904.00962; tensors without decay as AdamW
} vise_optim_kind;

typedef struct vise_optim_opts {
    vise_optim_kind kind;
    double beta1, beta2; // 0: 0.9, 0.999
    double eps;          // 0: 1e-8; LAMB: 1e-6
    double momentum;     // SGD; 0: none
    bool nesterov;       // SGD: along the gradient and the new momentum
    double ema;          // what an average keeps of itself per step; 0: there are none
} vise_optim_opts;

/* What a checkpoint of training holds beside the weights, under a name of its own: m.NAME the mean of
 * gradients or momentum, v.NAME the mean of their squares, ema.NAME the average of the weights. */
typedef struct vise_optim_state {
    const char *name;
    float *x; // [n]
    size_t n;
} vise_optim_state;

typedef struct vise_optim {
    vise_optim_opts how; // with defaults filled in
    vise_param *param;   // [params] a copy; x and grad may be moved between steps
    size_t params;
    uint64_t steps;          // taken so far: with state, all there is to save and to put back
    vise_optim_state *state; // [states] numbers may be read and overwritten between steps
    size_t states;
    struct vise_optim_moments *moments; // [params]
    struct vise_optim_piece *piece;     // [pieces]
    size_t pieces;
    double *sum; // [2 pieces] of squares
    vise_arena block;
} vise_optim;

/* State starts from zeros, averages from x.  VISE_ENOMEM; VISE_EARG: an option out of its range */
vise_status vise_optim_open(vise_optim *o, const vise_optim_opts *how, const vise_param *p,
                            size_t params, vise_err *e);
void vise_optim_close(vise_optim *o); // safe on a zeroed one

/* One step of all tensors, then of the averages. Gradients stay as they are.   rate >= 0 */
void vise_optim_step(vise_optim *o, vise_dense *d, double rate);

/* Scales all gradients so that their length together is at most `most` (Pascanu et al., arXiv
 * 1211.5063), and returns the length before. If that is not finite nothing is scaled: the caller
 * should not take this step.   most > 0 */
double vise_optim_clip(vise_optim *o, vise_dense *d, double most);

/* Rates: linearly up over `warmup` steps, then half a cosine down to `last` at `steps` (Loshchilov and
 * Hutter, arXiv 1608.03983), which stays. Step 0 has a rate already: step k of the warm-up has
 * rate (k + 1) / (warmup + 1). */
typedef struct vise_schedule {
    double rate, last;
    size_t warmup, steps;
} vise_schedule;
double vise_schedule_at(const vise_schedule *s, size_t step);

#endif
