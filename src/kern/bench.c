/* bench.c - the speed of the matrix products on the shapes of Vision Transformers
 *
 * Runs of a product and of the level's peak loop take turns, so that whatever else the machine does
 * meets both alike.
 *
 * SPDX-License-Identifier: MIT */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kern/kern.h"
#include "kern/peak.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RUNS = 30,
    WEIGHTS = 8 << 20, // bytes of copies to rotate over: more than an L2 cache holds
    SAMPLE_NS = 20000, // shortest time measured; shorter products are repeated
    PEAK_NS = 50000,
};

// a layer of m tokens: its name, m, n, k
#define ROW(name, m, n, k)                                                                         \
    {                                                                                              \
        name, m, n, k, false                                                                       \
    }
#define VIT(name, d)                                                                               \
    ROW(name " patch", 196, d, 768), ROW(name " qkv", 197, 3 * (d), d),                            \
        ROW(name " proj", 197, d, d), ROW(name " fc1", 197, 4 * (d), d),                           \
        ROW(name " fc2", 197, d, 4 * (d)), ROW(name " head", 1, 1000, d)

static const struct shape {
    const char *layer;
    size_t m, n, k;
    bool fresh; // w is packed right before: one copy, warm
} shapes[] = {
    VIT("ViT-Ti", 192),
    VIT("ViT-S", 384),
    VIT("ViT-B", 768),
    {"scores of a head", 197, 197, 64, true},
    {"values of a head", 197, 64, 197, true},
};

static const struct type {
    const char *name;
    vise_peak_type peak;
    size_t bits; // of codes
} types[] = {
    {"f32", VISE_PEAK_F32, 0}, {"bf16", VISE_PEAK_BF16, 0}, {"s8", VISE_PEAK_S8, 0},
    {"c6", VISE_PEAK_S8, 6},   {"c5", VISE_PEAK_S8, 5},     {"c4", VISE_PEAK_S8, 4},
    {"c3", VISE_PEAK_S8, 3},   {"c2", VISE_PEAK_S8, 2},
};
enum { GROUP = 64 }; // columns with one multiplier

typedef struct bench {
    const vise_bench_opts *opts;
    size_t runs;
    vise_kern kern;
    vise_peaks peaks;
    const char *level;
    double *ns; // [runs]
    volatile float sink;
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* ---- the peak ---- */

/* Operations per ns of one stretch of the loop. */
static double peak_once(bench *b, const vise_peak *p, size_t turns)
{
    const double start = now();
    b->sink = p->run(turns, 0.5f);
    return (double)turns * p->ops / (now() - start);
}

/* How often to turn the loop for PEAK_NS. */
static size_t peak_turns(bench *b, const vise_peak *p)
{
    size_t turns = 64;
    while ((double)turns * p->ops / peak_once(b, p, turns) < PEAK_NS)
        turns *= 2;
    return turns;
}

static const vise_peak *peak_best(bench *b, vise_peak_type type)
{
    const vise_peak *best = NULL;
    double most = 0;
    for (size_t i = 0; i < b->peaks.n[type]; i++) {
        const vise_peak *p = &b->peaks.loop[type][i];
        const size_t turns = peak_turns(b, p);
        for (size_t r = 0; r < 5; r++) {
            const double speed = peak_once(b, p, turns);
            if (speed > most) best = p;
            most = speed > most ? speed : most;
        }
    }
    return best;
}

/* ---- one product ---- */

typedef struct operands {
    vise_gemm_args args;
    char *block, *a, *w;
    int32_t *sum;
    size_t panels, copies; // bytes of one packed w; how many there are
    const vise_kern *kern;
    vise_codes codes; // no bits: none
} operands;

/* Random numbers of the type: normal, or codes. */
static void fill(void *to, size_t n, size_t esize, vise_rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        const float x = vise_rng_normal(rng);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        const int8_t code = (int8_t)(20 * x);
        const uint16_t half = (uint16_t)(bits >> 16);
        const void *from = esize == 4   ? (const void *)&x
                           : esize == 2 ? (void *)&half
                                        : (void *)&code;
        memcpy((char *)to + i * esize, from, esize);
    }
}

static void layout(operands *o, vise_arena *a, const vise_gemm *g, const struct shape *s)
{
    const size_t rows = (s->m + g->mr - 1) / g->mr * g->mr;
    const size_t lda = (vise_row_bytes(g, s->k) + 63) / 64 * 64;
    o->args.m = s->m;
    o->args.n = o->args.ldc = s->n;
    o->args.k = s->k;
    o->args.lda = lda;
    vise_codes_layout coded = {0};
    if (o->codes.bits) coded = vise_codes_layout_of(o->kern, &o->codes, s->n, s->k);
    o->panels = coded.panels ? coded.panels : (vise_panels_bytes(g, s->n, s->k) + 63) / 64 * 64;
    o->copies = s->fresh ? 1 : 2 + WEIGHTS / o->panels;
    o->w = vise_arena_take(a, o->copies, o->panels);
    o->args.scratch = vise_arena_take(a, coded.scratch, 1);
    o->args.a = o->a = vise_arena_take(a, rows, lda);
    o->args.c = vise_arena_take(a, s->m * s->n, sizeof(float));
    o->args.bias = vise_arena_take(a, s->n, sizeof(float));
    o->args.wscale = vise_arena_take(a, s->n, sizeof(float));
    o->args.wsum = o->sum = vise_arena_take(a, s->n, sizeof(int32_t));
    o->args.rowq = vise_arena_take(a, s->m, sizeof(vise_rowq));
    o->block = a->base;
}

