/* avx2.h - what the files of the AVX2 level share
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_X86_AVX2_H
#define VISE_KERN_X86_AVX2_H

#include "kern/kern.h"

#include <immintrin.h>

#define AVX2_INLINE static inline __attribute__((always_inline))
// where an array of vectors must stay in registers
#if defined(__clang__)
#define AVX2_UNROLL _Pragma("clang loop unroll(full)")
#else
#define AVX2_UNROLL _Pragma("GCC unroll 16")
#endif

/* Set the matrix products, and what turns packed codes into bytes; the rest is in kern_avx2.c. */
void vise_kern_avx2_gemm(vise_kern *k);
void vise_kern_avx2_codes(vise_kern *k);

/* All bits of the first n of 8 lanes. */
AVX2_INLINE __m256i avx2_lanes(size_t n)
{
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + (n < 8 ? 8 - n : 0)));
}

/* 8 lanes, or the `left` that are there and zeros. */
AVX2_INLINE __m256 avx2_load(const float *x, size_t left)
{
    return left < 8 ? _mm256_maskload_ps(x, avx2_lanes(left)) : _mm256_loadu_ps(x);
}

AVX2_INLINE void avx2_store(float *y, size_t left, __m256 v)
{
    if (left < 8)
        _mm256_maskstore_ps(y, avx2_lanes(left), v);
    else
        _mm256_storeu_ps(y, v);
}

AVX2_INLINE __m256i avx2_load_bytes(const void *x)
{
    return _mm256_loadu_si256((const __m256i *)x);
}

AVX2_INLINE void avx2_store_bytes(void *y, __m256i v)
{
    _mm256_storeu_si256((__m256i *)y, v);
}

#endif
