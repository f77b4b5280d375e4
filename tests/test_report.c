/* test_report.c - caches against a list of lines in order, devices from files, and what a run costs
 * SPDX-License-Identifier: MIT */
#include "edit.h"
#include "report/cache.h"
#include "tiny.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- caches ---- */

/* Every line that is there, with the time of its last use. */
typedef struct plain {
    size_t sets, ways, lines, missed, written;
    uint64_t line[64], time[64];
    bool dirty[64];
} plain;

/* As cache.h says; *left is the dirty line that had to go, or UINT64_MAX. */
static bool plain_use(plain *p, uint64_t line, bool write, uint64_t now, uint64_t *left)
{
    size_t oldest = SIZE_MAX, there = 0;
    *left = UINT64_MAX;
    for (size_t i = 0; i < p->lines; i++) {
        if (p->line[i] % p->sets != line % p->sets) continue;
        there++;
        if (p->line[i] == line) {
            p->time[i] = now;
            p->dirty[i] |= write;
            return true;
        }
        if (oldest == SIZE_MAX || p->time[i] < p->time[oldest]) oldest = i;
    }
    if (there < p->ways)
        oldest = p->lines++;
    else if (p->dirty[oldest])
        *left = p->line[oldest];
    p->line[oldest] = line;
    p->time[oldest] = now;
    p->dirty[oldest] = write;
    return false;
}

static void plain_second(plain *p, uint64_t line, bool write, uint64_t now)
{
    uint64_t left;
    p->missed += !plain_use(p, line, write, now, &left);
    p->written += left != UINT64_MAX;
}

static void check_stream(size_t spread, const vise_cache_size size[2])
{
    enum { LINE = 32 };
    vise_err e;
    vise_cache c;
    plain p[2] = {{.sets = size[0].bytes / LINE / size[0].ways, .ways = size[0].ways},
                  {.sets = size[1].bytes / LINE / size[1].ways, .ways = size[1].ways}};
    vise_rng r = vise_rng_named(spread, "addresses");
    MUST(vise_cache_open(&c, LINE, size, &e));
    uint64_t now = 0;
    for (size_t t = 0; t < 4000; t++) {
        const uint64_t at = vise_rng_u64(&r) % spread, bytes = vise_rng_u64(&r) % 100;
        const bool write = vise_rng_u64(&r) & 1;
        vise_cache_touch(&c, (const void *)(uintptr_t)at, bytes, write);
        for (uint64_t l = at / LINE; bytes && l <= (at + bytes - 1) / LINE; l++) {
            uint64_t left;
            if (plain_use(&p[0], l, write, ++now, &left)) continue;
            p[0].missed++;
            plain_second(&p[1], l, false, ++now);
            if (left == UINT64_MAX) continue;
            p[0].written++;
            plain_second(&p[1], left, true, ++now);
        }
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(c.level[i].missed, p[i].missed);
        assert_int_equal(c.level[i].written, p[i].written);
    }
    vise_cache_close(&c);
}

static void test_cache(void **state)
{
    (void)state;
    static const vise_cache_size sizes[][2] = {
        {{256, 1}, {1024, 4}}, {{512, 16}, {2048, 2}}, {{128, 2}, {512, 16}}};
    for (size_t i = 0; i < 3; i++)
        for (size_t spread = 200; spread < 20000; spread *= 3)
            check_stream(spread, sizes[i]);
}

static void test_odd_caches(void **state)
{
    (void)state;
    static const struct {
        size_t line;
        vise_cache_size size[2];
    } wrong[] = {{48, {{480, 2}, {960, 2}}},   {64, {{0, 2}, {1024, 2}}},
                 {64, {{1024, 0}, {1024, 2}}}, {64, {{1024, 2}, {3 * 1024, 4}}},
                 {64, {{1024, 2}, {1000, 2}}}, {0, {{1024, 2}, {1024, 2}}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vise_err e;
        vise_cache c;
        assert_int_equal(vise_cache_open(&c, wrong[i].line, wrong[i].size, &e), VISE_EARG);
        vise_cache_close(&c);
    }
}

/* ---- counters ---- */

static void put_number(const char *dir, int package, const char *file, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/intel-rapl:%d", dir, package);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/intel-rapl:%d/%s", dir, package, file);
    write_file(path, text, strlen(text));
}

