/* pass.c - the list of passes, and the line of text that runs one
 * SPDX-License-Identifier: MIT */
#include "compress/pass.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const vise_pass vise_pass_cluster, vise_pass_integer, vise_pass_quantize;

/* One row per pass. */
static const vise_pass *const passes[] = {&vise_pass_quantize, &vise_pass_cluster,
                                          &vise_pass_integer};
enum { PASSES = sizeof passes / sizeof *passes, LIST_ROOM = 200 };

/* ---- parsing ---- */

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

static const vise_pass_opt *find_opt(const vise_pass *p, const char *key, vise_err *e)
{
    char list[LIST_ROOM] = "";
    for (const vise_pass_opt *o = p->opts; o->key; o++) {
        if (!strcmp(o->key, key)) return o;
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", o->key);
    }
    vise_fail(e, VISE_EARG, "%s %.80s: no such option; there are %s", p->name, key,
              *list ? list : "none");
    return NULL;
}

/* The index of a word in "one|two|three", or -1. */
static int word_index(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (int i = 0;; i++) {
        const size_t m = strcspn(words, "|");
        if (n == m && !strncmp(words, word, n)) return i;
        if (!words[m]) return -1;
        words += m + 1;
    }
}

static vise_status set_opt(vise_pass_call *c, const vise_pass_opt *o, const char *value,
                           vise_err *e)
{
    char *field = (char *)c->opts + o->offset;
    if (o->kind == VISE_PASS_TEXT) {
        memcpy(field, &value, sizeof value);
        return VISE_OK;
    }
    if (o->kind == VISE_PASS_NUMBER) {
        char *end;
        double number = strtod(value, &end);
        const bool ok = end != value && !*end && number >= 0 && number <= 1e6;
        if (!strcmp(value, "auto"))
            number = (double)NAN;
        else if (!ok)
            return vise_fail(e, VISE_EARG, "%s %s=%.80s: a number from 0 up, or auto",
                             c->pass->name, o->key, value);
        memcpy(field, &number, sizeof number);
        return VISE_OK;
    }
    const int i = word_index(o->words, value);
    if (i < 0)
        return vise_fail(e, VISE_EARG, "%s %s=%.80s: allowed are %s", c->pass->name, o->key, value,
                         o->words);
    memcpy(field, &i, sizeof i);
    return VISE_OK;
}

/* The next word of *at, ended in place; NULL at the end. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t\r\n");
    if (!*word) return NULL;
    char *end = word + strcspn(word, " \t\r\n");
    *at = *end ? end + 1 : end;
    *end = 0;
    return word;
}

enum { MAX_OPTS = 24 };

/* Words KEY=VALUE into values, by the pass's table. */
static vise_status split(const vise_pass *p, char *at, const char *values[MAX_OPTS], vise_err *e)
{
    for (char *word; (word = next_word(&at));) {
        char *equals = strchr(word, '=');
        if (equals) *equals = 0;
        const vise_pass_opt *o = find_opt(p, word, e);
        if (!o) return VISE_EARG;
        if (!equals)
            return vise_fail(e, VISE_EARG, "%s %s: a value has to follow, as in %s=%s", p->name,
                             o->key, o->key, *o->def ? o->def : "...");
        assert(o - p->opts < MAX_OPTS);
        if (values[o - p->opts])
            return vise_fail(e, VISE_EARG, "%s: %s is given twice", p->name, o->key);
        values[o - p->opts] = equals + 1;
    }
    return VISE_OK;
}

/* The line with every option spelt out, so that it means the same when defaults have changed.
 *   values  in  [n], as the pass's table */
static vise_status spell(vise_pass_call *c, const char *const *values, size_t n, vise_err *e)
{
    const vise_pass_opt *opts = c->pass->opts;
    size_t size = strlen(c->pass->name) + 1;
    for (size_t i = 0; i < n; i++)
        size += strlen(opts[i].key) + strlen(values[i]) + 2;
    char *line = vise_region_take(&c->texts, size, 1);
    if (!line) return vise_fail(e, VISE_ENOMEM, "out of memory: the line of a pass");
    size_t at = (size_t)snprintf(line, size, "%s", c->pass->name);
    for (size_t i = 0; i < n; i++)
        if (*values[i])
            at += (size_t)snprintf(line + at, size - at, " %s=%s", opts[i].key, values[i]);
    c->line = line;
    return VISE_OK;
}

static bool is_plain(const char *line)
{
    for (; *line; line++)
        if ((*line < ' ' || *line > '~') && !strchr("\t\r\n", *line)) return false;
    return true;
}

vise_status vise_pass_parse(vise_pass_call *c, const char *line, vise_err *e)
{
    const char *values[MAX_OPTS] = {NULL};
    *c = (vise_pass_call){0};
    if (!is_plain(line)) return vise_fail(e, VISE_EARG, "a pass is a line of printable ASCII");
    char *at = vise_region_str(&c->texts, line);
    if (!at) return vise_fail(e, VISE_ENOMEM, "out of memory: the line of a pass");
    const char *name = next_word(&at);
    c->pass = find_pass(name ? name : "", e);
    if (!c->pass) return VISE_EARG;
    c->opts = vise_region_take(&c->texts, 1, c->pass->opts_size);
    if (!c->opts) return vise_fail(e, VISE_ENOMEM, "out of memory: options of %s", c->pass->name);
    VISE_TRY(split(c->pass, at, values, e));
    const vise_pass_opt *opts = c->pass->opts;
    size_t n = 0;
    for (; opts[n].key; n++)
        if (!values[n]) values[n] = opts[n].def;
    for (size_t i = 0; i < n; i++)
        VISE_TRY(set_opt(c, &opts[i], values[i], e));
    return spell(c, values, n, e);
}

void vise_pass_release(vise_pass_call *c)
{
    vise_region_free(&c->texts);
}

/* ---- the public part ---- */

vise_status vise_apply(vise_model *m, const char *line, const vise_eval_opts *opts, vise_err *e)
{
    vise_pass_call call;
    vise_change change = {0};
    const vise_eval_opts none = {0};
    vise_status s = vise_pass_parse(&call, line, e);
    if (!s) s = vise_change_open(&change, m, opts ? opts : &none, e);
    if (!s) s = call.pass->apply(&change, call.opts, e);
    if (!s) s = vise_change_commit(&change, m, call.line, e);
    vise_change_close(&change);
    vise_pass_release(&call);
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
    for (const vise_pass_opt *o = p->opts; o->key; o++)
        if (!--row) {
            *info = (vise_pass_info){o->key, o->words, o->def, o->help};
            return true;
        }
    return false;
}
