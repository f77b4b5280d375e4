/* cmd_profile.c - vise profile: where the time of a run goes, step by step
 * SPDX-License-Identifier: MIT */
#include "profile.h"
#include "cli.h"
#include "device.h"
#include "json.h"
#include "measure.h"
#include "progress.h"
#include "svg.h"
#include "table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { BAR = 40 }; // characters of a whole run

typedef struct profile_opts {
    size_t batch, runs, warmup;
    const char *svg;
    device_opts device;
} profile_opts;

#define AT(field) offsetof(profile_opts, field)

static const opt table_of_options[] = {
    {"batch", OPT_COUNT, AT(batch), "N", "images per run (default 1)", 1},
    {"runs", OPT_COUNT, AT(runs), "N", "timed runs (default 30)", 1},
    {"warmup", OPT_COUNT, AT(warmup), "N", "runs before those (default 3)", 0},
    {"svg", OPT_TEXT, AT(svg), "FILE", "write a picture: a bar for every step", 0},
    {"device", OPT_TEXT, AT(device.name), "NAME", "model a run on this device instead", 0},
    {"devices", OPT_TEXT, AT(device.file), "FILE", "look for the device in this file", 0},
    {"cores", OPT_COUNT, AT(device.cores), "N", "of the device (default all)", 1},
    {"report", OPT_TEXT, AT(device.report), "FILE", "write a page about the device", 0},
    {0},
};

const char *const profile_group_names[PROFILE_GROUPS] = {"gemm", "attention", "rest"};

double profile_gops(uint64_t macs, double ms)
{
    return ms > 0 ? 2e-6 * (double)macs / ms : 0;
}

size_t profile_block(const char *name)
{
    const char *p = strchr(name, '.'); // before a part that is a number
    while (p && !isdigit((unsigned char)p[1]))
        p = strchr(p + 1, '.');
    if (!p) return 0;
    const size_t n = (size_t)(p - name) + 1 + strspn(p + 1, "0123456789");
    return name[n] == '.' ? n : 0;
}

/* ---- measuring ---- */

static profile_group group_of(const char *kind)
{
    if (!strncmp(kind, "gemm", 4)) return PROFILE_GEMM;
    return strncmp(kind, "attention", 9) ? PROFILE_REST : PROFILE_ATTENTION;
}

/* The best speed of the kind "gemm TYPE"; measured once per type: steps before may have it. */
static double peak_of(const profile *p, size_t i, const cli_call *c)
{
    const char *kind = p->row[i].info.kind;
    if (p->row[i].group != PROFILE_GEMM || strlen(kind) < 6) return 0;
    for (size_t k = 0; k < i; k++)
        if (!strcmp(p->row[k].info.kind, kind)) return p->row[k].peak;
    return vise_cpu_peak(c->cpu, kind + 5);
}

/* One run's times: of every step, of the run, and of what is no step's. Each has its row in ms. */
static void keep_times(double *ms, const profile *p, const vise_session *s, double run_ms)
{
    double rest = run_ms;
    for (size_t i = 0; i < p->rows; i++, ms += p->runs) {
        vise_step_info info;
        vise_session_step(s, i, &info);
        *ms = 1e3 * info.seconds / (double)p->threads;
        rest -= *ms;
    }
    ms[0] = run_ms;
    ms[p->runs] = rest;
}

/* Runs it and keeps the times: ms [rows + 2, runs]. */
static vise_status time_runs(double *ms, const profile *p, const feed *f, const cli_call *c,
                             vise_err *e)
{
    const size_t warmup = ((const profile_opts *)c->opts)->warmup, all = warmup + p->runs;
    progress bar;
    bool go = true;
    progress_begin(&bar, c->quiet);
    for (size_t r = 0; go && r < all; r++) {
        vise_session_reset(f->session);
        const double start = cli_seconds();
        feed_run(f);
        const double run_ms = 1e3 * (cli_seconds() - start);
        if (r >= warmup) keep_times(ms + r - warmup, p, f->session, run_ms);
        go = progress_step(&bar, "profile", r + 1, all);
    }
    progress_end(&bar);
    return go ? VISE_OK : cli_fail(e, VISE_ECANCEL, "profile: stopped");
}

