/* plan.c - places in one block for values that are alive at different times
 *
 * Larger values first, each at the lowest offset where it meets no value that is alive at the same
 * time: the greedy-by-size heuristic of Pisarchyk and Lee, "Efficient Memory Management for Deep
 * Neural Net Inference", 2020.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <stdlib.h>

typedef struct place {
    vise_slot *slot;
    size_t bytes;
} place;

static int larger_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->slot < y->slot ? -1 : x->slot > y->slot; // deterministic
}

static int lower_offset(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->slot->offset != y->slot->offset) return x->slot->offset < y->slot->offset ? -1 : 1;
    return 0;
}

static bool alive_together(const vise_slot *a, const vise_slot *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest gap among the placed [n] that are alive with p. clash is room for n. */
static size_t lowest_gap(const place *p, const place *placed, size_t n, place *clash)
{
    size_t m = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        if (alive_together(p->slot, placed[i].slot)) clash[m++] = placed[i];
    qsort(clash, m, sizeof *clash, lower_offset);
    for (size_t i = 0; i < m; i++) {
        if (clash[i].slot->offset >= at + p->bytes) break;
        size_t end = clash[i].slot->offset + clash[i].bytes;
        if (end > at) at = end;
    }
    return at;
}

vise_status vise_plan(vise_session *s, vise_err *e)
{
    place *all;
    size_t n = 0;
    VISE_TRY(vise_alloc_or(&all, 2 * s->slots, sizeof *all, "the memory plan", e));
    vise_status st = VISE_OK;
    for (vise_id i = 0; !st && i < s->slots; i++) {
        vise_slot *v = &s->slot[i];
        if (v->kind != VISE_SLOT_SHARED || v->root != i) continue;
        size_t bytes = vise_shape_count(&v->shape) * sizeof(float); // count <= VISE_MAX_COUNT
        if (vise_mul_overflows(bytes, v->batched ? s->batch : 1, &bytes) || bytes > (size_t)1 << 46)
            st = vise_fail(e, VISE_ENOMEM, "a value of %zu floats for %zu images does not fit",
                           vise_shape_count(&v->shape), s->batch);
        else
            all[n++] = (place){v, (bytes + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN};
    }
    qsort(all, n, sizeof *all, larger_first);
    s->shared_bytes = 0;
    for (size_t i = 0; !st && i < n; i++) {
        all[i].slot->offset = lowest_gap(&all[i], all, i, all + s->slots);
        size_t end = all[i].slot->offset + all[i].bytes;
        if (end > s->shared_bytes) s->shared_bytes = end;
    }
    vise_free(all);
    return st;
}
