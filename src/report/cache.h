/* cache.h - two levels of a cache, exactly: which lines a stream of addresses fetches and gives back.
 *
 * Set-associative, least recently used line first out, written lines are fetched first and written back
 * when they leave (write-allocate, write-back). The second level sees only what the first misses, as in
 * valgrind's cachegrind.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_REPORT_CACHE_H
#define VISE_REPORT_CACHE_H

#include "base/mem.h"

typedef struct vise_cache_level {
    size_t sets, ways;
    uint64_t *line;           // [sets, ways] the most recent first; 0: empty. Bit 0: written to
    uint64_t missed, written; // lines fetched, and given back
} vise_cache_level;

typedef struct vise_cache {
    size_t line; // bytes
    vise_cache_level level[2];
} vise_cache;

typedef struct vise_cache_size {
    size_t bytes, ways;
} vise_cache_size;

/* VISE_EARG: sets or lines that are no powers of two, or nothing at all. */
vise_status vise_cache_open(vise_cache *c, size_t line, const vise_cache_size size[2], vise_err *e);
void vise_cache_close(vise_cache *c); // safe on a zeroed one
void vise_cache_touch(vise_cache *c, const void *p, size_t bytes, bool write);

#endif
