/* kern.c - which kernels a session uses
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"
#include "base/cpu.h"

void vise_kern_init(vise_kern *k, unsigned cpu)
{
    vise_fixed_kern fixed;
    vise_kern_c(k);
    vise_fixed_c(&fixed);
#if defined(VISE_X86)
    if (cpu & VISE_CPU_AVX2) vise_kern_avx2(k);
    if (cpu & VISE_CPU_AVX512) vise_kern_avx512(k);
    if (cpu & VISE_CPU_VNNI) vise_kern_vnni(k);
    if (cpu & VISE_CPU_VBMI) vise_kern_vbmi(k);
    if (cpu & VISE_CPU_BF16) vise_kern_bf16(k);
    if (cpu & VISE_CPU_AMX) vise_kern_amx(k);
    if (cpu & VISE_CPU_AVX2) vise_fixed_avx2(&fixed);
    if (cpu & VISE_CPU_AVX512) vise_fixed_avx512(&fixed);
#elif defined(VISE_ARM)
    if (cpu & VISE_CPU_NEON) vise_kern_neon(k);
    if (cpu & VISE_CPU_DOTPROD) vise_kern_dotprod(k);
    if (cpu & VISE_CPU_I8MM) vise_kern_i8mm(k);
#endif
    (void)cpu;
    k->fixed = fixed; // levels write their own table over everything
}
