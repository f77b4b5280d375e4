/* peak_avx2.c - peak loops of avx2
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <immintrin.h>
#include <stdint.h>

enum { CHAINS = 12 }; // two ports times a latency of up to 5

static float fma_ymm(size_t turns, float x)
{
    const __m256 a = _mm256_set1_ps(x), b = _mm256_set1_ps(1);
    __m256 acc[CHAINS];
    float out[8], sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm256_set1_ps((float)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    for (size_t i = 0; i < CHAINS; i++) {
        _mm256_storeu_ps(out, acc[i]);
        sum += out[i % 8];
    }
    return sum;
}

static float vpmaddwd_ymm(size_t turns, float x)
{
    const __m256i a = _mm256_set1_epi16((int16_t)(100 * x));
    __m256i acc[CHAINS];
    int32_t out[8];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm256_set1_epi16((int16_t)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm256_madd_epi16(acc[i], a);
    for (size_t i = 0; i < CHAINS; i++) {
        _mm256_storeu_si256((__m256i *)(void *)out, acc[i]);
        sum += (float)out[i % 8];
    }
    return sum;
}

void vise_peak_avx2(vise_peaks *p)
{
    const vise_peak fma = {"fma ymm", CHAINS * 2 * 8, fma_ymm};
    vise_peaks_add(p, VISE_PEAK_F32, fma);
    vise_peaks_add(p, VISE_PEAK_BF16, fma);
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"vpmaddwd ymm", CHAINS * 2 * 16, vpmaddwd_ymm});
}
