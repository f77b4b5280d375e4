/* change.h - a model while a pass changes it: the old one, and what is to be different.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_CHANGE_H
#define VISE_COMPRESS_CHANGE_H

#include "model/model.h"

typedef vise_actq vise_actqs[VISE_MAX_IN];

typedef struct vise_change {
    const vise_model *from;     // as it was
    const vise_eval_opts *opts; // threads, cpu, progress; pictures to calibrate with
    vise_const *data;           // [values] what the constants become; at first as they are
    vise_actqs *actq;           // [nodes] how operands are rounded; at first as they are
    const void **attr;          // [nodes] attributes; at first as they are
    const float **factor; // [nodes] per channel, multiplied to what the node gives, or NULL: a
                          // node of its own takes the name, and the first is called NAME.raw
    vise_graph graph;     // what a pass builds instead, see vise_change_rewrite
    bool rewritten;
    void **block; // [blocks] memory of new constants
    size_t blocks, room;
} vise_change;

vise_status vise_change_open(vise_change *c, const vise_model *m, const vise_eval_opts *opts,
                             vise_err *e);
/* Memory for a constant's new numbers, kept with c and then with the model. VISE_ENOMEM */
vise_status vise_change_alloc(vise_change *c, void *out, size_t n, size_t size, vise_err *e);
/* The graph as c says now; it borrows c's constants. Freed by the caller, after a failure too. */
vise_status vise_change_build(vise_graph *to, const vise_change *c, vise_err *e);
/* An empty graph, which takes the old one's place when c is committed, whatever data and actq say: for
 * passes that change operators. The pass adds inputs, nodes and outputs; a failure in it is one of
 * the commit, which finishes it. */
vise_graph *vise_change_rewrite(vise_change *c, vise_err *e);
/* Makes m, which c was opened with, the changed model; line joins its history. On failure m is as it
 * was. VISE_EFORMAT: the changed graph breaks a rule; VISE_ENOMEM. */
vise_status vise_change_commit(vise_change *c, vise_model *m, const char *line, vise_err *e);
void vise_change_close(vise_change *c);

#endif
