/* test_base.c - memory, files, threads, random numbers, resampling weights
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "base/cpu.h"
#include "base/pool.h"
#include "base/resample.h"
#include "base/rng.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void test_fail(void **state)
{
    (void)state;
    vise_err e;
    assert_int_equal(vise_fail(&e, VISE_EFORMAT, "%s: %d", "x\n\033[31m", 7), VISE_EFORMAT);
    assert_string_equal(e.msg, "x??[31m: 7"); // a name from a file cannot write on the terminal
    assert_int_equal(vise_fail_in(&e, e.code, "f"), VISE_EFORMAT);
    assert_string_equal(e.msg, "f: x??[31m: 7");
    assert_int_equal(vise_fail(NULL, VISE_EIO, "nobody listens"), VISE_EIO);
}

static void test_alloc(void **state)
{
    (void)state;
    assert_null(vise_alloc(SIZE_MAX, 2)); // the product overflows
    assert_null(vise_alloc(SIZE_MAX - 8, 1));
    for (size_t n = 0; n < 300; n += 37) {
        unsigned char *p = vise_alloc(n, 3);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % VISE_ALIGN, 0);
        for (size_t i = 0; i < n * 3 + VISE_ALIGN; i++)
            assert_int_equal(p[i], 0); // zeroed, and readable past the end
        memset(p, 7, n * 3);
        unsigned char *q = vise_realloc(p, n * 3, n + 5, 7);
        for (size_t i = 0; i < (n + 5) * 7; i++)
            assert_int_equal(q[i], i < n * 3 ? 7 : 0);
        vise_free(q);
    }
    vise_err e;
    void *p = &e;
    vise_alloc_fail_at = 0;
    assert_int_equal(vise_alloc_or(&p, 4, 4, "four", &e), VISE_ENOMEM);
    assert_true(p == &e && strstr(e.msg, "four") && vise_alloc_fail_at == -1);
}

static void test_region_and_arena(void **state)
{
    (void)state;
    vise_region r = {0};
    char *a = vise_region_str(&r, "first");
    for (int i = 0; i < 1000; i++)
        assert_non_null(vise_region_take(&r, 1, 100));
    assert_non_null(vise_region_take(&r, 1, 100000)); // larger than a chunk
    assert_string_equal(a, "first");
    vise_region_free(&r);

    vise_arena m = {0};
    vise_err e;
    assert_null(vise_arena_take(&m, 10, 4));
    assert_null(vise_arena_take(&m, 3, 1));
    MUST(vise_arena_commit(&m, &e));
    char *x = vise_arena_take(&m, 10, 4), *y = vise_arena_take(&m, 3, 1);
    assert_true(x == m.base && y == m.base + VISE_ALIGN);
    vise_free(m.base);
    m = (vise_arena){0};
    vise_arena_take(&m, SIZE_MAX / 2, 4);
    assert_int_equal(vise_arena_commit(&m, &e), VISE_ENOMEM);
}

static void test_out(void **state)
{
    (void)state;
    vise_err e;
    vise_out o;
    char dir[] = "/tmp/vise-base-XXXXXX", path[64], *text;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    MUST(vise_out_open(&o, path, &e));
    vise_out_write(&o, "one", 3);
    assert_int_not_equal(access(path, F_OK), 0);   // not there before it is whole
    assert_true(o.named == !access(o.temp, F_OK)); // and a killed process leaves nothing behind
    MUST(vise_out_commit(&o, &e));
    MUST(vise_out_open(&o, path, &e));
    vise_out_write(&o, "two", 3);
    vise_out_abandon(&o);
    size_t n;
    char part[80]; // a process that was killed left it: gone with the next file
    snprintf(part, sizeof part, "%s.vise-part", path);
    FILE *f = fopen(part, "w");
    assert_true(f && !fclose(f));
    MUST(vise_out_open(&o, path, &e));
    vise_out_write(&o, "one", 3);
    MUST(vise_out_commit(&o, &e));
    assert_int_not_equal(access(part, F_OK), 0);
    MUST(vise_read_text(&text, &n, path, 100, &e));
    assert_true(n == 3 && !strcmp(text, "one")); // the old file is untouched
    vise_free(text);
    assert_int_equal(vise_read_text(&text, &n, path, 2, &e), VISE_EFORMAT);
    vise_map map;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(vise_map_open(&map, path, &e), VISE_EIO); // at once: nobody will ever write
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); // no temporary was left behind
    assert_int_equal(vise_out_open(&o, "/nonexistent/dir/file", &e), VISE_EIO);

    assert_int_equal(vise_map_open(&map, "/nonexistent", &e), VISE_EIO);
    assert_int_equal(vise_map_open(&map, "/tmp", &e), VISE_EIO);
    assert_true(strstr(e.msg, "/tmp: not a regular file") != NULL);
}

typedef struct tally {
    _Atomic size_t hits[1000];
    _Atomic size_t wrong_thread;
    size_t threads;
} tally;

static void hit(void *ctx, size_t task, size_t thread)
{
    tally *t = ctx;
    atomic_fetch_add(&t->hits[task], 1);
    if (thread >= t->threads) atomic_fetch_add(&t->wrong_thread, 1);
}

/* Two pages as if the first were a file: only it is dropped, which empties it. */
static void test_map_drop(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 7, 2 * page);
    const vise_map m = {p, page, p};
    vise_map_drop(&m, p + 1, page - 1); // no whole page
    vise_map_drop(&m, p + page, page);
    assert_true(p[0] == 7 && p[page] == 7);
    vise_map_drop(&m, p, 2 * page);
    assert_true(p[0] == 0 && p[page] == 7);
    munmap(p, 2 * page);
}

