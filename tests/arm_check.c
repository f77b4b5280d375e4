/* arm_check.c - the kernel checker as a program without libraries: arm_check LEVEL [KERNEL...]
 *
 * scripts/arm.sh runs it on emulated processors. Fails if LEVEL is not the highest one here, so that
 * a level that is not found, or found where it is not, is a failure, too.
 *
 * SPDX-License-Identifier: MIT */
#include "vise.h"
#include "base/cpu.h"
#include "int_chain.h"
#include "int_network.h"

#include <stdio.h>
#include <string.h>

static void print(void *user, const vise_check_row *row)
{
    bool *reached = user;
    *reached = *reached || row->level == vise_cpu_name(vise_cpu_here());
    printf("%-4s %s/%s%s%s\n", row->failure ? "FAIL" : "ok", row->kernel, row->level,
           row->failure ? ": " : "", row->failure ? row->failure : "");
}

/* Do integer kernels end in the bits that other processors have? */
static bool chain_differs(void)
{
    static int_chain_job job;
    vise_kern k;
    vise_kern_init(&k, vise_cpu_here());
    const uint32_t got = int_chain(&k, &job);
    const bool same = got == INT_CHAIN_BITS;
    printf("%-4s int_chain/%s: 0x%08x\n", same ? "ok" : "FAIL", vise_cpu_name(vise_cpu_here()),
           got);
    return !same;
}

/* Do networks of integers? By every level of this processor, with one thread and with three. */
static size_t networks_differ(void)
{
    static int_network t;
    size_t different = 0;
    for (size_t i = 0; i < INT_NETWORKS; i++) {
        vise_status s = int_network_new(&t, &int_networks[i]);
        for (size_t l = 0; vise_cpu_level(l); l++) {
            unsigned mask;
            if (vise_cpu_parse(&mask, vise_cpu_level(l), NULL)) continue;
            for (size_t threads = 1; threads <= 3; threads += 2) {
                const vise_session_opts o = {threads, threads, .cpu = vise_cpu_level(l)};
                uint32_t got = 0;
                if (!s) s = int_network_hash(&got, &t, &o, &t.e);
                const bool same = !s && got == int_networks[i].bits;
                printf("%-4s int_network %zu/%s, %zu threads: 0x%08x%s%s\n", same ? "ok" : "FAIL",
                       i, o.cpu, threads, got, s ? " " : "", s ? t.e.msg : "");
                different += !same;
            }
        }
        int_network_free(&t);
    }
    return different;
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
    size_t failed = chain_differs() + networks_differ(), of_one;
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
