/* resample.c - taps of an antialiased resize
 * SPDX-License-Identifier: MIT */
#include "base/resample.h"

#include <math.h>
#include <string.h>

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* Taps of a filter that keeps its width: the outermost inputs stand in for those past the border,
 * as PyTorch clamps indices. */
static size_t clamped_taps(const vise_resize *r, size_t i, size_t *first, double *weight)
{
    double centre = ((double)i + 0.5) * ((double)r->in / (double)r->out) - 0.5;
    if (r->filter == VISE_BILINEAR && centre < 0) centre = 0; // PyTorch clamps linear only
    const long radius = r->filter == VISE_BICUBIC ? 2 : 1, base = (long)floor(centre);
    const long lo = base - radius + 1, hi = base + radius, end = (long)r->in - 1;
    const long from = lo < 0 ? 0 : lo, to = hi > end ? end : hi;
    for (long j = lo; j <= hi; j++) {
        const long k = j < from ? from : j > to ? to : j;
        const double x = centre - (double)j;
        weight[k - from] += r->filter == VISE_BICUBIC ? bicubic(x, -0.75) : bilinear(x);
    }
    *first = (size_t)from;
    return (size_t)(to - from + 1);
}

static size_t stretched_taps(const vise_resize *r, size_t i, size_t *first, double *weight)
{
    const double scale = (double)r->in / (double)r->out, stretch = scale > 1 ? scale : 1;
    const double centre = ((double)i + 0.5) * scale;
    const double support = (r->filter == VISE_BICUBIC ? 2 : 1) * stretch;
    // rounding of the window's ends is Pillow's: + 0.5, truncated
    const double lo = centre - support + 0.5, hi = centre + support + 0.5;
    const size_t from = lo < 0 ? 0 : (size_t)lo, end = hi > (double)r->in ? r->in : (size_t)hi;
    double sum = 0;
    for (size_t j = from; j < end; j++) {
        const double x = ((double)j - centre + 0.5) * (1 / stretch);
        weight[j - from] = r->filter == VISE_BICUBIC ? bicubic(x, -0.5) : bilinear(x);
        sum += weight[j - from];
    }
    for (size_t j = from; sum != 0 && j < end; j++)
        weight[j - from] /= sum; // as Pillow: a product with 1 / sum would round twice
    *first = from;
    return end - from;
}

size_t vise_taps_max(const vise_resize *r)
{
    const double scale = (double)r->in / (double)r->out;
    const double stretch = r->antialias && scale > 1 ? scale : 1;
    return r->filter == VISE_NEAREST ? 1 : (size_t)ceil(2 * stretch) * 2 + 1;
}

size_t vise_taps_at(const vise_resize *r, size_t i, size_t *first, double *weight)
{
    memset(weight, 0, vise_taps_max(r) * sizeof *weight);
    if (r->filter != VISE_NEAREST)
        return (r->antialias ? stretched_taps : clamped_taps)(r, i, first, weight);
    const size_t j = (size_t)(((double)i + 0.5) * ((double)r->in / (double)r->out));
    *first = j < r->in ? j : r->in - 1;
    weight[0] = 1;
    return 1;
}
