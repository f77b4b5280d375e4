/* cmd_train.c - vise train, distill and finetune: weights that follow gradients
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "progress.h"
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_ROOM = 4096 };

typedef struct train_opts {
    const char *data, *test, *recipe, *state, *log, *report;
    opt_texts set;
    double every;
    bool list;
} train_opts;

#define AT(field) offsetof(train_opts, field)

static const opt table_of_options[] = {
    {"data", OPT_TEXT, AT(data), "DIR", "labelled pictures to train on, as for eval", 0},
    {"test", OPT_TEXT, AT(test), "DIR", "pictures to measure after every epoch", 0},
    {"set", OPT_TEXTS, AT(set), "\"KEY=VALUE ...\"", "options of training, see --list", 0},
    {"recipe", OPT_TEXT, AT(recipe), "FILE", "a text file of such options; # begins a comment", 0},
    {"state", OPT_TEXT, AT(state), "FILE",
     "checkpoint; if it is there training goes on from it (default OUT.state)", 0},
    {"every", OPT_REAL, AT(every), "SECONDS", "from one checkpoint to the next (default 60)", 0},
    {"log", OPT_TEXT, AT(log), "FILE", "write a CSV of loss, answers and speed", 0},
    {"report", OPT_TEXT, AT(report), "FILE", "write an HTML page with the curves", 0},
    {"list", OPT_FLAG, AT(list), NULL, "list the options of training", 0},
    {0},
};

/* ---- --list ---- */

static void list_one(const cli_call *c, const vise_pass_info *p)
{
    enum { INDENT = 6 };
    if (c->json) {
        json_t *row = js_object();
        js_put(row, "key", js_text(p->name));
        js_put(row, "values", js_text(p->values));
        js_put(row, "default", js_text(p->def));
        js_put(row, "help", js_text(p->help));
        js_print(row);
        return;
    }
    printf("%s=%s", p->name, p->values);
    if (*p->def) printf(" (default %s)", p->def);
    printf("\n%*s", INDENT, "");
    opt_wrap(stdout, p->help, INDENT, INDENT);
    puts("");
}

static vise_status list(const cli_call *c, const char *name)
{
    vise_pass_info p;
    for (size_t i = 0; vise_train_option(name, i, &p); i++)
        list_one(c, &p);
    return VISE_OK;
}

/* ---- the line ---- */

/* Appends text to line, without comments. */
static vise_status append(char line[LINE_ROOM], const char *text, vise_err *e)
{
    size_t n = strlen(line);
    bool comment = false, full = n + 2 > LINE_ROOM;
    for (; *text && !full; text++) {
        comment = *text == '#' || (comment && *text != '\n');
        if (comment) continue;
        line[n++] = *text;
        full = n + 2 > LINE_ROOM; // the space and the 0
    }
    if (full) return cli_fail(e, VISE_EARG, "more than %d letters of options", LINE_ROOM - 2);
    line[n++] = ' ';
    line[n] = 0;
    return VISE_OK;
}

static vise_status read_recipe(char line[LINE_ROOM], const char *path, vise_err *e)
{
    char text[LINE_ROOM];
    FILE *f = fopen(path, "r");
    if (!f) return cli_fail(e, VISE_EIO, "%s cannot be read", path);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    const bool bad = ferror(f) || !feof(f);
    fclose(f);
    text[n] = 0;
    if (bad)
        return cli_fail(e, VISE_EIO, "%s cannot be read, or has more than %d letters", path,
                        LINE_ROOM - 1);
    return append(line, text, e);
}

static vise_status make_line(char line[LINE_ROOM], const char *name, const train_opts *o,
                             vise_err *e)
{
    line[0] = 0;
    TRY(append(line, name, e));
    if (o->recipe) TRY(read_recipe(line, o->recipe, e));
    for (size_t i = 0; i < o->set.n; i++)
        TRY(append(line, o->set.item[i], e));
    return VISE_OK;
}

/* ---- training ---- */

typedef struct talk {
    progress bar;
    train_curve curve;
    const char *log; // or NULL
    bool started, quiet, json;
} talk;

static bool step(void *user, const char *what, size_t done, size_t total)
{
    talk *t = user;
    if (!t->started && t->log && done) train_curve_read(&t->curve, t->log, done, total);
    t->started = true;
    return progress_step(&t->bar, what, done, total);
}

static void report_json(const vise_train_point *p)
{
    json_t *o = js_object();
    js_put(o, "step", js_count(p->step));
    js_put(o, "steps", js_count(p->steps));
    js_put(o, "epoch", js_real(p->epoch));
    js_put(o, "loss", js_real(p->loss));
    js_put(o, "right", js_real(p->right));
    js_put(o, "rate", js_real(p->rate));
    js_put(o, "norm", js_real(p->norm));
    js_put(o, "images_per_s", js_real(p->images_per_s));
    if (!isnan(p->top1)) js_put(o, "top1", js_real(p->top1));
    js_print(o);
    fflush(stdout); // who follows a file sees it now
}

