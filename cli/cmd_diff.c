/* cmd_diff.c - vise diff: where two models part, layer by layer
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "progress.h"
#include "table.h"

typedef struct diff_opts {
    const char *data, *truth;
    size_t limit, batch;
} diff_opts;

#define AT(field) offsetof(diff_opts, field)

static const opt table_of_options[] = {
    {"data", OPT_TEXT, AT(data), "DIR", "the pictures, as for eval; has to be given", 0},
    {"truth", OPT_TEXT, AT(truth), "CSV", "labels, as for eval", 0},
    {"limit", OPT_COUNT, AT(limit), "N", "first N pictures only (default 8); 0: all", 0},
    {"batch", OPT_COUNT, AT(batch), "N", "pictures per run (default 1)", 1},
    {0},
};

static void print_json(const vise_diff_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *o = js_object();
        js_put(o, "name", js_text(rows[i].name));
        js_put(o, "relative_error", js_real(rows[i].relative_error));
        js_put(o, "cosine", js_real(rows[i].cosine));
        js_print(o);
    }
}

static void print_text(const vise_diff_row *rows, size_t n)
{
    table t = {.align = "lrr"};
    table_add(&t, "layer");
    table_add(&t, "relative error");
    table_add(&t, "cosine");
    for (size_t i = 0; i < n; i++) {
        table_add(&t, "%s", rows[i].name);
        table_add(&t, "%.3e", rows[i].relative_error);
        table_add(&t, "%.6f", rows[i].cosine);
    }
    table_print(stdout, &t);
}

static vise_status compare(const vise_model *a, const vise_model *b, const vise_data *data,
                           const cli_call *c, vise_err *e)
{
    const diff_opts *o = c->opts;
    progress p;
    vise_diff_row *rows = NULL;
    size_t n = 0;
    progress_begin(&p, c->quiet);
    const vise_eval_opts opts = {.data = data,
                                 .limit = o->limit,
                                 .threads = c->threads,
                                 .batch = o->batch,
                                 .cpu = c->cpu,
                                 .max_memory = c->max_memory,
                                 .progress = progress_step,
                                 .user = &p};
    const vise_status s = vise_diff(&rows, &n, a, b, &opts, e);
    progress_end(&p);
    TRY(s);
    if (n) (c->json ? print_json : print_text)(rows, n);
    vise_diff_free(rows);
    if (!n)
        return cli_fail(e, VISE_EFORMAT, "%s and %s have no layer of one name and shape in common",
                        c->args[0], c->args[1]);
    return VISE_OK;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const diff_opts *o = c->opts;
    vise_data *data;
    vise_model *a = NULL, *b = NULL;
    if (!o->data) return cli_fail(e, VISE_EARG, "diff needs --data DIR");
    TRY(vise_data_open(&data, o->data, o->truth, e));
    vise_status s = cli_open(&a, c, c->args[0], true, e);
    if (!s) s = cli_open(&b, c, c->args[1], true, e);
    if (!s) s = compare(a, b, data, c, e);
    vise_model_free(b);
    vise_model_free(a);
    vise_data_free(data);
    return s;
}

static const diff_opts defaults = {.limit = 8, .batch = 1};

const cli_command cmd_diff = {
    .name = "diff",
    .args = "A B --data DIR",
    .summary = "compare two models layer by layer",
    .about = "Both models run on the same pictures. For every value that both have by the same "
             "name and shape: the error of B relative to A, ||a - b|| / ||a||, and the cosine "
             "between them. The import options hold for both models.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(diff_opts),
    .min_args = 2,
    .max_args = 2,
    .import = true,
    .sessions = true,
    .run = run,
};
