/* kern_vnni.c - kernels for vnni
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_vnni(vise_kern *k)
{
    (void)k;
}
