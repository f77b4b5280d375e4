/* kern_f32_codes.c - the f32 product by packed codes, panel by panel
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <string.h>

/* A panel of gemm_f32 with a byte for each element, filled up to whole blocks of 8 rows of `lanes`. */
static size_t block_bytes(const vise_kern *k)
{
    return 8 * k->gemm_codes.lanes;
}

static size_t blocks_of(const vise_kern *k, size_t cols)
{
    return (cols * k->gemm_f32.nr + block_bytes(k) - 1) / block_bytes(k);
}

size_t vise_float_codes_panel(const vise_kern *k, size_t bits, size_t cols)
{
    return (blocks_of(k, cols) * bits * k->gemm_codes.lanes + 63) / 64 * 64;
}

/* The bytes first: whole blocks are multiples of 64 of them. */
size_t vise_float_codes_scratch(const vise_kern *k, size_t cols)
{
    return blocks_of(k, cols) * block_bytes(k) +
           (k->gemm_f32.nr * (cols + 1) * sizeof(float) + 63) / 64 * 64;
}

void vise_float_codes_pack(const vise_kern *k, size_t bits, void *panel,
                           const vise_codes_from *from, void *scratch)
{
    const size_t nr = k->gemm_f32.nr, lanes = k->gemm_codes.lanes,
                 blocks = blocks_of(k, from->cols);
    uint8_t *bytes = scratch;
    memset(bytes, 0, blocks * block_bytes(k));
    memset(panel, 0, vise_float_codes_panel(k, bits, from->cols));
    for (size_t q = 0; q < from->n; q++)
        for (size_t p = 0; p < from->cols; p++)
            bytes[p * nr + q] = from->codes[q * from->cols + p];
    for (size_t b = 0; b < blocks; b++)
        vise_codes_block((uint8_t *)panel + b * bits * lanes, bytes + b * block_bytes(k), bits,
                         lanes);
}

/* Codes as numbers: what expand makes of them is looked up as floats. */
static vise_codes numbers(size_t bits)
{
    vise_codes c = {.bits = bits};
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        c.levels[i] = (int8_t)i;
    return c;
}

void vise_float_codes_run(const vise_kern *k, const vise_float_codes *c, const vise_gemm_args *g)
{
    const size_t nr = k->gemm_f32.nr, step = vise_float_codes_panel(k, c->bits, g->k);
    const vise_codes plain = numbers(c->bits);
    uint8_t *bytes = g->scratch;
    float *panel = (float *)(void *)(bytes + blocks_of(k, g->k) * block_bytes(k));
    float *scale = panel + nr * g->k;
    vise_gemm_args part = *g;
    vise_expand x = {.out = (int8_t *)bytes,
                     .blocks = g->w,
                     .codes = &plain,
                     .nr = nr,
                     .unit = 1,
                     .to = blocks_of(k, g->k)};
    part.w = panel;
    part.wscale = NULL; // which floats have in themselves
    for (size_t j = 0; j < g->n; j += nr, x.blocks += step) {
        part.n = g->n - j < nr ? g->n - j : nr;
        for (size_t q = 0; q < nr; q++)
            scale[q] = q < part.n ? g->wscale[j + q] : 0;
        k->gemm_codes.expand(&x);
        const float *book =
            c->book + (c->book_rows ? j / c->book_rows : 0) * ((size_t)1 << c->bits);
        k->look_up(panel, bytes, book, c->bits, scale, g->k, nr);
        part.c = g->c + j;
        if (g->bias) part.bias = g->bias + j;
        if (g->add) part.add = g->add + j;
        k->gemm_f32.run(&part);
    }
}

static void look_up(float *out, const uint8_t *codes, const float *book, size_t bits,
                    const float *scale, size_t rows, size_t nr)
{
    (void)bits;
    for (size_t p = 0; p < rows; p++)
        for (size_t q = 0; q < nr; q++)
            out[p * nr + q] = book[codes[p * nr + q]] * scale[q];
}

void vise_kern_codes_f32(vise_kern *k)
{
    k->look_up = look_up;
}
