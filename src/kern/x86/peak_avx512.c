/* peak_avx512.c - peak loops of avx512
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <immintrin.h>
#include <stdint.h>

enum { CHAINS = 12 }; // two ports times a latency of up to 5

static float fma_zmm(size_t turns, float x)
{
    const __m512 a = _mm512_set1_ps(x), b = _mm512_set1_ps(1);
    __m512 acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    for (size_t i = 0; i < CHAINS; i++)
        sum += _mm512_reduce_add_ps(acc[i]);
    return sum;
}

static float vpmaddwd_zmm(size_t turns, float x)
{
    const __m512i a = _mm512_set1_epi16((int16_t)(100 * x));
    __m512i acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_epi16((int16_t)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_madd_epi16(acc[i], a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += (float)_mm512_reduce_add_epi32(acc[i]);
    return sum;
}

void vise_peak_avx512(vise_peaks *p)
{
    const vise_peak fma = {"fma zmm", CHAINS * 2 * 16, fma_zmm};
    vise_peaks_add(p, VISE_PEAK_F32, fma);
    vise_peaks_add(p, VISE_PEAK_BF16, fma);
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"vpmaddwd zmm", CHAINS * 2 * 32, vpmaddwd_zmm});
}