static void test_pool(void **state)
{
    (void)state;
    vise_err e;
    for (size_t threads = 1; threads <= 5; threads++) {
        vise_pool *p;
        MUST(vise_pool_new(&p, threads, &e));
        assert_int_equal(vise_pool_threads(p), threads);
        for (size_t round = 0; round < 50; round++) {
            static tally t;
            memset(&t, 0, sizeof t);
            t.threads = threads;
            const size_t n = round * 20;
            vise_pool_run(p, n, hit, &t);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(t.hits[i], i < n ? 1 : 0); // every task once, none twice
            assert_int_equal(t.wrong_thread, 0);
        }
        vise_pool_free(p);
    }
}

/* Longer than threads wait awake: the next run finds them asleep, or on the way there. */
static void idle(void)
{
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < 150000);
}

enum { CELLS = 37 };

/* Plain memory that tasks of one run write and other tasks of the next run read. */
typedef struct waves {
    size_t cell[2][CELLS], tasks, round;
} waves;

static void wave(void *ctx, size_t task, size_t thread)
{
    waves *w = ctx;
    (void)thread;
    const size_t *from = w->cell[w->round % 2];
    w->cell[(w->round + 1) % 2][task] = from[(task + 1) % w->tasks] + 1;
    if (w->round % 512 == 7 && !task) idle(); // the others run out of work and patience
}

static void test_pool_rounds(void **state)
{
    (void)state;
    vise_err e;
    for (size_t threads = 2; threads <= 9; threads += 7) { // and more than there are processors
        vise_pool *p;
        MUST(vise_pool_new(&p, threads, &e));
        for (size_t tasks = 1; tasks <= CELLS; tasks += 9) {
            waves w = {.tasks = tasks};
            for (; w.round < 3000; w.round++) {
                vise_pool_run(p, tasks, wave, &w);
                if (w.round % 512 == 11) idle();
            }
            for (size_t i = 0; i < tasks; i++)
                assert_int_equal(w.cell[w.round % 2][i], w.round);
        }
        vise_pool_free(p);
    }
}

typedef struct meeting {
    _Atomic size_t here;
    size_t wanted;
} meeting;

static void meet(void *ctx, size_t task, size_t thread)
{
    meeting *m = ctx;
    (void)task;
    (void)thread;
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < m->wanted)
        sched_yield();
}

