/* weights.c - from a constant of any encoding to the panels a kernel reads
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <math.h>
#include <string.h>

enum { MOST_BITS = 6 }; // of codes that panels keep

const vise_gemm *vise_gemm_for(const vise_session *s, vise_format f)
{
    return f == VISE_FMT_S8     ? &s->kern.gemm_s8
           : f == VISE_FMT_BF16 ? &s->kern.gemm_bf16
                                : &s->kern.gemm_f32;
}

/* Rows [first, first + n) of a constant seen as [rows, cols]. Where codebooks change in between, only those
 * of the first one: shape says how many. */
static vise_const const_rows(const vise_const *c, size_t first, size_t n)
{
    const size_t rows = c->shape.dim[0], cols = vise_shape_count(&c->shape) / rows;
    vise_const r = *c;
    if (c->enc.book_rows) {
        const size_t left = c->enc.book_rows - first % c->enc.book_rows;
        n = left < n ? left : n;
        r.codebook += first / c->enc.book_rows << c->enc.bits;
        r.enc.book_rows = 0;
    }
    r.shape = (vise_shape){2, {n, cols}};
    if (!c->enc.bits) {
        r.data = (const char *)c->data + first * cols * vise_dtype_size(c->enc.type);
    } else {
        const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
        r.data = (const char *)c->data + first * l.stride;
        r.scale = c->scale + first * l.scales;
        if (c->enc.multiplied) r.mult = c->mult + first * l.groups;
    }
    return r;
}

/* Are its levels, times multipliers, whole numbers from -127 to 127 (as of every affine constant),
 * with one scale per row? */
static bool has_levels(const vise_const *c)
{
    if (!c->enc.bits || (c->enc.group && !c->enc.multiplied)) return false;
    const size_t levels = vise_books_of(&c->shape, &c->enc) << c->enc.bits;
    for (size_t i = 0; c->enc.levels == VISE_CODEBOOK && i < levels; i++)
        if (c->codebook[i] != rintf(c->codebook[i]) || fabsf(c->codebook[i]) > 127) return false;
    return true;
}

bool vise_weights_exact(const vise_const *c, vise_format f)
{
    return f == VISE_FMT_S8     ? has_levels(c)
           : f == VISE_FMT_BF16 ? !c->enc.bits && c->enc.type == VISE_BF16
                                : true;
}

/* One panel's rows while they are packed. */
typedef struct packing {
    const vise_session *s;
    const vise_const *w;
    const size_t *perm;
    size_t k;
    float *rows;   // [nr, k] decoded
    float *ones;   // [nr]
    void *moved;   // [nr, k] elements of the panel's type, in the panel's order
    char *scratch; // of codes; all of this is one block
} packing;

/* Decoded; with `ones` instead of its scales if they are asked for. */
static void decode_plainly(packing *p, size_t first, size_t n, const float *ones)
{
    for (size_t done = 0; done < n;) {
        vise_const part = const_rows(p->w, first + done, n - done);
        if (ones) part.scale = ones;
        vise_decode(p->rows + done * p->k, &part);
        done += part.shape.dim[0];
    }
}

static void decode_rows(packing *p, size_t first, size_t n)
{
    float *to = p->perm ? p->moved : p->rows;
    decode_plainly(p, first, n, NULL);
    for (size_t i = 0; p->perm && i < n; i++)
        for (size_t c = 0; c < p->k; c++)
            to[i * p->k + c] = p->rows[i * p->k + p->perm[c]];
    if (p->perm) memcpy(p->rows, to, n * p->k * sizeof *to);
}

static void pack_floats(packing *p, vise_weights *w, size_t first, size_t n, void *panel)
{
    const vise_gemm *g = vise_gemm_for(p->s, w->format);
    const size_t k = p->k;
    decode_rows(p, first, n);
    if (w->format == VISE_FMT_BF16) {
        p->s->kern.to_bf16(p->moved, k * 2, k, p->rows, k, n, k);
        g->pack(panel, NULL, p->moved, k, 1, n, k, 0);
    } else {
        g->pack(panel, NULL, p->rows, k, 1, n, k, 0);
    }
}

