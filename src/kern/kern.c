/* kern.c - which kernels a session uses
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"
#include "base/cpu.h"

void vise_kern_init(vise_kern *k, unsigned cpu)
{
    vise_kern_c(k);
#if defined(VISE_X86)
    if (cpu & VISE_CPU_AVX2) vise_kern_avx2(k);
    if (cpu & VISE_CPU_AVX512) vise_kern_avx512(k);
#endif
    (void)cpu;
}
