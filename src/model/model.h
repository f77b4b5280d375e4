/* model.h - a model: a graph, the memory its constants live in, and how pictures get into it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_MODEL_H
#define VISE_MODEL_MODEL_H

#include "base/strings.h"
#include "graph/graph.h"
#include "model/tensors.h"

struct vise_model {
    vise_graph graph;
    vise_tensors tensors; // constants of the graph point into these
    const char *family;   // static, or in the texts of tensors
    vise_recipe recipe;   // complete
    vise_strings labels;  // class names in index order, or none
    vise_strings notes;   // what was assumed, mapped or left out while importing
    vise_strings history; // lines of text that made this model
};

/* An empty model on the heap. VISE_ENOMEM. */
vise_status vise_model_alloc(vise_model **out, vise_err *e);

/* ---- the .vise file (docs/FORMAT.md) ---- */

bool vise_file_is(const vise_tensors *t); // read from a .vise file?
/* Builds m's graph, recipe, labels and history from m->tensors, which came from a .vise file.
 * height, width: another input size, or 0. VISE_EFORMAT names what is wrong. */
vise_status vise_file_load(vise_model *m, uint32_t height, uint32_t width, vise_err *e);

/* ---- recipes (recipe.c) ---- */

/* Texts a checkpoint has beside it, parsed; either may be NULL. json_t of jansson. */
typedef struct vise_configs {
    const void *config;       // config.json: timm's or Hugging Face's
    const void *preprocessor; // preprocessor_config.json
} vise_configs;

/* Fills the unset (zero) fields of r from the configurations (timm pretrained_cfg, Hugging Face
 * image processor), then from the family's default, with a note for everything that was not read
 * from the checkpoint itself. r->channels, height and width are already set. */
vise_status vise_recipe_complete(vise_recipe *r, const vise_configs *c, const vise_recipe *family,
                                 vise_strings *notes, vise_err *e);
/* The size, height and width in pixels, at which an image processor that crops or resizes to one size
 * hands pictures on; false if c has none. */
bool vise_recipe_processor_size(const vise_configs *c, size_t size[2]);
/* Lays the set fields of an override over r. VISE_EARG names an option out of range. */
vise_status vise_recipe_override(vise_recipe *r, const vise_recipe *o, vise_err *e);
/* crop_pct in (0, 1], std > 0 and finite, sizes 1 .. 16384 ... VISE_EFORMAT names the field. */
vise_status vise_recipe_check(const vise_recipe *r, vise_err *e);

/* Are pixels the same numbers for the same colours? */
bool vise_recipe_same_colours(const vise_recipe *a, const vise_recipe *b);

/* Words of the enums in files and options: "nearest", "bilinear", "bicubic"; "center", "squash",
 * "border". */
const char *vise_filter_name(vise_filter f);
const char *vise_crop_name(vise_crop c);
bool vise_filter_from(vise_filter *f, const char *name);
bool vise_crop_from(vise_crop *c, const char *name);

#endif