static void report(void *user, const vise_train_point *p)
{
    talk *t = user;
    vise_err e;
    train_curve_add(&t->curve, p);
    if (t->log)
        train_curve_csv(&t->curve, t->log, &e); // whether it can be written is told at the end
    if (t->json) report_json(p);
    if (t->json || t->quiet || isnan(p->top1)) return;
    progress_end(&t->bar);
    cli_say("epoch %.2f: loss %.4f, %.1f %% right, test %.2f %%, %.0f pictures/s", p->epoch,
            p->loss, 100 * p->right, 100 * p->top1, p->images_per_s);
}

typedef struct sets {
    vise_data *data, *test;
    vise_model *teacher, *m;
} sets;

static vise_status open_sets(sets *s, const cli_call *c, const char *teacher, const char *model,
                             vise_err *e)
{
    const train_opts *o = c->opts;
    TRY(vise_data_open(&s->data, o->data, NULL, e));
    if (o->test) TRY(vise_data_open(&s->test, o->test, NULL, e));
    if (teacher) TRY(cli_open(&s->teacher, c, teacher, true, e));
    return cli_open(&s->m, c, model, false, e);
}

static vise_status work(const cli_call *c, const char *name, sets *s, const char *state,
                        vise_err *e)
{
    const train_opts *o = c->opts;
    char line[LINE_ROOM];
    talk t = {.log = o->log, .quiet = c->quiet, .json = c->json};
    TRY(make_line(line, name, o, e));
    progress_begin(&t.bar, c->quiet);
    const vise_train_opts opts = {.data = s->data,
                                  .test = s->test,
                                  .teacher = s->teacher,
                                  .threads = c->threads,
                                  .cpu = c->cpu,
                                  .seed = c->seed,
                                  .state = state,
                                  .every = o->every,
                                  .report = report,
                                  .progress = step,
                                  .user = &t};
    vise_status st = vise_train(s->m, line, &opts, e);
    progress_end(&t.bar);
    if (!st && o->log) st = train_curve_csv(&t.curve, o->log, e);
    if (!st && o->report) st = train_curve_html(&t.curve, o->report, line, e);
    train_curve_free(&t.curve);
    return st;
}

static vise_status run(const cli_call *c, const char *name, bool teaches, vise_err *e)
{
    const train_opts *o = c->opts;
    const size_t args = teaches ? 3 : 2;
    sets s = {0};
    char path[LINE_ROOM];
    if (o->list && !c->nargs) return list(c, name);
    if (o->list || c->nargs != args || !o->data)
        return cli_fail(e, VISE_EARG, "%s takes %sMODEL OUT --data DIR, or --list alone", name,
                        teaches ? "TEACHER " : "");
    const char *out = c->args[args - 1];
    TRY(cli_check_out(out, e));
    snprintf(path, sizeof path, "%s.state", out);
    const char *state = o->state ? o->state : path;
    vise_status st = open_sets(&s, c, teaches ? c->args[0] : NULL, c->args[args - 2], e);
    if (!st) st = work(c, name, &s, state, e);
    if (!st) st = cli_save(s.m, c, out, e);
    if (!st) remove(state); // what it was kept for is done
    vise_model_free(s.m);
    vise_model_free(s.teacher);
    vise_data_free(s.data);
    vise_data_free(s.test);
    return st;
}

static vise_status run_train(const cli_call *c, vise_err *e)
{
    return run(c, "train", false, e);
}

static vise_status run_distill(const cli_call *c, vise_err *e)
{
    return run(c, "distill", true, e);
}

static vise_status run_finetune(const cli_call *c, vise_err *e)
{
    return run(c, "finetune", false, e);
}

#define ABOUT                                                                                      \
    "OUT has to end in .vise. Ctrl-C, or the end of the machine, loses at most what was learnt "   \
    "since the last checkpoint: the same command goes on from there, to the same bits. Every "     \
    "number keeps its encoding: what was quantized or clustered is trained as it will run."

const cli_command cmd_train = {
    .name = "train",
    .args = "MODEL OUT --data DIR",
    .summary = "train a model on labelled pictures",
    .about = "MODEL is a checkpoint, or made by vise new. " ABOUT,
    .table = table_of_options,
    .opts_size = sizeof(train_opts),
    .max_args = 2,
    .import = true,
    .run = run_train,
};

const cli_command cmd_distill = {
    .name = "distill",
    .args = "TEACHER STUDENT OUT --data DIR",
    .summary = "train a model to answer as another does",
    .about = ABOUT,
    .table = table_of_options,
    .opts_size = sizeof(train_opts),
    .max_args = 3,
    .import = true,
    .run = run_distill,
};

const cli_command cmd_finetune = {
    .name = "finetune",
    .args = "MODEL OUT --data DIR",
    .summary = "train a model further, compressed or not",
    .about = ABOUT,
    .table = table_of_options,
    .opts_size = sizeof(train_opts),
    .max_args = 2,
    .import = true,
    .run = run_finetune,
};
