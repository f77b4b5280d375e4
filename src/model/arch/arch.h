/* arch.h - a model family: what turns named tensors into a graph. One file a family, one row each.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_ARCH_ARCH_H
#define VISE_MODEL_ARCH_ARCH_H

#include "model/model.h"

typedef struct vise_arch {
    const char *name; // as --arch takes it
    /* Could these tensors be of this family? Looks at names and shapes only; 0 no, larger is surer.
     * A family that needs no exact names answers low. */
    int (*match)(const vise_tensors *t);
    /* Fills m->graph (finished), m->recipe (complete) and m->notes from m->tensors. Every assumption
     * becomes a note. VISE_EFORMAT lists what did not fit, VISE_EARG asks for an option that is
     * needed and says which. */
    vise_status (*build)(vise_model *m, const vise_import *opts, const vise_configs *c,
                         vise_err *e);
} vise_arch;

const vise_arch *vise_arch_find(const char *name); // NULL: unknown
/* The family that matches best. VISE_EFORMAT, listing the first tensors, when none does. */
vise_status vise_arch_detect(const vise_arch **out, const vise_tensors *t, vise_err *e);

#endif
