/* actq.c - rounding the operands of a node, by the plain C kernels
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"f32", "bf16", "sym", "asym", "static", "levels"};
enum { KINDS = sizeof names / sizeof *names };

const char *vise_actq_name(vise_actq_kind kind)
{
    return names[kind];
}

bool vise_actq_from(vise_actq_kind *kind, const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(names[i], name)) {
            *kind = (vise_actq_kind)i;
            return true;
        }
    return false;
}

bool vise_actq_same(const vise_actq *a, const vise_actq *b)
{
    if (a->kind != b->kind || a->bits != b->bits) return false;
    if (a->kind < VISE_ACTQ_STATIC) return true;
    return a->scale == b->scale && a->zero == b->zero &&
           (a->kind != VISE_ACTQ_LEVELS || !memcmp(a->level, b->level, (size_t)1 << a->bits));
}

vise_quant vise_actq_quant(const vise_actq *q, uint8_t flip)
{
    assert(vise_actq_is_coded(q->kind));
    vise_quant how = vise_quant_of(q->kind == VISE_ACTQ_SYM    ? VISE_QUANT_SYM
                                   : q->kind == VISE_ACTQ_ASYM ? VISE_QUANT_ASYM
                                                               : VISE_QUANT_FIXED,
                                   q->kind == VISE_ACTQ_LEVELS ? 8 : q->bits, flip);
    how.fixed = (vise_rowq){q->scale, q->zero};
    return how;
}

vise_quant vise_actq_whole(const vise_actq *q, float absmax)
{
    assert(q->kind != VISE_ACTQ_ASYM);
    vise_quant how = vise_actq_quant(q, 0);
    if (how.mode == VISE_QUANT_SYM)
        how.fixed = (vise_rowq){absmax < 1e-30f ? 0 : absmax / how.hi, 0};
    if (!isfinite(absmax)) how.fixed = (vise_rowq){NAN, 0};
    how.mode = VISE_QUANT_FIXED;
    return how;
}

/* ---- levels ---- */

void vise_level_table(uint8_t table[256], const int8_t *level, size_t n, uint8_t flip)
{
    size_t i = 0; // of the nearest: it only grows
    for (int code = INT8_MIN; code <= INT8_MAX; code++) {
        while (i + 1 < n && abs(level[i + 1] - code) <= abs(level[i] - code))
            i++;
        table[(uint8_t)code ^ flip] = (uint8_t)level[i] ^ flip;
    }
}

void vise_actq_snap(const vise_actq *q, uint8_t *code, size_t ld, size_t rows, size_t n,
                    uint8_t flip)
{
    uint8_t table[256];
    if (q->kind != VISE_ACTQ_LEVELS) return;
    vise_level_table(table, q->level, (size_t)1 << q->bits, flip);
    for (size_t r = 0; r < rows; r++, code += ld)
        for (size_t i = 0; i < n; i++)
            code[i] = table[code[i]];
}

/* ---- numbers ---- */

enum { SHORT = 4096, LANES = 16 }; // LANES: numbers that the compiler makes vectors of

/* How rows are rounded, and with what. */
typedef struct rounding {
    const vise_actq *q;
    const vise_kern *k;
    vise_quant how;
    uint8_t table[256]; // of LEVELS
} rounding;

static void start(rounding *r, const vise_kern *k, const vise_actq *q)
{
    r->q = q;
    r->k = k;
    if (vise_actq_is_coded(q->kind)) r->how = vise_actq_quant(q, 0);
    if (q->kind == VISE_ACTQ_LEVELS) vise_level_table(r->table, q->level, (size_t)1 << q->bits, 0);
}

/* code may be the start of y: element i is read before anything at or behind its bytes is written. */
static void spread(float *y, const uint8_t *code, size_t n, vise_rowq q)
{
    size_t i = n;
    for (; i % LANES; i--)
        y[i - 1] = q.scale * (float)((int8_t)code[i - 1] - q.zero);
    for (; i; i -= LANES) {
        int32_t part[LANES];
        for (size_t j = 0; j < LANES; j++)
            part[j] = (int8_t)code[i - LANES + j] - q.zero;
        for (size_t j = 0; j < LANES; j++)
            y[i - LANES + j] = q.scale * (float)part[j];
    }
}

