/* cpu.h - CPU levels: clusters of instruction sets, in ascending order.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_CPU_H
#define VISE_BASE_CPU_H

#include "base/status.h"

enum {
    VISE_CPU_AVX2 = 1 << 0,   // AVX2, FMA, F16C
    VISE_CPU_AVX512 = 1 << 1, // AVX-512 F, BW, DQ, VL
    VISE_CPU_VNNI = 1 << 2,   // AVX-512 VNNI
    VISE_CPU_VBMI = 1 << 3,   // AVX-512 VBMI
    VISE_CPU_BF16 = 1 << 4,   // AVX-512 BF16
    VISE_CPU_AMX = 1 << 5,    // AMX tiles with int8 and bf16, allowed by the system
    VISE_CPU_NEON = 1 << 8,   // AArch64 with Advanced SIMD
    VISE_CPU_DOTPROD = 1 << 9,
    VISE_CPU_I8MM = 1 << 10,
};

/* The levels this machine runs. The first call asks the system for what must be asked for. */
unsigned vise_cpu_here(void);

/* The mask for a level's name, with all levels it stands on; NULL or "auto" for the best here.
 * Fails with VISE_EARG for an unknown name, VISE_ECPU for a level this machine lacks. */
vise_status vise_cpu_parse(unsigned *mask, const char *name, vise_err *e);

const char *vise_cpu_name(unsigned mask); // of the highest level in mask
const char *vise_cpu_level(size_t i); // names in ascending order, "c" first; NULL after the last

#endif
