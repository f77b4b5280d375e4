/* table.c - aligned columns and readable numbers
 * SPDX-License-Identifier: MIT */
#include "table.h"
#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_add(table *t, const char *fmt, ...)
{
    if (t->count == t->room) {
        const size_t room = t->room ? 2 * t->room : 64;
        char **p = room <= SIZE_MAX / sizeof *p ? realloc(t->cell, room * sizeof *p) : NULL;
        if (!p) cli_no_memory();
        t->cell = p;
        t->room = room;
    }
    char text[1024]; // a longer cell would help nobody, and is cut
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const size_t n = strlen(text);
    char *s = cli_alloc(n + 1, 1);
    for (size_t i = 0; i < n; i++)
        s[i] = (char)((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]);
    t->cell[t->count++] = s;
}

/* Characters of UTF-8 text: all bytes but those that continue one. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_print(FILE *f, table *t)
{
    size_t width[TABLE_MAX_COLUMNS] = {0};
    const size_t columns = strlen(t->align);
    for (size_t i = 0; i < t->count; i++) {
        const size_t w = width_of(t->cell[i]);
        if (w > width[i % columns]) width[i % columns] = w;
    }
    for (size_t i = 0; i < t->count; i++) {
        const size_t c = i % columns;
        const int blanks = (int)(width[c] - width_of(t->cell[i]));
        const bool left = t->align[c] == 'l', last = c + 1 == columns;
        fprintf(f, "%*s%s%*s%s", left ? 0 : blanks, "", t->cell[i], left && !last ? blanks : 0, "",
                last ? "\n" : "  ");
    }
    table_clear(t);
}

void table_clear(table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cell[i]);
    free(t->cell);
    *t = (table){.align = t->align};
}

const char *table_commas(char buf[TABLE_NUMBER], uint64_t n)
{
    char digits[TABLE_NUMBER];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = buf;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) *p++ = ',';
        *p++ = digits[i];
    }
    *p = 0;
    return buf;
}

const char *table_short(char buf[TABLE_NUMBER], uint64_t n, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    double v = (double)n;
    size_t i = 0;
    for (; v >= 999.95 && i < 6; i++)
        v /= 1000;
    if (i)
        snprintf(buf, TABLE_NUMBER, "%.*f %s%s", v < 10 ? 3 : v < 100 ? 2 : 1, v, prefix[i], unit);
    else
        snprintf(buf, TABLE_NUMBER, "%" PRIu64 "%s%s", n, *unit ? " " : "", unit);
    return buf;
}

const char *table_shape(char buf[TABLE_SHAPE], const vise_shape *s)
{
    size_t used = 0;
    snprintf(buf, TABLE_SHAPE, "1");
    for (uint32_t i = 0; i < s->rank && i < VISE_MAX_RANK; i++)
        used += (size_t)snprintf(buf + used, TABLE_SHAPE - used, "%s%zu", i ? "x" : "", s->dim[i]);
    return buf;
}
