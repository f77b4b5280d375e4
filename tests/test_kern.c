/* test_kern.c - the kernel checker: every kernel at every CPU level of this machine, ragged shapes,
 * buffers that end at unreadable pages, against double
 * SPDX-License-Identifier: MIT */
#include "base/cpu.h"
#include "base/rng.h"
#include "kern/kern.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 150 };

static const double eps = (double)FLT_EPSILON;

/* What is being tested, for messages. */
static struct {
    const char *level, *kernel;
    unsigned round;
    vise_rng rng;
} t;

static void failed(const char *what, double got, double want, size_t at)
{
    fail_msg("%s/%s, round %u: %s[%zu] is %.9g, not %.9g", t.kernel, t.level, t.round, what, at,
             got, want);
}

/* ---- buffers: each ends exactly at an unreadable page, so one byte too far is a crash ---- */

typedef struct buf {
    void *map;
    float *p;
    size_t len; // of the mapping
} buf;

static buf buf_new(size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = n * sizeof(float);
    buf b = {.len = (bytes + page - 1) / page * page + page};
    b.map = mmap(NULL, b.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED || mprotect((char *)b.map + b.len - page, page, PROT_NONE)) abort();
    b.p = (float *)(void *)((char *)b.map + b.len - page - bytes);
    return b;
}

static void buf_free(buf b)
{
    munmap(b.map, b.len);
}

static size_t pick(size_t n)
{
    return (size_t)(vise_rng_u64(&t.rng) % n);
}

/* 1 .. most, often beside a multiple of a tile. */
static size_t extent(size_t most)
{
    static const size_t edges[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13,
                                   15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65};
    const size_t n = pick(2) ? edges[pick(sizeof edges / sizeof *edges)] : 1 + pick(most);
    return n <= most ? n : 1 + pick(most);
}

/* Mostly ordinary, sometimes large, tiny or zero. */
static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t kind = pick(64);
        x[i] = vise_rng_normal(&t.rng);
        if (kind == 0) x[i] = 0;
        if (kind == 1) x[i] *= 1e-20f;
        if (kind == 2) x[i] *= 1e4f;
    }
}

static const float canary = -1.2345e30f;

/* ---- gemm_f32 ---- */

typedef struct gemm {
    size_t m, n, k, lda, ldc;
    buf a, w, b, c, panels;
    const float *bias; // b.p or NULL
} gemm;

static gemm gemm_new(const vise_kern *kern)
{
    gemm g = {.m = extent(70), .n = extent(70), .k = extent(70)};
    const size_t nr = kern->gemm_f32.nr;
    g.lda = g.k + pick(3);
    g.ldc = g.n + pick(3);
    g.a = buf_new((g.m - 1) * g.lda + g.k);
    g.c = buf_new((g.m - 1) * g.ldc + g.n);
    g.w = buf_new(g.n * g.k);
    g.b = buf_new(g.n);
    g.panels = buf_new(vise_pack_f32_size(nr, g.n, g.k));
    g.bias = pick(2) ? g.b.p : NULL;
    fill(g.a.p, (g.m - 1) * g.lda + g.k);
    fill(g.w.p, g.n * g.k);
    fill(g.b.p, g.n);
    return g;
}

static void gemm_free(const gemm *g)
{
    buf_free(g->a);
    buf_free(g->w);
    buf_free(g->b);
    buf_free(g->c);
    buf_free(g->panels);
}

static void gemm_run(const vise_kern *kern, const gemm *g)
{
    for (size_t i = 0; i < (g->m - 1) * g->ldc + g->n; i++)
        g->c.p[i] = canary;
    kern->gemm_f32.run(g->c.p, g->ldc, g->a.p, g->lda, g->panels.p, g->bias, g->m, g->n, g->k);
}

/* c of the unpacked weights: the packer is tested, too. Row `nan` of a holds a NaN, if < m. */
static void gemm_compare(const gemm *g, size_t nan)
{
    for (size_t i = 0; i < (g->m - 1) * g->ldc + g->n; i++) {
        const size_t row = i / g->ldc, col = i % g->ldc;
        const double got = (double)g->c.p[i];
        if (col >= g->n) { // between the rows
            if (memcmp(&g->c.p[i], &canary, sizeof canary) != 0)
                failed("gap", got, (double)canary, i);
            continue;
        }
        double want = g->bias ? (double)g->bias[col] : 0, all = fabs(want);
        for (size_t p = 0; p < g->k; p++) {
            const double term = (double)g->a.p[row * g->lda + p] * (double)g->w.p[col * g->k + p];
            want += term;
            all += fabs(term);
        }
        const double tol = 2 * (double)g->k * eps * all + (double)FLT_MIN * (double)(g->k + 1);
        if (row == nan ? !isnan(got) : !(fabs(got - want) <= tol)) failed("c", got, want, i);
    }
}

