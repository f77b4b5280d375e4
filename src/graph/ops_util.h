/* ops_util.h - what several operators share: walking index spaces, optional operands, costs
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_OPS_UTIL_H
#define VISE_GRAPH_OPS_UTIL_H

#include "base/resample.h"
#include "graph/op.h"

/* ---- walking ----
 *
 * Visits an index space row by row (a row is the last axis) and knows where the row starts in up to
 * three arrays. Strides count elements; 0 repeats an array along that axis.
 *
 *   vise_walk w;
 *   vise_walk_start(&w, &y_shape);
 *   vise_walk_broadcast(&w, 1, &x_shape);
 *   do
 *       for (size_t i = 0; i < w.n; i++)
 *           y[w.at[0] + i * w.step[0]] = x[w.at[1] + i * w.step[1]];
 *   while (vise_walk_next(&w));
 */
enum { VISE_WALK_ARRAYS = 3 };

typedef struct vise_walk {
    size_t n;                      // elements of a row
    size_t at[VISE_WALK_ARRAYS];   // where the current row starts in each array
    size_t step[VISE_WALK_ARRAYS]; // from one element of the row to the next
    vise_shape outer;              // the axes before the last
    size_t index[VISE_MAX_RANK];   // of the current row
    size_t stride[VISE_WALK_ARRAYS][VISE_MAX_RANK];
} vise_walk;

/* Starts at the first row. Array 0 has the shape of the space; the others stay at 0. */
void vise_walk_start(vise_walk *w, const vise_shape *space);
/* Array i has the given stride along each axis of the space. */
void vise_walk_strides(vise_walk *w, unsigned i, const size_t *stride);
/* Array i has shape s, which broadcasts to the space by numpy's rule. */
void vise_walk_broadcast(vise_walk *w, unsigned i, const vise_shape *s);
bool vise_walk_next(vise_walk *w); // false after the last row

/* Row-major strides of s, in elements. */
void vise_strides(size_t stride[VISE_MAX_RANK], const vise_shape *s);
/* to[index . to_stride] = from[index . from_stride] for every index of a space. */
void vise_copy_block(float *to, const size_t *to_stride, const float *from,
                     const size_t *from_stride, const vise_shape *space);
/* The same with += */
void vise_add_block(float *to, const size_t *to_stride, const float *from,
                    const size_t *from_stride, const vise_shape *space);

/* ---- calls ---- */

size_t vise_call_images(const vise_call *c); // images of the output: 1 if it is not batched
/* Image b's part of operand i, or NULL if it is absent. */
const float *vise_call_optional(const vise_call *c, uint32_t i, size_t b);

/* Image b's part of din[i], or NULL if operand i is absent or its gradient not wanted. */
float *vise_call_gradient(const vise_call *c, float *const din[], uint32_t i, size_t b);

/* One row of an elementwise operator: y[i] = f(a[i * da], b[i * db]). */
typedef void vise_row_fn(float *y, const float *a, size_t da, const float *b, size_t db, size_t n);
/* Forward of an elementwise operator of two operands with numpy broadcasting. */
void vise_call_rows(const vise_call *c, vise_row_fn *row);

/* p = exp(p - max) / sum of these, in place.   p  inout  [n], n >= 1. NaN in, all NaN out. */
void vise_softmax_row(float *p, size_t n);

/* Inner loops of gradients, in float.
 *   axpy: y += a x; y may not overlap x
 *   dot:  sum of x y, in an order of its own */
void vise_axpy(float *restrict y, float a, const float *restrict x, size_t n);
float vise_dot(const float *x, const float *y, size_t n);

/* ---- resizing a feature map, without allocating ---- */

typedef struct vise_map_resize {
    vise_resize line[2]; // vertical, horizontal
} vise_map_resize;

/* From in[0] x in[1] to out[0] x out[1]. */
vise_map_resize vise_map_resize_of(const size_t *in, const size_t *out, vise_filter filter,
                                   bool antialias);
size_t vise_map_resize_scratch(const vise_map_resize *g); // floats
/*   y  out  [out[0], out[1], C]
 *   x  in   [in[0], in[1], C]      scratch as above, aligned for double */
void vise_map_resize_run(const vise_map_resize *g, float *y, const float *x, size_t C,
                         float *scratch);
/* Its gradient: each dy is added to the inputs that made it, by their weights.
 *   dx  +=  [in[0], in[1], C]
 *   dy  in  [out[0], out[1], C]    scratch as above */
void vise_map_resize_transposed(const vise_map_resize *g, float *dx, const float *dy, size_t C,
                                float *scratch);

/* ---- shape and cost rules ---- */

/* Shape rule of an elementwise operator of two operands. */
vise_status vise_shape_elementwise(const vise_sig *s, vise_shape *out, vise_err *e);

/* The operands from the first-th on are absent, or [C] and the same for all images. VISE_EFORMAT
 * names the node and the shape. */
vise_status vise_check_channels(const vise_sig *s, uint32_t first, size_t C, vise_err *e);
/* Extent of the last axis. */
static inline size_t vise_shape_last(const vise_shape *s)
{
    return s->rank ? s->dim[s->rank - 1] : 1;
}
/* a b, or UINT64_MAX if that is more: for counting multiply-adds. */
uint64_t vise_mul_saturated(uint64_t a, uint64_t b);

#endif
