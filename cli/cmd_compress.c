/* cmd_compress.c - vise compress: a model made smaller and faster by passes
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "progress.h"
#include "table.h"

#include <string.h>

typedef struct compress_opts {
    opt_texts pass;
    const char *calib, *original;
    size_t count;
    bool list;
} compress_opts;

#define AT(field) offsetof(compress_opts, field)

static const opt table_of_options[] = {
    {"pass", OPT_TEXTS, AT(pass), "\"NAME KEY=VALUE ...\"",
     "a pass to run, see --list; may be given again, they run in order", 0},
    {"calib", OPT_TEXT, AT(calib), "DIR", "pictures for passes that calibrate, as for eval", 0},
    {"calib-count", OPT_COUNT, AT(count), "N",
     "N of them, from all over the set (default 32 or 128)", 1},
    {"original", OPT_TEXT, AT(original), "MODEL",
     "what repair learns from (default: MODEL as it is before any pass)", 0},
    {"list", OPT_FLAG, AT(list), NULL, "list the passes and what they can be told", 0},
    {0},
};

/* ---- --list ---- */

static void list_json(size_t pass)
{
    vise_pass_info p;
    vise_pass_get(pass, 0, &p);
    json_t *o = js_object(), *options = js_array();
    js_put(o, "name", js_text(p.name));
    js_put(o, "summary", js_text(p.help));
    for (size_t i = 1; vise_pass_get(pass, i, &p); i++) {
        json_t *row = js_object();
        js_put(row, "key", js_text(p.name));
        js_put(row, "values", js_text(p.values));
        js_put(row, "default", js_text(p.def));
        js_put(row, "help", js_text(p.help));
        js_add(options, row);
    }
    js_put(o, "options", options);
    js_print(o);
}

static void list_text(size_t pass)
{
    enum { INDENT = 6 };
    vise_pass_info p;
    vise_pass_get(pass, 0, &p);
    printf("%s: %s\n", p.name, p.help);
    for (size_t i = 1; vise_pass_get(pass, i, &p); i++) {
        printf("  %s=%s", p.name, p.values);
        if (*p.def) printf(" (default %s)", p.def);
        printf("\n%*s", INDENT, "");
        opt_wrap(stdout, p.help, INDENT, INDENT);
        puts("");
    }
}

static vise_status list(const cli_call *c)
{
    vise_pass_info p;
    for (size_t i = 0; vise_pass_get(i, 0, &p); i++)
        (c->json ? list_json : list_text)(i);
    return VISE_OK;
}

/* ---- running passes ---- */

/* Does a pass learn from the original? */
static bool teaches(const opt_texts *passes)
{
    for (size_t i = 0; i < passes->n; i++) {
        const char *name = passes->item[i] + strspn(passes->item[i], " \t\r\n");
        if (!strncmp(name, "repair", strlen("repair"))) return true;
    }
    return false;
}

/*   original  what m was before any pass, or NULL */
static vise_status apply_all(vise_model *m, const vise_model *original, const cli_call *c,
                             const vise_data *calib, vise_err *e)
{
    const compress_opts *o = c->opts;
    progress p;
    progress_begin(&p, c->quiet);
    const vise_eval_opts opts = {.against = original,
                                 .data = calib,
                                 .limit = o->count,
                                 .threads = c->threads,
                                 .cpu = c->cpu,
                                 .progress = progress_step,
                                 .user = &p};
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < o->pass.n; i++)
        s = vise_apply(m, o->pass.item[i], &opts, e);
    progress_end(&p);
    return s;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const compress_opts *o = c->opts;
    vise_data *calib = NULL;
    vise_model *m = NULL, *original = NULL;
    if (o->list && !c->nargs) return list(c);
    if (o->list || c->nargs != 2)
        return cli_fail(e, VISE_EARG, "compress takes MODEL OUT --pass ..., or --list alone");
    if (!o->pass.n) return cli_fail(e, VISE_EARG, "compress needs --pass, see 'compress --list'");
    cli_call again = *c; // its notes were printed once
    again.quiet = true;
    TRY(cli_check_out(c->args[1], e));
    if (o->calib) TRY(vise_data_open(&calib, o->calib, NULL, e));
    vise_status s = cli_open(&m, c, c->args[0], false, e);
    if (!s && teaches(&o->pass))
        s = cli_open(&original, &again, o->original ? o->original : c->args[0], false, e);
    if (!s) s = apply_all(m, original, c, calib, e);
    if (!s) s = cli_save(m, c, c->args[1], e);
    vise_model_free(m);
    vise_model_free(original);
    vise_data_free(calib);
    return s;
}

static const compress_opts defaults = {.count = 32};

const cli_command cmd_compress = {
    .name = "compress",
    .args = "MODEL OUT --pass ...",
    .summary = "make a model smaller and faster",
    .about = "Passes change the model one after the other; each is a line of text, as "
             "\"quantize weights=int8 acts=int8\", that is kept in the model's history. OUT has to "
             "end in .vise. An existing file is replaced when the new one is complete.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(compress_opts),
    .max_args = 2,
    .import = true,
    .run = run,
};
