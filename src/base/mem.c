/* mem.c - aligned, checked, zeroed memory
 * SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

_Atomic long vise_alloc_fail_at = -1;
_Atomic long vise_alloc_count;

bool vise_mul_overflows(size_t a, size_t b, size_t *product)
{
    return __builtin_mul_overflow(a, b, product);
}

bool vise_add_overflows(size_t a, size_t b, size_t *sum)
{
    return __builtin_add_overflow(a, b, sum);
}

static bool must_fail(void)
{
    atomic_fetch_add(&vise_alloc_count, 1);
    if (atomic_load(&vise_alloc_fail_at) < 0) return false;
    return atomic_fetch_sub(&vise_alloc_fail_at, 1) == 0;
}

/* A block and, in front of it, where it really starts. calloc knows which pages the system has just
 * given as zeros: they cost nothing until they are used, and a large block grows with its content. */
void *vise_alloc(size_t n, size_t size)
{
    size_t bytes;
    if (vise_mul_overflows(n, size, &bytes) || bytes > SIZE_MAX - 3 * VISE_ALIGN) return NULL;
    if (must_fail()) return NULL;
    char *start = calloc(bytes + 3 * VISE_ALIGN, 1); // to align, for the note, and past the end
    if (!start) return NULL;
    char *p = start + 2 * VISE_ALIGN - (uintptr_t)start % VISE_ALIGN;
    memcpy(p - sizeof start, &start, sizeof start);
    return p;
}

void *vise_realloc(void *p, size_t used, size_t n, size_t size)
{
    void *q = vise_alloc(n, size);
    if (!q) return NULL;
    if (p) memcpy(q, p, used);
    vise_free(p);
    return q;
}

void vise_free(void *p)
{
    char *start;
    if (!p) return;
    memcpy(&start, (char *)p - sizeof start, sizeof start);
    free(start);
}

vise_status vise_alloc_or(void *out, size_t n, size_t size, const char *what, vise_err *e)
{
    void *p = vise_alloc(n, size);
    if (!p)
        return vise_fail(e, VISE_ENOMEM, "out of memory: %s needs %zu x %zu bytes", what, n, size);
    memcpy(out, &p, sizeof p);
    return VISE_OK;
}

char *vise_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = vise_alloc(n, 1);
    return p ? memcpy(p, s, n) : NULL;
}

struct vise_chunk {
    struct vise_chunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

void *vise_region_take(vise_region *r, size_t n, size_t size)
{
    enum { CHUNK = 16384 };
    size_t bytes;
    if (vise_mul_overflows(n, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    bytes = (bytes + 15) / 16 * 16;
    struct vise_chunk *c = r->chunks;
    if (!c || c->size - c->used < bytes) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        c = vise_alloc(1, sizeof *c + room);
        if (!c) return NULL;
        c->size = room;
        c->next = r->chunks;
        r->chunks = c;
    }
    void *p = c->bytes + c->used;
    c->used += bytes;
    r->bytes += bytes;
    return p;
}

char *vise_region_str(vise_region *r, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = vise_region_take(r, n, 1);
    return p ? memcpy(p, s, n) : NULL;
}

void vise_region_free(vise_region *r)
{
    while (r->chunks) {
        struct vise_chunk *next = r->chunks->next;
        vise_free(r->chunks);
        r->chunks = next;
    }
    r->bytes = 0;
}

void *vise_arena_take(vise_arena *a, size_t n, size_t size)
{
    size_t bytes, end;
    if (vise_mul_overflows(n, size, &bytes) || bytes > SIZE_MAX - VISE_ALIGN) {
        a->overflow = true;
        return NULL;
    }
    bytes = (bytes + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
    if (vise_add_overflows(a->used, bytes, &end)) {
        a->overflow = true;
        return NULL;
    }
    void *p = a->base ? a->base + a->used : NULL;
    a->used = end;
    return p;
}

vise_status vise_arena_commit(vise_arena *a, vise_err *e)
{
    if (a->overflow) return vise_fail(e, VISE_ENOMEM, "out of memory: the sizes overflow");
    VISE_TRY(vise_alloc_or(&a->base, a->used, 1, "one block", e));
    a->used = 0;
    return VISE_OK;
}
