/* recipe.c - what training can be told
 * SPDX-License-Identifier: MIT */
#include "train/recipe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(vise_training, field)
#define NUMBER(key, def, help)                                                                     \
    {                                                                                              \
#key, VISE_LINE_NUMBER, AT(key), "number", def, help                                       \
    }

/* Rows that all three share; arguments: defaults that differ. */
#define ROWS(epochs_, rate_, smoothing_, flip_, distill_, share_)                                    \
    NUMBER(epochs, epochs_, "passes over the training set"),                                         \
        NUMBER(steps, "0", "steps in all instead of epochs; 0: by epochs"),                          \
        NUMBER(batch, "64", "pictures of a step"),                                                   \
        {"optimizer",      VISE_LINE_WORD, AT(optimizer),                                            \
         "adamw|sgd|lamb", "adamw",        "AdamW, SGD with momentum, or LAMB"},                     \
        NUMBER(rate, rate_, "learning rate behind the warm-up"),                                     \
        NUMBER(scales, "5",                                                                          \
               "times as much for the logarithms of scales, and for centroids; 0: as they are"),     \
        NUMBER(floor, "0.01", "share of the rate at the end of its cosine"),                         \
        NUMBER(warmup, "0.05", "share of all steps in which the rate rises"),                        \
        NUMBER(decay, "0.05", "weight decay of matrices and filters"),                               \
        NUMBER(momentum, "0.9", "of SGD; of AdamW and LAMB the first beta"),                         \
        NUMBER(beta2, "0.999", "second beta of AdamW and LAMB"),                                     \
        NUMBER(clip, "1", "largest norm of all gradients together; 0: any"),                         \
        NUMBER(ema, "0",                                                                             \
               "decay of a moving average of the weights, which is then the result; 0: "             \
               "none"),                                                                              \
        NUMBER(layers, "1", "factor of the rate from a block to the one before it"),                 \
        NUMBER(smoothing, smoothing_, "share of a label that is spread over all classes"),           \
        NUMBER(mixup, "0", "alpha of mixup; 0: none"),                                               \
        NUMBER(cutmix, "0", "alpha of cutmix; 0: none"),                                             \
        NUMBER(crop, "0", "least share of a picture's area that a random crop keeps; 0: no crop"),   \
        NUMBER(pad, "0", "pixels by which a picture is shifted at random at most"),                  \
        NUMBER(flip, flip_, "probability of a mirrored picture"),                                    \
        NUMBER(jitter, "0", "strength of random brightness, contrast and saturation"),               \
        NUMBER(operations, "0", "random operations on a picture, as RandAugment"),                   \
        NUMBER(magnitude, "5", "their strength, up to 10"),                                          \
        NUMBER(erase, "0", "probability that a rectangle is erased"),                                \
        {"distill",                                                                                  \
         VISE_LINE_WORD,                                                                             \
         AT(distill),                                                                                \
         "none|soft|hard|token",                                                                     \
         distill_,                                                                                   \
         "learn from the teacher's probabilities, from its choice, or from its choice by a head "    \
         "and token of its own (DeiT)"},                                                             \
        NUMBER(share, share_, "weight of the teacher's loss, 1 - share is the labels'"),             \
        NUMBER(temperature, "3", "of soft distillation"),                                            \
        NUMBER(relation, "0", "weight of the loss of relations between tokens (MiniLM)"),            \
        NUMBER(hidden, "0", "weight of the loss of the blocks' outputs"),                            \
        {"only", VISE_LINE_TEXT, AT(only), "PATTERN,...", "", "tensors to train; all if not given"}, \
        {"skip", VISE_LINE_TEXT, AT(skip), "PATTERN,...", "", "tensors to leave as they are"},       \
        {"codes",                                                                                    \
         VISE_LINE_WORD,                                                                             \
         AT(codes),                                                                                  \
         "move|stay",                                                                                \
         "move",                                                                                     \
         "stay: coded weights keep their codes, and only their scales and centroids are trained"},   \
        {"precision",                                                                                \
         VISE_LINE_WORD,                                                                             \
         AT(precision),                                                                              \
         "f32|bf16",                                                                                 \
         "f32",                                                                                      \
         "what matrices are multiplied with on the way forward; sums and weights stay f32"},         \
        NUMBER(parts, "0",                                                                           \
               "keep values at so many cuts only and compute the others twice; 0: "                  \
               "keep all")

