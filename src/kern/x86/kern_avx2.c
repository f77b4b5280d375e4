/* kern_avx2.c - kernels for avx2
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_avx2(vise_kern *k)
{
    (void)k;
}
