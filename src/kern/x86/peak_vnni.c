/* peak_vnni.c - the peak loop of vnni
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <immintrin.h>

enum { CHAINS = 12 }; // two ports times a latency of 5

static float vpdpbusd_zmm(size_t turns, float x)
{
    const __m512i a = _mm512_set1_epi8((char)(100 * x)), b = _mm512_set1_epi8(3);
    __m512i acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_epi32((int)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
    for (size_t i = 0; i < CHAINS; i++)
        sum += (float)_mm512_reduce_add_epi32(acc[i]);
    return sum;
}

void vise_peak_vnni(vise_peaks *p)
{
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"vpdpbusd zmm", CHAINS * 2 * 64, vpdpbusd_zmm});
}
