/* fixed.h - kernels of networks that know no floating point
 *
 * Their values are integers. Arrays of f32 carry them, which is exact: no value of a network
 * exceeds VISE_INT_MOST, no sum 2^24. The rules below are in real numbers and hold exactly, whatever
 * an implementation computes with; floor(x + 1/2) is "to nearest, halves up". All kernels are exact.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_FIXED_H
#define VISE_KERN_FIXED_H

#include <stddef.h>
#include <stdint.h>

enum {
    VISE_INT_MOST = (1 << 23) - 1,
    VISE_INT_SUM = 1 << 24,  // the largest sum that f32 carries
    VISE_INT_PROB = 254,     // what a row's largest score becomes
    VISE_INT_STEP_BITS = 20, // of a softmax's multiplier
    VISE_INT_STEP_MOST = 1 << 19,
    VISE_INT_TABLE_MOST = 1024, // entries of a softmax's table
    VISE_INT_RATIO_BITS = 16,   // of a weighted mean of codes
    VISE_INT_UNIT_BITS = 20,    // of (x - mean) / |x - mean|
    VISE_INT_BIAS_BITS = 8,     // of a layernorm's bias
    VISE_INT_NORM_MOST = 8192,  // numbers that a layernorm takes together
};

/* y_j = floor((x_j + bias_j) mult_j / 2^shift_j + 1/2), clamped to [lo, hi]. */
typedef struct vise_requant {
    const int32_t *bias;  // [n] |bias| <= 2^30
    const int32_t *mult;  // [n] [0, 2^24)
    const int32_t *shift; // [n] [9, 61]; below 24, mult is 0 or at least 2^23
    int32_t lo, hi;
} vise_requant;

/* Row of scores x, d = max x - x, i = min(floor(d step / 2^20 + 1/2), n - 1): e = table[i]. */
typedef struct vise_int_softmax {
    const int32_t *table; // [n] [0, 254]; table[0] is 254
    size_t n;             // [2, VISE_INT_TABLE_MOST]
    int32_t step;         // [1, VISE_INT_STEP_MOST]
} vise_int_softmax;

/* With m = floor(avg x + 1/2), d = x - m, v = sum d^2 + eps and u = d / sqrt(v) in units of 2^-20 (see
 * vise_int_rsqrt): y_j = floor((u_j w_j + b_j 2^(shift - 8)) / 2^shift + 1/2), clamped to [lo, hi]. */
typedef struct vise_int_layernorm {
    const int32_t *w, *b; // [n] |w|, |b| < 2^24
    int64_t eps;          // [0, 2^52]
    int32_t shift;        // [16, 40]
    int32_t lo, hi;
} vise_int_layernorm;

/* A function of one integer. */
typedef struct vise_int_table {
    const float *value; // [count]
    size_t count;       // [1, 2^16]
    int32_t first;      // that value[0] stands for; at most 2^24
    int32_t gain;       // [0, 127]
} vise_int_table;

/* Matrices are [rows, n] with row strides in elements; y may be x. What is not a whole number is cut
 * off, what is larger than 2^24 (layernorm: VISE_INT_MOST) or NaN counts as that: so nothing that a
 * file holds is undefined. */
typedef struct vise_fixed_kern {
    void (*requant)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                    const vise_requant *q);
    /* y = a + b, clamped to [lo, hi], which lies in [-VISE_INT_MOST, VISE_INT_MOST]; a and b, too */
    void (*add)(float *y, size_t ldy, const float *a, size_t lda, const float *b, size_t ldb,
                size_t rows, size_t n, int32_t lo, int32_t hi);
    /* y = floor((x_ij + add_j) ratio_i / 2^20 + 1/2), clamped to +-VISE_INT_MOST. |add| <= 2^24, ratio
     * in [0, 2^30] */
    void (*ratio)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const int32_t *add, const int32_t *ratio);
    /* y = table[i], i = x - first clamped to [0, count - 1]; where x is beyond the table and gain is
     * not 0, y = gain x, at most VISE_INT_MOST */
    void (*lut)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                const vise_int_table *t);
    /* Codes e - 127, stored XOR flip, columns n up to npad (a multiple of 4) code 0; sum_i: of the e.
     *   q out [rows, npad] codes, row stride ldq bytes;  sum out [rows] */
    void (*softmax)(uint8_t *q, size_t ldq, size_t npad, int32_t *sum, const float *x, size_t ldx,
                    size_t rows, size_t n, const vise_int_softmax *t, uint8_t flip);
    /* n <= VISE_INT_NORM_MOST */
    void (*layernorm)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                      const vise_int_layernorm *p);
} vise_fixed_kern;

/* Plain C, the definitions; then what levels improve. */
void vise_fixed_c(vise_fixed_kern *k);
void vise_fixed_avx2(vise_fixed_kern *k);
void vise_fixed_avx512(vise_fixed_kern *k);

/* ---- one number ---- */

/* x as an integer in [-most, most], most <= 2^24. */
static inline int32_t vise_int_of(float x, int32_t most)
{
    const float m = (float)most;
    return (int32_t)(x < m ? x > -m ? x : -m : m);
}

static inline int64_t vise_int_clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* floor(x / 2^bits + 1/2). |x| <= 2^61, bits in [1, 61]. C leaves >> of a negative number to the
 * compiler; all of ours shift the sign in. */
static inline int64_t vise_int_shift(int64_t x, int bits)
{
    return (x + ((int64_t)1 << (bits - 1))) >> bits;
}

/* One number of requant; |x| <= 2^30. */
static inline int32_t vise_requant_one(int64_t x, const vise_requant *q, size_t j)
{
    return (int32_t)vise_int_clamp(vise_int_shift((x + q->bias[j]) * q->mult[j], q->shift[j]),
                                   q->lo, q->hi);
}

/* floor(sum / n + 1/2) */
int32_t vise_int_mean(int64_t sum, size_t n);

/* 1 / sqrt(v) as r / 2^(bits + 20), so that u = floor(d r / 2^bits + 1/2): v is multiplied by 4^t
 * into [2^60, 2^62), q = floor(sqrt(v)), r = floor((2^61 - 1) / q), bits = 41 - t. v in [0, 2^62); 0
 * counts as 1. */
typedef struct vise_int_recip {
    int32_t r, bits;
} vise_int_recip;
vise_int_recip vise_int_rsqrt(int64_t v);

/* What a sum of probabilities multiplies with in ratio: floor(2^36 / sum + 1/2), at most 2^30. */
int32_t vise_int_ratio(int32_t sum);

#endif
