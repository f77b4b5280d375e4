/* cpu.c - which CPU levels run here
 * SPDX-License-Identifier: MIT */
#include "base/cpu.h"

#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const struct level {
    const char *name;
    unsigned mask; // with all lower levels that it stands on
} levels[] = {
    {"c", 0},
    {"avx2", VISE_CPU_AVX2},
    {"avx512", VISE_CPU_AVX2 | VISE_CPU_AVX512},
};

enum { LEVELS = sizeof levels / sizeof *levels };

#if defined(__x86_64__)
/* Clang's __builtin_cpu_supports does not know the name. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

unsigned vise_cpu_here(void)
{
    unsigned mask = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // libgcc checks that the system saves the wide registers, too
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        mask |= VISE_CPU_AVX2;
    if (mask && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        mask |= VISE_CPU_AVX512;
#endif
    return mask;
}

vise_status vise_cpu_parse(unsigned *mask, const char *name, vise_err *e)
{
    const unsigned here = vise_cpu_here();
    if (!name || !strcmp(name, "auto")) {
        *mask = here;
        return VISE_OK;
    }
    for (size_t i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i].name, name) != 0) continue;
        if (levels[i].mask & ~here)
            return vise_fail(e, VISE_ECPU, "--cpu %s: this machine runs %s at most", name,
                             vise_cpu_name(here));
        *mask = levels[i].mask;
        return VISE_OK;
    }
    return vise_fail(e, VISE_EARG, "--cpu %s: the levels are c, avx2, avx512", name);
}

const char *vise_cpu_name(unsigned mask)
{
    const char *name = "c";
    for (size_t i = 0; i < LEVELS; i++)
        if ((levels[i].mask & mask) == levels[i].mask) name = levels[i].name;
    return name;
}