static void apply_codes(const rounding *how, float *y, const float *x, size_t n)
{
    vise_rowq r;
    uint8_t few[SHORT], *code = n <= SHORT ? few : (uint8_t *)y;
    how->k->quant_s8(code, n, n, &r, x, n, 1, n, &how->how);
    for (size_t i = 0; how->q->kind == VISE_ACTQ_LEVELS && i < n; i++)
        code[i] = how->table[code[i]];
    spread(y, code, n, r);
}

static void apply_bf16(const vise_kern *k, float *y, const float *x, size_t n)
{
    k->to_bf16((uint16_t *)(void *)y, 2 * n, n, x, n, 1, n);
    for (size_t i = n; i-- > 0;) {
        uint16_t high;
        memcpy(&high, (const char *)y + 2 * i, sizeof high);
        const uint32_t bits = (uint32_t)high << 16;
        memcpy(&y[i], &bits, sizeof bits);
    }
}

void vise_actq_apply_by(const vise_kern *k, const vise_actq *q, float *y, vise_floats x)
{
    rounding how;
    start(&how, k, q);
    for (size_t r = 0; r < x.rows; r++, x.x += x.ld, y += x.n)
        if (q->kind == VISE_ACTQ_NONE)
            memcpy(y, x.x, x.n * sizeof *y);
        else if (q->kind == VISE_ACTQ_BF16)
            apply_bf16(k, y, x.x, x.n);
        else
            apply_codes(&how, y, x.x, x.n);
}

void vise_actq_apply(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                     size_t n)
{
    vise_kern k;
    vise_kern_c(&k);
    vise_actq_apply_by(&k, q, y, (vise_floats){x, ldx, rows, n});
}

void vise_actq_apply_whole(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                           size_t n)
{
    if (!vise_actq_is_coded(q->kind)) {
        vise_actq_apply(q, y, x, ldx, rows, n);
        return;
    }
    vise_kern k;
    rounding how;
    vise_kern_c(&k);
    start(&how, &k, q);
    how.how = vise_actq_whole(q, k.absmax(x, ldx, rows, n));
    const float scale = how.how.fixed.scale;
    for (size_t i = 0; i < rows * n && !(scale > 0); i++)
        y[i] = scale; // 0 or NaN
    for (size_t r = 0; r < rows && scale > 0; r++)
        apply_codes(&how, y + r * n, x + r * ldx, n);
}

/* ---- checks ---- */

static bool ascending(const int8_t *level, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (level[i] <= (i ? level[i - 1] : -128)) return false;
    return true;
}

vise_status vise_actq_check(const vise_actq *actq, uint32_t nin, const char *node, vise_err *e)
{
    for (uint32_t i = 0; i < nin; i++) {
        const vise_actq *q = &actq[i];
        const bool coded = vise_actq_is_coded(q->kind), fixed = q->kind >= VISE_ACTQ_STATIC;
        const bool levels = q->kind == VISE_ACTQ_LEVELS;
        if (coded ? q->bits < 2 || q->bits > (levels ? 7 : 8) : q->bits)
            return vise_fail(e, VISE_EFORMAT, "%s: operand %u is rounded to %s of %u bits", node, i,
                             vise_actq_name(q->kind), q->bits);
        if (fixed && !(isfinite(q->scale) && q->scale >= 1e-30f))
            return vise_fail(e, VISE_EFORMAT, "%s: operand %u is rounded with a scale of %g", node,
                             i, (double)q->scale);
        if (!fixed) continue;
        const vise_quant how = vise_actq_quant(q, 0);
        if (q->zero < how.lo || q->zero > how.hi)
            return vise_fail(e, VISE_EFORMAT,
                             "%s: operand %u is rounded with a zero point of %d, allowed are %d "
                             "to %d",
                             node, i, q->zero, how.lo, how.hi);
        if (levels && !ascending(q->level, (size_t)1 << q->bits))
            return vise_fail(e, VISE_EFORMAT,
                             "%s: operand %u is rounded to levels that do not ascend within -127 "
                             "to 127",
                             node, i);
    }
    return VISE_OK;
}

vise_status vise_actq_check_first(const vise_sig *s, uint32_t n, vise_err *e)
{
    for (uint32_t i = n; i < s->nin; i++)
        if (s->actq[i].kind)
            return vise_fail(e, VISE_EFORMAT, "%s: operand %u cannot be rounded", s->name, i);
    return VISE_OK;
}
