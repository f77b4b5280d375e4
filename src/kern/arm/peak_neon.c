/* peak_neon.c - peak loops of neon
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <arm_neon.h>

enum { CHAINS = 16 }; // four ports times a latency of 4

static float fmla(size_t turns, float x)
{
    const float32x4_t a = vdupq_n_f32(x);
    float32x4_t acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_f32((float)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vfmaq_f32(acc[i], a, a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += vaddvq_f32(acc[i]);
    return sum;
}

/* Products of codes summed in 16 bits: the most that neon alone can do with them. */
static float smlal(size_t turns, float x)
{
    const int8x8_t a = vdup_n_s8((int8_t)(100 * x));
    int16x8_t acc[CHAINS];
    float sum = 0;
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = vdupq_n_s16((int16_t)i);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = vmlal_s8(acc[i], a, a);
    for (size_t i = 0; i < CHAINS; i++)
        sum += (float)vaddvq_s16(acc[i]);
    return sum;
}

void vise_peak_neon(vise_peaks *p)
{
    const vise_peak fma = {"fmla", CHAINS * 2 * 4, fmla};
    vise_peaks_add(p, VISE_PEAK_F32, fma);
    vise_peaks_add(p, VISE_PEAK_BF16, fma);
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"smlal", CHAINS * 2 * 8, smlal});
}
