/* coded.h - which tensors of a .vise file hold a constant: its elements, or codes and companions
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_CODED_H
#define VISE_MODEL_CODED_H

#include "graph/graph.h"
#include "model/tensors.h"

/* The tensors that hold the constants of g: larger elements first, so that every one is aligned to
 * its element, then by name. *out is released with vise_free; the names of companions are kept in
 * names, the data stays g's. VISE_EFORMAT: a companion's name is already another value's. */
vise_status vise_coded_list(vise_stored **out, size_t *n, vise_region *names, const vise_graph *g,
                            vise_err *e);

/* The constant whose codes are st, from its encoding in the metadata (jansson's json_t). Scales and
 * codebook are copied into memory that t owns. VISE_EFORMAT names the tensor and what is wrong. */
vise_status vise_coded_read(vise_const *out, vise_tensors *t, const vise_stored *st,
                            const void *encoding, vise_err *e);

/* Every tensor of t is a constant of g or the companion of one, and not both. VISE_EFORMAT */
vise_status vise_coded_check_used(const vise_tensors *t, const vise_graph *g, vise_err *e);

/* Words of the levels in files: "affine", "codebook". */
const char *vise_levels_name(vise_levels l);

#endif
