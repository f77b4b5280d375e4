/* check_tools.c - the kernel checker's buffers, random shapes and findings
 * SPDX-License-Identifier: MIT */
#include "kern/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- findings ---- */

void vise_check_shape(vise_checker *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->board->shape, sizeof t->board->shape, fmt, ap);
    va_end(ap);
}

void vise_check_fail(vise_checker *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->board->failure, sizeof t->board->failure, fmt, ap);
    va_end(ap);
    _exit(1);
}

void vise_check_near(vise_checker *t, float got, double want, double tol, size_t row, size_t col)
{
    const double x = (double)got;
    t->board->checks++;
    if (isnan(want) ? isnan(x) : isinf(want) ? x == want : fabs(x - want) <= tol) return;
    vise_check_fail(t, "[%zu, %zu] is %.9g, not %.9g within %.3g", row, col, x, want, tol);
}

static bool same_bits(float x, float y)
{
    uint32_t a, b;
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    return a == b;
}

void vise_check_same(vise_checker *t, float got, float want, size_t row, size_t col)
{
    t->board->checks++;
    if (isnan(want) ? isnan(got) : same_bits(got, want)) return;
    vise_check_fail(t, "[%zu, %zu] is %.9g, not exactly %.9g", row, col, (double)got, (double)want);
}

void vise_check_code(vise_checker *t, long got, long want, size_t row, size_t col)
{
    t->board->checks++;
    if (got != want) vise_check_fail(t, "[%zu, %zu] is %ld, not %ld", row, col, got, want);
}

/* ---- buffers ---- */

static void protect(vise_checker *t, char *from, size_t n, int how)
{
    if (mprotect(from, n, how)) vise_check_fail(t, "the checker cannot protect its pages");
}

static char *take(vise_checker *t, size_t n, size_t align, bool input)
{
    const size_t page = t->page, pages = (n + align + page - 1) / page * page;
    if (!t->used) { // a new round
        t->nbufs = 0;
        protect(t, t->base, t->size, PROT_READ | PROT_WRITE);
        protect(t, t->base, page, PROT_NONE);
        t->used = page;
    }
    if (t->nbufs == VISE_CHECK_BUFS || pages + page > t->size - t->used)
        vise_check_fail(t, "the checker's own memory is too small");
    vise_check_buf *b = &t->buf[t->nbufs++];
    *b = (vise_check_buf){.from = t->base + t->used, .bytes = n, .input = input};
    b->to = b->from + pages;
    b->p = b->from;
    if (vise_check_pick(t, 4)) // the end at an unreadable page; else the start
        b->p += (pages - n) / align * align;
    memset(b->from, t->canary, pages);
    protect(t, b->to, page, PROT_NONE);
    t->used += pages + page;
    return b->p;
}

void *vise_check_out(vise_checker *t, size_t n, size_t align)
{
    return take(t, n, align, false);
}

void *vise_check_in(vise_checker *t, size_t n, size_t align)
{
    return take(t, n, align, true);
}

void vise_check_seal(vise_checker *t)
{
    for (size_t i = 0; i < t->nbufs; i++) {
        vise_check_buf *b = &t->buf[i];
        if (b->input && !b->sealed) protect(t, b->from, (size_t)(b->to - b->from), PROT_READ);
        b->sealed = true;
    }
}

static void untouched(vise_checker *t, const char *from, const char *to, const char *where)
{
    for (const char *p = from; p < to; p++)
        if ((unsigned char)*p != t->canary)
            vise_check_fail(t, "byte %zu %s was written", (size_t)(p - from), where);
    t->board->checks++;
}

void vise_check_edges(vise_checker *t)
{
    for (size_t i = 0; i < t->nbufs; i++) {
        const vise_check_buf *b = &t->buf[i];
        if (b->input) continue;
        untouched(t, b->from, b->p, "of the page before an output");
        untouched(t, b->p + b->bytes, b->to, "behind an output");
    }
}

void vise_check_gaps(vise_checker *t, const void *p, size_t used, size_t ld, size_t rows)
{
    for (size_t r = 0; r + 1 < rows; r++)
        untouched(t, (const char *)p + r * ld + used, (const char *)p + (r + 1) * ld,
                  "behind a row of an output");
}

/* ---- random shapes and numbers ---- */

size_t vise_check_pick(vise_checker *t, size_t n)
{
    return (size_t)(vise_rng_u64(&t->rng) % n);
}

size_t vise_check_extent(vise_checker *t, size_t most, size_t tile)
{
    static const size_t edge[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65};
    size_t n = 0;
    switch (vise_check_pick(t, 4)) {
    case 0:
        n = edge[vise_check_pick(t, sizeof edge / sizeof *edge)];
        break;
    case 1:
        n = tile * (1 + vise_check_pick(t, 4)) + vise_check_pick(t, 3) - 1;
        break;
    }
    return n && n <= most ? n : 1 + vise_check_pick(t, most);
}

void vise_check_fill(vise_checker *t, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t kind = vise_check_pick(t, 64);
        x[i] = vise_rng_normal(&t->rng);
        if (kind == 0) x[i] = 0;
        if (kind == 1) x[i] *= 1e-20f;
        if (kind == 2) x[i] *= 1e4f;
        if (kind == 3) x[i] *= 1e-39f;
    }
}