static const vise_line_opt train[] = {ROWS("30", "0.001", "0.1", "0.5", "none", "0"), {0}};
static const vise_line_opt distill[] = {ROWS("30", "0.001", "0", "0.5", "soft", "0.9"), {0}};
static const vise_line_opt finetune[] = {ROWS("3", "0.0001", "0", "0.5", "none", "0"), {0}};

static const struct {
    const char *name;
    const vise_line_opt *table;
} tables[] = {{"train", train}, {"distill", distill}, {"finetune", finetune}};

const vise_line_opt *vise_training_options(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!strcmp(tables[i].name, name)) return tables[i].table;
    return NULL;
}

/* What a number may be, where that is not anything from 0 up. */
static const struct {
    const char *key;
    size_t at;
    double least, most;
    bool whole;
} limits[] = {
    {"epochs", AT(epochs), 0, 1e5, false},
    {"steps", AT(steps), 0, 1e6, true},
    {"batch", AT(batch), 1, 65536, true},
    {"rate", AT(rate), 1e-12, 100, false},
    {"scales", AT(scales), 0, 1000, false},
    {"floor", AT(floor), 0, 1, false},
    {"warmup", AT(warmup), 0, 1, false},
    {"momentum", AT(momentum), 0, 0.9999, false},
    {"beta2", AT(beta2), 0.01, 0.999999, false},
    {"ema", AT(ema), 0, 0.999999, false},
    {"layers", AT(layers), 0.01, 1, false},
    {"smoothing", AT(smoothing), 0, 0.99, false},
    {"crop", AT(crop), 0, 1, false},
    {"pad", AT(pad), 0, 1000, true},
    {"flip", AT(flip), 0, 1, false},
    {"jitter", AT(jitter), 0, 1, false},
    {"operations", AT(operations), 0, 16, true},
    {"magnitude", AT(magnitude), 0, 10, false},
    {"erase", AT(erase), 0, 1, false},
    {"share", AT(share), 0, 1, false},
    {"temperature", AT(temperature), 0.01, 1000, false},
    {"parts", AT(parts), 0, 1000, true},
};

/* Nothing here has an automatic value. */
static vise_status check_numbers(const vise_line *l, const vise_line_opt *table, vise_err *e)
{
    for (; table->key; table++) {
        double x = 0;
        if (table->kind == VISE_LINE_NUMBER)
            memcpy(&x, (const char *)l->opts + table->offset, sizeof x);
        if (isnan(x))
            return vise_fail(e, VISE_EARG, "%s %s=auto: it must be a number", l->name, table->key);
    }
    return VISE_OK;
}

static vise_status check(const vise_line *l, vise_err *e)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        double x;
        memcpy(&x, (const char *)l->opts + limits[i].at, sizeof x);
        const bool whole = !limits[i].whole || x == floor(x);
        if (!(x >= limits[i].least && x <= limits[i].most) || !whole)
            return vise_fail(e, VISE_EARG, "%s %s=%g: it must be a %snumber from %g to %g", l->name,
                             limits[i].key, x, limits[i].whole ? "whole " : "", limits[i].least,
                             limits[i].most);
    }
    return VISE_OK;
}

vise_status vise_training_parse(vise_line *l, const char *text, vise_err *e)
{
    char name[VISE_LINE_NAME];
    *l = (vise_line){0};
    const vise_line_opt *table = vise_training_options(vise_line_first(name, text));
    if (!table)
        return vise_fail(e, VISE_EARG, "%.80s: one of train, distill and finetune is meant", name);
    VISE_TRY(vise_line_parse(l, text, table, sizeof(vise_training), e));
    VISE_TRY(check_numbers(l, table, e));
    return check(l, e);
}
