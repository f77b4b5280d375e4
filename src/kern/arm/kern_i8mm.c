/* kern_i8mm.c - kernels for i8mm
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_i8mm(vise_kern *k)
{
    (void)k;
}
