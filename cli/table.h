/* table.h - text for people: aligned columns, large numbers.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_TABLE_H
#define VISE_CLI_TABLE_H

#include "vise.h"

#include <stdio.h>

enum { TABLE_MAX_COLUMNS = 12 };

/* Cells by rows. Starts as {.align = "lrr"}: one letter a column, left or right. */
typedef struct table {
    const char *align; // at most TABLE_MAX_COLUMNS letters
    char **cell;
    size_t count, room;
} table;

/* The next cell, as printf; control bytes are shown as '?'. */
void table_add(table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the rows, two blanks between columns, and empties the table. */
void table_print(FILE *f, table *t);
void table_clear(table *t);

/* 5717416 as "5,717,416"; 1254000000 with unit "B" as "1.254 GB". Returns buf. */
enum { TABLE_NUMBER = 32 };
const char *table_commas(char buf[TABLE_NUMBER], uint64_t n);
const char *table_short(char buf[TABLE_NUMBER], uint64_t n, const char *unit);

/* "197x192" of a shape, "1" of a scalar. Returns buf. */
enum { TABLE_SHAPE = 24 * VISE_MAX_RANK };
const char *table_shape(char buf[TABLE_SHAPE], const vise_shape *s);

#endif
