/* mutant.c - the kernel checker for scripts/mutate.sh: mutant levels, or mutant KERNEL [ROUNDS]
 *
 * Exit status 0: every level's KERNEL ("all": all) is in order; 1: one is not, and why is printed;
 * 2: it could not be checked.
 *
 * SPDX-License-Identifier: MIT */
#include "vise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(void *user, const vise_check_row *row)
{
    if (!user) printf("%s\n", row->level);
    if (row->failure) printf("%s/%s: %s\n", row->kernel, row->level, row->failure);
}

int main(int argc, char **argv)
{
    vise_err e;
    size_t failed;
    if (argc < 2) return 2;
    const bool list = !strcmp(argv[1], "levels");
    const vise_check_opts opts = {.kernel = list || !strcmp(argv[1], "all") ? NULL : argv[1],
                                  .list = list,
                                  .user = list ? NULL : argv,
                                  .rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0,
                                  .report = print};
    if (vise_check(&failed, &opts, &e)) {
        fprintf(stderr, "mutant: %s\n", e.msg);
        return 2;
    }
    return failed != 0;
}
