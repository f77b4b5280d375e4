/* mix.c - mixup and cutmix
 * SPDX-License-Identifier: MIT */
#include "data/augment.h"

#include <assert.h>
#include <math.h>

enum { MAX_BETA = 4 }; // 1 of 70 tries succeeds

/* (0, 1), 53 bits */
static double uniform(vise_rng *rng)
{
    return ((double)(vise_rng_u64(rng) >> 11) + 0.5) * 0x1p-53;
}

double vise_beta(double a, vise_rng *rng)
{
    for (;;) { // in logarithms: for a small a both powers are 0
        const double x = log(uniform(rng)) / a, y = log(uniform(rng)) / a;
        if (exp(x) + exp(y) <= 1) return 1 / (1 + exp(y - x));
    }
}

vise_status vise_mix_check(const vise_mix *m, vise_err *e)
{
    const double x[2] = {m->mixup, m->cutmix};
    for (size_t i = 0; i < 2; i++)
        if (!(x[i] == 0 || (x[i] >= 0.01 && x[i] <= MAX_BETA)))
            return vise_fail(e, VISE_EARG, "%s of %g, not 0 or 0.01 to %d", i ? "cutmix" : "mixup",
                             x[i], MAX_BETA);
    return VISE_OK;
}

/* Both become mixtures, each mostly of itself for share > 1/2.   x, y  inout  [n] */
static void blend(float *x, float *y, size_t n, double share)
{
    const float s = (float)share, t = 1 - s;
    for (size_t i = 0; i < n; i++) {
        const float a = x[i], b = y[i];
        x[i] = s * a + t * b;
        y[i] = s * b + t * a;
    }
}

/* A side of a box of size / length of it around a random place, cut off at the ends. */
static void draw_side(size_t *from, size_t *n, size_t length, double size, vise_rng *rng)
{
    const double at = floor((double)length * uniform(rng)), half = floor(size) / 2;
    const double lo = fmax(ceil(at - half), 0), hi = fmin(ceil(at + half), (double)length);
    *from = (size_t)lo;
    *n = (size_t)(hi - lo);
}

/* Swaps a box of two images and gives the share of each that is still its own. */
static double swap_box(float *x, float *y, const vise_mix_batch *b, double share, vise_rng *rng)
{
    const double ratio = sqrt(1 - share);
    size_t top, left, height, width;
    draw_side(&top, &height, b->height, ratio * (double)b->height, rng);
    draw_side(&left, &width, b->width, ratio * (double)b->width, rng);
    for (size_t i = 0; i < height; i++) {
        const size_t at = ((top + i) * b->width + left) * b->channels;
        for (size_t k = at; k < at + width * b->channels; k++) {
            const float a = x[k];
            x[k] = y[k];
            y[k] = a;
        }
    }
    return 1 - (double)(height * width) / (double)(b->height * b->width);
}

void vise_mix_run(const vise_mix_batch *b, const vise_mix *m, vise_rng *rng)
{
    const size_t floats = b->height * b->width * b->channels;
    assert(!vise_mix_check(m, NULL));
    for (size_t i = 0, j = b->n - 1; i < b->n / 2; i++, j--) {
        const bool cut = m->cutmix > 0 && (m->mixup <= 0 || uniform(rng) < 0.5);
        if (!cut && m->mixup <= 0) return;
        float *x = b->pixels + i * floats, *y = b->pixels + j * floats;
        double share = vise_beta(cut ? m->cutmix : m->mixup, rng);
        if (cut)
            share = swap_box(x, y, b, share, rng);
        else
            blend(x, y, floats, share);
        blend(b->targets + i * b->classes, b->targets + j * b->classes, b->classes, share);
    }
}
