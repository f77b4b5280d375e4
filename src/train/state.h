/* state.h - a training's checkpoint: what it takes to go on as if it had never stopped.
 *
 * A safetensors file of floats, with a text "training" that says of what, written whole or not at all.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_TRAIN_STATE_H
#define VISE_TRAIN_STATE_H

#include "base/file.h"

typedef struct vise_state_array {
    char name[24];
    float *x; // [n] read into, or written
    size_t n;
} vise_state_array;

typedef struct vise_state {
    const char *of; // of what: recipe, seed, model, data; a checkpoint of anything else is refused
    uint64_t step;  // steps done
    vise_state_array *array;
    size_t arrays;
} vise_state;

vise_status vise_state_write(const vise_state *s, const char *path, vise_err *e);
/* No file: *found is false and nothing is changed. VISE_EARG: a checkpoint of another training;
 * VISE_EFORMAT, VISE_EIO: a file that cannot be read; then arrays may have been changed. */
vise_status vise_state_read(vise_state *s, bool *found, const char *path, vise_err *e);

#endif
