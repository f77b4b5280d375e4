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

vise_status vise_recipe_usable(const vise_recipe *r, vise_err *e)
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

/* The part of a picture under a box in channels that are its own, or grey. part->data: vise_free. */
static vise_status cut(vise_image *part, const vise_image *im, const vise_box *box, size_t channels,
                       vise_err *e)
{
    *part = (vise_image){box->height, box->width, channels, NULL};
    VISE_TRY(
        vise_alloc_or(&part->data, box->height * box->width, channels, "a part of the picture", e));
    for (size_t y = 0; y < box->height; y++) {
        const uint8_t *p = im->data + ((box->top + y) * im->width + box->left) * im->channels;
        uint8_t *to = part->data + y * box->width * channels;
        if (channels == im->channels) memcpy(to, p, box->width * channels);
        for (size_t x = 0; channels < im->channels && x < box->width; x++)
            to[x] = vise_luma(p + 3 * x);
    }
    return VISE_OK;
}

/* Lays a window on the canvas of the input.
 *   canvas  out  [height, width, r->channels]                      u8
 *   window  in   [axis[0].axis.n, axis[1].axis.n, channels]  u8   1 or r->channels */
static void lay(uint8_t *canvas, const vise_recipe *r, const uint8_t *window, size_t channels,
                const side axis[2])
{
    uint8_t fill[3] = {0};
    for (size_t c = 0; c < r->channels; c++) {
        const double mean = nearbyint(255 * (double)r->mean[c]);
        if (r->crop == VISE_CROP_BORDER) fill[c] = (uint8_t)fmin(fmax(mean, 0), 255);
    }
    for (size_t y = 0; y < r->height; y++)
        for (size_t x = 0; x < r->width; x++, canvas += r->channels) {
            const size_t sy = y - axis[0].pad, sx = x - axis[1].pad; // wraps before the window
            const bool inside = sy < axis[0].axis.n && sx < axis[1].axis.n;
            const size_t at = (sy * axis[1].axis.n + sx) * channels; // means nothing outside
            for (size_t c = 0; c < r->channels; c++)
                canvas[c] = inside ? window[at + c % channels] : fill[c];
        }
}

vise_status vise_frame(uint8_t *canvas, const vise_recipe *r, const vise_image *im,
                       const vise_box *box, vise_err *e)
{
    // grey must come before resizing, whose rounding it would see; a grey picture becomes coloured
    // after it, where the three channels are the same
    const size_t channels = r->channels < im->channels ? r->channels : im->channels;
    const vise_box all = {0, 0, im->height, im->width};
    vise_image part = {0};
    uint8_t *window = NULL;
    side axis[2] = {{{0, r->height, 0, r->height}, 0}, {{0, r->width, 0, r->width}, 0}};
    VISE_TRY(vise_recipe_usable(r, e));
    if (box) {
        axis[0].axis.in = box->height;
        axis[1].axis.in = box->width;
    } else {
        VISE_TRY(place(&axis[0], &axis[1], r, im, e));
    }
    vise_status s = VISE_OK;
    if (box || channels < im->channels) s = cut(&part, im, box ? box : &all, channels, e);
    const size_t rows = axis[0].axis.n, cols = axis[1].axis.n;
    const bool whole = rows == r->height && cols == r->width && channels == r->channels;
    if (!s && !whole) s = vise_alloc_or(&window, rows * cols, channels, "the resized picture", e);
    if (!s)
        s = vise_resize_u8(whole ? canvas : window, part.data ? part.data : im->data, channels,
                           &axis[0].axis, &axis[1].axis, r->filter, e);
    if (!s && !whole) lay(canvas, r, window, channels, axis);
    vise_free(window);
    vise_free(part.data);
    return s;
}

void vise_normalise(float *pixels, const vise_recipe *r, const uint8_t *canvas)
{
    float value[3][256];
    const size_t channels = r->channels, n = (size_t)r->height * r->width;
    for (size_t c = 0; c < channels; c++)
        for (int i = 0; i < 256; i++)
            value[c][i] = ((float)i / 255.0f - r->mean[c]) / r->std[c];
    for (size_t i = 0; i < n; i++, pixels += channels, canvas += channels)
        for (size_t c = 0; c < channels; c++)
            pixels[c] = value[c][canvas[c]];
}

vise_status vise_preprocess(float *pixels, const vise_recipe *r, const vise_image *im, vise_err *e)
{
    uint8_t *canvas;
    VISE_TRY(vise_recipe_usable(r, e));
    VISE_TRY(vise_alloc_or(&canvas, (size_t)r->height * r->width, r->channels,
                           "the network's input", e));
    vise_status s = vise_frame(canvas, r, im, NULL, e);
    if (!s) vise_normalise(pixels, r, canvas);
    vise_free(canvas);
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
