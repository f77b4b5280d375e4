/* device_html.c - the page of a device: roofs with a point for every step, and bars of time and energy
 * SPDX-License-Identifier: MIT */
#include "device.h"
#include "svg.h"

#include <math.h>

/* Pixels. */
enum {
    WIDTH = 980,
    ROOF = 420,
    LEFT = 70,
    RIGHT = 20,
    TOP = 20,
    BOTTOM = 46,
    ROW = 16,
    NAMES = 220,
    BARS = 560
};

static const char *const type_names[] = {"f32", "bf16", "int8"};
static const char *const colours[] = {"#3b6fb6", "#d1603d"}; // compute, memory

/* Axes of the roofs: logarithms to base 10. */
typedef struct axes {
    double x0, x1, y0, y1;
} axes;

static double at_x(const axes *a, double v)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (log10(v) - a->x0) / (a->x1 - a->x0);
}

static double at_y(const axes *a, double v)
{
    return TOP + (ROOF - TOP - BOTTOM) * (a->y1 - log10(v)) / (a->y1 - a->y0);
}

static double peak(const vise_device *d, int type) // GMAC/s
{
    return d->cores * d->ghz * d->macs_per_cycle[type];
}

static axes find_axes(const device_profile *p)
{
    axes a = {-1, 2, 0, 1};
    for (size_t i = 0; i < p->steps; i++) {
        const double x = device_intensity(&p->step[i]);
        if (x > 0 && p->step[i].macs) a.x1 = fmax(a.x1, ceil(log10(x) + 0.1));
    }
    a.y1 = ceil(log10(peak(&p->device, 2)) + 0.1);
    a.y0 = floor(log10(p->device.dram_gbs * 0.1));
    return a;
}

static void put_grid(FILE *f, const axes *a)
{
    for (int e = (int)a->x0; e <= (int)a->x1; e++)
        fprintf(f,
                "<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" "
                "y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                at_x(a, pow(10, e)), at_x(a, pow(10, e)), TOP, ROOF - BOTTOM, at_x(a, pow(10, e)),
                ROOF - BOTTOM + 16, pow(10, e));
    for (int e = (int)a->y0; e <= (int)a->y1; e++)
        fprintf(f,
                "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" "
                "y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, WIDTH - RIGHT, at_y(a, pow(10, e)), at_y(a, pow(10, e)), LEFT - 6,
                at_y(a, pow(10, e)) + 4, pow(10, e));
    fprintf(f, "<text x=\"%d\" y=\"%d\">multiply-adds per byte of memory traffic</text>\n",
            WIDTH / 2 - 120, ROOF - 8);
    fprintf(f, "<text transform=\"translate(14,%d) rotate(-90)\">GMAC/s</text>\n", ROOF / 2);
}

static void put_roofs(FILE *f, const device_profile *p, const axes *a)
{
    const vise_device *d = &p->device;
    const double left = pow(10, a->x0), right = pow(10, a->x1);
    for (int type = 0; type < 3; type++) {
        const double top = peak(d, type), knee = top / d->dram_gbs;
        fprintf(f, "<polyline class=\"r\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>\n",
                at_x(a, left), at_y(a, left * d->dram_gbs), at_x(a, knee), at_y(a, top),
                at_x(a, right), at_y(a, top));
        if (type == 1 && d->macs_per_cycle[1] <= d->macs_per_cycle[0]) continue;
        fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s %.0f</text>\n",
                WIDTH - RIGHT - 4, at_y(a, top) - 4, type_names[type], top);
    }
}

static void put_points(FILE *f, const device_profile *p, const axes *a)
{
    for (size_t i = 0; i < p->steps; i++) {
        const vise_device_cost *c = &p->step[i];
        const double x = device_intensity(c), y = 1e-9 * (double)c->macs / c->seconds;
        if (!c->macs || !(x > 0) || !(y > 0)) continue;
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"><title>", at_x(a, x),
                at_y(a, y), colours[c->by_memory]);
        svg_text(f, p->info[i].name, 100);
        fprintf(f, ": %.1f MAC/B, %.2f GMAC/s</title></circle>\n", x, y);
    }
}

