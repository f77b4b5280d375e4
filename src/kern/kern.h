/* kern.h - the kernel table: one function pointer per hot loop.
 *
 * A kernel is pure arithmetic: it does not allocate, fail, log or lock. Its caller has checked the
 * shapes; the kernel only asserts them. Contracts:
 *   exact    every implementation returns the same bits as the plain C one, for every legal input;
 *   bounded  every implementation stays within c eps S of the real-valued result, where S is the
 *            same formula evaluated on absolute values and eps is FLT_EPSILON = 2^-23, the step from
 *            1 to the next float; numbers below FLT_MIN may be off by FLT_MIN more. NaN in gives
 *            NaN out.
 * At one CPU level every result is independent of how the caller splits rows or panels among
 * threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_KERN_H
#define VISE_KERN_KERN_H

#include "kern/fixed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the codes of one row mean: x = scale (code - zero). */
typedef struct vise_rowq {
    float scale;
    int32_t zero; // [-127, 127]
} vise_rowq;

/* y = f(x) elementwise, by rows; y may be x.
 *   y out, x in [rows, n] f32, row strides ldy, ldx >= n;  p: the function's parameters or NULL */
typedef void vise_act_fn(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                         const float *p);

/* The operands of c = f(a w^T + bias) + add.
 *
 *   c      out  [m, n]  f32     row stride ldc >= n
 *   a      in   [m, k]  rows    of the bundle's format, lda BYTES apart, any alignment;
 *                               rows m up to the next multiple of the bundle's mr are readable. f32:
 *                               anybody's floats, aligned as such; nothing beside them is read
 *   rowq   in   [m]             s8: what the codes of a mean. zeros: some zero point may not be 0
 *   w      in   panels          from vise_pack of the SAME bundle, covering [n, k], 64-byte aligned
 *   wscale in   [n]     f32     s8: column j of w is wscale[j] times its codes
 *   wsum   in   [n]     s32     s8: sum of the codes of column j
 *   bias   in   [n]     f32     or NULL for none
 *   act    f, with its parameters; NULL: the identity
 *   add    in   [m, n]  f32     row stride ldadd; NULL: nothing. May be c (then ldadd == ldc)
 *   codes  gemm_codes: what the codes in the panels mean
 *   scratch     gemm_codes: vise_codes_layout.scratch bytes, 64-byte aligned; overlaps nothing
 *
 * m, n, k >= 1. c overlaps nothing but add. Row i of c depends on row i of a alone, to the bit, and
 * column j on panel column j alone. */
typedef struct vise_codes vise_codes;
typedef struct vise_kern vise_kern;
typedef struct vise_gemm_args {
    float *c;
    size_t ldc;
    const void *a;
    size_t lda;
    const vise_rowq *rowq;
    bool zeros;
    const void *w;
    const float *wscale;
    const int32_t *wsum;
    const float *bias;
    vise_act_fn *act;
    const float *act_param;
    const float *add;
    size_t ldadd;
    const vise_codes *codes;
    void *scratch;
    size_t m, n, k;
} vise_gemm_args;

/* A matrix product and the layouts of its operands: replaced as a whole.
 *
 * Rows of a hold k elements, then padding up to a multiple of kr. Panels hold nr columns of w: with
 * u = unit, element (j, p) lies in panel j / nr at ((p / u) nr + j % nr) u + p % u; k is padded to a
 * multiple of kr and n to a multiple of nr with zeros.
 *
 *   f32   u = kr = mr = 1: rows are used where they lie.                   (bounded: 2 k eps S)
 *         The sum starts from bias and adds in ascending k.
 *   bf16  operands bf16, products and sums f32, in any fixed order.        (bounded: 2 k eps S)
 *         Padding of rows is zero. Subnormal operands may count as zero.
 *   s8    codes in [-127, 127], stored XOR flip in rows, plain in panels.                (exact)
 *         sum = sum_p a[i][p] w[j][p], an exact int32 (k <= 65536); then in f32, each operation
 *         rounded to nearest even:
 *           v = (float)sum;  if zeros: v = fma(-(float)zero_i, (float)wsum_j, v)
 *           c = fma(v, scale_i * wscale_j, bias_j or 0)
 *         Padding of rows may be any codes. act and add as in f32.
 *
 * f is applied to c as stored, then add is added. */
