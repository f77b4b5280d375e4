/* profile_svg.c - the picture of a profile: a bar for every step, in blocks
 * SPDX-License-Identifier: MIT */
#include "profile.h"
#include "svg.h"

#include <math.h>
#include <string.h>

/* Pixels. Names stand left of the bars, numbers behind them. */
enum {
    WIDTH = 1000,
    LEFT = 220,
    BARS = 560,
    ROW = 15,
    BLOCK = 22, // of a block's heading
    TOP = 104,
    BOTTOM = 34,
    MAX_TICKS = 12
};

static const char *const colours[PROFILE_GROUPS] = {"#3b6fb6", "#d1603d", "#8a9a5b"};

/* The step between ticks: 1, 2 or 5 times a power of ten, so that at most MAX_TICKS fit. */
static double tick_of(double max)
{
    double unit = pow(10, floor(log10(max / MAX_TICKS)));
    for (;; unit *= 10) {
        if (max / unit <= MAX_TICKS) return unit;
        if (max / (2 * unit) <= MAX_TICKS) return 2 * unit;
        if (max / (5 * unit) <= MAX_TICKS) return 5 * unit;
    }
}

/* Does row i stand in another block than the one before? */
static bool starts_block(const profile *p, size_t i)
{
    const char *name = p->row[i].info.name, *last = i ? p->row[i - 1].info.name : "";
    const size_t n = profile_block(name), m = profile_block(last);
    return n != m || memcmp(name, last, n) != 0;
}

static size_t height_of(const profile *p)
{
    size_t y = TOP + BOTTOM;
    for (size_t i = 0; i < p->rows; i++)
        y += ROW + (starts_block(p, i) ? BLOCK : 0);
    return y;
}

static void put_axis(FILE *f, double max, size_t bottom)
{
    const double tick = tick_of(max);
    const int digits = tick >= 1 ? 0 : (int)ceil(-log10(tick) - 1e-9);
    fprintf(f, "<g stroke=\"#ddd\" text-anchor=\"middle\">\n");
    for (int i = 0; i * tick <= max * (1 + 1e-9); i++) {
        const double x = LEFT + BARS * i * tick / max;
        fprintf(f, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%zu\"/>", x, TOP - 6, x, bottom);
        fprintf(f, "<text class=\"a\" x=\"%.1f\" y=\"%d\">%.*f</text>", x, TOP - 12, digits,
                i * tick);
        fprintf(f, "<text class=\"a\" x=\"%.1f\" y=\"%zu\">%.*f</text>\n", x, bottom + 14, digits,
                i * tick);
    }
    fprintf(f, "</g><text x=\"%d\" y=\"%d\">ms</text>\n", LEFT + BARS + 24, TOP - 12);
}

static void put_heading(FILE *f, const profile *p)
{
    size_t x = 16;
    fputs("<text class=\"t\" x=\"16\" y=\"28\">", f);
    svg_text(f, p->model, 100);
    fprintf(f,
            "</text>\n<text x=\"16\" y=\"48\">%.3f ms a run, median of %zu; batch %zu, %zu "
            "thread%s, %s",
            p->run_ms, p->runs, p->batch, p->threads, p->threads == 1 ? "" : "s", p->cpu);
    fprintf(f, "; %.1f GOP/s</text>\n", profile_gops(p->macs, p->run_ms));
    for (size_t g = 0; g < PROFILE_GROUPS; g++, x += 190) {
        const double part = p->total_ms > 0 ? p->group_ms[g] / p->total_ms : 0;
        fprintf(f, "<rect x=\"%zu\" y=\"58\" width=\"11\" height=\"11\" fill=\"%s\"/>", x,
                colours[g]);
        fprintf(f, "<text x=\"%zu\" y=\"68\">%s %.3f ms, %.1f %%</text>\n", x + 16,
                profile_group_names[g], p->group_ms[g], 100 * part);
    }
}

static void put_row(FILE *f, const profile_row *r, size_t y, double max)
{
    const size_t block = profile_block(r->info.name);
    const char *name = r->info.name + block + (block != 0);
    const double width = BARS * r->ms / max;
    fprintf(f, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LEFT - 6, y + 11);
    svg_text(f, name, 34);
    fprintf(f, "</text><rect x=\"%d\" y=\"%zu\" width=\"%.2f\" height=\"%d\" fill=\"%s\"><title>",
            LEFT, y + 1, width, ROW - 3, colours[r->group]);
    svg_text(f, r->info.name, SIZE_MAX);
    fputs(": ", f);
    svg_text(f, r->info.kind, SIZE_MAX);
    fprintf(f, ", %.2f MMAC, %.2f MB</title></rect>", 1e-6 * (double)r->info.macs,
            1e-6 * (double)r->info.bytes);
    fprintf(f, "<text x=\"%.1f\" y=\"%zu\">%.3f", LEFT + width + 5, y + 11, r->ms);
    if (r->info.macs) fprintf(f, ", %.0f GOP/s", profile_gops(r->info.macs, r->ms));
    fputs("</text>\n", f);
}

static void put_block(FILE *f, const profile *p, size_t i, size_t y)
{
    const char *name = p->row[i].info.name;
    const size_t n = profile_block(name);
    double ms = 0;
    for (size_t k = i; k < p->rows && (k == i || !starts_block(p, k)); k++)
        ms += p->row[k].ms;
    if (!n) return;
    fprintf(f, "<text class=\"b\" x=\"16\" y=\"%zu\">", y + BLOCK - 4);
    svg_text(f, name, n);
    fprintf(f, "</text><text class=\"b\" x=\"%d\" y=\"%zu\">%.3f ms</text>\n", LEFT + 5,
            y + BLOCK - 4, ms);
}

void profile_svg(FILE *f, const void *ctx)
{
    const profile *p = ctx;
    const size_t height = height_of(p);
    double max = 1e-6; // an axis needs a length
    for (size_t i = 0; i < p->rows; i++)
        max = fmax(max, p->row[i].ms);
    svg_begin(f, WIDTH, height);
    put_heading(f, p);
    put_axis(f, max, height - BOTTOM + 4);
    size_t y = TOP;
    for (size_t i = 0; i < p->rows; i++, y += ROW) {
        if (starts_block(p, i)) {
            put_block(f, p, i, y);
            y += BLOCK;
        }
        put_row(f, &p->row[i], y, max);
    }
    fputs("</svg>\n", f);
}
