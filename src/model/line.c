/* line.c - words, matched with a table
 * SPDX-License-Identifier: MIT */
#include "model/line.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_ROOM = 400 };

static const vise_line_opt *find_opt(const vise_line *l, const vise_line_opt *table,
                                     const char *key, vise_err *e)
{
    char list[LIST_ROOM] = "";
    for (const vise_line_opt *o = table; o->key; o++) {
        if (!strcmp(o->key, key)) return o;
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", o->key);
    }
    vise_fail(e, VISE_EARG, "%s %.80s: no such option; there are %s", l->name, key,
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

static vise_status set_opt(vise_line *c, const vise_line_opt *o, const char *value, vise_err *e)
{
    char *field = (char *)c->opts + o->offset;
    if (o->kind == VISE_LINE_TEXT) {
        memcpy(field, &value, sizeof value);
        return VISE_OK;
    }
    if (o->kind == VISE_LINE_NUMBER) {
        char *end;
        double number = strtod(value, &end);
        const bool ok = end != value && !*end && number >= 0 && number <= 1e6;
        if (!strcmp(value, "auto"))
            number = (double)NAN;
        else if (!ok)
            return vise_fail(e, VISE_EARG, "%s %s=%.80s: a number from 0 up, or auto", c->name,
                             o->key, value);
        memcpy(field, &number, sizeof number);
        return VISE_OK;
    }
    const int i = word_index(o->words, value);
    if (i < 0)
        return vise_fail(e, VISE_EARG, "%s %s=%.80s: allowed are %s", c->name, o->key, value,
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

enum { MAX_OPTS = 64 };

/* Words KEY=VALUE into values, by the table. */
static vise_status split(const vise_line *l, const vise_line_opt *table, char *at,
                         const char *values[MAX_OPTS], vise_err *e)
{
    for (char *word; (word = next_word(&at));) {
        char *equals = strchr(word, '=');
        if (equals) *equals = 0;
        const vise_line_opt *o = find_opt(l, table, word, e);
        if (!o) return VISE_EARG;
        if (!equals)
            return vise_fail(e, VISE_EARG, "%s %s: a value has to follow, as in %s=%s", l->name,
                             o->key, o->key, *o->def ? o->def : "...");
        assert(o - table < MAX_OPTS);
        if (values[o - table])
            return vise_fail(e, VISE_EARG, "%s: %s is given twice", l->name, o->key);
        values[o - table] = equals + 1;
    }
    return VISE_OK;
}

/* The line with every option spelt out, so that it means the same when defaults have changed.
 *   values  in  [n], as the table */
static vise_status spell(vise_line *c, const vise_line_opt *opts, const char *const *values,
                         size_t n, vise_err *e)
{
    size_t size = strlen(c->name) + 1;
    for (size_t i = 0; i < n; i++)
        size += strlen(opts[i].key) + strlen(values[i]) + 2;
    char *line = vise_region_take(&c->texts, size, 1);
    if (!line) return vise_fail(e, VISE_ENOMEM, "out of memory: a line of options");
    size_t at = (size_t)snprintf(line, size, "%s", c->name);
    for (size_t i = 0; i < n; i++)
        if (*values[i])
            at += (size_t)snprintf(line + at, size - at, " %s=%s", opts[i].key, values[i]);
    c->text = line;
    return VISE_OK;
}

static bool is_plain(const char *line)
{
    for (; *line; line++)
        if ((*line < ' ' || *line > '~') && !strchr("\t\r\n", *line)) return false;
    return true;
}

const char *vise_line_first(char buf[VISE_LINE_NAME], const char *text)
{
    text += strspn(text, " \t\r\n");
    snprintf(buf, VISE_LINE_NAME, "%.*s", (int)strcspn(text, " \t\r\n"), text);
    return buf;
}

vise_status vise_line_parse(vise_line *l, const char *text, const vise_line_opt *table, size_t size,
                            vise_err *e)
{
    const char *values[MAX_OPTS] = {NULL};
    *l = (vise_line){0};
    if (!is_plain(text)) return vise_fail(e, VISE_EARG, "options are a line of printable ASCII");
    char *at = vise_region_str(&l->texts, text);
    l->opts = vise_region_take(&l->texts, 1, size);
    if (!at || !l->opts) return vise_fail(e, VISE_ENOMEM, "out of memory: a line of options");
    l->name = next_word(&at);
    if (!l->name) return vise_fail(e, VISE_EARG, "an empty line of options");
    VISE_TRY(split(l, table, at, values, e));
    size_t n = 0;
    for (; table[n].key; n++)
        if (!values[n]) values[n] = table[n].def;
    for (size_t i = 0; i < n; i++)
        VISE_TRY(set_opt(l, &table[i], values[i], e));
    return spell(l, table, values, n, e);
}

void vise_line_release(vise_line *l)
{
    vise_region_free(&l->texts);
}

vise_status vise_line_pattern(char pattern[VISE_LINE_PATTERN], const char **list, const char *what,
                              vise_err *e)
{
    const size_t n = strcspn(*list, ",");
    pattern[0] = 0;
    if (!**list) return VISE_OK;
    if (!n || n >= VISE_LINE_PATTERN)
        return vise_fail(e, VISE_EARG, "%s%.80s: an empty or a very long pattern", what, *list);
    memcpy(pattern, *list, n);
    pattern[n] = 0;
    *list += n + ((*list)[n] == ',');
    return VISE_OK;
}