static double median(double *x, size_t n)
{
    measure_sort(x, n);
    return measure_quantile(x, n, 0.5);
}

static vise_status measure(profile *p, const feed *f, const cli_call *c, vise_err *e)
{
    p->rows = vise_session_steps(f->session);
    p->row = cli_alloc(p->rows, sizeof *p->row);
    double *ms = cli_alloc(p->rows + 2, p->runs * sizeof *ms);
    const vise_status s = time_runs(ms, p, f, c, e);
    for (size_t i = 0; !s && i < p->rows; i++) {
        profile_row *row = &p->row[i];
        vise_session_step(f->session, i, &row->info);
        row->group = group_of(row->info.kind);
        row->ms = median(ms + i * p->runs, p->runs);
        row->peak = peak_of(p, i, c);
        p->group_ms[row->group] += row->ms;
        p->total_ms += row->ms;
        p->macs += row->info.macs;
        p->bytes += row->info.bytes;
    }
    if (!s) p->run_ms = median(ms + p->rows * p->runs, p->runs);
    if (!s) p->between_ms = median(ms + (p->rows + 1) * p->runs, p->runs);
    free(ms);
    return s;
}

/* ---- results ---- */

static double share(const profile *p, double ms)
{
    return p->total_ms > 0 ? ms / p->total_ms : 0;
}

/* The part of the peak that a product reaches. */
static double of_peak(const profile *p, const profile_row *r)
{
    return 1e9 * profile_gops(r->info.macs, r->ms) / (r->peak * (double)p->threads);
}

static void print_json(const profile *p)
{
    for (size_t i = 0; i < p->rows; i++) {
        const profile_row *r = &p->row[i];
        json_t *j = js_object();
        js_put(j, "name", js_text(r->info.name));
        js_put(j, "op", js_text(r->info.op));
        js_put(j, "kind", js_text(r->info.kind));
        js_put(j, "ms", js_real(r->ms));
        js_put(j, "share", js_real(share(p, r->ms)));
        js_put(j, "macs", js_count(r->info.macs));
        js_put(j, "bytes", js_count(r->info.bytes));
        js_put(j, "gops", js_real(profile_gops(r->info.macs, r->ms)));
        js_put(j, "of_peak", r->peak > 0 ? js_real(of_peak(p, r)) : json_null());
        js_print(j);
    }
    json_t *j = js_object(), *groups = js_object();
    for (size_t g = 0; g < PROFILE_GROUPS; g++)
        js_put(groups, profile_group_names[g], js_real(p->group_ms[g]));
    js_put(j, "model", js_text(p->model));
    js_put(j, "threads", js_count(p->threads));
    js_put(j, "batch", js_count(p->batch));
    js_put(j, "runs", js_count(p->runs));
    js_put(j, "run_ms", js_real(p->run_ms));
    js_put(j, "steps_ms", js_real(p->total_ms));
    js_put(j, "between_ms", js_real(p->between_ms));
    js_put(j, "groups_ms", groups);
    js_put(j, "macs", js_count(p->macs));
    js_put(j, "bytes", js_count(p->bytes));
    js_put(j, "gops", js_real(profile_gops(p->macs, p->run_ms)));
    js_put(j, "cpu", js_text(p->cpu));
    js_put(j, "version", js_text(vise_version()));
    js_print(j);
}

static void add_numbers(table *t, const profile *p, double ms, uint64_t macs, uint64_t bytes)
{
    table_add(t, "%.3f", ms);
    table_add(t, "%.1f %%", 100 * share(p, ms));
    table_add(t, "%.2f", 1e-6 * (double)macs);
    table_add(t, "%.2f", 1e-6 * (double)bytes);
    if (macs)
        table_add(t, "%.1f", profile_gops(macs, ms));
    else
        table_add(t, "-");
}

