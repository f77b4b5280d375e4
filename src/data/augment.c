/* augment.c - views of a picture, one after another
 * SPDX-License-Identifier: MIT */
#include "data/augment.h"

#include "data/distort.h"

#include <math.h>
#include <string.h>

enum { MAX_OPS = 16, TRIES = 10 }; // TRIES to find a box that fits

static double between(vise_rng *rng, double lo, double hi)
{
    return lo + (hi - lo) * (double)vise_rng_uniform(rng);
}

static size_t below(vise_rng *rng, size_t n)
{
    return (size_t)(vise_rng_u64(rng) % n);
}

static vise_status in_range(double x, double most, const char *name, vise_err *e)
{
    if (x >= 0 && x <= most) return VISE_OK;
    return vise_fail(e, VISE_EARG, "augmentation: %s of %g, not 0 to %g", name, x, most);
}

static vise_status check(const vise_augment *a, const vise_recipe *r, vise_err *e)
{
    VISE_TRY(in_range(a->area_lo, 1, "area_lo", e));
    VISE_TRY(in_range(a->flip, 1, "flip", e));
    VISE_TRY(in_range(a->jitter, 1, "jitter", e));
    VISE_TRY(in_range(a->erase, 1, "erase", e));
    VISE_TRY(in_range(a->ra_magnitude, 10, "ra_magnitude", e));
    VISE_TRY(in_range((double)a->ra_ops, MAX_OPS, "ra_ops", e));
    if (a->area_lo > 0 && a->pad)
        return vise_fail(e, VISE_EARG, "augmentation: both area_lo and pad are set");
    VISE_TRY(vise_recipe_usable(r, e));
    const size_t side = r->height < r->width ? r->height : r->width;
    if (a->pad >= side)
        return vise_fail(e, VISE_EARG, "augmentation: a pad of %zu pixels, not below %zu", a->pad,
                         side);
    return VISE_OK;
}

/* A box of a share of [lo, hi] of the area and a ratio of width to height of [1 / most, most] that
 * fits; false if none of a few did. */
static bool draw_box(vise_box *box, size_t height, size_t width, const double share[2], double most,
                     vise_rng *rng)
{
    const double area = (double)height * (double)width;
    for (size_t i = 0; i < TRIES; i++) {
        const double size = area * between(rng, share[0], share[1]);
        const double ratio = exp(between(rng, -log(most), log(most)));
        const double w = nearbyint(sqrt(size * ratio)), h = nearbyint(sqrt(size / ratio));
        if (!(w >= 1 && h >= 1 && w <= (double)width && h <= (double)height)) continue;
        box->height = (size_t)h;
        box->width = (size_t)w;
        box->top = below(rng, height - box->height + 1);
        box->left = below(rng, width - box->width + 1);
        return true;
    }
    return false;
}

/* The middle of a picture, as much of it as has a ratio of 1 / most to most. */
static vise_box middle(size_t height, size_t width, double most)
{
    const double h = fmin((double)height, floor((double)width * most)),
                 w = fmin((double)width, floor((double)height * most));
    vise_box box = {0, 0, (size_t)h, (size_t)w};
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

/* Moves the picture by up to pad pixels each way, over black. */
static void move(vise_canvas *v, size_t pad, vise_rng *rng)
{
    const size_t down = below(rng, 2 * pad + 1), right = below(rng, 2 * pad + 1);
    const size_t row = v->width * v->channels;
    // out[y][x] = in[y + down - pad][x + right - pad]
    const size_t skip = right > pad ? right - pad : 0, blank = right < pad ? pad - right : 0;
    for (size_t y = 0; y < v->height; y++) {
        const size_t from = y + down - pad; // wraps above the picture
        uint8_t *to = v->spare + y * row;
        memset(to, 0, row);
        if (from < v->height)
            memcpy(to + blank * v->channels, v->p + from * row + skip * v->channels,
                   (v->width - skip - blank) * v->channels);
    }
    uint8_t *p = v->p;
    v->p = v->spare;
    v->spare = p;
}

static void mirror(vise_canvas *v)
{
    const size_t n = v->channels;
    uint8_t pixel[3];
    for (size_t y = 0; y < v->height; y++) {
        uint8_t *l = v->p + y * v->width * n, *r = l + (v->width - 1) * n;
        for (; l < r; l += n, r -= n) {
            memcpy(pixel, l, n);
            memcpy(l, r, n);
            memcpy(r, pixel, n);
        }
    }
}

static void erase(float *pixels, const vise_recipe *r, vise_rng *rng)
{
    vise_box box;
    if (!draw_box(&box, r->height, r->width, (const double[]){0.02, 0.33}, 10.0 / 3, rng)) return;
    for (size_t y = 0; y < box.height; y++) {
        float *p = pixels + ((box.top + y) * r->width + box.left) * r->channels;
        for (size_t i = 0; i < box.width * r->channels; i++)
            p[i] = vise_rng_normal(rng);
    }
}

/* What is done to the picture once it fills the input. */
static void change(vise_canvas *v, const vise_augment *a, vise_rng *rng)
{
    if (a->pad) move(v, a->pad, rng);
    if (a->flip > 0 && (double)vise_rng_uniform(rng) < a->flip) mirror(v);
    for (int what = VISE_BRIGHTNESS; a->jitter > 0 && what <= VISE_SATURATION; what++)
        vise_distort(v, (vise_distortion)what, between(rng, -a->jitter, a->jitter) / 0.9);
    for (size_t i = 0; i < a->ra_ops; i++) {
        const vise_distortion what = (vise_distortion)below(rng, VISE_DISTORTIONS);
        vise_distort(v, what, (below(rng, 2) ? 0.1 : -0.1) * a->ra_magnitude);
    }
}

vise_status vise_augment_run(float *pixels, const vise_recipe *r, const vise_augment *a,
                             const vise_image *im, vise_rng *rng, vise_err *e)
{
    VISE_TRY(check(a, r, e));
    vise_canvas v = {r->height, r->width, r->channels, NULL, NULL, {0}};
    const size_t bytes = v.height * v.width * v.channels;
    uint8_t *block;
    VISE_TRY(vise_alloc_or(&block, 2, bytes, "a view of a picture", e));
    v.p = block;
    v.spare = block + bytes;
    for (size_t c = 0; c < v.channels; c++)
        v.fill[c] = (uint8_t)fmin(fmax(nearbyint(255 * (double)r->mean[c]), 0), 255);
    vise_box box;
    const bool crop = a->area_lo > 0;
    if (crop &&
        !draw_box(&box, im->height, im->width, (const double[]){a->area_lo, 1}, 4.0 / 3, rng))
        box = middle(im->height, im->width, 4.0 / 3);
    vise_status s = vise_frame(v.p, r, im, crop ? &box : NULL, e);
    if (!s) {
        change(&v, a, rng);
        vise_normalise(pixels, r, v.p);
        if (a->erase > 0 && (double)vise_rng_uniform(rng) < a->erase) erase(pixels, r, rng);
    }
    vise_free(block);
    return s;
}
