/* svg.h - what pictures in SVG have in common.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_SVG_H
#define VISE_CLI_SVG_H

#include "vise.h"

#include <stdio.h>

/* The start of a picture in pixels, white, with the styles t: title, b: bold, a: axis. */
void svg_begin(FILE *f, size_t width, size_t height);
/* At most n bytes of a file's making: what XML gives a meaning to is written as such. */
void svg_text(FILE *f, const char *s, size_t n);

/* Writes a file by draw; it appears whole, or what was there stays. VISE_EIO, naming path. */
typedef void svg_draw(FILE *f, const void *ctx);
vise_status svg_write(const char *path, svg_draw *draw, const void *ctx, vise_err *e);

#endif
