/* ops.h - attributes of every operator: what builders fill in and fast steps read.
 *
 * Each struct's comment is the operator's definition; [..., C] means any leading extents. Start
 * from vise_attr_defaults, or from zero where zero is the default. Axes may be negative (from the
 * end) and never count the batch.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_OPS_H
#define VISE_GRAPH_OPS_H

#include "graph/op.h"

/* act: y = f(x), elementwise. gelu is x/2 (1 + erf(x/sqrt 2)); gelu_tanh its tanh form; gelu_quick
 * x sigmoid(1.702 x). */
typedef enum vise_act {
    VISE_ACT_GELU,
    VISE_ACT_GELU_TANH,
    VISE_ACT_GELU_QUICK,
    VISE_ACT_RELU,
    VISE_ACT_RELU6,
    VISE_ACT_HARDSWISH,
    VISE_ACT_SILU,
    VISE_ACT_SIGMOID,
    VISE_ACT_SOFTPLUS,
    VISE_ACT_TANH,
} vise_act;
extern const char *const vise_act_names[]; // NULL-terminated, in the order of vise_act
typedef struct vise_act_attr {
    int kind; // vise_act
} vise_act_attr;

/* add, mul: elementwise with numpy broadcasting; no attributes. */

/* attention: y = softmax(scale q k^T + bias + log size) v, per head.
 *   q [..., T, H Dk]  k [..., S, H Dk]  v [..., S, H Dv]  ->  y [..., T, H Dv]
 *   bias (optional) broadcasts to [..., H, T, S]; size (optional) [..., S] > 0, tokens per token
 * Leading extents (windows) are equal in q, k, v. */
typedef struct vise_attention_attr {
    int64_t heads;     // H >= 1
    double scale;      // 0: 1 / sqrt(Dk)
    int64_t prob_bits; // 2 to 8, default 8: the codes of probabilities, where v is rounded to codes
    double prob_step;  // 0: they are uniform; else powers of 2, this many octaves apart
} vise_attention_attr;
/* The levels that stand for probabilities, as codes of softmax_s8 (code + 127 = 254 p), ascending;
 * returns how many, or 0: those of softmax_s8 itself.   level out [256] */
size_t vise_attention_levels(const vise_attention_attr *a, int8_t level[256]);

/* concat: 1 to 8 inputs one after the other along an axis; other extents equal. */
typedef struct vise_concat_attr {
    int64_t axis;
} vise_concat_attr;

/* conv2d: see ops/conv2d.c. x [H, W, C], w [N, C/groups, kh, kw], b [N] optional. */
typedef struct vise_conv2d_attr {
    vise_ints stride, pad, dilation; // empty: 1, 0, 1; one number: both axes; two: vertical first
    int64_t groups;                  // default 1
} vise_conv2d_attr;

/* Everything a loop over one image of a convolution needs; index 0 is vertical. */
typedef struct vise_conv2d_geometry {
    size_t in[2], out[2], k[2], stride[2], pad[2], dilation[2];
    size_t groups, C, N; // C inputs and N outputs per group
    size_t ldx;          // channels of the input image
} vise_conv2d_geometry;
void vise_conv2d_geometry_of(vise_conv2d_geometry *g, const void *attr, const vise_shape *x,
                             const vise_shape *w, const vise_shape *y);
/* The patch of output (oy, ox), as a row of the weight lies; outside of the image are zeros.
 *   row  out  [C, kh, kw];  x  in  [in[0], in[1], ldx] */
void vise_conv2d_patch(const vise_conv2d_geometry *g, float *row, const float *x, size_t oy,
                       size_t ox);
/* Number for an axis of a one-or-two-number attribute; none: its value when it is empty. */
size_t vise_pair_at(const vise_ints *v, unsigned axis, size_t none);

/* embed_add: y = x + resize(table[skip:], grid -> (H, W)): position embeddings on a feature map.
 *   x [H, W, C]  table [..., skip + grid_h grid_w, C] (leading extents 1)  ->  y [H, W, C]
 * The resize is bicubic, antialiased (Pillow's and timm's weights) or not (PyTorch's plain ones, as
 * Hugging Face), and none if the grid is H x W. */
typedef struct vise_embed_add_attr {
    int64_t skip;           // leading rows that belong to prefix tokens
    int64_t grid_h, grid_w; // of the table
    bool aliased;
} vise_embed_add_attr;

