/* cache.c - lines in sets, the most recent first
 * SPDX-License-Identifier: MIT */
#include "report/cache.h"

static bool is_power(size_t n)
{
    return n && !(n & (n - 1));
}

vise_status vise_cache_open(vise_cache *c, size_t line, const vise_cache_size size[2], vise_err *e)
{
    *c = (vise_cache){.line = line};
    for (int i = 0; i < 2; i++) {
        vise_cache_level *l = &c->level[i];
        l->ways = size[i].ways;
        l->sets = line && l->ways ? size[i].bytes / line / l->ways : 0;
        if (!is_power(line) || line < 8 || !is_power(l->sets) ||
            l->sets * l->ways * line != size[i].bytes)
            return vise_fail(e, VISE_EARG,
                             "a cache of %zu bytes, lines of %zu and %zu ways: that is no power of "
                             "two of sets",
                             size[i].bytes, line, size[i].ways);
        VISE_TRY(vise_alloc_or(&l->line, l->sets * l->ways, sizeof *l->line, "a cache", e));
    }
    return VISE_OK;
}

void vise_cache_close(vise_cache *c)
{
    vise_free(c->level[0].line);
    vise_free(c->level[1].line);
    *c = (vise_cache){0};
}

/* Brings a line in front of its set. Returns the one that left, or 0; *hit: it was there. */
static uint64_t use(vise_cache_level *l, uint64_t number, bool write, bool *hit)
{
    uint64_t *set = l->line + (number & (l->sets - 1)) * l->ways, tag = (number + 1) << 1;
    size_t at = 0;
    while (at < l->ways - 1 && (set[at] | 1) != (tag | 1))
        at++;
    const uint64_t old = set[at];
    *hit = (old | 1) == (tag | 1);
    tag |= write || (*hit && (old & 1));
    for (; at > 0; at--)
        set[at] = set[at - 1];
    set[0] = tag;
    return *hit ? 0 : old;
}

static void use_second(vise_cache *c, uint64_t number, bool write)
{
    vise_cache_level *l = &c->level[1];
    bool hit;
    const uint64_t left = use(l, number, write, &hit);
    l->missed += !hit;
    l->written += left & 1;
}

void vise_cache_touch(vise_cache *c, const void *p, size_t bytes, bool write)
{
    const uint64_t first = (uintptr_t)p / c->line, last = ((uintptr_t)p + bytes - 1) / c->line;
    for (uint64_t i = first; bytes && i <= last; i++) {
        bool hit;
        const uint64_t left = use(&c->level[0], i, write, &hit);
        if (hit) continue;
        c->level[0].missed++;
        use_second(c, i, false);
        if (!(left & 1)) continue;
        c->level[0].written++;
        use_second(c, (left >> 1) - 1, true);
    }
}