typedef struct vise_gemm {
    size_t nr;    // columns of a panel
    size_t kr;    // k is padded to a multiple of this
    size_t unit;  // elements along k that lie together
    size_t esize; // bytes of an element
    size_t mr;    // rows of a are readable up to a multiple of this
    uint8_t flip; // s8: 0 or 0x80
    void (*run)(const vise_gemm_args *g);
    /* Panels from a matrix of elements.                                                  (exact)
     *   panels out, vise_panels_bytes, 64-byte aligned
     *   w in [n, k], element (j, p) at index j ldn + p ldk; ldn or ldk is usually 1. s8: plain codes,
     *        or codes XOR `flipped`, which are flipped back
     *   sum out [n] s32 sums of the columns' codes; s8 only, else NULL */
    void (*pack)(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                 size_t k, uint8_t flipped);
} vise_gemm;

/* What packed codes of w [n, k] mean: element (j, p) is levels[code] mult[j][p / group]. Any product of
 * a level and a multiplier that a group has is in [-127, 127]. */
struct vise_codes {
    size_t bits;  // of a code: 2 to 6
    size_t group; // columns with one multiplier, a multiple of 32; 0: there are none, mult is 1
    int8_t levels[64]; // [2^bits], not -128
    int8_t least;      // the smallest level
};

/* Blocks of a panel of codes on their way to a panel of gemm_s8. */
typedef struct vise_expand {
    int8_t *out;           // [to - from, 8, lanes] s8, 64-byte aligned
    const uint8_t *blocks; // [to, bits, lanes] u8, of the panel from its first block on
    const uint8_t *mult;   // [groups, nr] u8
    const vise_codes *codes;
    size_t nr, unit; // of gemm_s8
    size_t from, to;
} vise_expand;

/* The s8 product whose panels keep codes of 2 to 6 bits: replaced together with gemm_s8 or alone. Rows,
 * and all that follows the sum, are those of gemm_s8 in the same table, and so are the results:
 * the bits of gemm_s8 with the elements that the codes mean.                             (exact)
 *
 * A panel is one of gemm_s8, filled up to whole blocks of 8 rows of `lanes` bytes. Of such a block,
 * codes are stored as planes of 4, 2 and 1 bits, from the lowest bits on (6 bits: 4 and 2; 5: 4 and 1;
 * 3: 2 and 1); of plane width b, the bits of row r lie in row r b / 8 of the plane, from bit r b % 8 of
 * each byte on. So a block of codes has `bits` rows of `lanes` bytes. Behind the blocks of a panel
 * lie [groups, nr] multipliers, filled up to a multiple of 64 bytes.
 * lanes: a block lies in one group, since 8 lanes <= 32 nr. */
typedef struct vise_gemm_codes {
    size_t lanes;
    void (*run)(const vise_kern *k, const vise_gemm_args *g);
    void (*expand)(const vise_expand *x); // padding along k may become anything; without groups, nr
                                          // and unit do not matter
} vise_gemm_codes;

/* How a row is turned into codes. */
typedef enum vise_quant_mode {
    VISE_QUANT_SYM,   // per row: max|x| becomes hi, zero 0
    VISE_QUANT_ASYM,  // per row: the range of x and 0 onto [lo, hi]
    VISE_QUANT_FIXED, // the given scale > 0 and zero
} vise_quant_mode;
typedef struct vise_quant {
    vise_quant_mode mode;
    vise_rowq fixed;
    uint8_t flip;  // XORed into every stored code
    int8_t lo, hi; // the codes, lo < 0 < hi; SYM: lo = -hi
} vise_quant;

/* Codes of 2 to 8 bits: all 2^bits of them, but a range that mirrors itself for SYM and for 8 bits:
 * there is no code -128. */
static inline vise_quant vise_quant_of(vise_quant_mode mode, uint32_t bits, uint8_t flip)
{
    const int hi = (1 << (bits - 1)) - 1, lo = mode == VISE_QUANT_SYM || bits == 8 ? -hi : -hi - 1;
    return (vise_quant){.mode = mode, .flip = flip, .lo = (int8_t)lo, .hi = (int8_t)hi};
}

