/* train_curve.c - loss, answers and learning rate over a training
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "svg.h"
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels. */
enum { WIDTH = 900, HEIGHT = 300, LEFT = 60, RIGHT = 60, TOP = 30, BOTTOM = 40, TICKS = 5 };

void train_curve_add(train_curve *c, const vise_train_point *p)
{
    if (c->n == c->room) {
        c->room = c->room ? 2 * c->room : 256;
        vise_train_point *more = cli_alloc(c->room, sizeof *more);
        if (c->n) memcpy(more, c->point, c->n * sizeof *more);
        free(c->point);
        c->point = more;
    }
    c->point[c->n++] = *p;
}

void train_curve_free(train_curve *c)
{
    free(c->point);
    *c = (train_curve){0};
}

/* ---- the table ---- */

static const char columns[] = "step,epoch,loss,right,rate,norm,images_per_s,top1\n";

static bool read_row(vise_train_point *p, const char *line)
{
    unsigned long long at;
    char top1[32] = "";
    const int n = sscanf(line, "%llu,%lf,%lf,%lf,%lf,%lf,%lf,%31s", &at, &p->epoch, &p->loss,
                         &p->right, &p->rate, &p->norm, &p->images_per_s, top1);
    p->step = at;
    p->top1 = n == 8 ? strtod(top1, NULL) : (double)NAN;
    return n >= 7;
}

void train_curve_read(train_curve *c, const char *path, uint64_t last, uint64_t steps)
{
    char line[256];
    vise_train_point p = {.steps = steps};
    FILE *f = fopen(path, "r");
    if (!f) return;
    bool good = fgets(line, sizeof line, f) && !strcmp(line, columns);
    while (good && fgets(line, sizeof line, f)) {
        good = read_row(&p, line) && p.step <= last;
        if (good) train_curve_add(c, &p);
    }
    fclose(f);
}

static void put_csv(FILE *f, const void *ctx)
{
    const train_curve *c = ctx;
    fputs(columns, f);
    for (size_t i = 0; i < c->n; i++) {
        const vise_train_point *p = &c->point[i];
        fprintf(f, "%llu,%.4f,%.6g,%.4f,%.6g,%.4g,%.0f,", (unsigned long long)p->step, p->epoch,
                p->loss, p->right, p->rate, p->norm, p->images_per_s);
        if (isnan(p->top1))
            fputc('\n', f);
        else
            fprintf(f, "%.4f\n", p->top1);
    }
}

vise_status train_curve_csv(const train_curve *c, const char *path, vise_err *e)
{
    return svg_write(path, put_csv, c, e);
}

/* ---- the page ---- */

typedef struct page {
    const train_curve *c;
    const char *line;
    double most; // loss
} page;

static double at_x(const page *g, const vise_train_point *p)
{
    const double all = (double)g->c->point[g->c->n - 1].steps;
    return LEFT + (WIDTH - LEFT - RIGHT) * (double)p->step / (all > 0 ? all : 1);
}

static double at_y(double share)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
}

static double loss_of(const page *g, const vise_train_point *p)
{
    return p->loss / g->most;
}

static double right_of(const page *g, const vise_train_point *p)
{
    (void)g;
    return p->right;
}

static double top1_of(const page *g, const vise_train_point *p)
{
    (void)g;
    return p->top1;
}

static void put_line(FILE *f, const page *g, const char *colour,
                     double (*value)(const page *, const vise_train_point *))
{
    fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour);
    for (size_t i = 0; i < g->c->n; i++) {
        const double y = value(g, &g->c->point[i]);
        if (isfinite(y)) fprintf(f, "%.1f,%.1f ", at_x(g, &g->c->point[i]), at_y(fmin(y, 1.02)));
    }
    fputs("\"/>\n", f);
}

static void put_axes(FILE *f, const page *g)
{
    const vise_train_point *last = &g->c->point[g->c->n - 1];
    for (int i = 0; i <= TICKS; i++) {
        const double share = (double)i / TICKS, y = at_y(share);
        fprintf(f,
                "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>"
                "<text x=\"%d\" y=\"%.1f\">%.0f %%</text>\n",
                LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, share * g->most, WIDTH - RIGHT + 6,
                y + 4, 100 * share);
        fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                LEFT + (WIDTH - LEFT - RIGHT) * share, HEIGHT - BOTTOM + 16,
                share * (double)last->steps);
    }
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">steps</text>\n", WIDTH / 2,
            HEIGHT - 6);
    fprintf(f,
            "<text x=\"%d\" y=\"18\" fill=\"#d1603d\">loss (left)</text>"
            "<text x=\"%d\" y=\"18\" fill=\"#9bb7dd\">batches right (right)</text>"
            "<text x=\"%d\" y=\"18\" fill=\"#1f4e9c\">test right (right)</text>\n",
            LEFT, LEFT + 110, LEFT + 280);
}

static void put_html(FILE *f, const void *ctx)
{
    const page *g = ctx;
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>vise: a training"
          "</title>\n<style>body{font:14px sans-serif;margin:2em}text{font:12px sans-serif}"
          ".g{stroke:#ddd}</style></head><body>\n<h1>Training</h1>\n<p>",
          f);
    svg_text(f, g->line, strlen(g->line));
    fprintf(f, "</p>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", WIDTH, HEIGHT,
            WIDTH, HEIGHT);
    if (g->c->n) {
        put_axes(f, g);
        put_line(f, g, "#9bb7dd", right_of);
        put_line(f, g, "#d1603d", loss_of);
        put_line(f, g, "#1f4e9c", top1_of);
    }
    fputs("</svg>\n</body></html>\n", f);
}

vise_status train_curve_html(const train_curve *c, const char *path, const char *line, vise_err *e)
{
    page g = {.c = c, .line = line};
    for (size_t i = 0; i < c->n; i++)
        if (isfinite(c->point[i].loss)) g.most = fmax(g.most, c->point[i].loss);
    if (!(g.most > 0)) g.most = 1;
    return svg_write(path, put_html, &g, e);
}
