/* int_chain.h - a chain of integer kernels as a small network has them, and the bits that it ends in
 * on every processor
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_INT_CHAIN_H
#define TESTS_INT_CHAIN_H

#include "base/rng.h"
#include "kern/kern.h"

#include <string.h>

enum {
    CHAIN_ROWS = 19,
    CHAIN_K = 70,
    CHAIN_N = 50,
    CHAIN_SPARE = 16,                         // rows that a product may read
    CHAIN_LD = 192,                           // bytes: whole padding of every level
    CHAIN_PANELS = (CHAIN_N + 64) * CHAIN_LD, // the same
};

/* What int_chain must return. */
#define INT_CHAIN_BITS 0x07838568u

typedef struct int_chain_job {
    vise_rng rng;
    float x[CHAIN_ROWS * CHAIN_K], y[CHAIN_ROWS * CHAIN_N];
    uint8_t codes[(CHAIN_ROWS + CHAIN_SPARE) * CHAIN_LD], w[CHAIN_N * CHAIN_K];
    _Alignas(64) char panels[CHAIN_PANELS];
    vise_rowq rowq[CHAIN_ROWS + CHAIN_SPARE];
    int32_t sum[CHAIN_N], a[CHAIN_K], b[CHAIN_K], c[CHAIN_K];
    float ones[CHAIN_N], table[256];
    uint32_t hash;
} int_chain_job;

static inline int32_t chain_pick(int_chain_job *j, int32_t least, int32_t most)
{
    return least + (int32_t)(vise_rng_u64(&j->rng) % (uint64_t)(most - least + 1));
}

static inline void chain_hash(int_chain_job *j, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        j->hash = (j->hash ^ p[i]) * 16777619u; // FNV-1a
}

static inline void chain_hash_y(int_chain_job *j)
{
    for (size_t i = 0; i < CHAIN_ROWS * CHAIN_N; i++) {
        const int32_t v = (int32_t)j->y[i]; // as bytes of one order
        const unsigned char le[4] = {(unsigned char)v, (unsigned char)(v >> 8),
                                     (unsigned char)(v >> 16), (unsigned char)(v >> 24)};
        chain_hash(j, le, sizeof le);
    }
}

/* Layernorm, codes, product. */
static inline void chain_product(int_chain_job *j, const vise_kern *k)
{
    vise_int_layernorm norm = {j->a, j->b, 12345, 26, -127, 127};
    for (size_t i = 0; i < CHAIN_ROWS * CHAIN_K; i++)
        j->x[i] = (float)chain_pick(j, -3000, 4000);
    for (size_t i = 0; i < CHAIN_K; i++) {
        j->a[i] = chain_pick(j, -40000, 40000);
        j->b[i] = chain_pick(j, -9000, 9000);
    }
    k->fixed.layernorm(j->x, CHAIN_K, j->x, CHAIN_K, CHAIN_ROWS, CHAIN_K, &norm);
    const vise_gemm *g = &k->gemm_s8;
    vise_quant how = vise_quant_of(VISE_QUANT_FIXED, 8, g->flip);
    how.fixed.scale = 1;
    k->quant_s8(j->codes, CHAIN_LD, vise_row_bytes(g, CHAIN_K), j->rowq, j->x, CHAIN_K, CHAIN_ROWS,
                CHAIN_K, &how);
    for (size_t i = 0; i < CHAIN_N * CHAIN_K; i++)
        j->w[i] = (uint8_t)chain_pick(j, -127, 127);
    for (size_t i = 0; i < CHAIN_N; i++)
        j->ones[i] = 1;
    g->pack(j->panels, j->sum, j->w, CHAIN_K, 1, CHAIN_N, CHAIN_K, 0);
    const vise_gemm_args args = {.c = j->y,
                                 .ldc = CHAIN_N,
                                 .a = j->codes,
                                 .lda = CHAIN_LD,
                                 .rowq = j->rowq,
                                 .w = j->panels,
                                 .wscale = j->ones,
                                 .wsum = j->sum,
                                 .m = CHAIN_ROWS,
                                 .n = CHAIN_N,
                                 .k = CHAIN_K};
    g->run(&args);
    chain_hash_y(j);
}

/* Table softmax of the sums, means, another scale, a function. */
static inline void chain_softmax(int_chain_job *j, const vise_kern *k)
{
    int32_t e[256];
    vise_requant q = {j->a, j->b, j->c, -8000000, 8000000};
    for (int32_t i = 0; i < 256; i++) {
        e[i] = 254 * (256 - i) / 256 * (256 - i) / 256;
        j->table[i] = (float)chain_pick(j, -127, 127);
    }
    const vise_int_softmax soft = {e, 256, 3000};
    const vise_int_table table = {j->table, 256, -100, 3};
    k->fixed.softmax(j->codes, CHAIN_LD, CHAIN_N + 2, j->sum, j->y, CHAIN_N, CHAIN_ROWS, CHAIN_N,
                     &soft, 0);
    for (size_t r = 0; r < CHAIN_ROWS; r++) {
        chain_hash(j, j->codes + r * CHAIN_LD, CHAIN_N + 2);
        j->sum[r] = vise_int_ratio(j->sum[r]);
    }
    for (size_t i = 0; i < CHAIN_N; i++) {
        j->a[i] = chain_pick(j, -100000, 100000);
        j->b[i] = chain_pick(j, 1 << 23, (1 << 24) - 1);
        j->c[i] = chain_pick(j, 20, 34);
    }
    k->fixed.ratio(j->y, CHAIN_N, j->y, CHAIN_N, CHAIN_ROWS, CHAIN_N, j->a, j->sum);
    chain_hash_y(j);
    k->fixed.requant(j->y, CHAIN_N, j->y, CHAIN_N, CHAIN_ROWS, CHAIN_N, &q);
    chain_hash_y(j);
    k->fixed.lut(j->y, CHAIN_N, j->y, CHAIN_N, CHAIN_ROWS, CHAIN_N, &table);
    k->fixed.add(j->y, CHAIN_N, j->y, CHAIN_N, j->y, CHAIN_N, CHAIN_ROWS, CHAIN_N, -5000, 5000);
    chain_hash_y(j);
}

static inline uint32_t int_chain(const vise_kern *k, int_chain_job *j)
{
    memset(j, 0, sizeof *j);
    j->rng = vise_rng_named(1, "integer chain");
    j->hash = 2166136261u;
    chain_product(j, k);
    chain_softmax(j, k);
    return j->hash;
}

#endif