static void print_steps(const profile *p)
{
    static const char *const head[] = {"step", "kind", "ms",    "share",
                                       "MMAC", "MB",   "GOP/s", "of peak"};
    table t = {.align = "llrrrrrr"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < p->rows; i++) {
        const profile_row *r = &p->row[i];
        table_add(&t, "%s", r->info.name);
        table_add(&t, "%s", r->info.kind);
        add_numbers(&t, p, r->ms, r->info.macs, r->info.bytes);
        if (r->peak > 0)
            table_add(&t, "%.0f %%", 100 * of_peak(p, r));
        else
            table_add(&t, "-");
    }
    table_add(&t, "all");
    table_add(&t, "%zu steps", p->rows);
    add_numbers(&t, p, p->total_ms, p->macs, p->bytes);
    table_add(&t, "-");
    table_print(stdout, &t);
}

static void add_bar(table *t, const char *name, double ms, double whole)
{
    static const char full[BAR + 1] = "########################################";
    const double part = whole > 0 && ms > 0 ? ms / whole : 0;
    table_add(t, "%s", name);
    table_add(t, "%.3f ms", ms);
    table_add(t, "%.1f %%", 100 * part);
    const int length = (int)(part * BAR + 0.5);
    table_add(t, "%.*s", length ? length : 1, length ? full : ".");
}

static void print_text(const profile *p)
{
    table t = {.align = "lrrl"};
    printf("%s: %.3f ms a run, median of %zu, batch %zu, %zu thread%s, %s\n", p->model, p->run_ms,
           p->runs, p->batch, p->threads, p->threads == 1 ? "" : "s", p->cpu);
    print_steps(p);
    puts("");
    const double whole = p->total_ms + p->between_ms; // nearly run_ms: medians do not add up
    for (size_t g = 0; g < PROFILE_GROUPS; g++)
        add_bar(&t, profile_group_names[g], p->group_ms[g], whole);
    add_bar(&t, "between", p->between_ms, whole);
    table_print(stdout, &t);
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const profile_opts *o = c->opts;
    vise_model *m;
    vise_session *session;
    feed f;
    profile p = {.model = c->args[0],
                 .cpu = cli_cpu(c),
                 .threads = c->threads,
                 .batch = o->batch,
                 .runs = o->runs};
    vise_device device = {0};
    if (o->device.name) TRY(device_find(&device, &o->device, e));
    TRY(cli_open(&m, c, p.model, false, e));
    const vise_session_opts so = {.batch = o->batch, .cache = device.llc_bytes, .profile = true};
    vise_status s = cli_session(&session, c, m, p.model, so, e);
    vise_model_free(m);
    TRY(s);
    if (o->device.name) {
        s = device_run(&device, c, o->device.report, session, e);
        vise_session_free(session);
        return s;
    }
    feed_open(&f, session, o->batch, c->seed);
    s = measure(&p, &f, c, e);
    if (!s) (c->json ? print_json : print_text)(&p);
    if (!s && o->svg) s = svg_write(o->svg, profile_svg, &p, e);
    free(p.row);
    feed_close(&f);
    return s;
}

static const profile_opts defaults = {.batch = 1, .runs = 30, .warmup = 3};

const cli_command cmd_profile = {
    .name = "profile",
    .args = "MODEL",
    .summary = "show where the time of a run goes",
    .about = "The input is random. For every step of the network: the median of its time over all "
             "runs, multiply-adds, megabytes of weights and activations read and written, and for "
             "matrix products the part of the speed that this machine reaches when everything is "
             "in its cache. With several threads a step's time is theirs together, divided by "
             "their number; waiting for each other is part of what lies between the steps. With "
             "--device nothing is run: the device's caches are simulated on what one image's run "
             "would touch here, and time and energy follow from its rates (docs/DEVICES.md).",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(profile_opts),
    .min_args = 1,
    .max_args = 1,
    .import = true,
    .sessions = true,
    .run = run,
};