/* Codes of 8 bits are levels but for their highest bit; others are decoded with scales of 1, which
 * is exact. */
static void pack_codes(packing *p, vise_weights *w, size_t first, size_t n, void *panel)
{
    const vise_gemm *g = vise_gemm_for(p->s, w->format);
    const size_t k = p->k;
    const vise_const part = const_rows(p->w, first, n);
    const bool bytes = part.enc.bits == 8 && part.enc.zero == 128;
    const uint8_t *from = part.data;
    uint8_t *codes = p->moved;
    memcpy(w->scale + first, part.scale, n * sizeof *w->scale);
    if (!bytes) decode_plainly(p, first, n, p->ones);
    for (size_t i = 0; (!bytes || p->perm) && i < n; i++)
        for (size_t c = 0; c < k; c++) {
            const size_t at = i * k + (p->perm ? p->perm[c] : c);
            codes[i * k + c] = bytes ? from[at] : (uint8_t)(int8_t)p->rows[at];
        }
    g->pack(panel, w->sum + first, bytes && !p->perm ? from : codes, k, 1, n, k, bytes ? 0x80 : 0);
}

/* The codes of column `first` on, whose book has whole numbers. */
static vise_codes codes_at(const vise_weights *w, size_t first)
{
    const size_t count = (size_t)1 << w->codes.bits;
    const float *book = w->book + (w->book_rows ? first / w->book_rows : 0) * count;
    vise_codes c = w->codes;
    c.least = 127;
    for (size_t i = 0; i < count; i++) {
        c.levels[i] = (int8_t)book[i];
        if (c.levels[i] < c.least) c.least = c.levels[i];
    }
    return c;
}

/* Codes of at most 6 bits stay what they are. */
static void pack_small(packing *p, vise_weights *w, size_t first, size_t n, void *panel)
{
    const size_t k = p->k;
    vise_const part = const_rows(p->w, first, n);
    uint8_t *codes = p->moved;
    const vise_codes_from from = {codes, part.mult, n, k};
    memcpy(w->scale + first, part.scale, n * sizeof *w->scale);
    part.shape.dim[0] = n;
    part.enc = (vise_encoding){.bits = part.enc.bits, .levels = VISE_AFFINE}; // codes as numbers
    part.scale = p->ones;
    vise_decode(p->rows, &part);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < k; c++)
            codes[i * k + c] = (uint8_t)p->rows[i * k + (p->perm ? p->perm[c] : c)];
    if (w->format == VISE_FMT_F32) {
        vise_float_codes_pack(&p->s->kern, w->codes.bits, panel, &from, p->scratch);
        return;
    }
    const vise_codes c = codes_at(w, first);
    vise_codes_pack(&p->s->kern, &c, panel, w->sum + first, &from, p->scratch);
}

void vise_weights_keep_codes(vise_weights *w, const vise_session *s, const vise_const *c,
                             bool permuted)
{
    const size_t nr = vise_gemm_for(s, w->format)->nr;
    const bool s8 = w->format == VISE_FMT_S8, f32 = w->format == VISE_FMT_F32 && !c->enc.group;
    w->codes = (vise_codes){0};
    if ((!s8 && !f32) || c->enc.bits > MOST_BITS || (permuted && c->enc.multiplied)) return;
    if (c->enc.book_rows && (c->enc.book_rows % nr != 0 || w->groups > 1)) return;
    w->codes.bits = c->enc.bits;
    w->codes.group = c->enc.group;
    w->books = vise_books_of(&c->shape, &c->enc);
    w->book_rows = c->enc.book_rows;
}

