/* import_opts.c - the table of import options, and what they mean to the library
 * SPDX-License-Identifier: MIT */
#include "import_opts.h"
#include "cli.h"

#define AT(field) offsetof(import_opts, field)

const opt import_table[] = {
    {"arch", OPT_TEXT, AT(arch), "NAME", "model family, instead of recognising it", 0},
    {"heads", OPT_U32, AT(heads), "N", "attention heads", 1},
    {"ln-eps", OPT_REAL, AT(ln_eps), "X", "epsilon of the layer norms", 0},
    {"act", OPT_TEXT, AT(act), "NAME", "activation: gelu, gelu_tanh, gelu_quick, relu, silu", 0},
    {"norm", OPT_TEXT, AT(norm), "NAME", "position of the layer norms: pre, post", 0},
    {"size", OPT_SIZE, AT(size), "HxW",
     "input size in pixels, or N for a square; position embeddings are interpolated", 0},
    {"mean", OPT_RGB, AT(mean), "a,b,c", "per channel, for values in 0..1; or one for all", 0},
    {"std", OPT_RGB, AT(std), "a,b,c", "likewise; --mean and --std go together", 0},
    {"crop-pct", OPT_REAL, AT(crop_pct), "X", "part of the picture that is kept, up to 1", 0},
    {"crop-mode", OPT_WORD, AT(crop_mode), "center|squash|border", "how it is cut out", 0},
    {"interpolation", OPT_WORD, AT(interpolation), "nearest|bilinear|bicubic", "resize filter", 0},
    {"class-names", OPT_TEXT, AT(class_names), "FILE", "text file, one name a line", 0},
    {"ignore-exif", OPT_FLAG, AT(ignore_exif), NULL, "leave JPEGs as the sensor had them", 0},
    {0},
};

vise_status import_opts_get(vise_import *out, const import_opts *o, vise_err *e)
{
    if (o->mean.given != o->std.given)
        return cli_fail(e, VISE_EARG, "--%s needs --%s beside it", o->mean.given ? "mean" : "std",
                        o->mean.given ? "std" : "mean");
    *out = (vise_import){
        .arch = o->arch,
        .heads = o->heads,
        .ln_eps = o->ln_eps,
        .act = o->act,
        .norm = o->norm,
        .height = o->size.height,
        .width = o->size.width,
        .class_names = o->class_names,
        .recipe = {.filter = (vise_filter)o->interpolation, // words in the order of the enums
                   .crop = (vise_crop)o->crop_mode,
                   .crop_pct = o->crop_pct,
                   .ignore_exif = o->ignore_exif},
    };
    for (size_t c = 0; c < 3; c++) {
        if (o->std.given && !(o->std.v[c] > 0))
            return cli_fail(e, VISE_EARG, "--std %g: expected a number above 0",
                            (double)o->std.v[c]);
        out->recipe.mean[c] = o->mean.v[c];
        out->recipe.std[c] = o->std.v[c];
    }
    return VISE_OK;
}
