/* test_kern.c - the kernel checker on every CPU level of this machine, the benchmark, and how both
 * fail
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "base/cpu.h"
#include "base/mem.h"

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
    const size_t rounds = getenv("VISE_TEST_QUICK") ? 50 : 0; // 0: as many as the checker likes
    MUST(vise_check(&failed, &(vise_check_opts){.rounds = rounds, .report = print, .user = &rows},
                    &e));
    assert_int_equal(failed, 0);
    const vise_check_opts list = {.list = true, .report = print, .user = &listed};
    MUST(vise_check(&failed, &list, &e));
    assert_true(rows == listed && rows >= 17);
}

/* With a level, one row per kernel: what that level uses. */
static void test_one_level(void **state)
{
    (void)state;
    vise_err e;
    size_t failed, all = 0, one = 0, plain = 0;
    MUST(vise_check(&failed,
                    &(vise_check_opts){.cpu = "auto", .list = true, .report = print, .user = &all},
                    &e));
    MUST(vise_check(
        &failed, &(vise_check_opts){.cpu = "c", .rounds = 1, .report = print, .user = &plain}, &e));
    MUST(vise_check(
        &failed,
        &(vise_check_opts){.cpu = "c", .kernel = "gelu", .seed = 5, .report = print, .user = &one},
        &e));
    assert_true(all == 25 && plain == 25 && one == 1 && !failed);
}

static void test_refuse(void **state)
{
    (void)state;
    vise_err e;
    size_t failed;
    assert_int_equal(vise_check(&failed, &(vise_check_opts){.kernel = "none"}, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "none"));
    assert_int_equal(vise_check(&failed, &(vise_check_opts){.cpu = "sse9"}, &e), VISE_EARG);
    vise_alloc_fail_at = 0;
    assert_int_equal(vise_check(&failed, NULL, &e), VISE_ENOMEM);
    assert_int_equal(vise_alloc_fail_at, -1);
}

static void sane(void *user, const vise_bench_row *r)
{
    size_t *rows = user;
    ++*rows;
    assert_true(r->us > 0 && r->best >= r->median && r->median > 0 && r->peak > 0);
    assert_true(r->m && r->n && r->k && r->weights && *r->instruction && *r->level);
    assert_string_equal(r->type, "s8");
}

static void test_bench(void **state)
{
    (void)state;
    vise_err e;
    size_t rows = 0;
    vise_bench_opts opts = {.type = "s8", .runs = 2, .report = sane, .user = &rows};
    MUST(vise_bench_kernels(&opts, &e));
    assert_int_equal(rows, 20);
    for (long i = 0; i < 3; i++) {
        vise_alloc_fail_at = i;
        assert_int_equal(vise_bench_kernels(&opts, &e), VISE_ENOMEM);
        assert_int_equal(vise_alloc_fail_at, -1);
    }
    opts.type = "f64";
    assert_int_equal(vise_bench_kernels(&opts, &e), VISE_EARG);
    assert_int_equal(rows, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_one_level),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_bench),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