/* What codes stand for, as floats. */
static void read_books(vise_weights *w, const vise_const *c)
{
    for (size_t i = 0; i < w->books << c->enc.bits; i++)
        w->book[i] =
            c->enc.levels == VISE_CODEBOOK ? c->codebook[i] : (float)((int32_t)i - c->enc.zero);
}

static size_t panel_bytes(const vise_weights *w, const vise_session *s)
{
    const vise_gemm *g = vise_gemm_for(s, w->format);
    if (!w->codes.bits) return vise_panels_bytes(g, g->nr, w->k);
    return w->format == VISE_FMT_F32 ? vise_float_codes_panel(&s->kern, w->codes.bits, w->k)
                                     : vise_codes_layout_of(&s->kern, &w->codes, w->n, w->k).panel;
}

size_t vise_weights_scratch(const vise_weights *w, const vise_session *s)
{
    if (!w->codes.bits) return 0;
    return w->format == VISE_FMT_F32
               ? vise_float_codes_scratch(&s->kern, w->k)
               : vise_codes_layout_of(&s->kern, &w->codes, w->n, w->k).scratch;
}

size_t vise_weights_bytes(const vise_weights *w, const vise_session *s)
{
    const size_t groups = w->groups ? w->groups : 1, nr = vise_gemm_for(s, w->format)->nr;
    return groups * ((w->n / groups + nr - 1) / nr) * panel_bytes(w, s);
}

void vise_weights_layout(vise_weights *w, const vise_session *s, vise_arena *m)
{
    w->panels = vise_arena_take(m, vise_weights_bytes(w, s), 1);
    if (w->format == VISE_FMT_S8 || w->codes.bits)
        w->scale = vise_arena_take(m, w->n, sizeof *w->scale);
    if (w->format == VISE_FMT_S8) w->sum = vise_arena_take(m, w->n, sizeof *w->sum);
    if (w->codes.bits) w->book = vise_arena_take(m, w->books << w->codes.bits, sizeof *w->book);
    if (w->bias_from != VISE_NONE) w->bias = vise_arena_take(m, w->n, sizeof *w->bias);
}

/* A layer scale multiplies the rows of w and the bias: y s = x (s w)^T + s b. */
static vise_status fuse_scale(packing *p, vise_weights *w, const vise_const *scale, vise_err *e)
{
    const vise_gemm *g = vise_gemm_for(p->s, w->format);
    float *by;
    VISE_TRY(vise_alloc_or(&by, w->n, sizeof *by, "a layer scale", e));
    vise_decode(by, scale);
    for (size_t j = 0; j < w->n; j++) {
        if (w->bias) w->bias[j] *= by[j];
        if (w->format == VISE_FMT_S8 || w->codes.bits) w->scale[j] *= by[j];
    }
    const bool floats = w->format == VISE_FMT_F32 && !w->codes.bits;
    float *panel = w->panels;
    for (size_t j = 0; floats && j < w->n; j += g->nr, panel += g->nr * w->k)
        for (size_t i = 0; i < g->nr * w->k; i++)
            panel[i] *= j + i % g->nr < w->n ? by[j + i % g->nr] : 1;
    vise_free(by);
    return VISE_OK;
}

