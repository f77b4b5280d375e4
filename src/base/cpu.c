/* cpu.c - which CPU levels run here
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum {
    AVX512 = VISE_CPU_AVX2 | VISE_CPU_AVX512,
    VNNI = AVX512 | VISE_CPU_VNNI,
    VBMI = VNNI | VISE_CPU_VBMI,
    BF16 = VBMI | VISE_CPU_BF16,
    AMX = BF16 | VISE_CPU_AMX,
    DOTPROD = VISE_CPU_NEON | VISE_CPU_DOTPROD,
    I8MM = DOTPROD | VISE_CPU_I8MM,
};

static const struct level {
    const char *name;
    unsigned mask; // with all lower levels that it stands on
} levels[] = {
    {"c", 0},       {"avx2", VISE_CPU_AVX2}, {"avx512", AVX512},
    {"vnni", VNNI}, {"vbmi", VBMI},          {"bf16", BF16},
    {"amx", AMX},   {"neon", VISE_CPU_NEON}, {"dotprod", DOTPROD},
    {"i8mm", I8MM},
};

enum { LEVELS = sizeof levels / sizeof *levels };

#if defined(__x86_64__)

/* Leaf 7: what libgcc and clang do not agree to have names for. */
typedef struct leaf7 {
    unsigned b, c, d, a1; // a1: eax of sub-leaf 1
} leaf7;

static leaf7 leaf7_of(void)
{
    leaf7 l = {0};
    unsigned a, b, c, d;
    if (__get_cpuid_count(7, 0, &a, &l.b, &l.c, &l.d) && a >= 1 &&
        __get_cpuid_count(7, 1, &l.a1, &b, &c, &d))
        return l;
    l.a1 = 0;
    return l;
}

static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* The kernel saves tile registers only for processes that ask: arch_prctl(2), ARCH_REQ_XCOMP_PERM of
 * XFEATURE_XTILEDATA. Asking twice is harmless. */
static bool tiles_allowed(void)
{
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}

static unsigned find_levels(void)
{
    unsigned mask = 0;
    __builtin_cpu_init();
    // libgcc checks that the system saves the wide registers, too
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return 0;
    mask |= VISE_CPU_AVX2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return mask;
    const leaf7 l = leaf7_of();
    mask |= VISE_CPU_AVX512;
    if (l.c >> 11 & 1) mask |= VISE_CPU_VNNI;
    if (l.c >> 1 & 1) mask |= VISE_CPU_VBMI;
    if (l.a1 >> 5 & 1) mask |= VISE_CPU_BF16;
    if ((l.d >> 22 & 1) && (l.d >> 24 & 1) && (l.d >> 25 & 1) && tiles_allowed())
        mask |= VISE_CPU_AMX;
    return mask;
}

#elif defined(__aarch64__)

static unsigned find_levels(void)
{
    enum { ASIMDDP = 1 << 20, I8MM_BIT = 1 << 13 }; // of AT_HWCAP and AT_HWCAP2
    unsigned mask = VISE_CPU_NEON;
    if (getauxval(AT_HWCAP) & ASIMDDP) mask |= VISE_CPU_DOTPROD;
    if (getauxval(AT_HWCAP2) & I8MM_BIT) mask |= VISE_CPU_I8MM;
    return mask;
}

#else

static unsigned find_levels(void)
{
    return 0;
}

#endif

unsigned vise_cpu_here(void)
{
    const unsigned found = find_levels();
    unsigned mask = 0; // levels whose every lower level is there, too
    for (size_t i = 0; i < LEVELS; i++)
        if (!(levels[i].mask & ~found)) mask |= levels[i].mask;
    return mask;
}

vise_status vise_cpu_parse(unsigned *mask, const char *name, vise_err *e)
{
    const unsigned here = vise_cpu_here();
    char names[128] = "";
    if (!name || !strcmp(name, "auto")) {
        *mask = here;
        return VISE_OK;
    }
    for (size_t i = 0, n = 0; i < LEVELS; i++) {
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", levels[i].name);
        if (strcmp(levels[i].name, name) != 0) continue;
        if (levels[i].mask & ~here)
            return vise_fail(e, VISE_ECPU, "--cpu %s: this machine runs %s at most", name,
                             vise_cpu_name(here));
        *mask = levels[i].mask;
        return VISE_OK;
    }
    return vise_fail(e, VISE_EARG, "--cpu %s: the levels are %s", name, names);
}

const char *vise_cpu_name(unsigned mask)
{
    const char *name = "c";
    for (size_t i = 0; i < LEVELS; i++)
        if ((levels[i].mask & mask) == levels[i].mask) name = levels[i].name;
    return name;
}

const char *vise_cpu_level(size_t i)
{
    return i < LEVELS ? levels[i].name : NULL;
}