static void test_counters(void **state)
{
    (void)state;
    char dir[] = "/tmp/vise-energy-XXXXXX", command[64];
    vise_energy e;
    assert_non_null(mkdtemp(dir));
    vise_energy_open(&e, dir);
    assert_true(!e.packages && isnan(vise_energy_joules(&e)));
    put_number(dir, 0, "energy_uj", "1000000\n");
    put_number(dir, 0, "max_energy_range_uj", "5000000\n");
    put_number(dir, 1, "energy_uj", "0\n");
    vise_energy_open(&e, dir);
    assert_int_equal(e.packages, 2);
    assert_true(vise_energy_joules(&e) == 0);
    put_number(dir, 0, "energy_uj", "4000000\n");
    put_number(dir, 1, "energy_uj", "500000\n");
    assert_true(fabs(vise_energy_joules(&e) - 3.5) < 1e-9);
    put_number(dir, 0, "energy_uj", "1000000\n"); // 1 to its range's end, and 1
    assert_true(fabs(vise_energy_joules(&e) - 2) < 1e-9);
    put_number(dir, 1, "energy_uj", "3\n"); // began again, and no range is there
    assert_true(isnan(vise_energy_joules(&e)));
    put_number(dir, 0, "energy_uj", "no number");
    assert_true(isnan(vise_energy_joules(&e)));
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* ---- devices ---- */

static const char *const names[] = {"rpi4", "rpi5", "jetson-nano", "phone", "server", "cortex-m7"};

static void test_built_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vise_err e;
        vise_device d;
        MUST(vise_device_find(&d, names[i], NULL, &e));
        assert_string_equal(d.name, names[i]);
        assert_true(d.cores >= 1 && d.macs_per_cycle[2] >= d.macs_per_cycle[0]);
        assert_true(d.pj_mac[2] < d.pj_mac[0] && d.pj_llc_byte < d.pj_dram_byte);
        assert_true(d.l1_bytes < d.llc_bytes && strlen(d.about) > 10);
    }
}

static void refused(const char *text, const char *say)
{
    char path[] = "/tmp/vise-devices-XXXXXX";
    vise_err e;
    vise_device d;
    const int f = mkstemp(path);
    assert_true(f >= 0 && !close(f));
    write_file(path, text, strlen(text));
    assert_int_not_equal(vise_device_find(&d, "x", path, &e), VISE_OK);
    if (!strstr(e.msg, say)) fail_msg("%s, not %s", e.msg, say);
    unlink(path);
}

static void test_files(void **state)
{
    (void)state;
    vise_err e;
    vise_device d;
    assert_int_equal(vise_device_find(&d, "abacus", NULL, &e), VISE_EARG);
    assert_string_equal(e.msg, "abacus: no such device; there are rpi4, rpi5, jetson-nano, phone, "
                               "server, cortex-m7");
    assert_int_equal(vise_device_find(&d, "x", "/nowhere/devices.json", &e), VISE_EIO);
    refused("", "line 1");
    refused("[]", "x: no such device; there are none");
    refused("{\"devices\": 3}", "x: no such device; there are none");
    refused("{\"devices\": [4, {\"name\": 5}, {\"name\": \"y\"}]}",
            "x: no such device; there are y");
    refused("{\"devices\": [{\"name\": \"x\"}]}", "device x: cores needs a value from 1 to 1024");
    refused("{\"devices\": [{\"name\": \"x\", \"cores\": {\"value\": 0, \"source\": \"s\"}}]}",
            "device x: cores needs");
    refused("{\"devices\": [{\"name\": \"x\", \"cores\": {\"value\": 1, \"source\": \"\"}}]}",
            "device x: cores has no source");
}

/* ---- runs ---- */

enum { BATCH = 2 }; // of the session; a device sees one image

