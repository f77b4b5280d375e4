/* plan.c - places in one block for values that are alive at different times
 *
 * Larger values first, each at the lowest offset where it meets no value that is alive at the same
 * time: the greedy-by-size heuristic of Pisarchyk and Lee, "Efficient Memory Management for Deep
 * Neural Net Inference", 2020. SHARED and LOCAL values have a space each. Blocks of one chain are
 * at different steps at the same time, so SHARED values live for whole chains.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <stdlib.h>

typedef struct place {
    vise_slot *slot;
    size_t first, last;
} place;

static int larger_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->slot->bytes != y->slot->bytes) return x->slot->bytes < y->slot->bytes ? 1 : -1;
    return x->slot < y->slot ? -1 : x->slot > y->slot; // deterministic
}

static int lower_offset(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->slot->offset != y->slot->offset) return x->slot->offset < y->slot->offset ? -1 : 1;
    return 0;
}

/* The lowest gap among the placed [n] that are alive with p. clash is room for n. */
static size_t lowest_gap(const place *p, const place *placed, size_t n, place *clash)
{
    size_t m = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        if (placed[i].first <= p->last && p->first <= placed[i].last) clash[m++] = placed[i];
    qsort(clash, m, sizeof *clash, lower_offset);
    for (size_t i = 0; i < m; i++) {
        if (clash[i].slot->offset >= at + p->slot->bytes) break;
        size_t end = clash[i].slot->offset + clash[i].slot->bytes;
        if (end > at) at = end;
    }
    return at;
}

/* Bytes of a root: rows, for S8 their meanings, and rows that a kernel may read beyond the last. */
static vise_status measure(const vise_session *s, vise_slot *v, vise_err *e)
{
    const size_t images = v->batched ? s->batch : 1;
    size_t rows = v->kind == VISE_SLOT_LOCAL ? s->chain[v->chain].block : v->rows, bytes;
    const size_t spare = v->format == VISE_FMT_F32 || v->format == VISE_FMT_RAW ? 0 : 16;
    if ((v->kind != VISE_SLOT_LOCAL && vise_mul_overflows(rows, images, &rows)) ||
        vise_mul_overflows(rows + spare, v->ld + sizeof(vise_rowq), &bytes) ||
        bytes > (size_t)1 << 46)
        return vise_fail(e, VISE_ENOMEM, "a value of %zu floats for %zu images does not fit",
                         vise_shape_count(&v->shape), s->batch);
    v->room = rows + spare;
    v->bytes = (bytes + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
    return VISE_OK;
}

static size_t chain_at(const vise_session *s, size_t step)
{
    size_t lo = 0, hi = s->chains; // the last chain that starts at or before the step
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;
        if (s->chain[mid].first <= step)
            lo = mid;
        else
            hi = mid;
    }
    return step >= s->steps ? s->chains : lo;
}

static vise_status plan_kind(vise_session *s, vise_slot_kind kind, place *all, size_t *total,
                             vise_err *e)
{
    size_t n = 0;
    for (vise_id i = 0; i < s->slots; i++) {
        vise_slot *v = &s->slot[i];
        if (v->kind != kind || v->root != i || v->first > v->last) continue;
        VISE_TRY(measure(s, v, e));
        const bool chains = kind == VISE_SLOT_SHARED;
        all[n++] = (place){v, chains ? chain_at(s, v->first) : v->first,
                           chains ? chain_at(s, v->last) : v->last};
    }
    qsort(all, n, sizeof *all, larger_first);
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        all[i].slot->offset = lowest_gap(&all[i], all, i, all + s->slots);
        size_t end = all[i].slot->offset + all[i].slot->bytes;
        if (end > *total) *total = end;
    }
    return VISE_OK;
}

vise_status vise_plan(vise_session *s, vise_err *e)
{
    place *all;
    VISE_TRY(vise_alloc_or(&all, 2 * s->slots, sizeof *all, "the memory plan", e));
    vise_status st = plan_kind(s, VISE_SLOT_SHARED, all, &s->shared_bytes, e);
    if (!st) st = plan_kind(s, VISE_SLOT_LOCAL, all, &s->local_bytes, e);
    vise_free(all);
    return st;
}
