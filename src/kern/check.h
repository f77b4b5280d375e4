/* check.h - what the parts of the kernel checker share.
 *
 * The checks of one kernel run in a process of their own, so that a crash is a finding. Buffers end
 * (or start) exactly at an unreadable page, inputs cannot be written, and the bytes around outputs
 * are looked at. Nothing here allocates: all buffers come from one block of the parent's.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_CHECK_H
#define VISE_KERN_CHECK_H

#include "base/rng.h"
#include "kern/kern.h"

enum { VISE_CHECK_BUFS = 96 };

/* What the parent reads after the child has ended, however it ended. */
typedef struct vise_check_board {
    size_t round, checks; // the round it was in; comparisons made
    char shape[200];      // of that round
    char failure[200];    // what was found, or ""
} vise_check_board;

typedef struct vise_check_buf {
    char *from, *p, *to; // whole pages around p
    size_t bytes;        // from p
    bool input, sealed;
} vise_check_buf;

/* One kernel at one level under test. */
typedef struct vise_checker {
    const vise_kern *kern;
    vise_check_board *board;
    vise_rng rng; // of this round
    unsigned char canary;
    char *base; // [size] bytes, whole pages
    size_t size, used, page;
    vise_check_buf buf[VISE_CHECK_BUFS];
    size_t nbufs;
} vise_checker;

/* n bytes on a multiple of align (a power of two), full of canaries: what a kernel may write. */
void *vise_check_out(vise_checker *t, size_t n, size_t align);
/* The same for what it may only read; to be filled, then sealed. */
void *vise_check_in(vise_checker *t, size_t n, size_t align);
void vise_check_seal(vise_checker *t);
/* No byte around an output was written. */
void vise_check_edges(vise_checker *t);
/* Nor between rows of `used` bytes that lie ld bytes apart. */
void vise_check_gaps(vise_checker *t, const void *p, size_t used, size_t ld, size_t rows);

size_t vise_check_pick(vise_checker *t, size_t n); // 0 .. n - 1
/* 1 .. most, often beside a multiple of tile or of a vector. */
size_t vise_check_extent(vise_checker *t, size_t most, size_t tile);
/* Mostly ordinary numbers, sometimes large, tiny, zero or subnormal. */
void vise_check_fill(vise_checker *t, float *x, size_t n);

/* The shapes of this round, for messages. */
void vise_check_shape(vise_checker *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the process with a finding. */
_Noreturn void vise_check_fail(vise_checker *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* |got - want| <= tol; NaN or infinite where want is. */
void vise_check_near(vise_checker *t, float got, double want, double tol, size_t row, size_t col);
/* The same bits; any NaN is as good as another. */
void vise_check_same(vise_checker *t, float got, float want, size_t row, size_t col);
void vise_check_code(vise_checker *t, long got, long want, size_t row, size_t col);

/* One round each, for the table's entry of this name; pack_* are the packers of gemm_*. */
void vise_check_gemm_f32(vise_checker *t);
void vise_check_gemm_bf16(vise_checker *t);
void vise_check_gemm_s8(vise_checker *t);
void vise_check_gemm_codes(vise_checker *t);
void vise_check_float_codes(vise_checker *t);
void vise_check_expand(vise_checker *t);
void vise_check_pack_f32(vise_checker *t);
void vise_check_pack_bf16(vise_checker *t);
void vise_check_pack_s8(vise_checker *t);
void vise_check_layernorm(vise_checker *t);
void vise_check_softmax(vise_checker *t);
void vise_check_gelu(vise_checker *t);
void vise_check_gelu_slope(vise_checker *t);
void vise_check_swish(vise_checker *t);
void vise_check_depthwise(vise_checker *t);
void vise_check_softmax_s8(vise_checker *t);
void vise_check_to_bf16(vise_checker *t);
void vise_check_quant_s8(vise_checker *t);
void vise_check_absmax(vise_checker *t);
void vise_check_requant(vise_checker *t);
void vise_check_int_add(vise_checker *t);
void vise_check_ratio(vise_checker *t);
void vise_check_lut(vise_checker *t);
void vise_check_int_softmax(vise_checker *t);
void vise_check_int_layernorm(vise_checker *t);

#endif
