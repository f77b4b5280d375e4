/* kern_neon.c - kernels for neon
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_neon(vise_kern *k)
{
    (void)k;
}
