/* cmd_bench.c - vise bench: the speed of models, side by side, and the memory each needs; the speed
 * of the kernels
 *
 * Several models are timed run by run in turns, so that whatever else the machine does meets them
 * all alike. The memory is measured before, for each model alone in a process of its own.
 *
 * SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE // wait4
#include "cli.h"
#include "json.h"
#include "measure.h"
#include "progress.h"
#include "table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct bench_opts {
    size_t batch, runs, warmup;
    bool kernels;
} bench_opts;

#define AT(field) offsetof(bench_opts, field)

static const opt table_of_options[] = {
    {"batch", OPT_COUNT, AT(batch), "N", "images per run (default 1)", 1},
    {"runs", OPT_COUNT, AT(runs), "N", "timed runs of each model (default 30)", 1},
    {"warmup", OPT_COUNT, AT(warmup), "N", "runs before those (default 3)", 0},
    {"kernels", OPT_FLAG, AT(kernels), NULL,
     "measure the matrix products instead, all or those of one TYPE: f32, bf16, s8, c6 to c2", 0},
    {0},
};

/* One model under test. */
typedef struct subject {
    const char *path;
    feed feed;
    double *ms; // [runs]
    double peak_mb, session_mb;
    double joules; // of all timed runs, by the processor's counters; NaN: there are none
    int ended;     // how the process ended that measured peak_mb: as waitpid() says
} subject;

static vise_status subject_open(subject *b, const cli_call *c, const cli_call *talk, vise_err *e)
{
    const bench_opts *o = c->opts;
    vise_model *m;
    vise_session *session;
    TRY(cli_open(&m, talk, b->path, c->nargs > 1, e));
    const vise_status s =
        cli_session(&session, c, m, b->path, (vise_session_opts){.batch = o->batch}, e);
    vise_model_free(m);
    TRY(s);

    b->session_mb = (double)vise_session_bytes(session) / 1e6;
    feed_open(&b->feed, session, o->batch, c->seed);
    return VISE_OK;
}

static void subject_close(subject *b)
{
    feed_close(&b->feed);
    free(b->ms);
}

/* Opens and runs the model once in a child: the most memory that takes. The child is silent; what
 * it fails at, the parent will fail at too, and say. */
static vise_status measure_memory(subject *b, const cli_call *c, vise_err *e)
{
    fflush(NULL); // what is buffered must not leave twice
    const pid_t child = fork();
    if (child < 0)
        return cli_fail(e, VISE_EIO, "%s: no process to measure its memory: %s", b->path,
                        strerror(errno));
    if (!child) {
        cli_call quiet = *c;
        quiet.quiet = true;
        const vise_status s = subject_open(b, c, &quiet, e);
        if (!s) feed_run(&b->feed);
        _exit(s ? 1 : 0);
    }
    struct rusage used;
    while (wait4(child, &b->ended, 0, &used) < 0)
        if (errno != EINTR)
            return cli_fail(e, VISE_EIO, "%s: the process that measures its memory is lost: %s",
                            b->path, strerror(errno));
    b->peak_mb = (double)used.ru_maxrss * 1024 / 1e6; // KiB on Linux
    return VISE_OK;
}

/* Opens it here. That has to fail, with a sentence, if the child failed before. */
static vise_status open_again(subject *b, const cli_call *c, vise_err *e)
{
    const bench_opts *o = c->opts;
    TRY(subject_open(b, c, c, e));
    b->ms = cli_alloc(o->runs, sizeof *b->ms);
    if (WIFSIGNALED(b->ended))
        return cli_fail(e, VISE_EIO, "%s: signal %d ended the process that measures its memory",
                        b->path, WTERMSIG(b->ended));
    if (b->ended)
        return cli_fail(e, VISE_EIO, "%s: could not be run alone to measure its memory", b->path);
    return VISE_OK;
}

