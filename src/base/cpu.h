/* cpu.h - CPU levels: clusters of instruction sets, in ascending order.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_CPU_H
#define VISE_BASE_CPU_H

#include "base/status.h"

enum {
    VISE_CPU_AVX2 = 1 << 0,   // AVX2, FMA, F16C
    VISE_CPU_AVX512 = 1 << 1, // AVX-512 F, BW, DQ, VL
};

unsigned vise_cpu_here(void); // the levels this machine runs

/* The mask for a level's name: "c", "avx2", "avx512", or NULL or "auto" for the best here. Fails
 * with VISE_EARG for an unknown name, VISE_ECPU for a level this machine lacks. */
vise_status vise_cpu_parse(unsigned *mask, const char *name, vise_err *e);

const char *vise_cpu_name(unsigned mask); // of the highest level in mask

#endif
