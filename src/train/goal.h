/* goal.h - what a network in training is held against: labels, a teacher's answers, a teacher's values
 * inside; together one loss, and the seeds of its gradients.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_GOAL_H
#define VISE_TRAIN_GOAL_H

#include "train/feed.h"
#include "train/optim.h"
#include "train/tape.h"

/* A block's output of the student and the teacher's that it is held against. */
typedef struct vise_goal_pair {
    vise_id value;      // of the student
    size_t tokens, dim; // of it
    size_t wide;        // the teacher's dim
    float *taught;      // [batch, tokens, wide]
    float *d;           // [batch, tokens, dim]
    float *w, *dw;      // [wide, dim] if they differ: a projection that is trained, too
} vise_goal_pair;

typedef struct vise_goal {
    const vise_training *how;
    size_t classes, batch;
    vise_id answer[2];              // logits; or the heads of labels and of the teacher
    size_t answers;                 // 1 or 2
    vise_session *teacher;          // NULL: none
    const vise_recipe *own, *other; // of student and teacher, if pictures must be changed; or NULL
    float *pixels;                  // [batch, floats] for the teacher, or NULL
    float *taught;                  // [batch, classes]
    float **out;                    // [outputs of the teacher]
    float *d[2];                    // [batch, classes]
    vise_goal_pair *pair;           // [pairs], the last is of the last blocks
    size_t pairs;
    float *room;     // of losses of pairs
    bool *keep;      // [values] of the student, for its tape; NULL: nothing
    vise_seed *seed; // [seeds]
    size_t seeds;
    vise_param *param; // [params] projections
    size_t params;
} vise_goal;

/* net: the student. VISE_EARG: no logits, a teacher of other classes or input, heads or blocks that are
 * not there; or as sessions fail. Closed in every case. */
vise_status vise_goal_open(vise_goal *g, const vise_model *net, const vise_training *how,
                           const vise_train_opts *o, const vise_dense *d, vise_err *e);
void vise_goal_close(vise_goal *g);
/* After forward on a batch: the mean loss, and the seeds. Clears what it had summed up. */
vise_status vise_goal_run(vise_goal *g, double *loss, const vise_tape *t, const vise_feed *f,
                          vise_err *e);

#endif
