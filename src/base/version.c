/* version.c - what this library is and where it runs
 * SPDX-License-Identifier: MIT */
#include "base/cpu.h"
#include "base/pool.h"

const char *vise_version(void)
{
    return VISE_VERSION;
}

const char *vise_cpu_best(void)
{
    return vise_cpu_name(vise_cpu_here());
}

size_t vise_cpu_cores(void)
{
    return vise_cpu_count();
}
