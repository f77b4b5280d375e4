/* pass.c - the list of passes, and the line of text that runs one
 * SPDX-License-Identifier: MIT */
#include "compress/pass.h"

#include <stdio.h>
#include <string.h>

extern const vise_pass vise_pass_cluster, vise_pass_integer, vise_pass_quantize, vise_pass_repair;

/* One row per pass. */
static const vise_pass *const passes[] = {&vise_pass_quantize, &vise_pass_cluster,
                                          &vise_pass_integer, &vise_pass_repair};
enum { PASSES = sizeof passes / sizeof *passes, LIST_ROOM = 200 };

static const vise_pass *find_pass(const char *name, vise_err *e)
{
    char list[LIST_ROOM] = "";
    for (size_t i = 0; i < PASSES; i++) {
        if (!strcmp(passes[i]->name, name)) return passes[i];
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", passes[i]->name);
    }
    vise_fail(e, VISE_EARG, "%.80s: no such pass; there is %s", *name ? name : "(nothing)", list);
    return NULL;
}

vise_status vise_pass_parse(const vise_pass **p, vise_line *l, const char *text, vise_err *e)
{
    char name[VISE_LINE_NAME];
    *l = (vise_line){0};
    *p = find_pass(vise_line_first(name, text), e);
    return *p ? vise_line_parse(l, text, (*p)->opts, (*p)->opts_size, e) : VISE_EARG;
}

/* ---- the public part ---- */

vise_status vise_apply(vise_model *m, const char *line, const vise_eval_opts *opts, vise_err *e)
{
    const vise_pass *pass;
    vise_line l;
    vise_change change = {0};
    const vise_eval_opts none = {0};
    vise_status s = vise_pass_parse(&pass, &l, line, e);
    if (!s) s = vise_change_open(&change, m, opts ? opts : &none, e);
    if (!s) s = pass->apply(&change, l.opts, e);
    if (!s) s = vise_change_commit(&change, m, l.text, e);
    vise_change_close(&change);
    vise_line_release(&l);
    return s;
}

bool vise_pass_get(size_t i, size_t row, vise_pass_info *info)
{
    *info = (vise_pass_info){0};
    if (i >= PASSES) return false;
    const vise_pass *p = passes[i];
    if (!row) {
        *info = (vise_pass_info){p->name, "", "", p->summary};
        return true;
    }
    for (const vise_line_opt *o = p->opts; o->key; o++)
        if (!--row) {
            *info = (vise_pass_info){o->key, o->words, o->def, o->help};
            return true;
        }
    return false;
}
