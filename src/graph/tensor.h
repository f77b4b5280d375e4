/* tensor.h - element types, shapes, and encodings: how a constant tensor's numbers are stored.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_TENSOR_H
#define VISE_GRAPH_TENSOR_H

#include "base/mem.h"

typedef enum vise_dtype {
    VISE_F64,
    VISE_F32,
    VISE_F16,
    VISE_BF16,
    VISE_I64,
    VISE_I32,
    VISE_I16,
    VISE_I8,
    VISE_U8,
    VISE_BOOL,
    VISE_DTYPES
} vise_dtype;

size_t vise_dtype_size(vise_dtype t);         // bytes of one element
const char *vise_dtype_name(vise_dtype t);    // "f32"
const char *vise_dtype_st_name(vise_dtype t); // "F32", as safetensors spells it
bool vise_dtype_from_st(vise_dtype *t, const char *name);
bool vise_dtype_is_float(vise_dtype t);

vise_shape vise_shape_of(uint32_t rank, const size_t *dim);
bool vise_shape_same(const vise_shape *a, const vise_shape *b);
/* "[197, 192]" into buf, for messages. Returns buf. */
char *vise_shape_text(char *buf, size_t size, const vise_shape *s);
enum { VISE_SHAPE_TEXT = 136 }; // a buffer of this size always suffices
/* The number of elements, or false if it exceeds limit or an extent is 0. */
bool vise_shape_count_within(const vise_shape *s, size_t limit, size_t *count);

/* Element i of an unaligned array of t as f32 (nearest). */
float vise_element_f32(vise_dtype t, const void *data, size_t i);
/* n elements of an unaligned array as f32. */
void vise_to_f32(float *out, vise_dtype t, const void *data, size_t n);
/* The reverse, to the nearest f32, f16 or bf16, ties to even; what is too large becomes infinite. */
void vise_from_f32(void *out, vise_dtype t, const float *x, size_t n);

/* How a constant is stored, composed and not enumerated:
 *
 *   plain   bits == 0: elements of `type` (f32, f16, bf16), row-major
 *   coded   bits 2..8: u8 rows of ceil(cols * bits / 8) bytes, code j of a row at bit j * bits, low
 *           bits first; value = level(code) * scale, where
 *             level = code - zero                 (levels == VISE_AFFINE)
 *                   = codebook[code]              (levels == VISE_CODEBOOK; 2^bits f32, or as many
 *                                                  for every book_rows rows)
 *             scale = one per `group` columns of each row, or one per row (group == 0)
 *           multiplied: value = (level(code) * multiplier) * scale, one multiplier per group and one
 *           scale per row. All products level * multiplier are integers in [-127, 127], so that
 *           grouped codes, too, are signed bytes times a scale per row
 *
 * A tensor of rank r is seen as [rows, cols] with rows = its first extent. */
typedef enum vise_levels { VISE_AFFINE, VISE_CODEBOOK } vise_levels;

typedef struct vise_encoding {
    vise_dtype type;    // of plain elements
    uint32_t bits;      // 0: plain
    vise_levels levels; // of codes
    int32_t zero;       // affine zero point
    size_t book_rows;   // rows with one codebook, a multiple of VISE_BOOK_UNIT; 0: all
    size_t group;       // columns per scale or multiplier; 0: the whole row
    bool multiplied;    // codes of at most 6 bits, group a multiple of VISE_GROUP_UNIT
} vise_encoding;
enum { VISE_GROUP_UNIT = 32, VISE_BOOK_UNIT = 64 };

/* A constant: what an encoding's numbers are made of. Everything is borrowed. */
typedef struct vise_const {
    vise_shape shape; // logical
    vise_encoding enc;
    const void *data;      // elements or codes, unaligned
    const float *scale;    // [rows, scales] of codes
    const float *codebook; // [books, 2^bits]
    const uint8_t *mult;   // [rows, groups] if multiplied
} vise_const;

size_t vise_const_bytes(const vise_const *c); // data, scales, multipliers and codebook

/* How the codes of a shape of rank >= 1 lie: rows of stride bytes, groups of columns, scales. */
typedef struct vise_code_layout {
    size_t rows, cols, stride, groups;
    size_t scales; // of a row: groups, or 1 if multiplied
} vise_code_layout;
size_t vise_books_of(const vise_shape *s,
                     const vise_encoding *enc); // codebooks; 1 if there is none
vise_code_layout vise_code_layout_of(const vise_shape *s, const vise_encoding *enc);
/* The meaning of an encoding: all elements as f32, row-major. Every kernel that reads an encoding
 * is tested against this.   out  [count] f32 */
void vise_decode(float *out, const vise_const *c);

/* How an operand of a node that depends on the images is rounded before it is used. */
typedef enum vise_actq_kind {
    VISE_ACTQ_NONE,   // f32
    VISE_ACTQ_BF16,   // every number to bf16
    VISE_ACTQ_SYM,    // to codes, one scale per row, zero 0
    VISE_ACTQ_ASYM,   // to codes, one scale and zero point per row
    VISE_ACTQ_STATIC, // to codes, scale and zero as given
    VISE_ACTQ_LEVELS, // as STATIC of 8 bits, then to the nearest of given codes
} vise_actq_kind;

/* Rows: a linear's tokens; of q and k of an attention, each token's part in a head; of v, all tokens
 * of a head; of a convolution, the patch of one output. The codes are those of kern.h's quant_s8. */
typedef struct vise_actq {
    vise_actq_kind kind;
    uint32_t bits;       // of codes; 2 to 8; LEVELS: of the choice among levels, 2 to 7
    float scale;         // STATIC, LEVELS: > 0
    int32_t zero;        // STATIC, LEVELS: a code
    const int8_t *level; // LEVELS: [2^bits] in [-127, 127], ascending. The graph keeps a copy
} vise_actq;

const char *vise_encoding_name(const vise_encoding *enc); // "f32", "u4 codebook", ...

#endif
