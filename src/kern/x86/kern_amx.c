/* kern_amx.c - kernels for amx
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_amx(vise_kern *k)
{
    (void)k;
}
