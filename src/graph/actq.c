/* actq.c - rounding the operands of a node, by the plain C kernels
 * SPDX-License-Identifier: MIT */
#include "graph/actq.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const names[] = {"f32", "bf16", "sym", "asym", "static"};
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

vise_quant vise_actq_quant(const vise_actq *q, uint8_t flip)
{
    assert(vise_actq_is_coded(q->kind));
    vise_quant how = vise_quant_of(q->kind == VISE_ACTQ_SYM    ? VISE_QUANT_SYM
                                   : q->kind == VISE_ACTQ_ASYM ? VISE_QUANT_ASYM
                                                               : VISE_QUANT_FIXED,
                                   q->bits, flip);
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

/* A row's short form is written at its start and spread from its end, so it needs no other room:
 * element i is read before anything at or behind its bytes is written. */

static void apply_codes(const vise_kern *k, const vise_quant *how, float *y, const float *x,
                        size_t n)
{
    vise_rowq r;
    const uint8_t *code = (const uint8_t *)y;
    k->quant_s8((uint8_t *)y, n, n, &r, x, n, 1, n, how);
    for (size_t i = n; i-- > 0;)
        y[i] = r.scale * (float)((int8_t)code[i] - r.zero);
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

void vise_actq_apply(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                     size_t n)
{
    vise_kern k;
    vise_kern_c(&k);
    vise_quant how = {0};
    if (vise_actq_is_coded(q->kind)) how = vise_actq_quant(q, 0);
    for (size_t r = 0; r < rows; r++, x += ldx, y += n)
        if (q->kind == VISE_ACTQ_NONE)
            memcpy(y, x, n * sizeof *y);
        else if (q->kind == VISE_ACTQ_BF16)
            apply_bf16(&k, y, x, n);
        else
            apply_codes(&k, &how, y, x, n);
}

void vise_actq_apply_whole(const vise_actq *q, float *y, const float *x, size_t ldx, size_t rows,
                           size_t n)
{
    if (!vise_actq_is_coded(q->kind)) {
        vise_actq_apply(q, y, x, ldx, rows, n);
        return;
    }
    vise_kern k;
    vise_kern_c(&k);
    const vise_quant how = vise_actq_whole(q, k.absmax(x, ldx, rows, n));
    const float scale = how.fixed.scale;
    for (size_t i = 0; i < rows * n && !(scale > 0); i++)
        y[i] = scale; // 0 or NaN
    for (size_t r = 0; r < rows && scale > 0; r++)
        apply_codes(&k, &how, y + r * n, x + r * ldx, n);
}

/* ---- checks ---- */

vise_status vise_actq_check(const vise_actq *actq, uint32_t nin, const char *node, vise_err *e)
{
    for (uint32_t i = 0; i < nin; i++) {
        const vise_actq *q = &actq[i];
        const bool coded = vise_actq_is_coded(q->kind), fixed = q->kind == VISE_ACTQ_STATIC;
        if (coded ? q->bits < 2 || q->bits > 8 : q->bits)
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
