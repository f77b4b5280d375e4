/* set_csv.c - a folder of pictures whose labels stand in a table
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <string.h>

enum {
    MAX_COLUMNS = 64,          // columns beyond are not kept
    MAX_TABLE_BYTES = 1 << 30, // of a table file
};

typedef struct csv {
    char *p, *end;     // not yet read; *end is 0
    size_t line;       // of the row, from 1
    size_t lines;      // passed
    const char *table; // for messages
} csv;

typedef struct row {
    char *field[MAX_COLUMNS];
    size_t n;
} row;

/* Unquotes the field that starts behind c->p[0] == '"' and goes past its closing quote. */
static vise_status quoted(char **field, csv *c, vise_err *e)
{
    char *to = ++c->p;
    *field = to;
    for (;; c->p++) {
        if (c->p == c->end)
            return vise_fail(e, VISE_EFORMAT, "%s: line %zu: a quote is not closed", c->table,
                             c->line);
        if (*c->p == '"' && c->p[1] != '"') break;
        if (*c->p == '"') c->p++;
        c->lines += *c->p == '\n';
        *to++ = *c->p;
    }
    c->p++;
    if (c->p < c->end && !strchr(",\r\n", *c->p))
        return vise_fail(e, VISE_EFORMAT, "%s: line %zu: text behind a closing quote", c->table,
                         c->line);
    *to = 0; // at the closing quote or before
    return VISE_OK;
}

/* The next row, cut into fields; an empty line is a row of one empty field. */
static vise_status next_row(row *r, csv *c, vise_err *e)
{
    r->n = 0;
    c->line = c->lines + 1;
    for (char stop = ','; stop == ',';) {
        char *field = c->p;
        if (c->p < c->end && *c->p == '"')
            VISE_TRY(quoted(&field, c, e));
        else
            c->p += strcspn(c->p, ",\r\n");
        stop = *c->p;
        *c->p = 0;
        if (r->n < MAX_COLUMNS) r->field[r->n++] = field;
        if (c->p == c->end) break;
        c->p++;
        if (stop == '\r' && *c->p == '\n') c->p++;
        c->lines += stop != ',';
    }
    return VISE_OK;
}

static bool parse_label(size_t *label, const char *text)
{
    size_t n = 0;
    text += strspn(text, " ");
    const size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits && n < VISE_MAX_LABEL; i++)
        n = n * 10 + (size_t)(text[i] - '0');
    text += digits;
    *label = n;
    return digits && n < VISE_MAX_LABEL && !text[strspn(text, " ")];
}

static bool stays_inside(const char *path)
{
    if (!*path || *path == '/' || strlen(path) > VISE_MAX_PATH) return false;
    for (const char *p = path; *p; p += strspn(p, "/")) {
        const size_t n = strcspn(p, "/");
        if (n == 2 && !memcmp(p, "..", 2)) return false;
        p += n;
    }
    return true;
}

/* Which columns the first row names; false if it is no header. */
static bool find_columns(const row *r, size_t *path, size_t *label)
{
    size_t p = r->n, l = r->n;
    for (size_t i = 0; i < r->n; i++) {
        if (!strcmp(r->field[i], "path")) p = i;
        if (!strcmp(r->field[i], "label")) l = i;
    }
    if (p == r->n || l == r->n) return false;
    *path = p;
    *label = l;
    return true;
}

static vise_status add_row(vise_data *d, const csv *c, const char *path, const char *text,
                           vise_err *e)
{
    size_t label;
    if (!stays_inside(path))
        return vise_fail(
            e, VISE_EFORMAT,
            "%s: line %zu: the path '%.80s' is empty, too long or leads out of the folder",
            c->table, c->line, path);
    if (!parse_label(&label, text))
        return vise_fail(e, VISE_EFORMAT,
                         "%s: line %zu: the label '%.80s' is not a whole number below %d", c->table,
                         c->line, text, VISE_MAX_LABEL);
    return vise_data_add(d, path, label, 0, e);
}

vise_status vise_csv_labels(vise_data *d, char *text, size_t size, const char *table, vise_err *e)
{
    csv c = {.p = text, .end = text + size, .table = table};
    row r;
    size_t path = 0, label = 1, before = d->count;
    if (memchr(text, 0, size)) return vise_fail(e, VISE_EFORMAT, "%s: not a text file", table);
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) c.p += 3; // the mark that some editors write
    for (bool first = true; c.p < c.end; first = false) {
        VISE_TRY(next_row(&r, &c, e));
        if (first && find_columns(&r, &path, &label)) continue;
        if (r.n == 1 && !*r.field[0]) continue;
        if (r.n <= path || r.n <= label)
            return vise_fail(e, VISE_EFORMAT,
                             "%s: line %zu: %zu columns, path and label are needed", table, c.line,
                             r.n);
        VISE_TRY(add_row(d, &c, r.field[path], r.field[label], e));
    }
    if (d->count == before) return vise_fail(e, VISE_EFORMAT, "%s: no pictures in it", table);
    return VISE_OK;
}

vise_status vise_csv_labels_file(vise_data *d, const char *path, vise_err *e)
{
    char *text;
    size_t size;
    VISE_TRY(vise_read_text(&text, &size, path, MAX_TABLE_BYTES, e));
    vise_status s = vise_csv_labels(d, text, size, path, e);
    vise_free(text);
    return s;
}

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    char *table;
    VISE_TRY(vise_path_join(&table, path, "labels.csv", e));
    *mine = vise_is_dir(path) && (truth || vise_is_file(table));
    vise_free(table);
    return VISE_OK;
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    if (truth) return vise_csv_labels_file(d, truth, e);
    char *path;
    VISE_TRY(vise_path_join(&path, d->path, "labels.csv", e));
    vise_status s = vise_csv_labels_file(d, path, e);
    vise_free(path);
    return s;
}

const vise_data_kind vise_set_csv = {claims, open_set, vise_data_picture_file, true};