static void put_bars(FILE *f, const device_profile *p)
{
    double most = 0;
    for (size_t i = 0; i < p->steps; i++)
        most = fmax(most, p->step[i].seconds);
    fprintf(f, "<svg viewBox=\"0 0 %d %zu\">\n", WIDTH, ROW * (p->steps + 1));
    for (size_t i = 0; i < p->steps; i++) {
        const vise_device_cost *c = &p->step[i];
        const double y = ROW * (double)i, w = most > 0 ? BARS * c->seconds / most : 0;
        fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", NAMES - 6, y + 12);
        svg_text(f, p->info[i].name, 40);
        fprintf(f,
                "</text><rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/><text "
                "x=\"%.1f\" y=\"%.1f\">%.3f ms, %.3f mJ, %.0f kB</text>\n",
                NAMES, y + 2, w, ROW - 3, colours[c->by_memory], NAMES + w + 6, y + 12,
                1e3 * c->seconds, 1e3 * device_joules(c), 1e-3 * (c->from_dram + c->to_dram));
    }
    fputs("</svg>\n", f);
}

static void put_numbers(FILE *f, const device_profile *p)
{
    const vise_device_cost *a = &p->all;
    const struct {
        const char *what;
        double value;
        const char *unit;
    } rows[] = {{"time, at least", 1e3 * a->seconds, "ms"},
                {"energy", 1e3 * device_joules(a), "mJ"},
                {"of it arithmetic", 1e3 * a->j_macs, "mJ"},
                {"caches", 1e3 * a->j_caches, "mJ"},
                {"memory", 1e3 * a->j_dram, "mJ"},
                {"the rest", 1e3 * a->j_idle, "mJ"},
                {"memory traffic", 1e-6 * (a->from_dram + a->to_dram), "MB"},
                {"of it weights", 1e-6 * a->weights, "MB"},
                {"multiply-adds", 1e-9 * (double)a->macs, "G"}};
    fputs("<table>\n", f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fprintf(f, "<tr><td>%s</td><td class=\"n\">%.3f %s</td></tr>\n", rows[i].what,
                rows[i].value, rows[i].unit);
    fputs("</table>\n", f);
}

void device_html(FILE *f, const void *profile)
{
    const device_profile *p = profile;
    const axes a = find_axes(p);
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>vise: ", f);
    svg_text(f, p->model, 200);
    fputs("</title><style>body{font:14px sans-serif;max-width:1000px;margin:2em auto;color:#222}"
          "svg{width:100%}text{font:12px sans-serif}.g{stroke:#e4e4e4}.r{fill:none;stroke:#222}"
          "td{padding:2px 14px 2px 0}.n{text-align:right}</style></head><body>\n<h1>",
          f);
    svg_text(f, p->model, 200);
    fputs("</h1>\n<p>Modelled, not measured, on ", f);
    svg_text(f, p->device.name, sizeof p->device.name);
    fprintf(f, ", %g cores: ", p->device.cores);
    svg_text(f, p->device.about, sizeof p->device.about);
    fprintf(f,
            ". Caches of %zu and %zu kB are simulated on the memory that one image's run "
            "touches.</p>\n",
            p->device.l1_bytes / 1024, p->device.llc_bytes / 1024);
    put_numbers(f, p);
    fprintf(f,
            "<h2>Roofs</h2>\n<p>Blue: arithmetic is the lower roof; red: memory.</p>\n<svg "
            "viewBox=\"0 0 %d %d\">\n",
            WIDTH, ROOF);
    put_grid(f, &a);
    put_roofs(f, p, &a);
    put_points(f, p, &a);
    fputs("</svg>\n<h2>Steps</h2>\n", f);
    put_bars(f, p);
    fputs("</body></html>\n", f);
}
