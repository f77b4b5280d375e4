/* import_opts.h - the options of every command that opens a model: what a raw checkpoint's shapes
 * do not tell, and changes of its input recipe.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_IMPORT_OPTS_H
#define VISE_CLI_IMPORT_OPTS_H

#include "opt.h"

typedef struct import_opts {
    const char *arch, *act, *norm, *class_names;
    uint32_t heads;
    double ln_eps, crop_pct;
    opt_size size;
    opt_rgb mean, std;
    unsigned crop_mode, interpolation;
    bool ignore_exif;
} import_opts;

extern const opt import_table[]; // fills an import_opts

/* The library's form of parsed options, whose texts it borrows. VISE_EARG: they contradict. */
vise_status import_opts_get(vise_import *out, const import_opts *o, vise_err *e);

#endif
