/* mem.h - the only calls to the system allocator, and arenas.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_MEM_H
#define VISE_BASE_MEM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VISE_ALIGN = 64 }; // bytes; every block starts on a multiple

/* n * size zeroed bytes, 64-byte aligned, with VISE_ALIGN readable bytes past the end; NULL when
 * memory is short or the product overflows. n or size may be 0. Release with vise_free. */
void *vise_alloc(size_t n, size_t size);
/* A block of at least n * size bytes that starts with the old one's used bytes. p may be NULL. On
 * failure NULL, and p is untouched. The new bytes are zero. */
void *vise_realloc(void *p, size_t used, size_t n, size_t size);
void vise_free(void *p); // p may be NULL

/* As vise_alloc, and a failure is a message: what is the thing that did not fit. */
vise_status vise_alloc_or(void *out, size_t n, size_t size, const char *what, vise_err *e);

char *vise_strdup(const char *s); // NULL when memory is short

/* Tests: allocation number vise_alloc_fail_at (0 = the next) fails, then the counter is -1 again.
 * vise_alloc_count counts every call. Neither is read or written in ordinary use by other code. */
extern _Atomic long vise_alloc_fail_at;
extern _Atomic long vise_alloc_count;

bool vise_mul_overflows(size_t a, size_t b, size_t *product);
bool vise_add_overflows(size_t a, size_t b, size_t *sum);

/* A growing region that is freed at once: many small objects that live as long as their owner. */
typedef struct vise_region {
    struct vise_chunk *chunks; // newest first
    size_t bytes;              // handed out
} vise_region;

void *vise_region_take(vise_region *r, size_t n, size_t size); // zeroed; NULL when memory is short
char *vise_region_str(vise_region *r, const char *s);          // copy; NULL when memory is short
void vise_region_free(vise_region *r);

/* One block laid out twice: first with base == NULL to measure, then for real. The same layout
 * function does both, so sizes and addresses cannot disagree. */
typedef struct vise_arena {
    char *base;
    size_t used;
    bool overflow;
} vise_arena;

void *vise_arena_take(vise_arena *a, size_t n, size_t size); // NULL while measuring
/* Allocates what was measured and rewinds. Fails with VISE_ENOMEM, naming the bytes. */
vise_status vise_arena_commit(vise_arena *a, vise_err *e);

#endif