static vise_status time_all(subject *b, size_t n, const cli_call *c, vise_err *e)
{
    const bench_opts *o = c->opts;
    const size_t rounds = o->warmup + o->runs;
    progress p;
    bool go = true;
    vise_energy energy;
    progress_begin(&p, c->quiet);
    vise_energy_open(&energy, NULL);
    for (size_t r = 0; go && r < rounds; r++) {
        for (size_t i = 0; i < n; i++) {
            vise_energy_joules(&energy);
            const double start = cli_seconds();
            feed_run(&b[i].feed);
            const double ms = 1e3 * (cli_seconds() - start), joules = vise_energy_joules(&energy);
            if (r < o->warmup) continue;
            b[i].ms[r - o->warmup] = ms;
            b[i].joules += joules;
        }
        go = progress_step(&p, "bench", r + 1, rounds);
    }
    progress_end(&p);
    return go ? VISE_OK : cli_fail(e, VISE_ECANCEL, "bench: stopped");
}

/* ---- results ---- */

static double iqr(const double *sorted, size_t n)
{
    return measure_quantile(sorted, n, 0.75) - measure_quantile(sorted, n, 0.25);
}

static void print_json(const subject *b, const cli_call *c)
{
    const bench_opts *o = c->opts;
    const double median = measure_quantile(b->ms, o->runs, 0.5);
    json_t *j = js_object();
    js_put(j, "model", js_text(b->path));
    js_put(j, "threads", js_count(c->threads));
    js_put(j, "batch", js_count(o->batch));
    js_put(j, "runs", js_count(o->runs));
    js_put(j, "min_ms", js_real(b->ms[0]));
    js_put(j, "median_ms", js_real(median));
    js_put(j, "iqr_ms", js_real(iqr(b->ms, o->runs)));
    js_put(j, "images_per_s", js_real(1e3 * (double)o->batch / median));
    js_put(j, "peak_rss_mb", js_real(b->peak_mb));
    js_put(j, "session_mb", js_real(b->session_mb));
    if (!isnan(b->joules)) // measured, of the whole processor
        js_put(j, "processor_mj", js_real(1e3 * b->joules / (double)o->runs));
    js_put(j, "cpu", js_text(cli_cpu(c)));
    js_put(j, "version", js_text(vise_version()));
    js_print(j);
}

static void print_text(const subject *b, size_t n, const cli_call *c)
{
    static const char *const head[] = {"model",    "min ms",  "median ms", "IQR ms",
                                       "images/s", "peak MB", "to first",  "processor mJ"};
    const bool energy = !isnan(b->joules);
    const bench_opts *o = c->opts;
    const double first = measure_quantile(b->ms, o->runs, 0.5);
    table t = {.align = energy ? "lrrrrrrr" : "lrrrrrr"};
    printf("%zu runs in turns, batch %zu, %zu thread%s, %s\n", o->runs, o->batch, c->threads,
           c->threads == 1 ? "" : "s", cli_cpu(c));
    for (size_t i = 0; i < sizeof head / sizeof *head - !energy; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < n; i++) {
        const double *ms = b[i].ms, median = measure_quantile(ms, o->runs, 0.5);
        table_add(&t, "%s", b[i].path);
        table_add(&t, "%.3f", ms[0]);
        table_add(&t, "%.3f", median);
        table_add(&t, "%.3f", iqr(ms, o->runs));
        table_add(&t, "%.1f", 1e3 * (double)o->batch / median);
        table_add(&t, "%.1f", b[i].peak_mb);
        table_add(&t, "x%.3f", median / first);
        if (energy) table_add(&t, "%.2f", 1e3 * b[i].joules / (double)o->runs);
    }
    table_print(stdout, &t);
}

/* ---- kernels ---- */

typedef struct kernels_print {
    table t;
    bool json;
} kernels_print;

