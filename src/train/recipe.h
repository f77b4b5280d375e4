/* recipe.h - how a model is trained: one line of options, kept in the model's history.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_RECIPE_H
#define VISE_TRAIN_RECIPE_H

#include "model/line.h"

enum { VISE_DISTILL_NONE, VISE_DISTILL_SOFT, VISE_DISTILL_HARD, VISE_DISTILL_TOKEN };

typedef struct vise_training {
    double epochs, steps, batch;
    int optimizer; // vise_optim_kind
    double rate, scales, floor, warmup, decay, momentum, beta2, clip, ema, layers;
    double smoothing, mixup, cutmix;
    double crop, pad, flip, jitter, operations, magnitude, erase;
    int distill;
    double share, temperature, relation, hidden;
    const char *only, *skip;
    int codes;     // 1: they stay
    int precision; // 1: bf16
    double parts;
} vise_training;

/* The options of "train", "distill" or "finetune", which differ in defaults; NULL for another name. */
const vise_line_opt *vise_training_options(const char *name);
/* text: "NAME KEY=VALUE ..."; fills l, whose opts are a vise_training. VISE_EARG. Released by
 * vise_line_release in every case. */
vise_status vise_training_parse(vise_line *l, const char *text, vise_err *e);

#endif
