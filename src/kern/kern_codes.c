/* kern_codes.c - the s8 product by packed codes: its layout, its definition, and how any level runs
 * it
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <string.h>

enum { ROWS = 8 }; // of a block

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

vise_codes_layout vise_codes_layout_of(const vise_kern *k, const vise_codes *c, size_t n,
                                       size_t cols)
{
    const vise_gemm *s8 = &k->gemm_s8;
    const size_t block = ROWS * k->gemm_codes.lanes, deep = block / s8->nr;
    const size_t blocks = (vise_row_bytes(s8, cols) * s8->nr + block - 1) / block;
    assert(c->bits >= 2 && c->bits <= 6 && c->group % 32 == 0 && block <= 32 * s8->nr);
    vise_codes_layout l = {.blocks = blocks, .scratch = blocks * block};
    if (c->group) l.groups = (blocks * deep + c->group - 1) / c->group;
    l.panel = round_up(blocks * c->bits * k->gemm_codes.lanes + l.groups * s8->nr, 64);
    l.panels = round_up(n, s8->nr) / s8->nr * l.panel;
    return l;
}

/* ---- packing ---- */

void vise_codes_block(uint8_t *to, const uint8_t *codes, size_t bits, size_t lanes)
{
    memset(to, 0, bits * lanes);
    for (size_t first = 0, width = 4; width; width /= 2) {
        if (!(bits & width)) continue;
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t *row = to + (first + r * width / 8) * lanes;
            for (size_t l = 0; l < lanes; l++) {
                const unsigned part = codes[r * lanes + l] >> first & ((1u << width) - 1);
                row[l] = (uint8_t)(row[l] | part << r * width % 8);
            }
        }
        first += width;
    }
}

static int32_t sum_of(const vise_codes *c, const uint8_t *codes, const uint8_t *mult, size_t cols)
{
    const size_t group = c->group ? c->group : cols;
    int32_t sum = 0;
    for (size_t p = 0; p < cols; p += group) {
        int32_t part = 0;
        for (size_t i = p; i < p + group && i < cols; i++)
            part += c->levels[codes[i]];
        sum += part * (mult ? mult[p / group] : 1);
    }
    return sum;
}

void vise_codes_pack(const vise_kern *k, const vise_codes *c, void *panels, int32_t *sum,
                     const vise_codes_from *from, void *scratch)
{
    const vise_gemm *s8 = &k->gemm_s8;
    const size_t n = from->n, cols = from->cols, nr = s8->nr, lanes = k->gemm_codes.lanes;
    const vise_codes_layout l = vise_codes_layout_of(k, c, n, cols);
    const size_t groups = c->group ? (cols + c->group - 1) / c->group : 0;
    uint8_t *panel = panels;
    for (size_t j = 0; j < n; j += nr, panel += l.panel) {
        const size_t there = n - j < nr ? n - j : nr, coded = l.blocks * c->bits * lanes;
        const uint8_t *codes = from->codes + j * cols;
        memset(scratch, 0, l.scratch);
        s8->pack(scratch, NULL, codes, cols, 1, there, cols, 0);
        for (size_t b = 0; b < l.blocks; b++)
            vise_codes_block(panel + b * c->bits * lanes, (uint8_t *)scratch + b * ROWS * lanes,
                             c->bits, lanes);
        memset(panel + coded, 0, l.panel - coded);
        for (size_t q = 0; q < there; q++) {
            const uint8_t *mult = groups ? from->mult + (j + q) * groups : NULL;
            for (size_t g = 0; g < groups; g++)
                panel[coded + g * nr + q] = mult[g];
            sum[j + q] = sum_of(c, codes + q * cols, mult, cols);
        }
    }
}

/* ---- running ---- */

/* The code of row r, lane l of a block. */
static unsigned code_at(const uint8_t *block, size_t bits, size_t lanes, size_t r, size_t l)
{
    unsigned code = 0;
    for (size_t first = 0, width = 4; width; width /= 2) {
        if (!(bits & width)) continue;
        const unsigned byte = block[(first + r * width / 8) * lanes + l];
        code |= (byte >> r * width % 8 & ((1u << width) - 1)) << first;
        first += width;
    }
    return code;
}

static void expand(const vise_expand *x)
{
    enum { LANES = 8 };
    const vise_codes *c = x->codes;
    int8_t *out = x->out;
    for (size_t b = x->from; b < x->to; b++)
        for (size_t i = 0; i < ROWS * LANES; i++) {
            const size_t at = b * ROWS * LANES + i, q = at / x->unit % x->nr;
            const size_t p = at / (x->unit * x->nr) * x->unit;
            const int8_t level = c->levels[code_at(x->blocks + b * c->bits * LANES, c->bits, LANES,
                                                   i / LANES, i % LANES)];
            *out++ = (int8_t)(level * (c->group ? x->mult[p / c->group * x->nr + q] : 1));
        }
}

void vise_codes_pad(const vise_gemm *s8, int8_t *panel, size_t k)
{
    const size_t kpad = vise_row_bytes(s8, k), whole = round_up(k, s8->unit);
    int8_t *last = panel + (whole - s8->unit) * s8->nr;
    for (size_t q = 0; k < whole && q < s8->nr; q++)
        memset(last + q * s8->unit + k % s8->unit, 0, whole - k);
    memset(panel + whole * s8->nr, 0, (kpad - whole) * s8->nr);
}

void vise_codes_run(const vise_kern *k, const vise_gemm_args *g)
{
    const vise_gemm *s8 = &k->gemm_s8;
    const vise_codes_layout l = vise_codes_layout_of(k, g->codes, g->n, g->k);
    vise_gemm_args part = *g;
    vise_expand x = {.out = g->scratch,
                     .blocks = g->w,
                     .codes = g->codes,
                     .nr = s8->nr,
                     .unit = s8->unit,
                     .to = l.blocks};
    part.w = g->scratch;
    for (size_t j = 0; j < g->n; j += s8->nr, x.blocks += l.panel) {
        x.mult = x.blocks + l.blocks * g->codes->bits * k->gemm_codes.lanes;
        k->gemm_codes.expand(&x);
        vise_codes_pad(s8, g->scratch, g->k);
        part.n = g->n - j < s8->nr ? g->n - j : s8->nr;
        part.c = g->c + j;
        part.wscale = g->wscale + j;
        part.wsum = g->wsum + j;
        if (g->bias) part.bias = g->bias + j;
        if (g->add) part.add = g->add + j;
        s8->run(&part);
    }
}

void vise_kern_codes(vise_kern *k)
{
    k->gemm_codes = (vise_gemm_codes){.lanes = 8, .run = vise_codes_run, .expand = expand};
    vise_kern_codes_f32(k);
}
