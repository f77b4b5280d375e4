/* cmd_new.c - vise new: a model of random weights, to measure sizes without a checkpoint
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"

typedef struct new_opts {
    uint32_t dim, depth, heads, patch, classes;
    double mlp_ratio;
    opt_size size;
    bool list;
} new_opts;

#define AT(field) offsetof(new_opts, field)

static const opt table[] = {
    {"dim", OPT_U32, AT(dim), "N", "width of the tokens", 1},
    {"depth", OPT_U32, AT(depth), "N", "blocks", 1},
    {"heads", OPT_U32, AT(heads), "N", "attention heads", 1},
    {"mlp-ratio", OPT_REAL, AT(mlp_ratio), "X", "width of the MLPs, in token widths", 0},
    {"patch", OPT_U32, AT(patch), "N", "pixels a side of a patch", 1},
    {"size", OPT_SIZE, AT(size), "HxW", "input size in pixels, or N for a square", 0},
    {"classes", OPT_U32, AT(classes), "N", "classes", 1},
    {"list", OPT_FLAG, AT(list), NULL, "list the published sizes", 0},
    {0},
};

static vise_status list(const cli_call *c)
{
    const char *name;
    for (size_t i = 0; (name = vise_model_names(i)); i++) {
        if (!c->json) {
            puts(name);
            continue;
        }
        json_t *o = js_object();
        js_put(o, "name", js_text(name));
        js_print(o);
    }
    return VISE_OK;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const new_opts *o = c->opts;
    if (o->list && !c->nargs) return list(c);
    if (o->list || c->nargs != 2)
        return cli_fail(e, VISE_EARG, "new takes NAME OUT, or --list alone");
    const vise_new dims = {.seed = c->seed,
                           .dim = o->dim,
                           .depth = o->depth,
                           .heads = o->heads,
                           .patch = o->patch,
                           .height = o->size.height,
                           .width = o->size.width,
                           .classes = o->classes,
                           .mlp_ratio = o->mlp_ratio};
    vise_model *m;
    TRY(cli_check_out(c->args[1], e));
    TRY(vise_model_new(&m, c->args[0], &dims, e));
    const vise_status s = cli_save(m, c, c->args[1], e);
    vise_model_free(m);
    return s;
}

const cli_command cmd_new = {
    .name = "new",
    .args = "NAME OUT | --list",
    .summary = "make a model of random weights",
    .about = "NAME is a published size (see --list), or vit, whose dimensions are free. Options "
             "change single dimensions. The same --seed gives the same file.",
    .table = table,
    .opts_size = sizeof(new_opts),
    .max_args = 2,
    .run = run,
};
