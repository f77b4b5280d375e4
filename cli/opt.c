/* opt.c - parsing options by their tables, and printing the tables
 * SPDX-License-Identifier: MIT */
#include "opt.h"
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 32, HELP_COLUMN = 26, LINE = 80 };

/* ---- values ---- */

/* The digits at *s as a number; *s moves behind them. */
static bool take_digits(uint64_t *v, const char **s)
{
    char *end;
    if (!isdigit((unsigned char)**s)) return false; // strtoull would take signs and spaces
    errno = 0;
    *v = strtoull(*s, &end, 10);
    *s = end;
    return errno == 0;
}

static bool take_real(double *v, const char **s)
{
    char *end;
    if (!**s || isspace((unsigned char)**s)) return false;
    *v = strtod(*s, &end);
    const bool ok = end != *s && isfinite(*v);
    *s = end;
    return ok;
}

/* Digits and a unit of units, in either case; binary: an i behind it makes it a power of 1024. */
static bool parse_units(uint64_t *v, const char *s, const char *units, bool binary)
{
    uint64_t unit = 1;
    if (!take_digits(v, &s)) return false;
    const char *at = *s ? strchr(units, toupper((unsigned char)*s)) : NULL;
    if (at) {
        const bool is_binary = binary && s[1] == 'i';
        for (const char *p = units; p <= at; p++)
            unit *= is_binary ? 1024 : 1000;
        s += is_binary ? 2 : 1;
    }
    if (*s || *v > SIZE_MAX / unit) return false;
    *v *= unit;
    return true;
}

static bool parse_plain(uint64_t *v, const char *s, uint64_t max)
{
    return take_digits(v, &s) && !*s && *v <= max;
}

static bool parse_size(opt_size *out, const char *s)
{
    uint64_t h, w;
    if (!take_digits(&h, &s)) return false;
    w = h;
    if (*s == 'x') {
        s++;
        if (!take_digits(&w, &s)) return false;
    }
    if (*s || !h || !w || h > UINT32_MAX || w > UINT32_MAX) return false;
    *out = (opt_size){(uint32_t)h, (uint32_t)w};
    return true;
}

static bool parse_rgb(opt_rgb *out, const char *s)
{
    double v[3];
    size_t n = 0;
    do {
        if (n == 3 || !take_real(&v[n], &s) || fabs(v[n]) > 1e6) return false;
        n++;
    } while (*s == ',' && *++s);
    if (*s || n == 2) return false;
    for (size_t i = 0; i < 3; i++)
        out->v[i] = (float)v[n == 3 ? i : 0];
    out->given = true;
    return true;
}

static bool parse_word(unsigned *out, const char *list, const char *s)
{
    const size_t n = strlen(s);
    for (unsigned i = 1;; i++) {
        const size_t len = strcspn(list, "|");
        if (len == n && !memcmp(list, s, n)) {
            *out = i;
            return true;
        }
        if (!list[len]) return false;
        list += len + 1;
    }
}

/* What a value of this kind has to be, for messages. */
static const char *wanted(opt_kind kind)
{
    switch (kind) {
    case OPT_COUNT:
        return "a whole number, which may end in K or M";
    case OPT_BYTES:
        return "a number of bytes, which may end in K, M, G, Ki, Mi or Gi";
    case OPT_U32:
    case OPT_U64:
        return "a whole number";
    case OPT_REAL:
        return "a number above 0";
    case OPT_SIZE:
        return "a size as HxW, or N for a square";
    case OPT_RGB:
        return "one number, or three with commas between them";
    default:
        return "something else";
    }
}

static vise_status add_text(const opt *o, opt_texts *list, const char *value, vise_err *e)
{
    if (list->n == OPT_MAX_TEXTS)
        return cli_fail(e, VISE_EARG, "--%s is given more than %d times", o->name, OPT_MAX_TEXTS);
    list->item[list->n++] = value;
    return VISE_OK;
}

static vise_status set(const opt *o, void *into, const char *value, vise_err *e)
{
    void *field = (char *)into + o->offset;
    const char *rest = value;
    uint64_t v = o->min;
    bool ok = true;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        break;
    case OPT_COUNT:
        if ((ok = parse_units(&v, value, "KM", false))) *(size_t *)field = (size_t)v;
        break;
    case OPT_BYTES:
        if ((ok = parse_units(&v, value, "KMG", true))) *(size_t *)field = (size_t)v;
        break;
    case OPT_U32:
        if ((ok = parse_plain(&v, value, UINT32_MAX))) *(uint32_t *)field = (uint32_t)v;
        break;
    case OPT_U64:
        if ((ok = parse_plain(&v, value, UINT64_MAX))) *(uint64_t *)field = v;
        break;
    case OPT_REAL:
        ok = take_real(field, &rest) && !*rest && *(double *)field > 0;
        break;
    case OPT_TEXT:
        *(const char **)field = value;
        break;
    case OPT_TEXTS:
        return add_text(o, field, value, e);
    case OPT_SIZE:
        ok = parse_size(field, value);
        break;
    case OPT_RGB:
        ok = parse_rgb(field, value);
        break;
    case OPT_WORD:
        if (!parse_word(field, o->arg, value))
            return cli_fail(e, VISE_EARG, "--%s %s: expected one of %s", o->name, value, o->arg);
        break;
    }
    if (!ok) return cli_fail(e, VISE_EARG, "--%s %s: expected %s", o->name, value, wanted(o->kind));
    if (v < o->min)
        return cli_fail(e, VISE_EARG, "--%s %s: at least %llu is needed", o->name, value,
                        (unsigned long long)o->min);
    return VISE_OK;
}