/* However rows are split, each comes out with the same bits. */
static void gemm_split(const vise_kern *kern, const gemm *g)
{
    const vise_gemm_f32 *f = &kern->gemm_f32;
    for (size_t i = 0, rows; i < g->m; i += rows) {
        rows = 1 + pick(g->m - i < 13 ? g->m - i : 13);
        buf part = buf_new((rows - 1) * g->n + g->n);
        f->run(part.p, g->n, g->a.p + i * g->lda, g->lda, g->panels.p, g->bias, rows, g->n, g->k);
        for (size_t r = 0; r < rows; r++)
            if (memcmp(part.p + r * g->n, g->c.p + (i + r) * g->ldc, g->n * sizeof(float)) != 0)
                failed("split row", (double)part.p[r * g->n], (double)g->c.p[(i + r) * g->ldc],
                       i + r);
        buf_free(part);
    }
}

static void check_gemm(const vise_kern *kern)
{
    const gemm g = gemm_new(kern);
    const bool transposed = pick(2); // the same weights, read with other strides
    buf wt = buf_new(g.n * g.k);
    for (size_t j = 0; j < g.n; j++)
        for (size_t p = 0; p < g.k; p++)
            wt.p[p * g.n + j] = g.w.p[j * g.k + p];
    vise_pack_f32(g.panels.p, kern->gemm_f32.nr, transposed ? wt.p : g.w.p, transposed ? 1 : g.k,
                  transposed ? g.n : 1, g.n, g.k);
    buf_free(wt);
    gemm_run(kern, &g);
    gemm_compare(&g, g.m);
    gemm_split(kern, &g);
    const size_t bad = pick(g.m);
    g.a.p[bad * g.lda + pick(g.k)] = NAN;
    gemm_run(kern, &g);
    gemm_compare(&g, bad);
    gemm_free(&g);
}

/* ---- packing: every number where the header says, zeros beyond n ---- */

static void check_pack(const vise_kern *kern)
{
    const size_t nr = kern->gemm_f32.nr, n = extent(70), k = extent(70);
    const size_t size = vise_pack_f32_size(nr, n, k), panels = (n + nr - 1) / nr;
    assert_int_equal(size, panels * nr * k);
    buf w = buf_new(n * k), to = buf_new(size);
    fill(w.p, n * k);
    fill(to.p, size);
    vise_pack_f32(to.p, nr, w.p, k, 1, n, k);
    for (size_t i = 0; i < size; i++) {
        const size_t j = i / (nr * k) * nr + i % nr, p = i / nr % k;
        const float want = j < n ? w.p[j * k + p] : 0;
        if (memcmp(&to.p[i], &want, sizeof want) != 0)
            failed("panel", (double)to.p[i], (double)want, i);
    }
    buf_free(w);
    buf_free(to);
}

/* ---- layernorm: sums of n floats in any order, so errors of up to n eps of the magnitudes ---- */

typedef struct rows {
    size_t rows, n;
    const float *w, *b;
    float e;
} rows;

static void layernorm_compare(const rows *s, const float *y, const float *x, size_t nan)
{
    const double n = (double)s->n;
    for (size_t r = 0; r < s->rows; r++, x += s->n, y += s->n) {
        double mean = 0, mag = 0, var = 0, dev = 0;
        for (size_t i = 0; i < s->n; i++) {
            mean += (double)x[i] / n;
            mag += fabs((double)x[i]) / n;
        }
        for (size_t i = 0; i < s->n; i++)
            var += pow((double)x[i] - mean, 2) / n;
        const double rstd = 1 / sqrt(var + (double)s->e);
        // the mean is off by n eps mag, every difference by that and its own rounding
        const double off = (n + 2) * eps * mag;
        for (size_t i = 0; i < s->n; i++) {
            dev = fabs((double)x[i] - mean);
            const double w = s->w ? (double)s->w[i] : 1, b = s->b ? (double)s->b[i] : 0;
            const double want = ((double)x[i] - mean) * rstd * w + b;
            const double relative = (n + 8) * eps + off * off * rstd * rstd; // of rstd
            const double tol = fabs(w) * rstd * (2 * off + eps * dev + relative * dev) +
                               4 * eps * (fabs(want) + fabs(b)) + (double)FLT_MIN;
            if (r == nan ? !isnan(y[i]) : !(fabs((double)y[i] - want) <= tol))
                failed("y", (double)y[i], want, r * s->n + i);
        }
    }
}

static void check_layernorm(const vise_kern *kern)
{
    rows s = {.rows = extent(9), .n = extent(200), .e = pick(2) ? 1e-6f : 1e-2f};
    const size_t count = s.rows * s.n, bad = pick(s.rows);
    buf x = buf_new(count), y = buf_new(count), w = buf_new(s.n), b = buf_new(s.n);
    const bool in_place = pick(2);
    fill(w.p, s.n);
    fill(b.p, s.n);
    s.w = pick(3) ? w.p : NULL;
    s.b = pick(3) ? b.p : NULL;
    for (int nan = 0; nan < 2; nan++) {
        fill(x.p, count);
        if (nan) x.p[bad * s.n + pick(s.n)] = NAN;
        memcpy(y.p, x.p, count * sizeof(float));
        kern->layernorm(y.p, in_place ? y.p : x.p, s.w, s.b, s.rows, s.n, s.e);
        layernorm_compare(&s, y.p, x.p, nan ? bad : s.rows);
    }
    buf_free(x);
    buf_free(y);
    buf_free(w);
    buf_free(b);
}

