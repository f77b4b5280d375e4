/* kern_avx512.c - kernels for avx512
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_avx512(vise_kern *k)
{
    (void)k;
}
