/* op.h - what an operator is: one row of a table, one file in ops/.
 *
 * An operator states its attributes (a table, so that files, builders and printers need no code of
 * its own), its shape rule, its cost, and its forward: the plain f32 definition, which is the oracle
 * that every fast step of exec/ is tested against. Backward lives in the same file but in a second
 * table (ops_backward.c), so that a program that only runs networks links nothing of training.
 *
 * Shapes never include the batch. A value is *batched* if it depends on the images; the operands of
 * one operator may mix: an unbatched operand (a weight, a position embedding) serves every image.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_OP_H
#define VISE_GRAPH_OP_H

#include "graph/tensor.h"

enum {
    VISE_MAX_IN = 8,        // operands of one node
    VISE_MAX_DIM = 1 << 24, // of one extent
};
#define VISE_MAX_COUNT ((size_t)1 << 40) // elements of one value

/* ---- attributes ---- */

typedef enum vise_attr_kind {
    VISE_ATTR_INT,  // int64_t
    VISE_ATTR_REAL, // double
    VISE_ATTR_BOOL, // bool
    VISE_ATTR_WORD, // int: index into words
    VISE_ATTR_INTS, // vise_ints
} vise_attr_kind;

typedef struct vise_ints {
    uint32_t n; // <= VISE_MAX_RANK
    int64_t v[VISE_MAX_RANK];
} vise_ints;

/* One attribute: where it lies in the operator's own struct, and what it may be. A table of these
 * ends with a NULL name. In files an attribute equal to its default (all-zero memory unless `def`
 * says otherwise, numbers only) is left out. */
typedef struct vise_attr_def {
    const char *name;
    vise_attr_kind kind;
    size_t offset;
    double def, min, max;     // numbers (each element, for INTS)
    const char *const *words; // NULL-terminated
} vise_attr_def;

/* ---- what shape and cost rules see ---- */

typedef struct vise_sig {
    const char *name; // the node's, for messages
    const void *attr;
    uint32_t nin;
    const vise_shape *in[VISE_MAX_IN]; // NULL: absent optional operand
    bool batched[VISE_MAX_IN];
    const vise_actq *actq; // [nin] how operands are rounded; NULL: not at all
} vise_sig;

/* ---- what forward and backward see ---- */

typedef struct vise_arg {
    const vise_shape *shape; // of one image's part; NULL: absent
    float *data;             // [batch, shape] if batched, else [shape]; inputs are only read
    bool batched;
} vise_arg;

typedef struct vise_call {
    const void *attr;
    size_t batch;
    uint32_t nin, nout;
    vise_arg in[VISE_MAX_IN], out[1];
    const vise_actq *actq; // [nin] how operands are rounded first; NULL: not at all
    float *scratch;        // what the operator's scratch() asked for, aligned to VISE_ALIGN
} vise_call;

/* Image b's part of an operand. */
static inline float *vise_arg_at(const vise_arg *a, size_t b)
{
    return a->batched ? a->data + b * vise_shape_count(a->shape) : a->data;
}

/* dout: gradient of the output, as out[0]. din[i]: gradient of input i, ADDED to (so a value used
 * twice needs no special case; an unbatched operand sums over the images), or NULL if not wanted.
 * The operands are those of forward, already rounded if it rounded them: backward does not look at
 * actq, nor at how attention rounds its probabilities, as if rounding had the gradient 1 (straight
 * through). scratch is as large as forward's; out[0].data is not read and may be NULL. */
typedef void vise_backward_fn(const vise_call *c, const float *dout, float *const din[]);

typedef struct vise_op {
    const char *name; // in files
    uint32_t min_in, max_in;
    size_t attr_size; // of its struct; 0: none
    const vise_attr_def *attrs;
    /* The output's shape. Fails with VISE_EFORMAT, naming the node and the numbers. Every product it
     * forms is bounded: extents are <= VISE_MAX_DIM, counts <= VISE_MAX_COUNT (checked by the graph
     * for inputs and afterwards for the output). */
    vise_status (*shape)(const vise_sig *s, vise_shape *out, vise_err *e);
    uint64_t (*macs)(const vise_sig *s, const vise_shape *out);  // NULL: 0. Multiply-adds per image
    size_t (*scratch)(const vise_sig *s, const vise_shape *out); // NULL: 0. Floats, whole call
    /* May the operands be rounded as s->actq says, of which each is valid in itself? VISE_EFORMAT
     * names the node. NULL: none may. */
    vise_status (*actq)(const vise_sig *s, vise_err *e);
    /* Output from inputs, exactly as its header comment defines; single-threaded. */
    void (*forward)(const vise_call *c);
} vise_op;

const vise_op *vise_op_find(const char *name);         // NULL: unknown
const vise_op *vise_op_at(size_t i);                   // NULL after the last
vise_backward_fn *vise_op_backward(const vise_op *op); // NULL: none (integers)

/* Fills attr (attr_size bytes) with the defaults. */
void vise_attr_defaults(const vise_op *op, void *attr);
/* Checks ranges. VISE_EFORMAT names node and attribute. */
vise_status vise_attr_check(const vise_op *op, const void *attr, const char *node, vise_err *e);

/* ---- helpers for shape rules ---- */

/* The axis an attribute means: negative counts from the end. VISE_EFORMAT if out of range. */
vise_status vise_axis(uint32_t *axis, int64_t attr, uint32_t rank, const char *node, vise_err *e);
/* Broadcast of two shapes by numpy's rule. VISE_EFORMAT names the node and both shapes. */
vise_status vise_broadcast(vise_shape *out, const vise_shape *a, const vise_shape *b,
                           const char *node, vise_err *e);

#endif
