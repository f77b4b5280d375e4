/* image_png.c - PNG through libpng: every colour type, depth and interlacing
 *
 * libpng reports errors by a callback that must not return, so this file uses setjmp: once, in
 * decode(), with all state in a struct that outlives the jump.
 *
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

typedef struct job {
    png_structp png;
    png_infop info;
    const uint8_t *at; // not yet read
    size_t left;       // bytes at at
    vise_image *out;
    const vise_image_opts *opts;
    vise_status status;
    vise_err *e;
} job;

static void stop(job *j, vise_status s)
{
    j->status = s;
    png_longjmp(j->png, 1);
}

static void on_error(png_structp png, png_const_charp text)
{
    job *j = png_get_error_ptr(png);
    j->status = vise_fail(j->e, VISE_EFORMAT, "damaged PNG: %s", text);
    png_longjmp(png, 1);
}

/* Warnings concern parts that are skipped or repaired. */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    job *j = png_get_io_ptr(png);
    if (n > j->left)
        stop(j, vise_fail(j->e, VISE_EFORMAT,
                          "incomplete PNG: the file ends before the picture does"));
    memcpy(to, j->at, n);
    j->at += n;
    j->left -= n;
}

/* Deflate makes at most 1032 bytes of one: a few bytes that claim a huge picture are refused before
 * memory is taken for it. */
static void check_ratio(job *j)
{
    const size_t height = png_get_image_height(j->png, j->info);
    const size_t bytes = png_get_rowbytes(j->png, j->info) * height;
    if (bytes / 1032 > j->left)
        stop(j, vise_fail(j->e, VISE_EFORMAT, "incomplete PNG: %zu bytes of pixels in %zu bytes",
                          bytes, j->left));
}

/* Reads up to the pixels and asks for 8-bit grey or RGB, whatever the file holds. */
static void begin(job *j)
{
    png_structp png = j->png;
    png_set_read_fn(png, j, on_read);
    // gamma, profiles, texts, transparency: nothing of them touches the pixels
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, j->info);
    check_ratio(j);
    const int type = png_get_color_type(png, j->info);
    const size_t channels = type & PNG_COLOR_MASK_COLOR ? 3 : 1;
    vise_status s = vise_image_new(j->out, png_get_image_height(png, j->info),
                                   png_get_image_width(png, j->info), channels, j->opts, j->e);
    if (s) stop(j, s);
    png_set_strip_16(png);
    png_set_expand_gray_1_2_4_to_8(png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    png_set_strip_alpha(png);
}

static bool decode(job *j)
{
    if (setjmp(png_jmpbuf(j->png))) return false;
    begin(j);
    const int passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    const size_t stride = j->out->width * j->out->channels;
    if (png_get_rowbytes(j->png, j->info) != stride) png_error(j->png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < j->out->height; y++)
            png_read_row(j->png, j->out->data + y * stride, NULL);
    png_read_end(j->png, NULL);
    return true;
}

static size_t be32(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

vise_status vise_image_png(vise_image *out, const uint8_t *bytes, size_t size,
                           const vise_image_opts *opts, vise_err *e)
{
    // the size has a fixed place; libpng would refuse a bad one without the numbers
    if (size >= 24) VISE_TRY(vise_image_check(be32(bytes + 20), be32(bytes + 16), opts, e));
    job j = {.at = bytes, .left = size, .out = out, .opts = opts, .e = e};
    j.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    if (j.png) j.info = png_create_info_struct(j.png);
    bool done = false;
    if (j.info)
        done = decode(&j);
    else
        j.status = vise_fail(e, VISE_ENOMEM, "out of memory: decoding a PNG");
    png_destroy_read_struct(&j.png, &j.info, NULL);
    return done ? VISE_OK : j.status;
}
