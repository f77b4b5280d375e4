/* preprocess.c - resize, crop, normalise
 * SPDX-License-Identifier: MIT */
#include "data/preprocess.h"

#include "base/file.h"
#include "data/resize.h"

#include <math.h>
#include <string.h>

#define MAX_RESIZED ((double)(1 << 27)) // pixels of a side after resizing, before cropping

/* One side of the picture: resized, of which n pixels land at [pad, pad + n) of the input. */
typedef struct side {
    vise_axis axis;
    size_t pad;
} side;

static vise_status check_recipe(const vise_recipe *r, vise_err *e)
{
    if (r->channels != 1 && r->channels != 3)
        return vise_fail(e, VISE_EARG, "recipe: %u channels, not 1 or 3", r->channels);
    if (!r->height || !r->width || r->height > VISE_IMAGE_SIDE || r->width > VISE_IMAGE_SIDE ||
        (size_t)r->height * r->width > VISE_IMAGE_PIXELS)
        return vise_fail(e, VISE_EARG, "recipe: an input of %u x %u pixels", r->width, r->height);
    if (!(r->crop_pct > 0 && r->crop_pct <= 1) || r->height / r->crop_pct > MAX_RESIZED ||
        r->width / r->crop_pct > MAX_RESIZED)
        return vise_fail(e, VISE_EARG, "recipe: a crop_pct of %g", r->crop_pct);
    if (r->filter < VISE_NEAREST || r->filter > VISE_BICUBIC)
        return vise_fail(e, VISE_EARG, "recipe: no filter is set");
    if (r->crop < VISE_CROP_CENTER || r->crop > VISE_CROP_BORDER)
        return vise_fail(e, VISE_EARG, "recipe: no crop mode is set");
    for (size_t c = 0; c < r->channels; c++)
        if (!isfinite(r->mean[c]) || !isfinite(r->std[c]) || !(r->std[c] > 0))
            return vise_fail(e, VISE_EARG, "recipe: a mean of %g and a std of %g in channel %zu",
                             (double)r->mean[c], (double)r->std[c], c);
    return VISE_OK;
}

/* The size after resizing, before cropping. */
static void resized(double *height, double *width, const vise_recipe *r, const vise_image *im)
{
    const double h = (double)im->height, w = (double)im->width;
    const double target_h = floor(r->height / r->crop_pct),
                 target_w = floor(r->width / r->crop_pct);
    if (r->crop == VISE_CROP_SQUASH) {
        *height = target_h;
        *width = target_w;
    } else if (r->crop == VISE_CROP_CENTER && r->height == r->width) {
        *height = h <= w ? target_h : floor(target_h * h / w);
        *width = w <= h ? target_w : floor(target_w * w / h);
    } else {
        const double ratio_h = h / target_h, ratio_w = w / target_w;
        const double ratio =
            r->crop == VISE_CROP_BORDER ? fmax(ratio_h, ratio_w) : fmin(ratio_h, ratio_w);
        *height = fmax(nearbyint(h / ratio), 1);
        *width = fmax(nearbyint(w / ratio), 1);
    }
}

static side crop(size_t in, size_t out, size_t size)
{
    if (out < size) return (side){{in, out, 0, out}, (size - out) / 2};
    const size_t spare = out - size, half = spare / 2;
    const size_t from = spare % 2 ? half + half % 2 : half; // halves to even
    return (side){{in, out, from, size}, 0};
}

/* How a recipe lies over a picture. */
static vise_status place(side *rows, side *cols, const vise_recipe *r, const vise_image *im,
                         vise_err *e)
{
    double height, width;
    resized(&height, &width, r, im);
    if (!(height <= MAX_RESIZED && width <= MAX_RESIZED))
        return vise_fail(e, VISE_EFORMAT,
                         "%zu x %zu pixels are too long and thin for an input of %u x %u",
                         im->width, im->height, r->width, r->height);
    *rows = crop(im->height, (size_t)height, r->height);
    *cols = crop(im->width, (size_t)width, r->width);
    return VISE_OK;
}