/* Tasks that wait for each other: a run that does not reach that many threads never ends. */
static void test_pool_wakes(void **state)
{
    (void)state;
    vise_err e;
    vise_pool *p;
    MUST(vise_pool_new(&p, 5, &e));
    for (size_t round = 0; round < 2000; round++) {
        meeting m = {.wanted = 1 + round % 5};
        if (round % 16 < 5) idle();
        vise_pool_run(p, m.wanted, meet, &m);
        assert_int_equal(m.here, m.wanted);
    }
    vise_pool_free(p);
}

static void run_inner(void *ctx, size_t task, size_t thread)
{
    vise_pool **inner = ctx;
    (void)thread;
    waves w = {.tasks = CELLS};
    for (; w.round < 50; w.round++)
        vise_pool_run(inner[task], w.tasks, wave, &w);
    for (size_t i = 0; i < w.tasks; i++)
        assert_int_equal(w.cell[w.round % 2][i], w.round);
}

static void test_pools_inside_pools(void **state)
{
    (void)state;
    vise_err e;
    vise_pool *outer, *inner[3];
    MUST(vise_pool_new(&outer, 2, &e));
    for (size_t i = 0; i < 3; i++)
        MUST(vise_pool_new(&inner[i], 1 + i, &e));
    vise_pool_run(outer, 3, run_inner, inner);
    for (size_t i = 0; i < 3; i++)
        vise_pool_free(inner[i]);
    vise_pool_free(outer);
    vise_pool_run(NULL, 0, run_inner, NULL); // nothing to do, nobody to do it
}

static void test_rng(void **state)
{
    (void)state;
    vise_rng a = {0};
    assert_true(vise_rng_u64(&a) == 0xe220a8397b1dcdafu); // splitmix64's published first output
    vise_rng x = vise_rng_named(1, "a"), y = vise_rng_named(1, "b"), z = vise_rng_named(1, "a");
    assert_true(vise_rng_u64(&x) != vise_rng_u64(&y));
    vise_rng_u64(&z);
    assert_true(x.state == z.state);
    double sum = 0, sq = 0;
    enum { N = 100000 };
    for (int i = 0; i < N; i++) {
        float v = vise_rng_normal(&x);
        assert_true(fabsf(v) <= 6);
        sum += (double)v;
        sq += (double)v * (double)v;
    }
    assert_true(fabs(sum / N) < 5 / sqrt(N)); // five standard errors
    assert_true(fabs(sq / N - 1) < 5 * sqrt(2.0 / N));
}

static void test_cpu(void **state)
{
    (void)state;
    vise_err e;
    unsigned mask = 99;
    MUST(vise_cpu_parse(&mask, "c", &e));
    assert_int_equal(mask, 0);
    assert_int_equal(vise_cpu_parse(&mask, "avx9000", &e), VISE_EARG);
    MUST(vise_cpu_parse(&mask, NULL, &e));
    assert_int_equal(mask, vise_cpu_here());
    assert_string_equal(vise_cpu_name(mask), vise_cpu_best());
    assert_true(vise_cpu_cores() >= 1);
}

/* The weights of every output sum to 1, lie inside the line, and are 1 where nothing is resized. */
static void check_taps(const vise_resize *r)
{
    double *w = calloc(vise_taps_max(r), sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < r->out; i++) {
        size_t first;
        const size_t n = vise_taps_at(r, i, &first, w);
        double sum = 0;
        assert_true(n >= 1 && n <= vise_taps_max(r) && first + n <= r->in);
        for (size_t j = 0; j < n; j++)
            sum += w[j];
        if (!(fabs(sum - 1) <= 1e-12)) fail_msg("weights sum to %.17g", sum);
        if (r->in == r->out) assert_true(i >= first && fabs(w[i - first] - 1) <= 1e-12);
    }
    free(w);
}

static void test_resample(void **state)
{
    (void)state;
    for (vise_filter f = VISE_NEAREST; f <= VISE_BICUBIC; f++)
        for (size_t in = 1; in < 20; in++)
            for (size_t out = 1; out < 20; out++)
                for (int anti = 0; anti < 2; anti++)
                    check_taps(&(vise_resize){in, out, f, anti});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_region_and_arena),
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_map_drop),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_rounds),
        cmocka_unit_test(test_pool_wakes),
        cmocka_unit_test(test_pools_inside_pools),
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_resample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
