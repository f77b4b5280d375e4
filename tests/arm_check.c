/* arm_check.c - the kernel checker as a program without libraries: arm_check LEVEL [KERNEL...]
 *
 * scripts/arm.sh runs it on emulated processors. Fails if LEVEL is not the highest one here, so that
 * a level that is not found, or found where it is not, is a failure, too.
 *
 * SPDX-License-Identifier: MIT */
#include "vise.h"
#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

static void print(void *user, const vise_check_row *row)
{
    bool *reached = user;
    *reached = *reached || row->level == vise_cpu_name(vise_cpu_here());
    printf("%-4s %s/%s%s%s\n", row->failure ? "FAIL" : "ok", row->kernel, row->level,
           row->failure ? ": " : "", row->failure ? row->failure : "");
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    const char *here = vise_cpu_name(vise_cpu_here());
    if (strcmp(here, argv[1]) != 0) {
        printf("FAIL this processor's level is %s, not %s\n", here, argv[1]);
        return 1;
    }
    vise_err e;
    size_t failed = 0, of_one;
    bool reached = false;
    for (int i = argc > 2 ? 2 : 1; i < argc; i++) {
        const vise_check_opts opts = {
            .kernel = argc > 2 ? argv[i] : NULL, .report = print, .user = &reached};
        if (vise_check(&of_one, &opts, &e)) {
            printf("FAIL %s\n", e.msg);
            return 1;
        }
        failed += of_one;
    }
    if (!reached) printf("FAIL no kernel of %s was checked\n", here);
    return failed || !reached;
}
