/* student.h - what a new model takes over from a teacher: dimensions and weights
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_STUDENT_H
#define VISE_MODEL_STUDENT_H

#include "graph/ops.h"
#include "model/model.h"

/* A plain ViT as its graph tells it. Points into the model. */
typedef struct vise_teacher {
    const vise_graph *g;
    const vise_embed_add_attr *pos; // grid of the positions, and the rows before it
    size_t dim, depth, heads, mlp, channels, classes; // classes 0: it has no head
    size_t patch[2];                                  // vertical, horizontal
    double ln_eps;
    const char *act;
    bool distilled, scaled; // a distillation token and its head; layer scale
} vise_teacher;

/* VISE_EARG if m is no plain ViT: blocks with the norms first, an MLP of two layers, the answer read
 * from a class token, no other tokens but a distillation token. */
vise_status vise_teacher_read(vise_teacher *t, const vise_model *m, vise_err *e);

/* The student, while its tensors are made. */
typedef struct vise_student {
    const vise_teacher *teacher;
    const uint32_t *blocks; // of the teacher, [nblocks]; NULL: evenly spread
    size_t depth;           // nblocks, if there are blocks
    size_t prefix, grid[2]; // rows of pos_embed before the patches; patches
} vise_student;

/* The block of the teacher that the student's block i < depth begins as. Evenly spread blocks include
 * the first and the last. */
size_t vise_student_block(const vise_student *s, size_t i);
/* Has the teacher a counterpart of this tensor of the student? A distillation token's is the class
 * token if there is no other, its head's the head. */
bool vise_student_has(const vise_student *s, const char *name);
/* Copies the counterpart of a tensor, decoded, if there is one of the same shape, but for leading
 * extents of 1. Fused q, k and v are put together from three; positions are resized to the student's
 * grid, and a prefix token that the teacher lacks gets the class token's.
 *   out  out  [count of shape] f32, untouched if *copied is false
 * VISE_ENOMEM */
vise_status vise_student_copy(const vise_student *s, const char *name, const vise_shape *shape,
                              float *out, bool *copied, vise_err *e);

#endif
