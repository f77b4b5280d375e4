/* peak.c - which peak loops a CPU level has, and those of plain C
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"
#include "base/cpu.h"

#include <assert.h>
#include <stdint.h>

enum { LANES = 32 }; // independent sums: enough for four instructions in flight on two ports

static float mul_add_f32(size_t turns, float x)
{
    float acc[LANES] = {0}, sum = 0;
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < LANES; i++)
            acc[i] = acc[i] * x + 1;
    for (size_t i = 0; i < LANES; i++)
        sum += acc[i];
    return sum;
}

static float mul_add_s32(size_t turns, float x)
{
    uint32_t acc[LANES] = {0}, sum = 0;
    const uint32_t y = (uint32_t)(1000 * x);
    for (size_t t = 0; t < turns; t++)
        for (size_t i = 0; i < LANES; i++)
            acc[i] = acc[i] * y + 1;
    for (size_t i = 0; i < LANES; i++)
        sum += acc[i];
    return (float)sum;
}

void vise_peaks_add(vise_peaks *p, vise_peak_type type, vise_peak loop)
{
    assert(p->n[type] < VISE_PEAK_LOOPS);
    p->loop[type][p->n[type]++] = loop;
}

void vise_peaks_init(vise_peaks *p, unsigned cpu)
{
    const vise_peak f32 = {"C, f32", 2 * LANES, mul_add_f32};
    const vise_peak s32 = {"C, s32", 2 * LANES, mul_add_s32};
    *p = (vise_peaks){0};
    vise_peaks_add(p, VISE_PEAK_F32, f32);
    vise_peaks_add(p, VISE_PEAK_BF16, f32);
    vise_peaks_add(p, VISE_PEAK_S8, s32);
#if defined(VISE_X86)
    if (cpu & VISE_CPU_AVX2) vise_peak_avx2(p);
    if (cpu & VISE_CPU_AVX512) vise_peak_avx512(p);
    if (cpu & VISE_CPU_VNNI) vise_peak_vnni(p);
    if (cpu & VISE_CPU_BF16) vise_peak_bf16(p);
    if (cpu & VISE_CPU_AMX) vise_peak_amx(p);
#elif defined(VISE_ARM)
    if (cpu & VISE_CPU_NEON) vise_peak_neon(p);
    if (cpu & VISE_CPU_DOTPROD) vise_peak_dotprod(p);
    if (cpu & VISE_CPU_I8MM) vise_peak_i8mm(p);
#endif
    (void)cpu;
}
