/* cmd_eval.c - vise eval: how often a model is right, and how close it is to another
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "progress.h"
#include "table.h"

#include <math.h>

typedef struct eval_opts {
    const char *data, *truth, *against;
    size_t limit, batch;
} eval_opts;

#define AT(field) offsetof(eval_opts, field)

static const opt table_of_options[] = {
    {"data", OPT_TEXT, AT(data), "DIR", "the labelled pictures; has to be given", 0},
    {"truth", OPT_TEXT, AT(truth), "CSV", "labels as lines of path,label", 0},
    {"limit", OPT_COUNT, AT(limit), "N", "first N pictures only; 0, the default: all", 0},
    {"batch", OPT_COUNT, AT(batch), "N", "pictures per run (default 8)", 1},
    {"against", OPT_TEXT, AT(against), "OTHER", "model to compare the outputs with", 0},
    {0},
};

static void print_json(const vise_eval_result *r, const cli_call *c, double top1, double top5)
{
    const eval_opts *o = c->opts;
    json_t *j = js_object();
    js_put(j, "model", js_text(c->args[0]));
    js_put(j, "data", js_text(o->data));
    js_put(j, "n", js_count(r->n));
    js_put(j, "correct_top1", js_count(r->correct_top1));
    js_put(j, "top1", js_real(top1));
    js_put(j, "correct_top5", js_count(r->correct_top5));
    js_put(j, "top5", js_real(top5));
    if (o->against) {
        js_put(j, "against", js_text(o->against));
        js_put(j, "agreement", js_real(r->agreement));
        js_put(j, "mean_kl", js_real(r->mean_kl));
        js_put(j, "max_abs_logit_error", js_real(r->max_abs_logit_error));
        js_put(j, "mean_abs_logit_error", js_real(r->mean_abs_logit_error));
    }
    js_put(j, "images_per_s", js_real((double)r->n / r->seconds));
    js_put(j, "threads", js_count(c->threads));
    js_put(j, "batch", js_count(o->batch));
    js_put(j, "cpu", js_text(cli_cpu(c)));
    js_put(j, "version", js_text(vise_version()));
    js_print(j);
}

static void print_text(const vise_eval_result *r, const cli_call *c, double top1, double top5)
{
    const eval_opts *o = c->opts;
    const double error = sqrt(top1 * (1 - top1) / (double)r->n);
    table t = {.align = "ll"};
    table_add(&t, "pictures");
    table_add(&t, "%zu", r->n);
    table_add(&t, "top-1");
    table_add(&t, "%.2f %%, %zu right, standard error %.2f %%", 100 * top1, r->correct_top1,
              100 * error);
    table_add(&t, "top-5");
    table_add(&t, "%.2f %%, %zu right", 100 * top5, r->correct_top5);
    if (o->against) {
        table_add(&t, "against");
        table_add(&t, "%s", o->against);
        table_add(&t, "agreement");
        table_add(&t, "%.2f %% of top-1", 100 * r->agreement);
        table_add(&t, "mean KL");
        table_add(&t, "%.4g nats", r->mean_kl);
        table_add(&t, "logit error");
        table_add(&t, "%.4g at most, %.4g on average", r->max_abs_logit_error,
                  r->mean_abs_logit_error);
    }
    table_add(&t, "speed");
    table_add(&t, "%.1f images/s, decoding included, %zu thread%s, %s", (double)r->n / r->seconds,
              c->threads, c->threads == 1 ? "" : "s", cli_cpu(c));
    table_print(stdout, &t);
}

static vise_status evaluate(vise_eval_result *r, const cli_call *c, const vise_data *data,
                            vise_err *e)
{
    const eval_opts *o = c->opts;
    progress p;
    vise_model *m = NULL, *other = NULL;
    vise_status s = cli_open(&m, c, c->args[0], o->against != NULL, e);
    if (!s && o->against) s = cli_open(&other, c, o->against, true, e);
    if (!s) {
        progress_begin(&p, c->quiet);
        const vise_eval_opts opts = {.against = other,
                                     .data = data,
                                     .limit = o->limit,
                                     .threads = c->threads,
                                     .batch = o->batch,
                                     .cpu = c->cpu,
                                     .max_memory = c->max_memory,
                                     .progress = progress_step,
                                     .user = &p};
        s = vise_eval(r, m, &opts, e);
        progress_end(&p);
    }
    vise_model_free(other);
    vise_model_free(m);
    return s;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const eval_opts *o = c->opts;
    vise_data *data;
    vise_eval_result r;
    if (!o->data) return cli_fail(e, VISE_EARG, "eval needs --data DIR");
    TRY(vise_data_open(&data, o->data, o->truth, e));
    const vise_status s = evaluate(&r, c, data, e);
    vise_data_free(data);
    TRY(s);
    const double top1 = (double)r.correct_top1 / (double)r.n;
    const double top5 = (double)r.correct_top5 / (double)r.n;
    (c->json ? print_json : print_text)(&r, c, top1, top5);
    return VISE_OK;
}

static const eval_opts defaults = {.batch = 8};

const cli_command cmd_eval = {
    .name = "eval",
    .args = "MODEL --data DIR",
    .summary = "count how often a model is right",
    .about =
        "DIR is a folder per class, a folder with labels.csv in it, a folder with idx or "
        "idx.gz files (or the images file itself), a tar of a folder per class, or CIFAR's binary "
        "files: one of them, or a folder, of which the training files are read. The "
        "classes of folders are numbered in alphabetical order.\n\n"
        "With --against OTHER the outputs of both models are compared, too: how often their "
        "first answers agree, the mean divergence KL(OTHER || MODEL), and the largest and "
        "the mean difference of an output. The import options hold for both models.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(eval_opts),
    .min_args = 1,
    .max_args = 1,
    .import = true,
    .sessions = true,
    .run = run,
};
