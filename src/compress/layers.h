/* layers.h - weights become codes and operands are rounded, layer after layer: what quantize and cluster
 * do, with uniform grids and with palettes.
 *
 * Weights: of a linear and of a convolution of one group, one row per output channel, as codes with a
 * scale per row; what is coded already stays. Norms and biases stay floats; other constants are halved.
 *
 * With calibration pictures, layer after layer is rounded so that the network's error is small (fit.h):
 * its inputs are those that the layers rounded before it give, the target is what the layer gave in the
 * original network. docs/QUANTIZATION.md says how, and what each part is worth.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_LAYERS_H
#define VISE_COMPRESS_LAYERS_H

#include "compress/pass.h"

/* Words of options, in the order of the passes' tables. */
enum {
    VISE_WEIGHTS_F16 = 7,
    VISE_WEIGHTS_BF16,
    VISE_WEIGHTS_F32,
    VISE_WEIGHTS_AUTO
}; // before: codes
enum {
    VISE_METHOD_AUTO,
    VISE_METHOD_NEAREST,
    VISE_METHOD_GPTQ,
    VISE_METHOD_FULL,
    VISE_METHOD_WEIGHTED, // nearest, but scales and centroids by the inputs' squares
};
enum { VISE_ENDS_INT8, VISE_ENDS_SAME };
enum { VISE_OFF, VISE_ON };
enum { VISE_IMPORTANCE_AUTO, VISE_IMPORTANCE_OFF, VISE_IMPORTANCE_ON };
enum { VISE_BOOK_LAYER, VISE_BOOK_MODEL, VISE_BOOK_ROWS64, VISE_BOOK_ROWS128 };

typedef struct vise_layers_opts {
    const char *pass; // for messages
    int weights, bits, group, acts, method, range, clip, levels, order, refit, bias, ends, rest,
        vectors, importance;
    double fold, target, damp, polish, probs;
    const char *budget, *skip, *keep;
    // palettes: 0 centroids is a uniform grid
    double centroids;
    int book, scales, whole; // whole: centroids are whole numbers of a byte
} vise_layers_opts;

/* Rows that the tables of both passes have. */
#define VISE_LAYERS_AT(field) offsetof(vise_layers_opts, field)
#define VISE_LAYERS_ACTS                                                                           \
    {                                                                                              \
        "acts", VISE_LINE_WORD, VISE_LAYERS_AT(acts),                                              \
            "int8|int6|int5|int4|int3|static|static6|static5|static4|static3|bf16|f32", "int8",    \
            "how inputs of layers are rounded; int8: by each token's range, static: by the range " \
            "that "                                                                                \
            "calibration pictures had"                                                             \
    }
#define VISE_LAYERS_FIT                                                                            \
    {"fold",                                                                                       \
     VISE_LINE_NUMBER,                                                                             \
     VISE_LAYERS_AT(fold),                                                                         \
     "NUMBER",                                                                                     \
     "auto",                                                                                       \
     "how much of the channels' unequal ranges is moved into weights, 0 to 1"},                    \
        {"target",                                                                                 \
         VISE_LINE_NUMBER,                                                                         \
         VISE_LAYERS_AT(target),                                                                   \
         "NUMBER",                                                                                 \
         "auto",                                                                                   \
         "how much of the error of the layers before is made up for, 0 to 1"},                     \
        {"damp",                                                                                   \
         VISE_LINE_NUMBER,                                                                         \
         VISE_LAYERS_AT(damp),                                                                     \
         "NUMBER",                                                                                 \
         "auto",                                                                                   \
         "damping of the inputs' products, relative to the mean of their diagonal"},               \
    {                                                                                              \
        "importance", VISE_LINE_WORD, VISE_LAYERS_AT(importance), "auto|off|on", "auto",           \
            "rows of inputs count by how much the answer depends on their outputs; auto: below 8 " \
            "bits"                                                                                 \
    }
#define VISE_LAYERS_BIAS                                                                           \
    {                                                                                              \
        "bias", VISE_LINE_WORD, VISE_LAYERS_AT(bias), "off|on", "on",                              \
            "biases keep the mean output"                                                          \
    }
#define VISE_LAYERS_LAST                                                                           \
    {"vectors", VISE_LINE_WORD, VISE_LAYERS_AT(vectors),                                           \
     "f32|f16", "f32",          "biases, and gains and shifts of norms"},                          \
        {"skip",                                                                                   \
         VISE_LINE_TEXT,                                                                           \
         VISE_LAYERS_AT(skip),                                                                     \
         "PATTERN,...",                                                                            \
         "",                                                                                       \
         "layers to leave as they are, by name; * stands for anything"},                           \
    {                                                                                              \
        "keep", VISE_LINE_TEXT, VISE_LAYERS_AT(keep), "PATTERN,...", "",                           \
            "the only layers to change"                                                            \
    }

/* VISE_EARG: options that do not fit the model, or no pictures where they are needed; or as what it
 * calls. */
vise_status vise_layers_change(vise_change *c, const vise_layers_opts *o, vise_err *e);

#endif
