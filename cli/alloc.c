/* alloc.c - memory of the command: what it cannot have ends it
 * SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

void *cli_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) cli_no_memory();
    return p;
}

void cli_no_memory(void)
{
    fputs("vise: out of memory\n", stderr);
    exit(1);
}