vise_status vise_weights_pack(vise_weights *w, const vise_session *s, const vise_graph *gr,
                              const size_t *perm, vise_err *e)
{
    const vise_gemm *g = vise_gemm_for(s, w->format);
    const size_t step = panel_bytes(w, s);
    packing p = {.s = s, .w = &gr->value[w->from].data, .perm = perm, .k = w->k};
    const size_t scratch = (vise_weights_scratch(w, s) + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
    const size_t floats = g->nr * (2 * w->k + 1);
    VISE_TRY(vise_alloc_or(&p.scratch, scratch + floats * sizeof(float), 1, "packing weights", e));
    p.rows = (float *)(void *)(p.scratch + scratch);
    p.moved = p.rows + g->nr * w->k;
    p.ones = p.rows + 2 * g->nr * w->k;
    for (size_t i = 0; i < g->nr; i++)
        p.ones[i] = 1;
    if (w->codes.bits) read_books(w, p.w);
    char *panel = w->panels;
    const size_t cols = w->n / (w->groups ? w->groups : 1);
    for (size_t j = 0, n; j < w->n; j += n, panel += step) { // one panel at a time: little memory
        n = cols - j % cols < g->nr ? cols - j % cols : g->nr;
        (w->codes.bits              ? pack_small
         : w->format == VISE_FMT_S8 ? pack_codes
                                    : pack_floats)(&p, w, j, n, panel);
    }
    if (w->bias) vise_decode(w->bias, &gr->value[w->bias_from].data);
    vise_status st = VISE_OK;
    if (w->scale_from != VISE_NONE) st = fuse_scale(&p, w, &gr->value[w->scale_from].data, e);
    vise_free(p.scratch);
    return st;
}

vise_gemm_args vise_weights_args(const vise_weights *w, const vise_epilogue *epi)
{
    return (vise_gemm_args){.w = w->panels,
                            .wscale = w->scale,
                            .wsum = w->sum,
                            .bias = w->bias,
                            .act = epi->act,
                            .act_param = epi->param,
                            .n = w->n,
                            .k = w->k};
}

void vise_weights_run(const vise_weights *w, const vise_session *s, vise_gemm_args *g,
                      void *scratch)
{
    if (!w->codes.bits) {
        vise_gemm_for(s, w->format)->run(g);
        return;
    }
    g->scratch = scratch;
    if (w->format == VISE_FMT_F32) {
        const vise_float_codes c = {w->codes.bits, w->book_rows, w->book};
        vise_float_codes_run(&s->kern, &c, g);
        return;
    }
    const size_t n = g->n, part = w->book_rows ? w->book_rows : n;
    const vise_gemm_args all = *g;
    for (size_t j = 0; j < n; j += part) { // columns with one codebook
        const vise_codes c = codes_at(w, j);
        g->codes = &c;
        g->n = n - j < part ? n - j : part;
        g->c = all.c + j;
        g->w = (const char *)all.w + j / s->kern.gemm_s8.nr * panel_bytes(w, s);
        g->wscale = all.wscale + j;
        g->wsum = all.wsum + j;
        if (all.bias) g->bias = all.bias + j;
        if (all.add) g->add = all.add + j;
        s->kern.gemm_codes.run(&s->kern, g);
    }
    *g = all;
}

/* ---- formats ---- */

vise_format vise_format_of(const vise_actq *q)
{
    return q->kind == VISE_ACTQ_NONE   ? VISE_FMT_F32
           : q->kind == VISE_ACTQ_BF16 ? VISE_FMT_BF16
                                       : VISE_FMT_S8;
}

size_t vise_operand_ld(const vise_session *s, vise_format f, size_t k)
{
    const size_t bytes = vise_row_bytes(vise_gemm_for(s, f), k);
    return ((bytes + VISE_ALIGN - 1) / VISE_ALIGN | 1) * VISE_ALIGN;
}

void vise_convert(const vise_session *s, const vise_actq *q, vise_operand to, vise_floats from)
{
    const vise_gemm *g = vise_gemm_for(s, vise_format_of(q));
    const size_t npad = vise_row_bytes(g, from.n) / g->esize;
    if (q->kind == VISE_ACTQ_BF16) {
        s->kern.to_bf16(to.data, to.ld, npad, from.x, from.ld, from.rows, from.n);
        return;
    }
    const vise_quant how = vise_actq_quant(q, g->flip);
    s->kern.quant_s8(to.data, to.ld, npad, to.rowq, from.x, from.ld, from.rows, from.n, &how);
    vise_actq_snap(q, to.data, to.ld, from.rows, from.n, g->flip);
}
