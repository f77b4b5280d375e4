/* build.h - an ONNX graph while it is made: names, constants, nodes.
 *
 * Everything lives in one region until the file is written. Failures stick, as in graph.h: after the
 * first, calls return "" or NULL and do nothing. A tensor of the ONNX graph is its name.
 *
 * A value that depends on the images has one axis more than in vise, the batch, in front; another
 * one is a constant. Maps [H, W, C] have two forms: channels last as in vise, and channels first
 * [C, H, W], as ONNX wants them; each is made from the other where it is needed.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_ONNX_BUILD_H
#define VISE_MODEL_ONNX_BUILD_H

#include "graph/graph.h"
#include "model/onnx.pb-c.h"

enum { VISE_ONNX_OPSET = 18, VISE_ONNX_INTS = 16 };

typedef struct vise_onnx_list {
    void **item;
    size_t n, room;
} vise_onnx_list;

typedef struct vise_onnx {
    const vise_graph *g;
    vise_region mem;
    vise_onnx_list nodes, tensors;
    const char **last, **first; // [values] names of their two forms; NULL: not made yet
    const float **folded;       // [values] what nodes without images make
    const char **codes[2];      // [values] coded weights: as they are, and transposed
    const char *base;           // of new names: the current node's name
    size_t unique;              // counts them
    const char *batch;          // [1] s64, the number of images; NULL: not made yet
    bool channels_first;        // what the current node's tensor is
    bool per_tensor, in_f32;    // notes: scales that were per row; roundings that are left out
    vise_err *e;
    vise_status status;
} vise_onnx;

void vise_onnx_fail(vise_onnx *w, vise_status s);
void *vise_onnx_keep(vise_onnx *w, size_t n, size_t size); // zeroed; NULL after a failure

/* ---- nodes ---- */

typedef struct vise_onnx_ints {
    size_t n;
    int64_t v[VISE_ONNX_INTS];
} vise_onnx_ints;

/* An attribute: ints if it has any, text if there is one, else f if real, else i. */
typedef struct vise_onnx_attr {
    const char *name;
    int64_t i;
    double f;
    bool real;
    const char *text;
    vise_onnx_ints ints;
} vise_onnx_attr;

#define VISE_ONNX_IN(...) ((const char *const[]){__VA_ARGS__, NULL})
#define VISE_ONNX_ATTR(...) ((const vise_onnx_attr[]){__VA_ARGS__, {0}})

/* Adds a node; in and attr end with NULL and a NULL name; attr may be NULL. An input "" is absent.
 * Returns the name of its output. */
const char *vise_onnx_node(vise_onnx *w, const char *op, const char *const *in,
                           const vise_onnx_attr *attr);
/* The same with n outputs. */
void vise_onnx_node_n(vise_onnx *w, const char *op, const char *const *in,
                      const vise_onnx_attr *attr, size_t n, const char **out);
const char *vise_onnx_1(vise_onnx *w, const char *op, const char *x); // op(x)
const char *vise_onnx_2(vise_onnx *w, const char *op, const char *a, const char *b);
/* x is the last node's only output, which has not been read: calls it name from now on. */
const char *vise_onnx_rename(vise_onnx *w, const char *x, const char *name);

/* ---- constants ---- */

/* Data is borrowed. name NULL: a new one. */
const char *vise_onnx_tensor(vise_onnx *w, const char *name, Vise__Onnx__Tensor__Type type,
                             const vise_shape *shape, const void *data);
const char *vise_onnx_scalar(vise_onnx *w, double x);
const char *vise_onnx_list_of(vise_onnx *w, vise_onnx_ints v);  // [n] s64
const char *vise_onnx_vector(vise_onnx *w, size_t n, double x); // [n] f32, all x
const char *vise_onnx_floats(vise_onnx *w, const vise_shape *s, const float *data);

/* ---- values ---- */

const vise_shape *vise_onnx_shape(const vise_onnx *w, vise_id v);
bool vise_onnx_batched(const vise_onnx *w, vise_id v);
bool vise_onnx_is_port(const vise_onnx *w, const char *name); // an input's or output's name?
const char *vise_onnx_in(vise_onnx *w, vise_id v);            // as in vise
const char *vise_onnx_in_first(vise_onnx *w, vise_id v);      // a map, channels first; batched
/* Numbers of a value without images: of a constant, or folded. */
const float *vise_onnx_numbers(vise_onnx *w, vise_id v);
/* A value with ones in front of its extents, so that it has rank of them and broadcasts. */
const char *vise_onnx_widened(vise_onnx *w, vise_id v, uint32_t rank);
/* A value's tensor for all images, also if it does not depend on them. */
const char *vise_onnx_expanded(vise_onnx *w, vise_id v);

/* x as [-1, extents of s]: an unbatched x becomes a batch of 1. */
const char *vise_onnx_reshape(vise_onnx *w, const char *x, const vise_shape *s);
const char *vise_onnx_permute(vise_onnx *w, const char *x, vise_onnx_ints order);

/* ---- rounded operands and coded weights (quant.c) ---- */

/* x through the codes of q: QuantizeLinear, DequantizeLinear. q is STATIC. */
const char *vise_onnx_rounded(vise_onnx *w, const char *x, const vise_actq *q);
/* A tensor as u8 codes: what DynamicQuantizeLinear returns. */
typedef struct vise_onnx_codes {
    const char *code, *scale, *zero;
} vise_onnx_codes;
vise_onnx_codes vise_onnx_quantized(vise_onnx *w, const char *x);
/* a b of codes, in f32, times another scale: a tensor, or NULL. */
const char *vise_onnx_multiplied(vise_onnx *w, const vise_onnx_codes *a, const vise_onnx_codes *b,
                                 const char *scale);
bool vise_onnx_is_coded(const vise_onnx *w, vise_id v); // has it signed bytes, a scale per row?
/* A weight: from codes where there are, else f32. */
const char *vise_onnx_weight(vise_onnx *w, vise_id v);
const char *vise_onnx_linear(vise_onnx *w, const vise_node *n);

/* ---- operators ---- */

/* Adds the nodes that compute n and returns the name of the result: of the last one's output. */
typedef const char *vise_onnx_fn(vise_onnx *w, const vise_node *n);
vise_onnx_fn *vise_onnx_find(const char *op); // NULL: none
vise_onnx_fn vise_onnx_act, vise_onnx_attention, vise_onnx_conv2d, vise_onnx_pool, vise_onnx_resize;

#endif
