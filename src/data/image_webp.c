/* image_webp.c - WebP through libwebp: lossy and lossless, still pictures
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include <webp/decode.h>

static vise_status failed(VP8StatusCode code, vise_err *e)
{
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return vise_fail(e, VISE_ENOMEM, "out of memory: decoding a WebP");
    if (code == VP8_STATUS_NOT_ENOUGH_DATA)
        return vise_fail(e, VISE_EFORMAT, "incomplete WebP: the file ends before the picture does");
    return vise_fail(e, VISE_EFORMAT, "damaged WebP: decoder status %d", (int)code);
}

vise_status vise_image_webp(vise_image *out, const uint8_t *bytes, size_t size,
                            const vise_image_opts *opts, vise_err *e)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return vise_fail(e, VISE_EFORMAT, "libwebp has another version than vise was built with");
    // libwebp accepts a file cut off behind the pixels: the container's own length tells
    const uint64_t riff = bytes[4] | bytes[5] << 8 | bytes[6] << 16 | (uint64_t)bytes[7] << 24;
    if (riff + 8 > size) return failed(VP8_STATUS_NOT_ENOUGH_DATA, e);
    VP8StatusCode code = WebPGetFeatures(bytes, size, &config.input);
    if (code) return failed(code, e);
    if (config.input.has_animation)
        return vise_fail(e, VISE_EFORMAT, "an animated WebP, only still pictures are read");
    VISE_TRY(
        vise_image_new(out, (size_t)config.input.height, (size_t)config.input.width, 3, opts, e));
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out->data;
    config.output.u.RGBA.stride = (int)out->width * 3;
    config.output.u.RGBA.size = out->height * out->width * 3;
    code = WebPDecode(bytes, size, &config);
    WebPFreeDecBuffer(&config.output);
    return code ? failed(code, e) : VISE_OK;
}
