/* cmd_sensitivity.c - vise sensitivity: what rounding each matrix alone does to the outputs
 * SPDX-License-Identifier: MIT */
#include "sensitivity.h"
#include "cli.h"
#include "json.h"
#include "progress.h"
#include "svg.h"
#include "table.h"

typedef struct sensitivity_opts {
    const char *calib, *svg;
    size_t count, group;
} sensitivity_opts;

#define AT(field) offsetof(sensitivity_opts, field)

static const opt table_of_options[] = {
    {"calib", OPT_TEXT, AT(calib), "DIR", "the pictures, as for eval; has to be given", 0},
    {"calib-count", OPT_COUNT, AT(count), "N", "N of them, from all over the set (default 16)", 1},
    {"group", OPT_COUNT, AT(group), "N",
     "columns that share a multiplier at 6 bits and fewer: 32, 64 or 128; 0, the default: none", 0},
    {"svg", OPT_TEXT, AT(svg), "FILE", "write a picture: a map of layers and bits", 0},
    {0},
};

static void print_json(const sensitivity *s, const cli_call *c)
{
    for (size_t i = 0; i < s->rows; i++) {
        const vise_sensitivity_row *r = &s->row[i];
        json_t *j = js_object(), *widths = js_array();
        js_put(j, "name", js_text(r->name));
        js_put(j, "params", js_count(r->params));
        for (size_t w = 0; w < VISE_WIDTHS; w++) {
            json_t *at = js_object();
            js_put(at, "bits", js_count(r->bits[w]));
            js_put(at, "kl", js_real(r->kl[w]));
            js_put(at, "bytes", js_count(r->bytes[w]));
            js_add(widths, at);
        }
        js_put(j, "widths", widths);
        js_print(j);
    }
    json_t *j = js_object();
    js_put(j, "model", js_text(s->model));
    js_put(j, "calib", js_text(((const sensitivity_opts *)c->opts)->calib));
    js_put(j, "pictures", js_count(s->pictures));
    js_put(j, "group", js_count(s->group));
    js_put(j, "threads", js_count(c->threads));
    js_put(j, "cpu", js_text(cli_cpu(c)));
    js_put(j, "version", js_text(vise_version()));
    js_print(j);
}

/* What all matrices together come to, as if each were the only one. */
static void add_sums(table *t, const sensitivity *s)
{
    uint64_t params = 0, bytes[VISE_WIDTHS] = {0};
    double kl[VISE_WIDTHS] = {0};
    for (size_t i = 0; i < s->rows; i++) {
        params += s->row[i].params;
        for (size_t w = 0; w < VISE_WIDTHS; w++) {
            bytes[w] += s->row[i].bytes[w];
            kl[w] += s->row[i].kl[w];
        }
    }
    char number[TABLE_NUMBER];
    table_add(t, "sum");
    table_add(t, "%s", table_commas(number, params));
    for (size_t w = 0; w < VISE_WIDTHS; w++)
        table_add(t, "%.2e", kl[w]);
    table_add(t, "bytes");
    table_add(t, "-");
    for (size_t w = 0; w < VISE_WIDTHS; w++)
        table_add(t, "%s", table_short(number, bytes[w], "B"));
}

static void print_text(const sensitivity *s, const cli_call *c)
{
    char number[TABLE_NUMBER];
    table t = {.align = "lrrrrrrr"};
    (void)c;
    printf("%s: mean KL in nats on %zu pictures, one matrix rounded\n", s->model, s->pictures);
    table_add(&t, "layer");
    table_add(&t, "weights");
    for (size_t w = 0; w < VISE_WIDTHS; w++)
        table_add(&t, "%u bits", (unsigned)s->row[0].bits[w]);
    for (size_t i = 0; i < s->rows; i++) {
        table_add(&t, "%s", s->row[i].name);
        table_add(&t, "%s", table_commas(number, s->row[i].params));
        for (size_t w = 0; w < VISE_WIDTHS; w++)
            table_add(&t, "%.2e", s->row[i].kl[w]);
    }
    add_sums(&t, s);
    table_print(stdout, &t);
}

static vise_status measure(sensitivity *s, const vise_model *m, const vise_data *data,
                           const cli_call *c, vise_err *e)
{
    progress p;
    const sensitivity_opts *o = c->opts;
    const size_t all = vise_data_count(data);
    s->pictures = o->count < all ? o->count : all;
    progress_begin(&p, c->quiet);
    const vise_eval_opts opts = {.data = data,
                                 .limit = o->count,
                                 .threads = c->threads,
                                 .cpu = c->cpu,
                                 .progress = progress_step,
                                 .user = &p};
    const vise_status st = vise_sensitivity(&s->row, &s->rows, m, o->group, &opts, e);
    progress_end(&p);
    return st;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const sensitivity_opts *o = c->opts;
    sensitivity s = {.model = c->args[0], .group = o->group};
    vise_data *data;
    vise_model *m = NULL;
    if (!o->calib) return cli_fail(e, VISE_EARG, "sensitivity needs --calib DIR");
    if (o->group && o->group != 32 && o->group != 64 && o->group != 128)
        return cli_fail(e, VISE_EARG, "--group %zu: 0, 32, 64 or 128", o->group);
    TRY(vise_data_open(&data, o->calib, NULL, e));
    vise_status st = cli_open(&m, c, s.model, false, e);
    if (!st) st = measure(&s, m, data, c, e);
    if (!st) (c->json ? print_json : print_text)(&s, c);
    if (!st && o->svg) st = svg_write(o->svg, sensitivity_svg, &s, e);
    vise_sensitivity_free(s.row);
    vise_model_free(m);
    vise_data_free(data);
    return st;
}

static const sensitivity_opts defaults = {.count = 16};

const cli_command cmd_sensitivity = {
    .name = "sensitivity",
    .args = "MODEL --calib DIR",
    .summary = "show which layers can be stored with few bits",
    .about = "Every matrix is rounded alone, to the nearest of 8, 6, 5, 4, 3 and 2 bits with a "
             "scale per output channel, and the outputs are compared with the model's: KL is 0 "
             "where nothing changes. This is what 'quantize weights=auto' goes by when it spends "
             "a budget. Matrices that are codes already are left out.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(sensitivity_opts),
    .min_args = 1,
    .max_args = 1,
    .import = true,
    .run = run,
};
