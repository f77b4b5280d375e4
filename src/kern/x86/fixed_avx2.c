/* fixed_avx2.c - the integer kernels
 * SPDX-License-Identifier: MIT */
#include "kern/fixed.h"

void vise_fixed_avx2(vise_fixed_kern *k)
{
    (void)k;
}
