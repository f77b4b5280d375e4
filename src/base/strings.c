/* strings.c - a growing list of texts
 * SPDX-License-Identifier: MIT */
#include "base/strings.h"

#include <stdarg.h>
#include <stdio.h>

vise_status vise_strings_add(vise_strings *l, const char *text, vise_err *e)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        const char **p = vise_realloc(l->item, l->count * sizeof *p, room, sizeof *p);
        if (!p) return vise_fail(e, VISE_ENOMEM, "out of memory: a list of %zu texts", room);
        l->item = p;
        l->room = room;
    }
    const char *copy = vise_region_str(&l->texts, text);
    if (!copy) return vise_fail(e, VISE_ENOMEM, "out of memory: a list of texts");
    l->item[l->count++] = copy;
    return VISE_OK;
}

vise_status vise_strings_addf(vise_strings *l, vise_err *e, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return vise_strings_add(l, text, e);
}

void vise_strings_free(vise_strings *l)
{
    vise_free(l->item);
    vise_region_free(&l->texts);
    *l = (vise_strings){0};
}
