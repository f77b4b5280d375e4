/* peak_i8mm.c - the peak loop of i8mm
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <arm_neon.h>

enum { CHAINS = 16 }; // four ports times a latency of 4

static float smmla(size_t turns, float x)
{
    const int8x16_t a = vdupq_n_s8((int8_t)(100 * x));
    int32x4_t acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s32((int32_t)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vmmlaq_s32(acc[i], a, a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += (float)vaddvq_s32(acc[i]);
    return sum;
}

void vise_peak_i8mm(vise_peaks *p)
{
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"smmla", CHAINS * 2 * 32, smmla});
}
