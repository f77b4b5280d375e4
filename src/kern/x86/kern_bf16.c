/* kern_bf16.c - kernels for bf16
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_bf16(vise_kern *k)
{
    (void)k;
}
