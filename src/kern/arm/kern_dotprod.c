/* kern_dotprod.c - kernels for dotprod
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void vise_kern_dotprod(vise_kern *k)
{
    (void)k;
}
