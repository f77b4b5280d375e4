/* sensitivity_svg.c - the picture of a sensitivity: a map of layers and bits
 * SPDX-License-Identifier: MIT */
#include "sensitivity.h"
#include "svg.h"

#include <math.h>
#include <stdint.h>

/* Pixels. Names stand left of the map, bytes behind it. */
enum {
    WIDTH = 900,
    LEFT = 220,
    CELL = 92,
    ROW = 15,
    TOP = 112,
    BOTTOM = 20,
    LEGEND = 240, // width of the scale
    STEPS = 48    // of the scale
};

/* The colours' ends, as powers of ten. */
typedef struct ends {
    double lo, hi;
} ends;

enum { FEWEST_DECADES = 1, LEAST_EXPONENT = -12 }; // KL of 0 has the colour of the least

static double log_of(double kl)
{
    return kl > 0 ? fmax(log10(kl), LEAST_EXPONENT) : LEAST_EXPONENT;
}

static ends ends_of(const sensitivity *s)
{
    ends e = {(double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < s->rows; i++)
        for (size_t w = 0; w < VISE_WIDTHS; w++) {
            e.lo = fmin(e.lo, floor(log_of(s->row[i].kl[w])));
            e.hi = fmax(e.hi, ceil(log_of(s->row[i].kl[w])));
        }
    if (e.hi < e.lo + FEWEST_DECADES) e.hi = e.lo + FEWEST_DECADES;
    e.hi += 0; // ceil gives -0
    return e;
}

/* From pale yellow by orange to dark red; t in [0, 1]. */
static void put_colour(FILE *f, double t)
{
    static const double stop[][3] = {
        {255, 251, 214}, {254, 217, 118}, {253, 141, 60}, {214, 47, 39}, {92, 8, 40}};
    enum { LAST = sizeof stop / sizeof *stop - 1 };
    const int i = t >= 1 ? LAST - 1 : (int)(t * LAST);
    const double part = t * LAST - i;
    fputc('#', f);
    for (int k = 0; k < 3; k++)
        fprintf(f, "%02x", (unsigned)(stop[i][k] + part * (stop[i + 1][k] - stop[i][k]) + 0.5));
}

static void put_scale(FILE *f, ends e)
{
    const double step = (double)LEGEND / STEPS;
    for (int i = 0; i < STEPS; i++) {
        fprintf(f, "<rect x=\"%.1f\" y=\"60\" width=\"%.1f\" height=\"11\" fill=\"",
                LEFT + i * step, step + 0.5);
        put_colour(f, (i + 0.5) / STEPS);
        fputs("\"/>\n", f);
    }
    fprintf(f,
            "<text x=\"%d\" y=\"69\" text-anchor=\"end\">KL 1e%.0f</text>"
            "<text x=\"%d\" y=\"69\">1e%.0f nats</text>\n",
            LEFT - 6, e.lo, LEFT + LEGEND + 8, e.hi);
}

static void put_heading(FILE *f, const sensitivity *s)
{
    fputs("<text class=\"t\" x=\"16\" y=\"28\">", f);
    svg_text(f, s->model, 100);
    fprintf(f,
            "</text>\n<text x=\"16\" y=\"48\">mean KL of the outputs on %zu pictures when one "
            "matrix alone is rounded",
            s->pictures);
    if (s->group) fprintf(f, "; at most 6 bits: groups of %zu", s->group);
    fputs("</text>\n", f);
    for (size_t w = 0; w < VISE_WIDTHS; w++)
        fprintf(f, "<text class=\"a\" x=\"%zu\" y=\"%d\" text-anchor=\"middle\">%u bits</text>",
                LEFT + w * CELL + CELL / 2, TOP - 8, (unsigned)s->row[0].bits[w]);
    fprintf(f, "<text class=\"a\" x=\"%d\" y=\"%d\">weights</text>\n",
            LEFT + VISE_WIDTHS * CELL + 10, TOP - 8);
}

static void put_row(FILE *f, const vise_sensitivity_row *r, size_t y, ends e)
{
    fprintf(f, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LEFT - 6, y + 11);
    svg_text(f, r->name, 34);
    fputs("</text>", f);
    for (size_t w = 0; w < VISE_WIDTHS; w++) {
        const double t = (log_of(r->kl[w]) - e.lo) / (e.hi - e.lo);
        const size_t x = LEFT + w * CELL;
        fprintf(f, "<rect x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" fill=\"", x, y, CELL - 1,
                ROW - 1);
        put_colour(f, t);
        fputs("\"><title>", f);
        svg_text(f, r->name, SIZE_MAX);
        fprintf(f,
                ": %u bits, %.1f kB</title></rect>"
                "<text x=\"%zu\" y=\"%zu\" text-anchor=\"middle\"%s>%.1e</text>",
                (unsigned)r->bits[w], 1e-3 * (double)r->bytes[w], x + CELL / 2, y + 11,
                t > 0.7 ? " style=\"fill:#fff\"" : "", r->kl[w]);
    }
    fprintf(f, "<text x=\"%d\" y=\"%zu\">%llu</text>\n", LEFT + VISE_WIDTHS * CELL + 10, y + 11,
            (unsigned long long)r->params);
}

void sensitivity_svg(FILE *f, const void *ctx)
{
    const sensitivity *s = ctx;
    const ends e = ends_of(s);
    svg_begin(f, WIDTH, TOP + s->rows * ROW + BOTTOM);
    put_heading(f, s);
    put_scale(f, e);
    for (size_t i = 0; i < s->rows; i++)
        put_row(f, &s->row[i], TOP + i * ROW, e);
    fputs("</svg>\n", f);
}
