/* cmd_new.c - vise new: a model of random weights, or one that begins as parts of another
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

typedef struct new_opts {
    uint32_t dim, depth, heads, patch, classes;
    double mlp_ratio;
    opt_size size;
    const char *from, *blocks;
    bool distilled, list;
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
    {"distilled", OPT_FLAG, AT(distilled), NULL, "with a distillation token and a head for it", 0},
    {"from", OPT_TEXT, AT(from), "TEACHER",
     "a plain ViT: its dimensions, recipe and class names, and its weights where shapes are equal",
     0},
    {"blocks", OPT_TEXT, AT(blocks), "I,J,...",
     "blocks of the teacher to take, from 0 (default: --depth of them evenly spread, or all)", 0},
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

/* "0,2,5" into v, which has room for one number for every second byte. */
static vise_status read_blocks(uint32_t *v, size_t *n, const char *text, vise_err *e)
{
    const char *p = text;
    for (;; p++) {
        const size_t digits = strspn(p, "0123456789");
        if (!digits || digits > 9 || (p[digits] && p[digits] != ','))
            return cli_fail(e, VISE_EARG, "--blocks %s: expected numbers with commas between",
                            text);
        v[(*n)++] = (uint32_t)strtoul(p, NULL, 10);
        p += digits;
        if (!*p) return VISE_OK;
    }
}

static vise_status make(const cli_call *c, vise_new *dims, vise_err *e)
{
    vise_model *m;
    TRY(vise_model_new(&m, c->args[0], dims, e));
    for (size_t i = 0; !c->quiet && vise_model_note(m, i); i++)
        cli_say("note: %s", vise_model_note(m, i));
    const vise_status s = cli_save(m, c, c->args[1], e);
    vise_model_free(m);
    return s;
}

/* The options of import are not this command's. */
static vise_status open_teacher(vise_model **m, const cli_call *c, vise_err *e)
{
    const vise_status s = cli_open(m, c, ((const new_opts *)c->opts)->from, true, e);
    if (s != VISE_EARG) return s;
    const vise_err why = *e;
    return cli_fail(e, s, "%s; vise convert takes that option", why.msg);
}

static vise_status make_student(const cli_call *c, vise_new *dims, vise_err *e)
{
    const new_opts *o = c->opts;
    vise_model *teacher = NULL;
    uint32_t *blocks = o->blocks ? cli_alloc(strlen(o->blocks) / 2 + 1, sizeof *blocks) : NULL;
    vise_status s = blocks ? read_blocks(blocks, &dims->nblocks, o->blocks, e) : VISE_OK;
    dims->blocks = blocks;
    if (!s && o->from) s = open_teacher(&teacher, c, e);
    dims->from = teacher;
    if (!s) s = make(c, dims, e);
    vise_model_free(teacher);
    free(blocks);
    return s;
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const new_opts *o = c->opts;
    if (o->list && !c->nargs) return list(c);
    if (o->list || c->nargs != 2)
        return cli_fail(e, VISE_EARG, "new takes NAME OUT, or --list alone");
    vise_new dims = {.seed = c->seed,
                     .dim = o->dim,
                     .depth = o->depth,
                     .heads = o->heads,
                     .patch = o->patch,
                     .height = o->size.height,
                     .width = o->size.width,
                     .classes = o->classes,
                     .mlp_ratio = o->mlp_ratio,
                     .distilled = o->distilled};
    TRY(cli_check_out(c->args[1], e));
    return make_student(c, &dims, e);
}

const cli_command cmd_new = {
    .name = "new",
    .args = "NAME OUT | --list",
    .summary = "make a model of random weights, or a student of another one",
    .about =
        "NAME is a published size (see --list), or vit, whose dimensions are free. Options "
        "change single dimensions. The same --seed gives the same file.\n\n"
        "With --from the model is a student: dimensions that are not given are the teacher's, and "
        "so is every weight whose shape is the same, block by block; the rest is random. "
        "Positions are resized to another grid. A distillation token and its head begin as the "
        "class token and its head. A checkpoint that can only be opened with options has to be "
        "converted first.",
    .table = table,
    .opts_size = sizeof(new_opts),
    .max_args = 2,
    .run = run,
};
