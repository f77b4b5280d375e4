/* pass.h - a pass: a model goes in, a changed one comes out, and one line of text says how.
 *
 * A pass is a name, a table of options and a function; vise_apply parses the line, runs it and
 * keeps the line in the model's history. Adding one is a file and a row in pass.c.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_PASS_H
#define VISE_COMPRESS_PASS_H

#include "compress/change.h"

/* What a pass can be told, as KEY=VALUE. */
typedef enum vise_pass_kind { // and the type of the field it fills
    VISE_PASS_WORD,           // int: index in words, "one|two|three"
    VISE_PASS_NUMBER,         // double; NaN for "auto"
    VISE_PASS_TEXT,           // const char *, lives as long as the call; "" if not given
} vise_pass_kind;

typedef struct vise_pass_opt {
    const char *key; // NULL ends a table
    vise_pass_kind kind;
    size_t offset; // of the field in the pass's struct
    const char *words;
    const char *def;  // as it would be written; "" for nothing
    const char *help; // what it does, one line
} vise_pass_opt;

typedef struct vise_pass {
    const char *name, *summary;
    const vise_pass_opt *opts;
    size_t opts_size;
    /* Changes c as the options say. Fails with VISE_EARG (options that do not fit the model), or as
     * what it calls; then c is thrown away. */
    vise_status (*apply)(vise_change *c, const void *opts, vise_err *e);
} vise_pass;

/* A line, parsed. */
typedef struct vise_pass_call {
    const vise_pass *pass;
    void *opts;       // of pass->opts_size bytes
    const char *line; // with every option that is not empty, in the table's order
    vise_region texts;
} vise_pass_call;

/* VISE_EARG names what is unknown or twice there, and lists what there is. Released by
 * vise_pass_release in every case. */
vise_status vise_pass_parse(vise_pass_call *c, const char *line, vise_err *e);
void vise_pass_release(vise_pass_call *c);

#endif
