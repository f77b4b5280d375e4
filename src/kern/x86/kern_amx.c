/* kern_amx.c - kernels for AMX: products of tiles of 16 x 16 sums
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"
#include "kern/x86/finish512.h"

#include <assert.h>

enum {
    TILE = 16,   // rows of a tile
    STEP = 64,   // bytes of its rows
    MOST = 3,    // tiles of a block
    AHEAD = 2,   // steps from the expansion of codes to their use
    FETCH = 512, // bytes of the next panel that are fetched in a step
};

/* A block of c: up to 3 tiles high, 2 wide. Its sums lie in memory until they are finished. */
typedef struct block {
    size_t i, j, tiles;
    const char *w, *ahead; // its panel; what is fetched meanwhile
    _Alignas(64) float sums[MOST * TILE][X512_NR];
} block;

static const struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} config = {.palette = 1,
            .bytes = {STEP, STEP, STEP, STEP, STEP, STEP, STEP, STEP},
            .rows = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE}};

/* Tile numbers are immediates: 0 to 5 are sums, the last ones operands. */
#define DOT(c, a, b)                                                                               \
    if (bf16)                                                                                      \
        _tile_dpbf16ps(c, a, b);                                                                   \
    else                                                                                           \
        _tile_dpbssd(c, a, b)

/* Part of a panel that is used later, into the L2 cache. */
X512_INLINE void fetch(const char *ahead)
{
    for (size_t b = 0; b < FETCH; b += 64)
        _mm_prefetch(ahead + b, _MM_HINT_T1);
}

X512_INLINE void multiply1(bool bf16, const char *a, size_t lda, const char *w, size_t steps,
                           const char *ahead)
{
    for (; steps; steps--, ahead += FETCH, a += STEP, w += TILE * X512_NR * 4) {
        _tile_loadd(6, w, X512_NR * 4);
        _tile_loadd(4, a, lda);
        fetch(ahead);
        DOT(0, 4, 6);
        _tile_loadd(7, w + STEP, X512_NR * 4);
        DOT(1, 4, 7);
    }
}

X512_INLINE void multiply2(bool bf16, const char *a, size_t lda, const char *w, size_t steps,
                           const char *ahead)
{
    for (; steps; steps--, ahead += FETCH, a += STEP, w += TILE * X512_NR * 4) {
        _tile_loadd(6, w, X512_NR * 4);
        _tile_loadd(4, a, lda);
        fetch(ahead);
        DOT(0, 4, 6);
        _tile_loadd(7, w + STEP, X512_NR * 4);
        DOT(1, 4, 7);
        _tile_loadd(5, a + TILE * lda, lda);
        DOT(2, 5, 6);
        DOT(3, 5, 7);
    }
}

X512_INLINE void multiply3(bool bf16, const char *a, size_t lda, const char *w, size_t steps,
                           const char *ahead)
{
    for (; steps; steps--, ahead += FETCH, a += STEP, w += TILE * X512_NR * 4) {
        _tile_loadd(7, w, X512_NR * 4);
        _tile_loadd(6, a, lda);
        fetch(ahead);
        DOT(0, 6, 7);
        _tile_loadd(6, a + TILE * lda, lda);
        DOT(2, 6, 7);
        _tile_loadd(6, a + 2 * TILE * lda, lda);
        DOT(4, 6, 7);
        _tile_loadd(7, w + STEP, X512_NR * 4);
        DOT(5, 6, 7);
        _tile_loadd(6, a + TILE * lda, lda);
        DOT(3, 6, 7);
        _tile_loadd(6, a, lda);
        DOT(1, 6, 7);
    }
}

static void clear(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
}

/* Steps `from` on of a block, added to its sums. */
X512_INLINE void multiply(const vise_gemm_args *g, bool bf16, const block *b, size_t from,
                          size_t steps)
{
    const char *a = (const char *)g->a + b->i * g->lda + from * STEP;
    const char *w = b->w + from * STEP * X512_NR, *ahead = b->ahead + from * FETCH;
    if (b->tiles == 1) multiply1(bf16, a, g->lda, w, steps, ahead);
    if (b->tiles == 2) multiply2(bf16, a, g->lda, w, steps, ahead);
    if (b->tiles == 3) multiply3(bf16, a, g->lda, w, steps, ahead);
}

X512_INLINE void keep(block *b)
{
    _tile_stored(0, b->sums[0], X512_NR * 4);
    _tile_stored(1, b->sums[0] + TILE, X512_NR * 4);
    if (b->tiles == 1) return;
    _tile_stored(2, b->sums[TILE], X512_NR * 4);
    _tile_stored(3, b->sums[TILE] + TILE, X512_NR * 4);
    if (b->tiles == 2) return;
    _tile_stored(4, b->sums[2 * TILE], X512_NR * 4);
    _tile_stored(5, b->sums[2 * TILE] + TILE, X512_NR * 4);
}

static void finish(const vise_gemm_args *g, bool bf16, block *b)
{
    const size_t left = g->m - b->i, rows = left < b->tiles * TILE ? left : b->tiles * TILE;
    if (bf16)
        x512_finish(false, g, b->i, b->j, rows, b->sums[0]);
    else
        x512_finish(true, g, b->i, b->j, rows, b->sums[0]);
}

