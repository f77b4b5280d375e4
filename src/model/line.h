/* line.h - options as a line of text, KEY=VALUE KEY=VALUE ..., by a table.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_LINE_H
#define VISE_MODEL_LINE_H

#include "base/strings.h"

typedef enum vise_line_kind { // and the type of the field it fills
    VISE_LINE_WORD,           // int: index in words, "one|two|three"
    VISE_LINE_NUMBER,         // double; NaN for "auto"
    VISE_LINE_TEXT,           // const char *, lives as long as the line; "" if not given
} vise_line_kind;

typedef struct vise_line_opt {
    const char *key; // NULL ends a table
    vise_line_kind kind;
    size_t offset; // of the field in the struct that the table fills
    const char *words;
    const char *def;  // as it would be written; "" for nothing
    const char *help; // what it does, one line
} vise_line_opt;

typedef struct vise_line {
    const char *name, *text; // text: name and every option that is not empty, in the table's order
    void *opts;              // of the size asked for
    vise_region texts;
} vise_line;

/* The first word of text, ended by a 0 in a buffer of VISE_LINE_NAME bytes. */
enum { VISE_LINE_NAME = 88 };
const char *vise_line_first(char buf[VISE_LINE_NAME], const char *text);
/* text: "NAME KEY=VALUE ..."; the table is that of NAME, and fills size bytes. VISE_EARG names what is
 * unknown or twice there, and lists what there is. Released by vise_line_release in every case. */
vise_status vise_line_parse(vise_line *l, const char *text, const vise_line_opt *table, size_t size,
                            vise_err *e);
void vise_line_release(vise_line *l);

/* The next of a list of patterns that commas separate, which goes on behind it; "" at the end. VISE_EARG,
 * with what in front of the list: an empty pattern or one that is longer than any name. */
enum { VISE_LINE_PATTERN = 513 };
vise_status vise_line_pattern(char pattern[VISE_LINE_PATTERN], const char **list, const char *what,
                              vise_err *e);

#endif
