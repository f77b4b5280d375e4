/* op.c - the forward table, attributes, and what shape rules share
 * SPDX-License-Identifier: MIT */
#include "graph/op.h"

#include <math.h>
#include <string.h>

/* One row per file of ops/. */
#define VISE_OPS(X)                                                                                \
    X(act)                                                                                         \
    X(add)                                                                                         \
    X(attention)                                                                                   \
    X(concat)                                                                                      \
    X(conv2d)                                                                                      \
    X(embed_add)                                                                                   \
    X(groupnorm)                                                                                   \
    X(int_add)                                                                                     \
    X(int_attention)                                                                               \
    X(int_dequant)                                                                                 \
    X(int_layernorm)                                                                               \
    X(int_linear)                                                                                  \
    X(int_lut)                                                                                     \
    X(int_quant)                                                                                   \
    X(int_scale)                                                                                   \
    X(l2norm)                                                                                      \
    X(layernorm)                                                                                   \
    X(linear)                                                                                      \
    X(matmul)                                                                                      \
    X(mean)                                                                                        \
    X(mul)                                                                                         \
    X(pad)                                                                                         \
    X(permute)                                                                                     \
    X(pool)                                                                                        \
    X(reshape)                                                                                     \
    X(resize)                                                                                      \
    X(rmsnorm)                                                                                     \
    X(roll)                                                                                        \
    X(slice)                                                                                       \
    X(softmax)

#define DECLARE(op) extern const vise_op vise_op_##op;
VISE_OPS(DECLARE)

#define ROW(op) &vise_op_##op,
static const vise_op *const ops[] = {VISE_OPS(ROW)};

enum { OPS = sizeof ops / sizeof *ops };

const vise_op *vise_op_at(size_t i)
{
    return i < OPS ? ops[i] : NULL;
}

const vise_op *vise_op_find(const char *name)
{
    for (size_t i = 0; i < OPS; i++)
        if (!strcmp(ops[i]->name, name)) return ops[i];
    return NULL;
}

static bool number_ok(const vise_attr_def *d, double v)
{
    return isfinite(v) && v >= d->min && v <= d->max;
}

void vise_attr_defaults(const vise_op *op, void *attr)
{
    memset(attr, 0, op->attr_size);
    for (const vise_attr_def *d = op->attrs; d && d->name; d++) {
        char *p = (char *)attr + d->offset;
        if (d->kind == VISE_ATTR_INT) *(int64_t *)p = (int64_t)d->def;
        if (d->kind == VISE_ATTR_REAL) *(double *)p = d->def;
        if (d->kind == VISE_ATTR_BOOL) *(bool *)p = d->def != 0;
        if (d->kind == VISE_ATTR_WORD) *(int *)p = (int)d->def;
    }
}

vise_status vise_attr_check(const vise_op *op, const void *attr, const char *node, vise_err *e)
{
    for (const vise_attr_def *d = op->attrs; d && d->name; d++) {
        const char *p = (const char *)attr + d->offset;
        bool ok = true;
        double shown = 0;
        if (d->kind == VISE_ATTR_INT) ok = number_ok(d, shown = (double)*(const int64_t *)p);
        if (d->kind == VISE_ATTR_REAL) ok = number_ok(d, shown = *(const double *)p);
        if (d->kind == VISE_ATTR_WORD) {
            int words = 0;
            while (d->words[words])
                words++;
            shown = *(const int *)p;
            ok = shown >= 0 && shown < words;
        }
        if (d->kind == VISE_ATTR_INTS) {
            const vise_ints *v = (const vise_ints *)p;
            ok = v->n <= VISE_MAX_RANK;
            for (uint32_t i = 0; ok && i < v->n; i++)
                ok = number_ok(d, shown = (double)v->v[i]);
        }
        if (!ok)
            return vise_fail(e, VISE_EFORMAT, "%s: %s of %s is %g, allowed are %g to %g", node,
                             d->name, op->name, shown, d->min, d->max);
    }
    return VISE_OK;
}

vise_status vise_axis(uint32_t *axis, int64_t attr, uint32_t rank, const char *node, vise_err *e)
{
    int64_t a = attr < 0 ? attr + rank : attr;
    if (a < 0 || a >= rank)
        return vise_fail(e, VISE_EFORMAT, "%s: axis %lld of a tensor of rank %u", node,
                         (long long)attr, rank);
    *axis = (uint32_t)a;
    return VISE_OK;
}

vise_status vise_broadcast(vise_shape *out, const vise_shape *a, const vise_shape *b,
                           const char *node, vise_err *e)
{
    *out = a->rank >= b->rank ? *a : *b;
    for (uint32_t i = 1; i <= out->rank; i++) { // i counts from the last axis
        size_t x = i <= a->rank ? a->dim[a->rank - i] : 1;
        size_t y = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (x != y && x != 1 && y != 1) {
            char ta[VISE_SHAPE_TEXT], tb[VISE_SHAPE_TEXT];
            return vise_fail(e, VISE_EFORMAT, "%s: shapes %s and %s do not broadcast", node,
                             vise_shape_text(ta, sizeof ta, a), vise_shape_text(tb, sizeof tb, b));
        }
        out->dim[out->rank - i] = x > y ? x : y;
    }
    return VISE_OK;
}