/* ---- names ---- */

size_t opt_distance(const char *a, const char *b)
{
    size_t row[3][MAX_NAME + 1]; // the last three rows of the edit matrix
    const size_t n = strlen(b);
    if (n > MAX_NAME) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[0][j] = j;
    size_t i = 0;
    for (; a[i]; i++) {
        const size_t *before = row[(i + 2) % 3], *last = row[i % 3];
        size_t *now = row[(i + 1) % 3];
        now[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = last[j] + (a[i] != b[j]);
            if (last[j + 1] + 1 < best) best = last[j + 1] + 1;
            if (now[j] + 1 < best) best = now[j] + 1;
            const bool swapped = i && j && a[i] == b[j - 1] && a[i - 1] == b[j];
            if (swapped && before[j - 1] + 1 < best) best = before[j - 1] + 1;
            now[j + 1] = best;
        }
    }
    return row[i % 3][n];
}

static const opt *find(const opt_group *groups, size_t ngroups, const char *name, void **into)
{
    for (size_t g = 0; g < ngroups; g++)
        for (const opt *o = groups[g].table; o && o->name; o++)
            if (!strcmp(o->name, name)) {
                *into = groups[g].into;
                return o;
            }
    return NULL;
}

static vise_status unknown(const opt_group *groups, size_t ngroups, const char *name, vise_err *e)
{
    const char *best = NULL;
    size_t least = 3; // farther than two letters is no likely slip
    for (size_t g = 0; g < ngroups; g++)
        for (const opt *o = groups[g].table; o && o->name; o++) {
            const size_t d = opt_distance(name, o->name);
            if (d < least) {
                least = d;
                best = o->name;
            }
        }
    if (best) return cli_fail(e, VISE_EARG, "unknown option --%s, did you mean --%s?", name, best);
    return cli_fail(e, VISE_EARG, "unknown option --%s", name);
}

/* The option at args[*i], which starts with "--"; *i moves on to its value, if that is apart. */
static vise_status parse_one(const opt_group *groups, size_t ngroups, size_t nargs, char **args,
                             size_t *i, vise_err *e)
{
    char name[MAX_NAME + 1];
    const char *text = args[*i] + 2;
    const size_t len = strcspn(text, "=");
    if (len > MAX_NAME) return cli_fail(e, VISE_EARG, "unknown option --%s", text);
    memcpy(name, text, len);
    name[len] = 0;

    void *into = NULL;
    const opt *o = find(groups, ngroups, name, &into);
    if (!o) return unknown(groups, ngroups, name, e);
    const char *value = text[len] ? text + len + 1 : NULL;
    if (o->kind == OPT_FLAG) {
        if (value) return cli_fail(e, VISE_EARG, "--%s takes no value", name);
    } else if (!value) { // a value that starts with two dashes has to be written --name=--value
        if (*i + 1 == nargs || !strncmp(args[*i + 1], "--", 2))
            return cli_fail(e, VISE_EARG, "--%s needs a value: %s", name, o->arg);
        value = args[++*i];
    }
    return set(o, into, value, e);
}

vise_status opt_parse(const opt_group *groups, size_t ngroups, size_t *nargs, char **args,
                      bool *help, vise_err *e)
{
    const size_t n = *nargs;
    size_t kept = 0;
    bool options = true;
    *help = false;
    for (size_t i = 0; i < n; i++) {
        char *a = args[i];
        if (!options || a[0] != '-' || !a[1]) {
            args[kept++] = a;
        } else if (!strcmp(a, "--")) {
            options = false;
        } else if (!strcmp(a, "-h") || !strcmp(a, "--help")) {
            *help = true;
            break;
        } else if (a[1] != '-') {
            return cli_fail(e, VISE_EARG, "unknown option %s", a);
        } else {
            TRY(parse_one(groups, ngroups, n, args, &i, e));
        }
    }
    *nargs = kept;
    return VISE_OK;
}

/* ---- help ---- */

void opt_wrap(FILE *f, const char *text, size_t column, size_t indent)
{
    while (*text) {
        const size_t space = strspn(text, " ");
        const size_t word = strcspn(text + space, " \n");
        if (column + space + word > LINE - 1 && column > indent) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
            text += space;
        } else {
            fprintf(f, "%.*s", (int)(space + word), text);
            column += space + word;
            text += space + word;
        }
        if (*text == '\n') {
            fprintf(f, "\n%*s", text[1] && text[1] != '\n' ? (int)indent : 0, "");
            column = indent;
            text++;
        }
    }
}

void opt_print(FILE *f, const opt_group *g)
{
    if (!g->table || !g->table->name) return;
    fprintf(f, "\n%s:\n", g->title);
    for (const opt *o = g->table; o->name; o++) {
        const int used = fprintf(f, "  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        if (used < HELP_COLUMN - 1)
            fprintf(f, "%*s", HELP_COLUMN - used, "");
        else
            fprintf(f, "\n%*s", HELP_COLUMN, "");
        opt_wrap(f, o->help, HELP_COLUMN, HELP_COLUMN);
        fputc('\n', f);
    }
}
