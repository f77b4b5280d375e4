/* image.c - which decoder reads a picture file
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include <string.h>

static bool is_jpeg(const uint8_t *p, size_t size)
{
    return size >= 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff;
}

static bool is_png(const uint8_t *p, size_t size)
{
    return size >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8);
}

static bool is_webp(const uint8_t *p, size_t size)
{
    return size >= 12 && !memcmp(p, "RIFF", 4) && !memcmp(p + 8, "WEBP", 4);
}

static bool is_pnm(const uint8_t *p, size_t size)
{
    return size >= 3 && p[0] == 'P' && (p[1] == '5' || p[1] == '6') && p[2] &&
           strchr(" \t\r\n#", p[2]);
}

static const struct {
    bool (*match)(const uint8_t *bytes, size_t size);
    vise_image_decoder *decode;
} kinds[] = {
    {is_jpeg, vise_image_jpeg},
    {is_png, vise_image_png},
    {is_webp, vise_image_webp},
    {is_pnm, vise_image_pnm},
};

vise_status vise_image_check(size_t height, size_t width, const vise_image_opts *opts, vise_err *e)
{
    const size_t most = opts->max_pixels ? opts->max_pixels : VISE_IMAGE_PIXELS;
    if (!height || !width || height > VISE_IMAGE_SIDE || width > VISE_IMAGE_SIDE)
        return vise_fail(e, VISE_EFORMAT, "%zu pixels wide and %zu high, each must be 1 to %zu",
                         width, height, VISE_IMAGE_SIDE);
    if (height * width > most)
        return vise_fail(e, VISE_EFORMAT, "%zu x %zu = %zu pixels, at most %zu are read", width,
                         height, height * width, most);
    return VISE_OK;
}

vise_status vise_image_new(vise_image *out, size_t height, size_t width, size_t channels,
                           const vise_image_opts *opts, vise_err *e)
{
    VISE_TRY(vise_image_check(height, width, opts, e));
    VISE_TRY(vise_alloc_or(&out->data, height * width, channels, "the decoded picture", e));
    out->height = height;
    out->width = width;
    out->channels = channels;
    return VISE_OK;
}

vise_status vise_image_read(vise_image *out, const void *bytes, size_t size,
                            const vise_image_opts *opts, vise_err *e)
{
    *out = (vise_image){0};
    if (size > VISE_IMAGE_FILE_BYTES)
        return vise_fail(e, VISE_EFORMAT, "a picture file of %zu bytes, at most %zu are read", size,
                         VISE_IMAGE_FILE_BYTES);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!kinds[i].match(bytes, size)) continue;
        vise_status s = kinds[i].decode(out, bytes, size, opts, e);
        if (s) {
            vise_free(out->data);
            *out = (vise_image){0};
        }
        return s;
    }
    return vise_fail(e, VISE_EFORMAT, "not a JPEG, PNG, WebP or PPM picture");
}
