/* cluster.c - weights by palettes: every matrix stored as indices of few centroids
 *
 * The idea of arXiv 2106.16006, by sums over calibration pictures: centroids and indices are chosen so that
 * layers' outputs change least, not weights. docs/CLUSTERING.md
 *
 * SPDX-License-Identifier: MIT */
#include "compress/layers.h"

typedef vise_layers_opts options;

enum { METHOD_AUTO, METHOD_KMEANS, METHOD_WEIGHTED, METHOD_FULL };
enum { CENTROIDS_AUTO, CENTROIDS_INT8, CENTROIDS_F32 };
enum { ACTS_BF16 = 10, ACTS_F32 };

static const vise_line_opt table[] = {
    {"k", VISE_LINE_NUMBER, offsetof(options, centroids), "NUMBER", "64",
     "centroids, 2 to 256; an index has as many bits as it takes to count them; 0: weights stay"},
    {"codebook", VISE_LINE_WORD, offsetof(options, book), "layer|model|rows64|rows128", "layer",
     "what shares the centroids: a matrix, all of them, or so many rows"},
    {"scales", VISE_LINE_WORD, offsetof(options, scales), "off|on", "on",
     "a scale for every output channel"},
    {"centroids", VISE_LINE_WORD, offsetof(options, whole), "auto|int8|f32", "auto",
     "centroids as signed bytes, for products of integers, or floats; auto: as operands are"},
    VISE_LAYERS_ACTS,
    {"method", VISE_LINE_WORD, offsetof(options, method), "auto|kmeans|weighted|full", "auto",
     "kmeans: of the weights alone; weighted: by the inputs' squares; full: by all products of "
     "inputs, layer after layer; auto: full"},
    VISE_LAYERS_FIT,
    {"polish", VISE_LINE_NUMBER, offsetof(options, polish), "NUMBER", "4",
     "sweeps of coordinate descent over the indices"},
    {"refit", VISE_LINE_WORD, offsetof(options, refit), "off|on", "on",
     "centroids and scales are fitted again to the indices"},
    VISE_LAYERS_BIAS,
    {"ends", VISE_LINE_WORD, offsetof(options, ends), "int8|same", "same",
     "the first and the last matrix: 8 bits, or as all others; the picture itself always has 8"},
    {"rest", VISE_LINE_WORD, offsetof(options, rest), "f16|f32", "f16",
     "constants of two axes and more that are no matrices, beside indices"},
    VISE_LAYERS_LAST,
    {0},
};

static vise_status apply(vise_change *c, const void *opts, vise_err *e)
{
    static const int methods[] = {[METHOD_AUTO] = VISE_METHOD_AUTO,
                                  [METHOD_KMEANS] = VISE_METHOD_NEAREST,
                                  [METHOD_WEIGHTED] = VISE_METHOD_WEIGHTED,
                                  [METHOD_FULL] = VISE_METHOD_FULL};
    options o = *(const options *)opts;
    const bool floats = o.acts == ACTS_F32 || o.acts == ACTS_BF16;
    o.pass = "cluster";
    o.weights = o.centroids == 0 ? VISE_WEIGHTS_F32 : 0;
    o.method = methods[o.method];
    o.whole = o.whole == CENTROIDS_AUTO ? !floats : o.whole == CENTROIDS_INT8;
    o.order = o.levels = VISE_ON;
    o.probs = 0.5;
    o.budget = "";
    return vise_layers_change(c, &o, e);
}

extern const vise_pass vise_pass_cluster;
const vise_pass vise_pass_cluster = {.name = "cluster",
                                     .summary = "weights as indices of few centroids",
                                     .opts = table,
                                     .opts_size = sizeof(options),
                                     .apply = apply};
