/* loss.h - what training makes small, and its gradients.
 *
 * Each function returns the mean loss (not weighted) and ADDS weight * its gradient to dx, so that a
 * sum of losses is a sequence of calls. Sums are in double; a NaN anywhere is a NaN of the loss.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_LOSS_H
#define VISE_TRAIN_LOSS_H

#include "exec/dense.h"

/* Rows of a network in training: logits [pictures, classes], or a value [tokens, dim].
 *   x   in  [rows, cols]
 *   dx  +=  [rows, cols], or NULL: the loss alone */
typedef struct vise_student {
    const float *x;
    float *dx;
    size_t rows, cols;
    double weight;
} vise_student;

/* ---- on logits; p = softmax(x) per row ---- */

/* Ones become 1 - smoothing + smoothing / classes, zeros smoothing / classes (Szegedy et al., arXiv
 * 1512.00567).
 *   targets out [n, classes];  labels in [n], each below classes;  smoothing in [0, 1] */
void vise_targets_of(float *targets, const size_t *labels, size_t n, size_t classes,
                     double smoothing);

/* Cross-entropy: mean over rows of -sum_c target_c log p_c. Targets that do not add to one per row
 * are taken as they are.
 *   targets in [rows, cols] */
double vise_loss_targets(const vise_student *s, const float *targets);

/* T^2 KL(softmax(teacher / T) || softmax(x / T)), mean over rows (Hinton et al., arXiv 1503.02531).
 *   teacher in [rows, cols] logits;  T > 0 */
double vise_loss_soft(const vise_student *s, const float *teacher, double T);

/* Cross-entropy with the teacher's largest logit, the first of equal ones, as the label (hard
 * distillation of DeiT, arXiv 2012.12877).
 *   teacher in [rows, cols] logits */
double vise_loss_hard(const vise_student *s, const float *teacher);

/* ---- on values inside the network ---- */

/* mean (x - target)^2 over all numbers; normalise: divided by the variance of the target's numbers
 * (by 1 if they are all equal), so that layers of any size weigh alike.
 *   target in [rows, cols] */
double vise_loss_mse(const vise_student *s, const float *target, bool normalise);

/* As vise_loss_mse, normalised, where rows count by a weight.
 *   target in [rows, cols]     weight in [rows], or NULL: 1 each */
double vise_loss_weighted(const vise_student *s, const float *target, const float *weight);

/* As vise_loss_mse of x w^T, for a teacher of another width: w is learned, too (hidden states of
 * TinyBERT, arXiv 1909.10351). The scratch holds x w^T and its gradient.
 *   w       in  [dim, s->cols]
 *   dw      +=  [dim, s->cols]
 *   teacher in  [s->rows, dim]
 *   room        2 rows dim floats of scratch
 * s->dx may be NULL, and so may dw.  VISE_ENOMEM */
typedef struct vise_projected {
    const float *w, *teacher;
    float *dw, *room;
    size_t dim;
    bool normalise;
} vise_projected;
vise_status vise_loss_projected(double *loss, vise_dense *d, const vise_student *s,
                                const vise_projected *p, vise_err *e);

/* KL(A_teacher || A_student), mean over rows, heads and pictures, of A = softmax(x x^T / sqrt(cols /
 * heads)) per head: which token of a picture is like which. Widths may differ (self-attention
 * relations of MiniLM v2, arXiv 2012.15828, where x is q, k or v).
 * Products in float: KL is off by about 1e-6 times the largest score.
 *   teacher in [s->rows, dim]
 *   room    vise_relation_room floats of scratch, 64-byte aligned
 * heads divides cols and dim; pictures divides s->rows. */
typedef struct vise_relation {
    const float *teacher;
    float *room;
    size_t dim, heads, pictures;
} vise_relation;
size_t vise_relation_room(const vise_dense *d, const vise_student *s, const vise_relation *r);
double vise_loss_relation(vise_dense *d, const vise_student *s, const vise_relation *r);

#endif