static void print_kernel(void *user, const vise_bench_row *r)
{
    kernels_print *p = user;
    if (p->json) {
        json_t *j = js_object();
        js_put(j, "layer", js_text(r->layer));
        js_put(j, "type", js_text(r->type));
        js_put(j, "cpu", js_text(r->level));
        js_put(j, "m", js_count(r->m));
        js_put(j, "n", js_count(r->n));
        js_put(j, "k", js_count(r->k));
        js_put(j, "us", js_real(r->us));
        js_put(j, "best_gops", js_real(r->best));
        js_put(j, "median_gops", js_real(r->median));
        js_put(j, "peak_gops", js_real(r->peak));
        js_put(j, "peak_of", js_text(r->instruction));
        js_put(j, "weight_bytes", js_count(r->weights));
        js_print(j);
        return;
    }
    table_add(&p->t, "%s", r->type);
    table_add(&p->t, "%s", r->layer);
    table_add(&p->t, "%zux%zux%zu", r->m, r->n, r->k);
    table_add(&p->t, "%.1f", r->us);
    table_add(&p->t, "%.1f", r->best);
    table_add(&p->t, "%.1f", r->median);
    table_add(&p->t, "%.1f", r->peak);
    table_add(&p->t, "%s", r->instruction);
    table_add(&p->t, "%.0f%%", 100 * r->best / r->peak);
}

static vise_status run_kernels(const cli_call *c, vise_err *e)
{
    static const char *const head[] = {"type",   "layer", "m x n x k",   "us",   "GOP/s",
                                       "median", "peak",  "instruction", "share"};
    const bench_opts *o = c->opts;
    kernels_print p = {.t = {.align = "llrrrrrlr"}, .json = c->json};
    const vise_bench_opts opts = {.cpu = c->cpu,
                                  .type = c->nargs ? c->args[0] : NULL,
                                  .runs = o->runs,
                                  .report = print_kernel,
                                  .user = &p};
    if (c->nargs > 1) return cli_fail(e, VISE_EARG, "bench --kernels takes one type at most");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&p.t, "%s", head[i]);
    const vise_status s = vise_bench_kernels(&opts, e);
    if (!s && !c->json) {
        printf("the best and the median of %zu runs in turns with the peak loop, 1 thread, %s\n",
               o->runs, cli_cpu(c));
        table_print(stdout, &p.t);
    }
    table_clear(&p.t);
    return s;
}

/* ---- models ---- */

static vise_status run_models(const cli_call *c, vise_err *e)
{
    const bench_opts *o = c->opts;
    if (!c->nargs) return cli_fail(e, VISE_EARG, "bench takes MODEL... or --kernels");
    subject *b = cli_alloc(c->nargs, sizeof *b);
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < c->nargs; i++) { // before this process holds any model
        b[i].path = c->args[i];
        s = measure_memory(&b[i], c, e);
    }
    for (size_t i = 0; !s && i < c->nargs; i++)
        s = open_again(&b[i], c, e);
    if (!s) s = time_all(b, c->nargs, c, e);
    for (size_t i = 0; !s && i < c->nargs; i++) {
        measure_sort(b[i].ms, o->runs);
        if (c->json) print_json(&b[i], c);
    }
    if (!s && !c->json) print_text(b, c->nargs, c);
    for (size_t i = 0; i < c->nargs; i++)
        subject_close(&b[i]);
    free(b);
    return s;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const bench_opts *o = c->opts;
    return o->kernels ? run_kernels(c, e) : run_models(c, e);
}

static const bench_opts defaults = {.batch = 1, .runs = 30, .warmup = 3};

const cli_command cmd_bench = {
    .name = "bench",
    .args = "[MODEL...]",
    .summary = "measure the speed and the memory of models",
    .about = "The input is random. Several models are timed in turns, run by run. The peak memory "
             "(1 MB = 1000000 bytes) is that of a process which opens one model and runs it once. "
             "\"to first\" is the ratio of the medians, to that of the first model.\n\n"
             "--kernels [TYPE] times every matrix product of ViT-Tiny, -Small and -Base on one "
             "thread. A "
             "multiplication with its addition is 2 operations. The peak is what a loop of the "
             "instruction reaches from registers alone, measured between the runs. Weights come "
             "from copies that together exceed an L2 cache, as in a network; inputs are warm.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(bench_opts),
    .max_args = CLI_ANY,
    .import = true,
    .sessions = true,
    .run = run,
};
