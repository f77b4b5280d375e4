/* cmd_run.c - vise run: what a model sees in pictures
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_opts {
    size_t top;
    bool logits;
} run_opts;

static const opt table_of_options[] = {
    {"top", OPT_COUNT, offsetof(run_opts, top), "K", "best classes to print (default 5)", 1},
    {"logits", OPT_FLAG, offsetof(run_opts, logits), NULL, "print all outputs of the network", 0},
    {0},
};

typedef struct answer {
    size_t *best; // [top] classes by falling logit
    size_t top, classes;
    float *logits;    // [classes]
    const char *what; // the output's name: "logits", or "features" of a model without classes
    double sum, max;  // of exp(logit - max), of the logits
    double ms, load_ms;
} answer;

/* The top classes; equal logits rank by lower class. top is small: insertion. */
static void rank(answer *a)
{
    size_t n = 0;
    for (size_t c = 0; c < a->classes; c++) {
        if (n == a->top && !(a->logits[c] > a->logits[a->best[n - 1]])) continue;
        size_t at = n < a->top ? n++ : n - 1;
        for (; at && a->logits[c] > a->logits[a->best[at - 1]]; at--)
            a->best[at] = a->best[at - 1];
        a->best[at] = c;
    }
    a->max = (double)a->logits[a->best[0]];
    a->sum = 0;
    for (size_t c = 0; c < a->classes; c++)
        a->sum += exp((double)a->logits[c] - a->max);
}

static double score(const answer *a, size_t cls)
{
    return exp((double)a->logits[cls] - a->max) / a->sum;
}

static void print_json(const answer *a, const vise_model *m, const char *image, bool logits)
{
    json_t *o = js_object(), *top = js_array();
    for (size_t i = 0; i < a->top; i++) {
        json_t *t = js_object();
        js_put(t, "class", js_count(a->best[i]));
        js_put(t, "label", js_text(vise_model_label(m, a->best[i])));
        js_put(t, "score", js_real(score(a, a->best[i])));
        js_add(top, t);
    }
    js_put(o, "image", js_text(image));
    js_put(o, "top", top);
    js_put(o, "ms", js_real(a->ms));
    js_put(o, "load_ms", js_real(a->load_ms));
    if (logits) {
        json_t *all = js_array();
        for (size_t c = 0; c < a->classes; c++)
            js_add(all, js_f32(a->logits[c]));
        js_put(o, a->what, all);
    }
    js_print(o);
}

static void print_text(const answer *a, const vise_model *m, const char *image, bool logits)
{
    table t = {.align = "rrl"};
    printf("%s: %.1f ms, and %.1f ms to load\n", image, a->ms, a->load_ms);
    for (size_t i = 0; i < a->top; i++) {
        const char *label = vise_model_label(m, a->best[i]);
        table_add(&t, "%8.4f", score(a, a->best[i]));
        table_add(&t, "%zu", a->best[i]);
        table_add(&t, "%s", label ? label : "-");
    }
    table_print(stdout, &t);
    if (!logits) return;
    for (size_t c = 0; c < a->classes; c++)
        printf("%s%.9g", c ? " " : "", (double)a->logits[c]);
    puts("");
}

static bool all_finite(const answer *a)
{
    for (size_t i = 0; i < a->classes; i++)
        if (!isfinite(a->logits[i])) return false;
    return true;
}

/* Prints the answers for all pictures. One that cannot be read does not stop the others, but the
 * call fails in the end, with nothing left to say. */
static vise_status run_images(answer *a, vise_session *s, const vise_model *m, const cli_call *c,
                              vise_err *e)
{
    const run_opts *o = c->opts;
    const vise_recipe *r = vise_model_recipe(m);
    float *pixels = cli_alloc(vise_shape_count(&vise_session_input(s, 0)->shape), sizeof *pixels);
    float **out = cli_alloc(vise_session_outputs(s), sizeof *out);
    vise_status failed = VISE_OK;
    out[0] = a->logits;
    for (size_t i = 1; i < c->nargs; i++) {
        const char *image = c->args[i];
        const double start = cli_seconds();
        const vise_status loaded = vise_image_load(pixels, r, image, e);
        if (loaded) {
            cli_say("vise: %s", e->msg);
            failed = loaded;
            continue;
        }
        const double ready = cli_seconds();
        vise_session_run(s, 1, (const float *const[]){pixels}, out);
        a->ms = 1e3 * (cli_seconds() - ready);
        a->load_ms = 1e3 * (ready - start);
        if (!all_finite(a)) {
            cli_say("vise: %s: the outputs are not numbers: the network overflows", image);
            failed = VISE_EFORMAT;
            continue;
        }
        if (a->top) rank(a);
        (c->json ? print_json : print_text)(a, m, image, o->logits);
    }
    e->msg[0] = 0;
    free(out);
    free(pixels);
    return failed;
}

static vise_status run_model(const vise_model *m, const cli_call *c, vise_err *e)
{
    const run_opts *o = c->opts;
    vise_session *s;
    TRY(cli_session(&s, c, m, c->args[0], (vise_session_opts){0}, e));
    answer a = {.classes = vise_shape_count(&vise_session_output(s, 0)->shape)};
    a.what = vise_session_output(s, 0)->name;
    a.top = o->top < a.classes ? o->top : a.classes;
    if (strcmp(a.what, "logits") != 0) {
        a.top = 0; // there are no classes to rank
        if (!o->logits) {
            cli_fail(e, VISE_EARG, "%s gives %s and no classes: --logits prints them", c->args[0],
                     a.what);
            vise_session_free(s);
            return VISE_EARG;
        }
    }
    a.logits = cli_alloc(a.classes, sizeof *a.logits);
    a.best = cli_alloc(a.top + 1, sizeof *a.best);
    const vise_status status = run_images(&a, s, m, c, e);
    free(a.best);
    free(a.logits);
    vise_session_free(s);
    return status;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    vise_model *m;
    TRY(cli_open(&m, c, c->args[0], false, e));
    const vise_status s = run_model(m, c, e);
    vise_model_free(m);
    return s;
}

static const run_opts defaults = {.top = 5};

const cli_command cmd_run = {
    .name = "run",
    .args = "MODEL IMAGE...",
    .summary = "say what a model sees in pictures",
    .about = "Pictures are JPEG, PNG, WebP or PPM files. A score is the softmax of the outputs. "
             "Times are those of the network alone, and of reading and resizing the picture. A "
             "picture that cannot be read is reported, and the others go on.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(run_opts),
    .min_args = 2,
    .max_args = CLI_ANY,
    .import = true,
    .sessions = true,
    .run = run,
};