/* Panels outside: a panel stays near while the rows pass by. A block is finished while the tiles of
 * the next one multiply. */
X512_INLINE void run(const vise_gemm_args *g, bool bf16)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const size_t steps = (g->k * (bf16 ? 2 : 1) + STEP - 1) / STEP;
    const size_t part = steps * FETCH, panel = steps * STEP * X512_NR;
    block blocks[2], *now = &blocks[0], *last = &blocks[1];
    last->tiles = 0;
    _tile_loadconfig(&config);
    for (size_t j = 0; j < g->n; j += X512_NR)
        for (size_t i = 0; i < g->m; i += last->tiles * TILE) {
            const size_t tiles = (g->m - i + TILE - 1) / TILE;
            const char *w = (const char *)g->w + j / X512_NR * panel;
            const char *next = j + X512_NR < g->n ? w + panel : g->w;
            now->i = i;
            now->j = j;
            now->tiles = tiles > MOST ? 2 : tiles;
            now->w = w;
            now->ahead = next + i / (2 * TILE) * part % panel;
            clear();
            multiply(g, bf16, now, 0, steps);
            if (last->tiles) finish(g, bf16, last);
            keep(now);
            last = now;
            now = &blocks[now == blocks];
        }
    _tile_release();
    finish(g, bf16, last);
}

static void run_s8(const vise_gemm_args *g)
{
    run(g, false);
}

static void run_bf16(const vise_gemm_args *g)
{
    run(g, true);
}

/* ---- packed codes ---- */

/* The first block of a panel, whose codes are expanded for all blocks: the tiles multiply beside it. */
static void stream(const vise_kern *k, const vise_gemm_args *g, const block *b, vise_expand *x)
{
    const size_t blocks = STEP * X512_NR / (8 * k->gemm_codes.lanes);
    const size_t steps = (g->k + STEP - 1) / STEP;
    int8_t *panel = g->scratch;
    for (size_t s = 0; s < steps + AHEAD; s++) {
        if (s < steps) {
            x->out = panel + s * STEP * X512_NR;
            x->from = s * blocks;
            x->to = x->from + blocks;
            k->gemm_codes.expand(x);
        }
        if (s + 1 == steps) vise_codes_pad(&k->gemm_s8, panel, g->k);
        if (s >= AHEAD) multiply(g, false, b, s - AHEAD, 1);
    }
}

/* As run; blocks after the first of a panel fetch the codes of the next one. */
static void run_codes(const vise_kern *k, const vise_gemm_args *g)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const vise_codes_layout l = vise_codes_layout_of(k, g->codes, g->n, g->k);
    const size_t steps = (g->k + STEP - 1) / STEP, part = steps * FETCH;
    vise_expand x = {.blocks = g->w, .codes = g->codes, .nr = X512_NR, .unit = 4};
    block blocks[2], *now = &blocks[0], *last = &blocks[1];
    last->tiles = 0;
    _tile_loadconfig(&config);
    for (size_t j = 0; j < g->n; j += X512_NR, x.blocks += l.panel)
        for (size_t i = 0; i < g->m; i += last->tiles * TILE) {
            const size_t tiles = (g->m - i + TILE - 1) / TILE;
            const uint8_t *next = j + X512_NR < g->n ? x.blocks + l.panel : g->w;
            now->i = i;
            now->j = j;
            now->tiles = tiles <= MOST ? tiles : i ? 2 : MOST;
            now->w = g->scratch;
            now->ahead = (const char *)next + i / (2 * TILE) * part % l.panel;
            x.mult = x.blocks + l.blocks * g->codes->bits * k->gemm_codes.lanes;
            clear();
            if (i)
                multiply(g, false, now, 0, steps);
            else
                stream(k, g, now, &x);
            if (last->tiles) finish(g, false, last);
            keep(now);
            last = now;
            now = &blocks[now == blocks];
        }
    _tile_release();
    finish(g, false, last);
}

static const vise_gemm bundle_s8, bundle_bf16;

static void pack_s8(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                    size_t k, uint8_t flipped)
{
    x512_pack(&bundle_s8, 1, panels, sum, w, ldn, ldk, n, k, flipped);
}

static void pack_bf16(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk, size_t n,
                      size_t k, uint8_t flipped)
{
    x512_pack(&bundle_bf16, 2, panels, sum, w, ldn, ldk, n, k, flipped);
}

static const vise_gemm bundle_s8 = {
    .nr = X512_NR, .kr = STEP, .unit = 4, .esize = 1, .mr = TILE, .run = run_s8, .pack = pack_s8};
static const vise_gemm bundle_bf16 = {.nr = X512_NR,
                                      .kr = STEP / 2,
                                      .unit = 2,
                                      .esize = 2,
                                      .mr = TILE,
                                      .run = run_bf16,
                                      .pack = pack_bf16};

void vise_kern_amx(vise_kern *k)
{
    k->gemm_s8 = bundle_s8;
    k->gemm_codes.run = run_codes;
    k->gemm_bf16 = bundle_bf16;
}