/* ---- softmax ---- */

static void softmax_compare(const float *y, const float *x, size_t n, double scale)
{
    double top = -HUGE_VAL, sum = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, scale * (double)x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(scale * (double)x[i] - top);
    for (size_t i = 0; i < n; i++) {
        const double z = scale * (double)x[i], want = exp(z - top) / sum;
        // an exponent is off by eps of the numbers subtracted, the sum by n eps; 4 for exp itself
        const double size = isinf(z) ? 0 : fabs(z) + fabs(top); // a masked one is exactly 0
        const double relative = eps * (2 * size + (double)n + 4);
        const double tol = want * relative + (double)FLT_MIN;
        if (!(fabs((double)y[i] - want) <= tol)) failed("p", (double)y[i], want, i);
    }
}

static void check_softmax(const vise_kern *kern)
{
    const size_t nrows = extent(9), n = extent(200), ld = n + pick(3), count = (nrows - 1) * ld + n;
    const size_t bad = pick(nrows);
    const float scale = pick(2) ? 0.125f : 1;
    buf x = buf_new(count), y = buf_new(count);
    for (int nan = 0; nan < 2; nan++) {
        for (size_t i = 0; i < count; i++)
            x.p[i] = i % ld < n ? 8 * vise_rng_normal(&t.rng) : canary;
        if (pick(4) == 0) x.p[pick(n)] = -INFINITY; // a mask
        if (n == 1) x.p[0] = 3;
        if (nan) x.p[bad * ld + pick(n)] = NAN;
        memcpy(y.p, x.p, count * sizeof(float));
        kern->softmax(y.p, ld, nrows, n, scale);
        for (size_t i = 0; i < count; i++)
            if (i % ld >= n && memcmp(&y.p[i], &canary, sizeof canary) != 0)
                failed("gap", (double)y.p[i], (double)canary, i);
        for (size_t r = 0; r < nrows; r++) {
            if (!nan || r != bad) softmax_compare(y.p + r * ld, x.p + r * ld, n, (double)scale);
            for (size_t i = 0; nan && r == bad && i < n; i++)
                if (!isnan(y.p[r * ld + i])) failed("p", (double)y.p[r * ld + i], HUGE_VAL, i);
        }
    }
    buf_free(x);
    buf_free(y);
}

/* ---- gelu ---- */

static void check_gelu(const vise_kern *kern)
{
    const size_t n = extent(200), bad = pick(n);
    const bool in_place = pick(2);
    buf x = buf_new(n), y = buf_new(n);
    fill(x.p, n);
    for (size_t i = 0; i < n; i++)
        x.p[i] *= 3;
    x.p[bad] = t.round % 4 ? -7 : NAN;
    memcpy(y.p, x.p, n * sizeof(float));
    kern->gelu(y.p, in_place ? y.p : x.p, n);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x.p[i], want = v / 2 * erfc(-v / sqrt(2));
        // S = |x| / 2 (1 + |erf|) <= |x|: the function and three products
        const bool ok = isnan(v)
                            ? isnan(y.p[i])
                            : fabs((double)y.p[i] - want) <= 4 * eps * fabs(v) + (double)FLT_MIN;
        if (!ok) failed("y", (double)y.p[i], want, i);
    }
    buf_free(x);
    buf_free(y);
}

/* ---- every level, every implementation once ---- */

static const struct kernel {
    const char *name;
    size_t offset, size; // of its entry in the table
    void (*check)(const vise_kern *kern);
} kernels[] = {
    {"gemm_f32", offsetof(vise_kern, gemm_f32), sizeof(vise_gemm_f32), check_gemm},
    {"pack_f32", offsetof(vise_kern, gemm_f32), sizeof(vise_gemm_f32), check_pack},
    {"layernorm", offsetof(vise_kern, layernorm), sizeof(void (*)(void)), check_layernorm},
    {"softmax", offsetof(vise_kern, softmax), sizeof(void (*)(void)), check_softmax},
    {"gelu", offsetof(vise_kern, gelu), sizeof(void (*)(void)), check_gelu},
};

static void test_kernels(void **state)
{
    (void)state;
    static const char *const levels[] = {"c", "avx2", "avx512"};
    vise_kern previous = {0};
    size_t checked = 0;
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        unsigned mask;
        vise_kern kern = {0};
        if (vise_cpu_parse(&mask, levels[l], NULL)) {
            printf("SKIP: this machine does not run %s\n", levels[l]);
            continue;
        }
        vise_kern_init(&kern, mask);
        for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
            const struct kernel *k = &kernels[i];
            if (!memcmp((char *)&kern + k->offset, (char *)&previous + k->offset, k->size))
                continue; // this implementation was tested at a lower level
            t.level = levels[l];
            t.kernel = k->name;
            t.rng = vise_rng_named(1, k->name);
            for (t.round = 0; t.round < ROUNDS; t.round++)
                k->check(&kern);
            checked++;
        }
        previous = kern;
    }
    assert_true(checked >= sizeof kernels / sizeof *kernels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