/* Affine codes. */
static vise_codes codes_of(size_t bits)
{
    vise_codes c = {.bits = bits, .group = bits ? GROUP : 0, .least = (int8_t) - (1 << bits >> 1)};
    for (int i = 0; i < 1 << bits; i++)
        c.levels[i] = (int8_t)(i + c.least);
    return c;
}

/* Copies of w: n k elements, or numbers of which the low bits are codes, and with multipliers of 1
 * behind them. */
static void pack(operands *o, const vise_gemm *g, const struct shape *s, char *w)
{
    const size_t count = s->n * s->k;
    const vise_codes_from from = {(uint8_t *)w, (uint8_t *)w + count, s->n, s->k};
    if (o->codes.bits) memset(w + count, 1, count);
    for (size_t i = 0; o->codes.bits && i < count; i++)
        w[i] = (char)(w[i] & ((1 << o->codes.bits) - 1));
    for (size_t i = 0; i < o->copies; i++) {
        char *to = o->w + i * o->panels;
        if (o->codes.bits)
            vise_codes_pack(o->kern, &o->codes, to, o->sum, &from, o->args.scratch);
        else
            g->pack(to, g->esize == 1 ? o->sum : NULL, w, s->k, 1, s->n, s->k, 0);
    }
    o->args.codes = &o->codes;
}

static vise_status operands_new(operands *o, const vise_gemm *g, const struct shape *s, vise_err *e)
{
    vise_arena a = {0};
    vise_rng rng = vise_rng_named(1, s->layer);
    char *w;
    layout(o, &a, g, s);
    VISE_TRY(vise_alloc_or(&w, 2 * s->n * s->k, g->esize, "a matrix of weights", e));
    const vise_status failed = vise_arena_commit(&a, e);
    if (failed) {
        vise_free(w);
        return failed;
    }
    layout(o, &a, g, s);
    fill(w, s->n * s->k, g->esize, &rng);
    for (size_t i = 0; i < s->m; i++)
        fill(o->a + i * o->args.lda, s->k, g->esize, &rng);
    pack(o, g, s, w);
    vise_free(w);
    return VISE_OK;
}

static double run_once(const vise_gemm *g, operands *o, size_t repeats, size_t *turn)
{
    assert(o->copies > 0);
    const double start = now();
    for (size_t i = 0; i < repeats; i++) {
        o->args.w = o->w + (*turn)++ % o->copies * o->panels;
        if (o->codes.bits)
            o->kern->gemm_codes.run(o->kern, &o->args);
        else
            g->run(&o->args);
    }
    return (now() - start) / (double)repeats;
}

static int compare(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static vise_status measure(bench *b, const struct type *type, const vise_peak *peak,
                           vise_bench_row *row, const struct shape *s, vise_err *e)
{
    const vise_gemm *g = type->peak == VISE_PEAK_F32    ? &b->kern.gemm_f32
                         : type->peak == VISE_PEAK_BF16 ? &b->kern.gemm_bf16
                                                        : &b->kern.gemm_s8;
    operands o = {.kern = &b->kern, .codes = codes_of(type->bits)};
    size_t turn = 0;
    VISE_TRY(operands_new(&o, g, s, e));
    const size_t turns = peak_turns(b, peak);
    run_once(g, &o, 1, &turn);
    const double first = run_once(g, &o, 1, &turn);
    const size_t repeats = first < SAMPLE_NS ? (size_t)(SAMPLE_NS / (first + 1)) + 1 : 1;
    row->peak = 0;
    for (size_t r = 0; r < b->runs; r++) {
        b->ns[r] = run_once(g, &o, repeats, &turn);
        const double speed = peak_once(b, peak, turns);
        row->peak = speed > row->peak ? speed : row->peak;
    }
    qsort(b->ns, b->runs, sizeof *b->ns, compare);
    const double ops = 2 * (double)s->m * (double)s->n * (double)s->k;
    row->best = ops / b->ns[0];
    row->median = ops / b->ns[b->runs / 2];
    row->us = b->ns[0] / 1000;
    row->weights = o.copies * o.panels;
    vise_free(o.block);
    return VISE_OK;
}

static vise_status measure_type(bench *b, const struct type *type, vise_err *e)
{
    const vise_peak *peak = peak_best(b, type->peak);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        vise_bench_row row = {.layer = s->layer,
                              .type = type->name,
                              .level = b->level,
                              .instruction = peak->name,
                              .m = s->m,
                              .n = s->n,
                              .k = s->k};
        if (type->bits && s->fresh) continue; // codes are constants
        VISE_TRY(measure(b, type, peak, &row, s, e));
        b->opts->report(b->opts->user, &row);
    }
    return VISE_OK;
}

vise_status vise_bench_kernels(const vise_bench_opts *opts, vise_err *e)
{
    unsigned cpu;
    size_t n = 0;
    bench b = {.opts = opts, .runs = opts->runs ? opts->runs : RUNS};
    vise_status s = VISE_OK;
    VISE_TRY(vise_cpu_parse(&cpu, opts->cpu, e));
    vise_kern_init(&b.kern, cpu);
    vise_peaks_init(&b.peaks, cpu);
    b.level = vise_cpu_name(cpu);
    VISE_TRY(vise_alloc_or(&b.ns, b.runs, sizeof *b.ns, "the times", e));
    for (size_t i = 0; !s && i < sizeof types / sizeof *types; i++) {
        if (opts->type && strcmp(opts->type, types[i].name) != 0) continue;
        s = measure_type(&b, &types[i], e);
        n++;
    }
    vise_free(b.ns);
    if (!s && !n)
        s = vise_fail(e, VISE_EARG, "there is no type %s: f32, bf16, s8 and c6 to c2 are",
                      opts->type);
    return s;
}
