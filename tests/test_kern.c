/* test_kern.c - the kernel checker: every kernel at every CPU level of this machine, and its own
 * failures
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "base/cpu.h"

#include <string.h>

static void print(void *user, const vise_check_row *row)
{
    size_t *rows = user;
    ++*rows;
    if (row->failure) printf("%s/%s: %s\n", row->kernel, row->level, row->failure);
}

static void test_kernels(void **state)
{
    (void)state;
    vise_err e;
    size_t failed, rows = 0, listed = 0;
    for (size_t i = 0; vise_cpu_level(i); i++) {
        unsigned mask;
        if (vise_cpu_parse(&mask, vise_cpu_level(i), NULL))
            printf("SKIP: this machine does not run %s\n", vise_cpu_level(i));
    }
    MUST(vise_check(&failed, &(vise_check_opts){.report = print, .user = &rows}, &e));
    assert_int_equal(failed, 0);
    MUST(vise_check(&failed, &(vise_check_opts){.list = true, .report = print, .user = &listed},
                    &e));
    assert_true(rows == listed && rows >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