/* Integer networks (docs/QUANTIZATION.md): whole numbers carried by f32, codes in [-127, 127] where
 * they are multiplied; every rule is exact and in kern/fixed.h.
 *   int_quant: y = rne(x scale + offset); x [..., C]  scale, offset [C]
 *   int_linear: y = floor((x w^T + bias) mult + 1/2); x [..., K]  w [N, K]  bias, mult [N]
 *   int_add: y = a + b, of one shape
 *   int_layernorm: see ops/int_layernorm.c. x [..., C]  w, b [C]
 *   int_attention: see ops/int_attention.c
 *   int_lut: y = table[x - first]; table [n]
 *   int_scale: y = floor((x + bias) mult + 1/2); x [..., C]  bias, mult [C]
 *   int_dequant: y = x scale, floating point again
 * Results are clamped to [lo, hi]. */
typedef struct vise_int_range_attr {
    int64_t lo, hi;
} vise_int_range_attr;
typedef struct vise_int_linear_attr {
    int64_t lo, hi;    // as above
    int64_t exponents; // rows of x are codes times 2^r, r up to this; 0: codes
} vise_int_linear_attr;
typedef struct vise_int_layernorm_attr {
    int64_t lo, hi, eps, shift;
} vise_int_layernorm_attr;
typedef struct vise_int_attention_attr {
    int64_t lo, hi, heads;
} vise_int_attention_attr;
typedef struct vise_int_lut_attr {
    int64_t first; // what the first entry stands for
    int64_t gain;  // beyond the last entry y = gain x; 0: as the last entry
} vise_int_lut_attr;
typedef struct vise_int_dequant_attr {
    double scale;
} vise_int_dequant_attr;

/* layernorm: y = (x - mean) / sqrt(var + eps) * w + b over the last axis; w, b optional [C].
 * rmsnorm: y = x / sqrt(mean(x^2) + eps) * w over the last axis; w optional [C].
 * l2norm: y = x / max(||x||, eps) over the last axis.
 * groupnorm: [..., C]: mean and variance over all extents and C/groups channels; w, b optional [C]. */
typedef struct vise_norm_attr {
    double eps;
} vise_norm_attr;
typedef struct vise_groupnorm_attr {
    double eps;
    int64_t groups; // >= 1
} vise_groupnorm_attr;

/* linear: y = x w^T + b; no attributes. See ops/linear.c. */

/* matmul: y = a b or a b^T over the last two axes, leading extents broadcast. Both may be batched. */
typedef struct vise_matmul_attr {
    bool transpose; // b is [..., N, K] instead of [..., K, N]
} vise_matmul_attr;

/* mean: over the listed axes, which disappear. An empty list is refused. */
typedef struct vise_mean_attr {
    vise_ints axes;
} vise_mean_attr;

/* pad: constant padding; before and after list one number per axis (empty: none). */
typedef struct vise_pad_attr {
    vise_ints before, after;
    double value;
} vise_pad_attr;

/* permute: axis i of y is axis order[i] of x. */
typedef struct vise_permute_attr {
    vise_ints order;
} vise_permute_attr;

/* pool: [H, W, C] -> [H', W', C] by maximum or average over windows. Padding never enters a
 * maximum; an average counts it if count_pad. ceil: round the output size up, as PyTorch does. */
typedef struct vise_pool_attr {
    int kind;                      // 0 "max", 1 "avg"
    vise_ints kernel, stride, pad; // as conv2d; empty stride: the kernel
    bool ceil, count_pad;
} vise_pool_attr;

/* reshape: same elements; one entry may be -1 (what is left), 0 copies the input's extent there. */
typedef struct vise_reshape_attr {
    vise_ints shape;
} vise_reshape_attr;

/* resize: [H, W, C] -> [H', W', C] (size given), or times scale. As torch.nn.functional.interpolate
 * with align_corners=False, or antialias=True. With a second, optional input [h, w, c] (only its
 * extents are read) H', W' are its: this keeps networks independent of the input size. */
typedef struct vise_resize_attr {
    int filter; // 0 "nearest", 1 "bilinear", 2 "bicubic"
    bool antialias;
    vise_ints size;  // H', W'; empty: scale
    vise_ints scale; // whole factors, vertical and horizontal
} vise_resize_attr;

/* roll: element i of an axis moves to (i + shift) mod extent; axes and shifts pair up. */
typedef struct vise_roll_attr {
    vise_ints axes, shifts;
} vise_roll_attr;

/* slice: [start, stop) of an axis with a step >= 1; negative bounds count from the end; stop
 * VISE_SLICE_END (the default) means to the end. */
#define VISE_SLICE_END INT32_MAX
typedef struct vise_slice_attr {
    int64_t axis, start, stop, step; // step default 1
} vise_slice_attr;

/* softmax over the last axis, after subtracting the row's maximum; no attributes. */

#endif
