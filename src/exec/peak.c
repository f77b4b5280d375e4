/* peak.c - how fast this machine's matrix products are when nothing holds them up
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "kern/kern.h"

#include <string.h>

enum { ROWS = 96, PANELS = 4, DEPTH = 256, RUNS = 100 }; // operands that fit a small L2 cache

/* Of zeros: no kernel looks at the numbers. The best of many short runs, as others share the
 * machine. */
static double measure(const vise_gemm *g, char *block, size_t row)
{
    const size_t n = PANELS * g->nr;
    char *a = block, *w = a + ROWS * row, *c = w + vise_panels_bytes(g, n, DEPTH);
    char *scale = c + ROWS * n * sizeof(float), *sum = scale + n * sizeof(float);
    const vise_gemm_args args = {.c = (float *)c,
                                 .ldc = n,
                                 .a = a,
                                 .lda = row,
                                 .rowq = (vise_rowq *)(sum + n * sizeof(int32_t)),
                                 .w = w,
                                 .wscale = (float *)scale,
                                 .wsum = (int32_t *)sum,
                                 .m = ROWS,
                                 .n = n,
                                 .k = DEPTH};
    double best = 1;
    for (int i = 0; i < RUNS; i++) {
        const double start = vise_seconds();
        g->run(&args);
        const double seconds = vise_seconds() - start;
        if (seconds < best) best = seconds;
    }
    return 2.0 * ROWS * (double)n * DEPTH / best;
}

double vise_cpu_peak(const char *cpu, const char *type)
{
    unsigned level;
    vise_kern k;
    if (vise_cpu_parse(&level, cpu, NULL)) return 0;
    vise_kern_init(&k, level);
    const vise_gemm *g = !strcmp(type, "f32")    ? &k.gemm_f32
                         : !strcmp(type, "bf16") ? &k.gemm_bf16
                         : !strcmp(type, "s8")   ? &k.gemm_s8
                                                 : NULL;
    if (!g) return 0;
    const size_t row = (vise_row_bytes(g, DEPTH) + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
    const size_t columns = PANELS * g->nr;
    const size_t bytes = ROWS * (row + columns * sizeof(float) + sizeof(vise_rowq)) +
                         vise_panels_bytes(g, columns, DEPTH) +
                         columns * (sizeof(float) + sizeof(int32_t));
    char *block = vise_alloc(bytes, 1);
    if (!block) return 0;
    memset(block, 0, bytes); // so that every page is there, and not one page of zeros for all
    const double peak = measure(g, block, row);
    vise_free(block);
    return peak;
}
