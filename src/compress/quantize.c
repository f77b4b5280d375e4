/* quantize.c - weights as codes or short floats, operands rounded when the network runs
 * SPDX-License-Identifier: MIT */
#include "compress/layers.h"

typedef vise_layers_opts options;

static const vise_line_opt table[] = {
    {"weights", VISE_LINE_WORD, offsetof(options, weights),
     "int8|int7|int6|int5|int4|int3|int2|f16|bf16|f32|auto", "int8",
     "how weight matrices are stored; integers: one scale per output channel; auto: bits of each "
     "by the budget"},
    {"bits", VISE_LINE_WORD, offsetof(options, bits), "|8|7|6|5|4|3|2|auto", "",
     "the same in fewer letters: bits=4 is weights=int4"},
    {"budget", VISE_LINE_TEXT, offsetof(options, budget), "2.5MB|900kB|2..8", "",
     "with weights=auto: most bytes of all constants, or mean bits of a weight; bits go where the "
     "outputs change most without"},
    {"group", VISE_LINE_WORD, offsetof(options, group), "0|32|64|128", "0",
     "columns that share a multiplier beside the channel's scale; at most 6 bits"},
    VISE_LAYERS_ACTS,
    {"method", VISE_LINE_WORD, offsetof(options, method), "auto|nearest|gptq|full", "auto",
     "how weights are rounded; full: everything below; auto: full if there are pictures"},
    {"range", VISE_LINE_WORD, offsetof(options, range), "minmax|percentile|mse", "mse",
     "how far the grids of weights reach"},
    {"clip", VISE_LINE_WORD, offsetof(options, clip), "auto|minmax|percentile|mse", "auto",
     "how far those of static operands reach; auto: minmax at 8 bits, else mse"},
    VISE_LAYERS_FIT,
    {"order", VISE_LINE_WORD, offsetof(options, order), "off|on", "on",
     "columns of large inputs are rounded first"},
    {"polish", VISE_LINE_NUMBER, offsetof(options, polish), "NUMBER", "4",
     "sweeps of coordinate descent over the codes"},
    {"refit", VISE_LINE_WORD, offsetof(options, refit), "off|on", "on",
     "scales are fitted again to the codes"},
    VISE_LAYERS_BIAS,
    {"levels", VISE_LINE_WORD, offsetof(options, levels), "off|on", "on",
     "static operands of 4 bits and fewer take the best levels of an 8-bit grid, not even ones"},
    {"probs", VISE_LINE_NUMBER, offsetof(options, probs), "NUMBER", "0.5",
     "octaves from one level of attention's probabilities to the next, at 4 bits and fewer; 0: "
     "even steps"},
    {"ends", VISE_LINE_WORD, offsetof(options, ends), "int8|same", "int8",
     "the first and the last matrix: weights, and operands of fewer bits; the picture itself "
     "always has 8"},
    {"rest", VISE_LINE_WORD, offsetof(options, rest), "f16|f32", "f16",
     "constants of two axes and more that are no matrices, beside integer weights"},
    VISE_LAYERS_LAST,
    {0},
};

static vise_status apply(vise_change *c, const void *opts, vise_err *e)
{
    options o = *(const options *)opts;
    o.pass = "quantize";
    if (o.bits) o.weights = o.bits > 7 ? VISE_WEIGHTS_AUTO : o.bits - 1;
    return vise_layers_change(c, &o, e);
}

extern const vise_pass vise_pass_quantize;
const vise_pass vise_pass_quantize = {.name = "quantize",
                                      .summary = "fewer bits for weights, and for what they meet",
                                      .opts = table,
                                      .opts_size = sizeof(options),
                                      .apply = apply};
