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

/* Rows [first, first + n) of a constant seen as [rows, cols]. */
static vise_const const_rows(const vise_const *c, size_t first, size_t n)
{
    const size_t rows = c->shape.dim[0], cols = vise_shape_count(&c->shape) / rows;
    vise_const r = *c;
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
    for (size_t i = 0; c->enc.levels == VISE_CODEBOOK && i < (size_t)1 << c->enc.bits; i++)
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
    float *rows; // [nr, k] decoded
    float *ones; // [nr]
    void *moved; // [nr, k] elements of the panel's type, in the panel's order
} packing;

static void decode_rows(packing *p, size_t first, size_t n)
{
    const vise_const part = const_rows(p->w, first, n);
    float *to = p->perm ? p->moved : p->rows;
    vise_decode(p->rows, &part);
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
    vise_const part = const_rows(p->w, first, n);
    const bool bytes = part.enc.bits == 8 && part.enc.zero == 128;
    const uint8_t *from = part.data;
    uint8_t *codes = p->moved;
    memcpy(w->scale + first, part.scale, n * sizeof *w->scale);
    if (!bytes) {
        part.scale = p->ones;
        vise_decode(p->rows, &part);
    }
    for (size_t i = 0; (!bytes || p->perm) && i < n; i++)
        for (size_t c = 0; c < k; c++) {
            const size_t at = i * k + (p->perm ? p->perm[c] : c);
            codes[i * k + c] = bytes ? from[at] : (uint8_t)(int8_t)p->rows[at];
        }
    g->pack(panel, w->sum + first, bytes && !p->perm ? from : codes, k, 1, n, k, bytes ? 0x80 : 0);
}

/* Codes of at most 6 bits stay what they are. */
static void pack_small(packing *p, vise_weights *w, size_t first, size_t n, void *panel)
{
    const size_t k = p->k;
    vise_const part = const_rows(p->w, first, n);
    uint8_t *codes = p->moved;
    const vise_codes_from from = {codes, part.mult, n, k};
    memcpy(w->scale + first, part.scale, n * sizeof *w->scale);
    part.enc = (vise_encoding){.bits = part.enc.bits, .levels = VISE_AFFINE}; // codes as numbers
    part.scale = p->ones;
    vise_decode(p->rows, &part);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < k; c++)
            codes[i * k + c] = (uint8_t)p->rows[i * k + (p->perm ? p->perm[c] : c)];
    vise_codes_pack(&p->s->kern, &w->codes, panel, w->sum + first, &from, p->s->scratch);
}

void vise_weights_keep_codes(vise_weights *w, const vise_const *c, bool permuted)
{
    w->codes = (vise_codes){0};
    if (w->format != VISE_FMT_S8 || c->enc.bits > MOST_BITS || (permuted && c->enc.multiplied))
        return;
    w->codes.bits = c->enc.bits;
    w->codes.group = c->enc.group;
    w->codes.least = 127;
    for (int32_t i = 0; i < 1 << c->enc.bits; i++) {
        const bool book = c->enc.levels == VISE_CODEBOOK;
        const int8_t level = (int8_t)(book ? (int32_t)c->codebook[i] : i - c->enc.zero);
        w->codes.levels[i] = level;
        if (level < w->codes.least) w->codes.least = level;
    }
}

static vise_codes_layout layout_of(const vise_weights *w, const vise_session *s)
{
    return vise_codes_layout_of(&s->kern, &w->codes, w->n / (w->groups ? w->groups : 1), w->k);
}

size_t vise_weights_scratch(const vise_weights *w, const vise_session *s)
{
    return w->codes.bits ? layout_of(w, s).scratch : 0;
}

size_t vise_weights_bytes(const vise_weights *w, const vise_session *s)
{
    const size_t groups = w->groups ? w->groups : 1;
    if (w->codes.bits) return groups * layout_of(w, s).panels;
    return groups * vise_panels_bytes(vise_gemm_for(s, w->format), w->n / groups, w->k);
}

void vise_weights_layout(vise_weights *w, const vise_session *s, vise_arena *m)
{
    w->panels = vise_arena_take(m, vise_weights_bytes(w, s), 1);
    if (w->format == VISE_FMT_S8) {
        w->scale = vise_arena_take(m, w->n, sizeof *w->scale);
        w->sum = vise_arena_take(m, w->n, sizeof *w->sum);
    }
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
        if (w->format == VISE_FMT_S8) w->scale[j] *= by[j];
    }
    float *panel = w->panels;
    for (size_t j = 0; w->format == VISE_FMT_F32 && j < w->n; j += g->nr, panel += g->nr * w->k)
        for (size_t i = 0; i < g->nr * w->k; i++)
            panel[i] *= j + i % g->nr < w->n ? by[j + i % g->nr] : 1;
    vise_free(by);
    return VISE_OK;
}

vise_status vise_weights_pack(vise_weights *w, const vise_session *s, const vise_graph *gr,
                              const size_t *perm, vise_err *e)
{
    const vise_gemm *g = vise_gemm_for(s, w->format);
    const size_t step = w->codes.bits ? layout_of(w, s).panel : vise_panels_bytes(g, g->nr, w->k);
    packing p = {.s = s, .w = &gr->value[w->from].data, .perm = perm, .k = w->k};
    VISE_TRY(vise_alloc_or(&p.rows, g->nr, (2 * w->k + 1) * sizeof(float), "packing weights", e));
    p.moved = p.rows + g->nr * w->k;
    p.ones = p.rows + 2 * g->nr * w->k;
    for (size_t i = 0; i < g->nr; i++)
        p.ones[i] = 1;
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
    vise_free(p.rows);
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
    g->codes = &w->codes;
    g->scratch = scratch;
    s->kern.gemm_codes.run(&s->kern, g);
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
