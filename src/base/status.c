/* status.c - messages of failures
 * SPDX-License-Identifier: MIT */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef vise_fail // the stand-in for the analyzer

/* Control bytes in a message (a hostile path or name) would let a file write on the terminal. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

vise_status vise_fail(vise_err *e, vise_status code, const char *fmt, ...)
{
    if (!e) return code;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    make_printable(e->msg);
    return code;
}

vise_status vise_fail_in(vise_err *e, vise_status s, const char *prefix)
{
    if (!e || !s) return s;
    vise_err inner = *e;
    return vise_fail(e, s, "%s: %s", prefix, inner.msg);
}

void vise_bug(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("vise: internal error: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