struct vise_kern {
    vise_gemm gemm_f32, gemm_bf16, gemm_s8;
    vise_gemm_codes gemm_codes;
    /* A panel of gemm_f32 from codes: out[p][q] = book[codes[p][q]] scale[q].             (exact)
     *   out out [rows, nr] f32 and codes in [rows, nr], 64-byte aligned;  book in [2^bits], bits at
     *   most 6;  scale in [nr];  nr is gemm_f32's */
    void (*look_up)(float *out, const uint8_t *codes, const float *book, size_t bits,
                    const float *scale, size_t rows, size_t nr);
    /* Rows of y = (x - mean) / sqrt(var + e) * w + b.
     * (bounded: the mean by (n + 2) eps avg|x|, every difference by that and its rounding, rstd by
     * (n + 8) eps; the checker adds them up)
     *   y out, x in [rows, n] f32, row strides ldy, ldx; w, b in [n] or NULL. y may be x. */
    void (*layernorm)(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                      const float *b, size_t rows, size_t n, float e);
    /* In place, softmax of z = scale * x per row.
     * (bounded: relative eps (2 |z| + 2 |max z| + n + 5))
     *   x inout [rows, n] f32, row stride ld >= n */
    void (*softmax)(float *x, size_t ld, size_t rows, size_t n, float scale);
    /* Softmax as codes: e = exp(scale (x - max x)), code = rne(254 e) - 127, stored XOR flip; of row
     * i: zero -127, scale 1 / (float)sum(code + 127). NaN in a row: its scale is NaN. Columns n up
     * to npad (a multiple of 4) get code 0.    (codes at most 1 from the real ones, scale exact)
     *   q out [rows, npad] codes, row stride ldq bytes; x in [rows, n] f32, row stride ldx */
    void (*softmax_s8)(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                       size_t ldx, size_t rows, size_t n, float scale, uint8_t flip);
    /* x/2 (1 + erf(x / sqrt 2)); no parameters.                               (bounded: 4 eps |x|) */
    vise_act_fn *gelu;
    /* Its derivative, Phi(x) + x phi(x), of finite x; no parameters.                (bounded: 4 eps) */
    vise_act_fn *gelu_slope;
    /* x sigmoid(p[0] x + p[1] x^3): SiLU (1, 0), quick GELU (1.702, 0), tanh GELU (2c, 0.08943c with
     * c = sqrt(2 / pi)).               (bounded: |x| eps (8 + 4 (|p0 x| + |p1 x^3|))), never above |x| */
    vise_act_fn *swish;
    /* Rows of f32 to bf16, to nearest even, NaN stays NaN; columns n up to npad get 0.     (exact)
     *   y out [rows, npad], row stride ldy bytes; x in [rows, n] f32, row stride ldx */
    void (*to_bf16)(uint16_t *y, size_t ldy, size_t npad, const float *x, size_t ldx, size_t rows,
                    size_t n);
    /* Rows of f32 to codes; columns n up to npad get code 0. All in f32, each operation rounded to
     * nearest even:                                                                        (exact)
     *   SYM    a = max|x|;  scale = a / hi;  zero = 0;  inv = hi / a
     *   ASYM   b = min(x, 0), d = max(x, 0) - b;  scale = d / (hi - lo);  inv = (hi - lo) / d;
     *          zero = rne(lo - b * inv), clamped to [lo, hi]
     *   FIXED  inv = 1 / scale;  zero in [lo, hi]
     *   code = rne(clamp(x * inv, lo - zero, hi - zero)) + zero
     * If a or d is below 1e-30 the row is all codes 0 with scale 0, zero 0. A NaN in a row (SYM, ASYM:
     * any number that is not finite, or a d that overflows) gives scale NaN, zero 0, codes 0.
     *   q out [rows, npad] codes, row stride ldq bytes;  rowq out [rows];  x in [rows, n] f32 */
    void (*quant_s8)(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                     size_t ldx, size_t rows, size_t n, const vise_quant *how);
    /* The largest |x| of a matrix; NaN if there is one.                                    (exact)
     *   x in [rows, n] f32, row stride ldx */
    float (*absmax)(const float *x, size_t ldx, size_t rows, size_t n);
    /* One output pixel of a depthwise convolution: y[c] = bias[c] + sum_t x[t][c] w[t][c], adding in
     * ascending t.                                                     (bounded: 2 (taps + 1) eps S)
     *   y out [n]; x in [taps] pointers to [n], NULL: zeros (padding);  w in [taps, n];  bias [n] or
     *   NULL */
    void (*depthwise)(float *y, const float *const *x, const float *w, const float *bias,
                      size_t taps, size_t n);
    vise_fixed_kern fixed; // of integers
};

