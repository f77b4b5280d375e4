/* fixed_avx512.c - the integer kernels
 * SPDX-License-Identifier: MIT */
#include "kern/fixed.h"

void vise_fixed_avx512(vise_fixed_kern *k)
{
    (void)k;
}
