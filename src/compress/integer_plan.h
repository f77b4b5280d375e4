/* integer_plan.h - a network while it becomes one of integers: what the files of the pass share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_INTEGER_PLAN_H
#define VISE_COMPRESS_INTEGER_PLAN_H

#include "compress/integer.h"
#include "graph/ops.h"

/* Of an activation's table, and its results' steps in one of its input's. */
enum { VISE_INT_ENTRIES = 2048, VISE_INT_GAIN = 16 };

/* What a value is for, told by what reads it: that decides its grid. */
typedef enum vise_int_role {
    VISE_INT_NONE,
    VISE_INT_PICTURE,  // the input: pixels - 128
    VISE_INT_RESIDUAL, // sums and inputs of norms: one scale for the network, 23 bits
    VISE_INT_INPUT,    // of a product: codes
    VISE_INT_QUERY,
    VISE_INT_KEY,
    VISE_INT_VALUE,
    VISE_INT_PARTS, // cut along the channels: each part has its own
    VISE_INT_TABLE, // input of an activation's table
    VISE_INT_ANSWER // an output: one scale, 23 bits
} vise_int_role;

/* The weights of a linear, or of a convolution of patches: sum_c w_jc x_c = scale_j sum_c code_jc a_c,
 * and all that does not depend on the image in bias_j, in units of scale_j. */
typedef struct vise_int_layer {
    size_t n, k;
    uint8_t *code; // [n, k] + 128, the model's
    double *scale, *bias;
} vise_int_layer;

typedef struct vise_int_plan {
    vise_change *c;
    const vise_graph *g; // as it was
    /* Of values [values]: */
    vise_int_role *role;
    vise_id *root;       // the value that this one is rows of, through reshapes and slices
    vise_id *tap;        // of a root: what a product reads of it, and where it is measured
    float **fixed;       // [count] numbers of what does not depend on the image
    vise_id *gain;       // a constant that multiplies the channels of a product, or NONE
    vise_spread *spread; // what was measured
    vise_int_grid *grid; // shared by a root and its rows
    /* Of nodes [nodes]: */
    vise_int_layer *layer;
    vise_int_lut_attr *table; // of activations
    double residual, answer;  // deltas
    vise_region memory;
} vise_int_plan;

static inline const char *vise_int_op(const vise_node *n)
{
    return n->op->name;
}
static inline vise_id vise_int_root(const vise_int_plan *p, vise_id v)
{
    while (p->root[v] != v)
        v = p->root[v];
    return v;
}

/* Zeroed memory that lives as long as the plan. VISE_ENOMEM */
vise_status vise_int_keep(vise_int_plan *p, void *out, size_t n, size_t size, vise_err *e);

/* ---- integer_roles.c ---- */

/* Roles, roots, taps, gains and fixed. VISE_EARG names the first node that integers cannot express. */
vise_status vise_int_find_roles(vise_int_plan *p, vise_err *e);
/* Does the activation's node have a table? Its function at x. */
float vise_int_act(const vise_node *n, float x);

/* ---- integer_grids.c ---- */

/* Measures, and chooses all grids and weights. */
vise_status vise_int_fit(vise_int_plan *p, vise_err *e);

/* ---- integer_weights.c ---- */

/* The codes of all weights, for inputs on their grids. */
vise_status vise_int_fit_weights(vise_int_plan *p, vise_err *e);

/* ---- integer_emit.c ---- */

/* The network of integers, into p->c. */
vise_status vise_int_emit(vise_int_plan *p, vise_err *e);

#endif
