/* cmd_check.c - vise check: the kernel checker, on this very machine
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "table.h"

#include <string.h>

typedef struct check_opts {
    size_t rounds;
    bool list;
} check_opts;

#define AT(field) offsetof(check_opts, field)

static const opt table_of_options[] = {
    {"rounds", OPT_COUNT, AT(rounds), "N", "random shapes per kernel and level (default 200)", 1},
    {"list", OPT_FLAG, AT(list), NULL, "show which kernels there are, check nothing", 0},
    {0},
};

typedef struct print {
    table t;
    bool json, list;
    char kernel[32]; // --list: of the row begun
} print;

static void print_json(const print *p, const vise_check_row *row)
{
    json_t *o = js_object();
    js_put(o, "kernel", js_text(row->kernel));
    js_put(o, "level", js_text(row->level));
    js_put(o, "contract", js_text(row->contract));
    if (!p->list) js_put(o, "ok", json_boolean(!row->failure));
    if (!p->list) js_put(o, "failure", js_text(row->failure));
    js_print(o);
}

static void report(void *user, const vise_check_row *row)
{
    print *p = user;
    if (p->json) {
        print_json(p, row);
        return;
    }
    table_add(&p->t, "%s", row->kernel);
    table_add(&p->t, "%s", row->level);
    table_add(&p->t, "%s", row->contract);
    if (!p->list)
        table_add(&p->t, "%s%s", row->failure ? "FAILED: " : "ok",
                  row->failure ? row->failure : "");
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const check_opts *o = c->opts;
    print p = {.t = {.align = o->list ? "lll" : "llll"}, .json = c->json, .list = o->list};
    const vise_check_opts opts = {.cpu = c->cpu,
                                  .kernel = c->nargs ? c->args[0] : NULL,
                                  .seed = c->seed,
                                  .rounds = o->rounds,
                                  .list = o->list,
                                  .report = report,
                                  .user = &p};
    size_t failed;
    const vise_status s = vise_check(&failed, &opts, e);
    if (!c->json) table_print(stdout, &p.t);
    if (s || !failed) return s;
    return cli_fail(e, VISE_EFORMAT, "check: %zu kernel%s failed", failed, failed == 1 ? "" : "s");
}

static const check_opts defaults = {.rounds = 200};

const cli_command cmd_check = {
    .name = "check",
    .args = "[KERNEL]",
    .summary = "hold this machine's kernels against their definitions",
    .about = "Every kernel runs on random shapes, in buffers that end at unreadable pages, and is "
             "compared with a slow and simple oracle. Without --cpu the code of every level is "
             "checked, with it what that level uses.",
    .table = table_of_options,
    .defaults = &defaults,
    .opts_size = sizeof(check_opts),
    .max_args = 1,
    .run = run,
};
