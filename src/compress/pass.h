/* pass.h - a pass: a model goes in, a changed one comes out, and one line of text says how.
 *
 * A pass is a name, a table of options and a function; vise_apply parses the line, runs it and
 * keeps the line in the model's history. Adding one is a file and a row in pass.c.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_PASS_H
#define VISE_COMPRESS_PASS_H

#include "model/change.h"
#include "model/line.h"

typedef struct vise_pass {
    const char *name, *summary;
    const vise_line_opt *opts;
    size_t opts_size;
    /* Changes c as the options say. Fails with VISE_EARG (options that do not fit the model), or as
     * what it calls; then c is thrown away. */
    vise_status (*apply)(vise_change *c, const void *opts, vise_err *e);
} vise_pass;

/* A line "NAME KEY=VALUE ..." and the pass of that name. VISE_EARG; *l is released in every case. */
vise_status vise_pass_parse(const vise_pass **p, vise_line *l, const char *text, vise_err *e);

#endif