static vise_device_cost cost_on(const vise_device *d, const char *pass)
{
    vise_err e;
    vise_model *m;
    vise_session *s;
    vise_device_cost all, step[64];
    MUST(tiny_new(&m, &e));
    if (pass) MUST(vise_apply(m, pass, NULL, &e));
    const vise_session_opts o = {
        .profile = true, .cpu = "c", .cache = d->llc_bytes, .batch = BATCH};
    MUST(vise_session_new(&s, m, &o, &e));
    assert_true(vise_session_steps(s) <= 64);
    MUST(vise_device_run(&all, step, d, s, &e));
    vise_device_cost sum = {0};
    for (size_t i = 0; i < vise_session_steps(s); i++) {
        vise_step_info info;
        vise_session_step(s, i, &info);
        assert_int_equal(step[i].macs * BATCH, info.macs);
        // a line that leaves the first cache may have to be fetched into the last
        assert_true(step[i].weights <= step[i].from_dram);
        assert_true(step[i].from_dram <= 2 * step[i].from_llc);
        sum.macs += step[i].macs;
        sum.seconds += step[i].seconds;
        sum.j_dram += step[i].j_dram;
        sum.to_dram += step[i].to_dram;
    }
    assert_true(sum.macs == all.macs && sum.macs > 0);
    assert_true(fabs(sum.seconds - all.seconds) <= 1e-9 * sum.seconds);
    assert_true(fabs(1e-12 * d->pj_dram_byte * (all.from_dram + all.to_dram) - sum.j_dram) <=
                1e-9 * sum.j_dram);
    vise_session_free(s);
    vise_model_free(m);
    return all;
}

/* With room for everything nothing is fetched twice; with next to none, all weights every time. */
static void test_costs(void **state)
{
    (void)state;
    vise_err e;
    vise_device d;
    MUST(vise_device_find(&d, "rpi4", NULL, &e));
    d.llc_bytes = 1 << 26;
    const vise_device_cost roomy = cost_on(&d, NULL);
    assert_true(roomy.from_dram == 0 && roomy.to_dram == 0 && !roomy.by_memory);
    const double most = d.cores * d.ghz * 1e9 * d.macs_per_cycle[0];
    assert_true(fabs(roomy.seconds - (double)roomy.macs / most) <= 1e-9 * roomy.seconds);
    d.l1_bytes = d.llc_bytes = 1024;
    d.l1_ways = d.llc_ways = 2;
    const vise_device_cost floats = cost_on(&d, NULL),
                           codes = cost_on(&d, "cluster k=16 method=kmeans fold=0");
    assert_true(floats.from_dram > roomy.from_llc / 2 && floats.weights > 0);
    assert_true(codes.weights < 0.4 * floats.weights && codes.j_macs < floats.j_macs);
}

/* However a run is planned, its results have the same bits. */
static void test_plans(void **state)
{
    (void)state;
    enum { IMAGES = 2, PIXELS = TINY_SIZE * TINY_SIZE * TINY_CHANNELS };
    static float x[IMAGES * PIXELS], want[IMAGES * TINY_CLASSES], got[IMAGES * TINY_CLASSES];
    vise_rng r = vise_rng_named(5, "pixels");
    vise_err e;
    vise_model *m;
    for (size_t i = 0; i < IMAGES * PIXELS; i++)
        x[i] = vise_rng_normal(&r);
    MUST(tiny_new(&m, &e));
    for (size_t cache = 0; cache < 1 << 22; cache = cache ? cache * 4 : 256)
        for (size_t threads = 1; threads <= 3; threads++) {
            vise_session *s;
            const vise_session_opts o = {.batch = IMAGES, .cache = cache, .threads = threads};
            MUST(vise_session_new(&s, m, &o, &e));
            vise_session_run(s, IMAGES, (const float *[]){x},
                             (float *[]){cache ? got : want, NULL});
            if (cache) assert_memory_equal(got, want, sizeof want);
            vise_session_free(s);
        }
    vise_model_free(m);
}

static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    vise_session *s;
    vise_device d;
    MUST(vise_device_find(&d, "phone", NULL, &e));
    MUST(tiny_new(&m, &e));
    MUST(vise_session_new(&s, m, &(vise_session_opts){.profile = true}, &e));
    for (long n = 0;; n++) {
        vise_device_cost all;
        vise_alloc_fail_at = n;
        const vise_status got = vise_device_run(&all, NULL, &d, s, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(got, reached ? VISE_ENOMEM : VISE_OK);
        if (!reached) break;
    }
    vise_session_free(s);
    vise_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache),    cmocka_unit_test(test_odd_caches),
        cmocka_unit_test(test_counters), cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_costs),
        cmocka_unit_test(test_plans),    cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