/* The table for a mask of CPU levels (base/cpu.h): plain C, improved level by level. */
void vise_kern_init(vise_kern *k, unsigned cpu);

/* Bytes of a row of a, and of a packed [n, k] matrix. */
size_t vise_row_bytes(const vise_gemm *g, size_t k);
size_t vise_panels_bytes(const vise_gemm *g, size_t n, size_t k);
/* The definition of pack, for any layout. Levels use it unless they have something faster. */
void vise_pack(const vise_gemm *g, void *panels, int32_t *sum, const void *w, size_t ldn,
               size_t ldk, size_t n, size_t k, uint8_t flipped);

/* Sizes in bytes of what belongs to w [n, k] of codes. */
typedef struct vise_codes_layout {
    size_t blocks;  // of a panel
    size_t groups;  // of its columns; 0: no multipliers
    size_t panel;   // [blocks, bits, lanes] and multipliers
    size_t panels;  // of all columns
    size_t scratch; // a panel of gemm_s8, filled up to whole blocks
} vise_codes_layout;
vise_codes_layout vise_codes_layout_of(const vise_kern *k, const vise_codes *c, size_t n,
                                       size_t cols);
/* What is packed: codes [n, cols] in bytes, rows tight; mult [n, groups], or NULL. */
typedef struct vise_codes_from {
    const uint8_t *codes, *mult;
    size_t n, cols;
} vise_codes_from;
/* Panels of codes. sum [n] out, scratch as in a product.                                 (exact) */
void vise_codes_pack(const vise_kern *k, const vise_codes *c, void *panels, int32_t *sum,
                     const vise_codes_from *from, void *scratch);
/* The product of any level: panel by panel, expanded and handed to gemm_s8. */
void vise_codes_run(const vise_kern *k, const vise_gemm_args *g);
/* A block of codes [8, lanes], a byte each, to planes [bits, lanes]. */
void vise_codes_block(uint8_t *to, const uint8_t *codes, size_t bits, size_t lanes);
/* Writes zeros over the padding along k of an expanded panel. */
void vise_codes_pad(const vise_gemm *s8, int8_t *panel, size_t k);

/* Weights of an f32 product as packed codes of 2 to 6 bits: element (j, p) is book[code] wscale[j].
 * Panels are those of gemm_f32, in the blocks of gemm_codes. */
typedef struct vise_float_codes {
    size_t bits;
    size_t book_rows;  // columns with one book, a multiple of gemm_f32's nr; 0: all
    const float *book; // [books, 2^bits]
} vise_float_codes;
size_t vise_float_codes_panel(const vise_kern *k, size_t bits,
                              size_t cols);                       // bytes; a multiple of 64
size_t vise_float_codes_scratch(const vise_kern *k, size_t cols); // bytes
/* One panel; from->n at most gemm_f32's nr, from->mult unused. */
void vise_float_codes_pack(const vise_kern *k, size_t bits, void *panel,
                           const vise_codes_from *from, void *scratch);
/* The product of gemm_f32, to the bit, with the elements that the codes mean. */
void vise_float_codes_run(const vise_kern *k, const vise_float_codes *c, const vise_gemm_args *g);

/* One function per level, each overwriting the entries it improves. */
void vise_kern_c(vise_kern *k);
void vise_kern_codes(vise_kern *k);     // of plain C, too
void vise_kern_codes_f32(vise_kern *k); // and this
void vise_kern_avx2(vise_kern *k);
void vise_kern_avx512(vise_kern *k);
void vise_kern_vnni(vise_kern *k);
void vise_kern_vbmi(vise_kern *k);
void vise_kern_bf16(vise_kern *k);
void vise_kern_amx(vise_kern *k);
void vise_kern_neon(vise_kern *k);
void vise_kern_dotprod(vise_kern *k);
void vise_kern_i8mm(vise_kern *k);

#endif
