/* profile.h - a measured profile, as the command prints it and the picture shows it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_PROFILE_H
#define VISE_CLI_PROFILE_H

#include "vise.h"

#include <stdio.h>

typedef enum profile_group {
    PROFILE_GEMM,
    PROFILE_ATTENTION,
    PROFILE_REST,
    PROFILE_GROUPS
} profile_group;

extern const char *const profile_group_names[PROFILE_GROUPS];

typedef struct profile_row {
    vise_step_info info;
    profile_group group;
    double ms;   // of a run, median; the time of all threads divided by their number
    double peak; // operations per second of one thread at best; 0: not known
} profile_row;

typedef struct profile {
    const char *model, *cpu;
    size_t threads, batch, runs, rows;
    double run_ms;    // of a whole run, median
    profile_row *row; // [rows]
    double total_ms, group_ms[PROFILE_GROUPS];
    double between_ms; // of a run, median: what is no step's
    uint64_t macs, bytes;
} profile;

/* 1e9 operations per second of all threads, a multiply-add being two. */
double profile_gops(uint64_t macs, double ms);

/* How many characters of a step's name tell the block that it is in: 8 of "blocks.3.attn.qkv"; 0: it
 * is in none. */
size_t profile_block(const char *name);

/* The picture: a bar for every step, in blocks. Self-contained SVG; p is a profile. */
void profile_svg(FILE *f, const void *p);

#endif