/* Rec. 601 luma in 16-bit fixed point, as Pillow's convert("L"). */
static void to_grey(uint8_t *grey, const uint8_t *rgb, size_t n)
{
    for (size_t i = 0; i < n; i++, rgb += 3)
        grey[i] = (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

/* One channel of the input.
 *   pixels  out  [height, width], stride channels    f32
 *   window  in   [axis[0].axis.n, axis[1].axis.n], stride step  u8 */
static void normalise(float *pixels, const vise_recipe *r, size_t channel, const uint8_t *window,
                      size_t step, const side axis[2])
{
    float value[256];
    for (int i = 0; i < 256; i++)
        value[i] = ((float)i / 255.0f - r->mean[channel]) / r->std[channel];
    const bool border = r->crop == VISE_CROP_BORDER;
    const double mean = nearbyint(255 * (double)r->mean[channel]);
    const float fill = value[border ? (int)fmin(fmax(mean, 0), 255) : 0];

    for (size_t y = 0; y < r->height; y++)
        for (size_t x = 0; x < r->width; x++, pixels += r->channels) {
            const size_t sy = y - axis[0].pad, sx = x - axis[1].pad; // wraps before the window
            const bool inside = sy < axis[0].axis.n && sx < axis[1].axis.n;
            *pixels = inside ? value[window[(sy * axis[1].axis.n + sx) * step]] : fill;
        }
}

vise_status vise_preprocess(float *pixels, const vise_recipe *r, const vise_image *im, vise_err *e)
{
    side rows, cols;
    VISE_TRY(check_recipe(r, e));
    VISE_TRY(place(&rows, &cols, r, im, e));
    // grey must come before resizing, whose rounding it would see; a grey picture becomes coloured
    // after it, where the three channels are the same
    const size_t channels = r->channels < im->channels ? r->channels : im->channels;
    uint8_t *grey = NULL, *window = NULL;
    vise_status s = VISE_OK;
    if (channels < im->channels)
        s = vise_alloc_or(&grey, im->height, im->width, "the grey picture", e);
    if (!s && grey) to_grey(grey, im->data, im->height * im->width);
    if (!s)
        s = vise_alloc_or(&window, rows.axis.n * cols.axis.n, channels, "the resized picture", e);
    if (!s)
        s = vise_resize_u8(window, grey ? grey : im->data, channels, &rows.axis, &cols.axis,
                           r->filter, e);
    for (size_t c = 0; !s && c < r->channels; c++)
        normalise(pixels + c, r, c, window + c % channels, channels, (const side[]){rows, cols});
    vise_free(window);
    vise_free(grey);
    return s;
}

vise_status vise_image_from_raw(float *pixels, const vise_recipe *r, const uint8_t *raw,
                                size_t height, size_t width, size_t channels, vise_err *e)
{
    if (channels != 1 && channels != 3)
        return vise_fail(e, VISE_EARG, "a raw picture of %zu channels, not 1 or 3", channels);
    VISE_TRY(vise_image_check(height, width, &(vise_image_opts){0}, e));
    // vise_preprocess does not write through data
    return vise_preprocess(pixels, r, &(vise_image){height, width, channels, (uint8_t *)raw}, e);
}

vise_status vise_image_decode(float *pixels, const vise_recipe *r, const void *bytes, size_t size,
                              const char *name, vise_err *e)
{
    vise_image im;
    vise_status s =
        vise_image_read(&im, bytes, size, &(vise_image_opts){.ignore_exif = r->ignore_exif}, e);
    if (!s) s = vise_preprocess(pixels, r, &im, e);
    vise_free(im.data);
    return vise_fail_in(e, s, name);
}

vise_status vise_image_load(float *pixels, const vise_recipe *r, const char *path, vise_err *e)
{
    vise_map file;
    VISE_TRY(vise_map_open(&file, path, e));
    vise_status s = vise_image_decode(pixels, r, file.data, file.size, path, e);
    vise_map_close(&file);
    return s;
}
