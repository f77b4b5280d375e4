/* peak_bf16.c - the peak loop of bf16
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <immintrin.h>

enum { CHAINS = 12 }; // two ports times a latency of up to 6

static float vdpbf16ps_zmm(size_t turns, float x)
{
    const __m512 v = _mm512_set1_ps(x);
    const __m512bh a = _mm512_cvtne2ps_pbh(v, v);
    __m512 acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = _mm512_dpbf16_ps(acc[i], a, a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += _mm512_reduce_add_ps(acc[i]);
    return sum;
}

void vise_peak_bf16(vise_peaks *p)
{
    vise_peaks_add(p, VISE_PEAK_BF16, (vise_peak){"vdpbf16ps zmm", CHAINS * 2 * 32, vdpbf16ps_zmm});
}
