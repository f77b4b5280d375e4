/* svg.c - what pictures in SVG have in common
 * SPDX-License-Identifier: MIT */
#include "svg.h"
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_ROOM = 4096 };

void svg_begin(FILE *f, size_t width, size_t height)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" viewBox=\"0 0 "
            "%zu %zu\">\n"
            "<style>text{font:11px "
            "sans-serif;fill:#222;stroke:none}text.t{font-size:16px;font-weight:bold}"
            "text.b{font-weight:bold}text.a{fill:#666}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, height, width, height);
}

void svg_text(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n && s[i]; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '&')
            fputs("&amp;", f);
        else if (c == '<')
            fputs("&lt;", f);
        else if (c == '>')
            fputs("&gt;", f);
        else
            fputc(c < 0x20 || c >= 0x7f ? '?' : c, f);
    }
}

/* name: what failures tell of. */
static vise_status write_to(const char *path, const char *name, svg_draw *draw, const void *ctx,
                            vise_err *e)
{
    FILE *f = fopen(path, "w");
    if (!f) return cli_fail(e, VISE_EIO, "%s: cannot write: %s", name, strerror(errno));
    struct stat st;
    const bool regular = !fstat(fileno(f), &st) && S_ISREG(st.st_mode);
    draw(f, ctx);
    const bool lost = ferror(f) != 0;
    if (!fclose(f) && !lost) return VISE_OK;
    const int why = errno;
    if (regular) remove(path); // half a picture is none; a device is not ours to remove
    return cli_fail(e, VISE_EIO, "%s: cannot write: %s", name, strerror(why));
}

vise_status svg_write(const char *path, svg_draw *draw, const void *ctx, vise_err *e)
{
    char part[PATH_ROOM];
    struct stat st;
    const int n = snprintf(part, sizeof part, "%s.vise-part", path);
    const bool device = !stat(path, &st) && !S_ISREG(st.st_mode);
    if (device || n < 0 || (size_t)n >= sizeof part) return write_to(path, path, draw, ctx, e);
    TRY(write_to(part, path, draw, ctx, e));
    if (!rename(part, path)) return VISE_OK;
    const int why = errno;
    remove(part);
    return cli_fail(e, VISE_EIO, "%s: cannot write: %s", path, strerror(why));
}
