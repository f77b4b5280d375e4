/* opt.h - options as tables: one table gives the parser and the help text.
 *
 * --name value and --name=value are the same, -- ends the options, -h and --help ask for help.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_OPT_H
#define VISE_CLI_OPT_H

#include "vise.h"

#include <stdio.h>

typedef struct opt_size {
    uint32_t height, width; // 0: not given
} opt_size;

typedef struct opt_rgb {
    float v[3];
    bool given;
} opt_rgb;

enum { OPT_MAX_TEXTS = 16 };

typedef struct opt_texts {
    const char *item[OPT_MAX_TEXTS]; // borrowed from the command line
    size_t n;
} opt_texts;

typedef enum opt_kind { // and the type of the field it fills
    OPT_FLAG,           // bool
    OPT_COUNT,          // size_t; may end in K (thousand) or M (million)
    OPT_BYTES,          // size_t; may end in K, M, G (1000 each) or Ki, Mi, Gi (1024)
    OPT_U32,            // uint32_t
    OPT_U64,            // uint64_t
    OPT_REAL,           // double, finite and above 0
    OPT_TEXT,           // const char *, borrowed from the command line
    OPT_TEXTS,          // opt_texts: may be given again, up to OPT_MAX_TEXTS times
    OPT_SIZE,           // opt_size: "HxW", or "N" for both
    OPT_RGB,            // opt_rgb: "a,b,c", or "a" for all three
    OPT_WORD,           // unsigned: 1 + the index in arg, a list "one|two|three"
} opt_kind;

typedef struct opt {
    const char *name; // without the dashes; NULL ends a table
    opt_kind kind;
    size_t offset;   // of the field in the struct that the table fills
    const char *arg; // what the help calls the value; NULL for flags
    const char *help;
    uint64_t min; // of OPT_COUNT, OPT_BYTES and OPT_U32
} opt;

typedef struct opt_group {
    const char *title; // heading in the help
    const opt *table;  // may be NULL
    void *into;        // the struct that the table fills; not used by opt_print
} opt_group;

/* Parses args and moves what is not an option to its front.
 *   args   inout  [*nargs]
 *   help   out    help was asked for; nothing after it was parsed
 * Fails with VISE_EARG, naming the option. */
vise_status opt_parse(const opt_group *groups, size_t ngroups, size_t *nargs, char **args,
                      bool *help, vise_err *e);

/* The help text of a group; nothing for an empty one. */
void opt_print(FILE *f, const opt_group *g);

/* Prints text with lines broken at column 80, continued at column indent; the first line is
 * already at column. Newlines in text stay. */
void opt_wrap(FILE *f, const char *text, size_t column, size_t indent);

/* How many letters lie between a and b: changed, missing, added or swapped. For suggestions. */
size_t opt_distance(const char *a, const char *b);

#endif
