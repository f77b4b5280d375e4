/* image.h - picture files: from bytes to [height, width, channels] u8.
 *
 * The kind of a file is told by its content. Pixels are those that Pillow gives after
 * convert("RGB") or convert("L"): alpha and transparent colours are dropped, not composited; 16-bit
 * samples keep their high byte; CMYK is taken as Adobe writes it (inverted).
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_IMAGE_H
#define VISE_DATA_IMAGE_H

#include "base/mem.h"

#define VISE_IMAGE_SIDE ((size_t)65500)         // most pixels of a side
#define VISE_IMAGE_PIXELS ((size_t)1 << 28)     // most pixels of a picture
#define VISE_IMAGE_FILE_BYTES ((size_t)1 << 28) // most bytes of a picture's file

typedef struct vise_image {
    size_t height, width, channels; // channels: 1 grey, 3 red green blue
    uint8_t *data;                  // [height, width, channels], rows tight; release with vise_free
} vise_image;

typedef struct vise_image_opts {
    bool ignore_exif;  // false: a JPEG's EXIF orientation is applied
    size_t max_pixels; // 0: VISE_IMAGE_PIXELS
} vise_image_opts;

/* Decodes a JPEG, PNG, WebP or binary PPM/PGM; grey files give 1 channel, all others 3. Fails with
 * VISE_EFORMAT (an unknown kind, a damaged or incomplete file, too many pixels) or VISE_ENOMEM;
 * then *out is all zero. The messages do not name the file: the caller knows it. */
vise_status vise_image_read(vise_image *out, const void *bytes, size_t size,
                            const vise_image_opts *opts, vise_err *e);

/* ---- for the decoders: one file each, one row of the table in image.c ---- */

/* Holds a size against the limits. VISE_EFORMAT with the numbers. */
vise_status vise_image_check(size_t height, size_t width, const vise_image_opts *opts, vise_err *e);
/* The same, then allocates; also VISE_ENOMEM. */
vise_status vise_image_new(vise_image *out, size_t height, size_t width, size_t channels,
                           const vise_image_opts *opts, vise_err *e);

/* A decoder may leave a picture in *out when it fails: the caller releases it. */
typedef vise_status vise_image_decoder(vise_image *out, const uint8_t *bytes, size_t size,
                                       const vise_image_opts *opts, vise_err *e);
vise_image_decoder vise_image_jpeg, vise_image_png, vise_image_webp, vise_image_pnm;

#endif
