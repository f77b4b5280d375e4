/* peak_dotprod.c - the peak loop of dotprod
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <arm_neon.h>

enum { CHAINS = 16 }; // four ports times a latency of 4

static float sdot(size_t turns, float x)
{
    const int8x16_t a = vdupq_n_s8((int8_t)(100 * x));
    int32x4_t acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s32((int32_t)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vdotq_s32(acc[i], a, a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += (float)vaddvq_s32(acc[i]);
    return sum;
}

void vise_peak_dotprod(vise_peaks *p)
{
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"sdot", CHAINS * 2 * 16, sdot});
}
