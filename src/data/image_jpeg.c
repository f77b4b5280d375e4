/* image_jpeg.c - JPEG through libjpeg: baseline, progressive, grey, colour, CMYK, EXIF orientation
 *
 * libjpeg reports errors by a callback that must not return, so this file uses setjmp: once, in
 * decode(), around all of libjpeg, with all state in a struct that outlives the jump.
 *
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <libexif/exif-data.h>

/* Each scan of a progressive file costs a pass over the whole picture: files have some ten, and a
 * larger number is fine as long as it is little work. */
enum { FREE_SCANS = 16, MAX_SCANS = 500 };
#define MAX_SCANNED ((uint64_t)1 << 31) // pixels of all scans together

typedef struct job {
    struct jpeg_decompress_struct lib;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    vise_image *out;
    const vise_image_opts *opts;
    uint8_t *cmyk;   // one row of a CMYK picture
    int orientation; // EXIF's 1..8
    vise_status status;
    vise_err *e;
} job;

static void stop(job *j, vise_status s)
{
    j->status = s;
    longjmp(j->jump, 1);
}

static void on_error(j_common_ptr lib)
{
    job *j = lib->client_data;
    const int code = lib->err->msg_code;
    char text[JMSG_LENGTH_MAX];
    lib->err->format_message(lib, text);
    if (code == JERR_IMAGE_TOO_BIG ||
        code == JERR_EMPTY_IMAGE) { // libjpeg does not say the numbers
        vise_status s = vise_image_check(j->lib.image_height, j->lib.image_width, j->opts, j->e);
        if (s) stop(j, s);
    }
    if (code == JERR_OUT_OF_MEMORY)
        stop(j, vise_fail(j->e, VISE_ENOMEM, "out of memory: decoding a JPEG"));
    stop(j, vise_fail(j->e, VISE_EFORMAT, "damaged JPEG: %s", text));
}

/* Warnings are damage that libjpeg repairs, as it does in other programs: they are not told. */
static void on_message(j_common_ptr lib)
{
    (void)lib;
}

static boolean on_end_of_data(j_decompress_ptr lib)
{
    job *j = lib->client_data;
    stop(j,
         vise_fail(j->e, VISE_EFORMAT, "incomplete JPEG: the file ends before the picture does"));
    return FALSE;
}

static void on_progress(j_common_ptr lib)
{
    job *j = lib->client_data;
    const uint64_t scans = (uint64_t)j->lib.input_scan_number;
    const uint64_t pixels = (uint64_t)j->lib.image_height * j->lib.image_width;
    if (scans > MAX_SCANS || (scans > FREE_SCANS && scans * pixels > MAX_SCANNED))
        stop(j, vise_fail(j->e, VISE_EFORMAT, "a JPEG of %u x %u pixels in more than %d scans",
                          j->lib.image_width, j->lib.image_height, (int)scans - 1));
}

static int exif_orientation(const uint8_t *data, size_t size)
{
    int orientation = 1;
    ExifData *exif = exif_data_new_from_data(data, (unsigned)size);
    if (!exif) return 1;
    ExifEntry *entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
    exif_data_unref(exif);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

static int find_orientation(const struct jpeg_decompress_struct *lib)
{
    for (jpeg_saved_marker_ptr m = lib->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && !memcmp(m->data, "Exif\0", 6))
            return exif_orientation(m->data, m->data_length);
    return 1;
}

/* Multiplication of two fractions of 255, rounded, as Pillow does it. */
static unsigned mul_255(unsigned a, unsigned b)
{
    unsigned t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/* CMYK files hold inverted values (Adobe's way), so 255 is no ink. */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t n)
{
    for (size_t i = 0; i < n; i++, cmyk += 4, rgb += 3)
        for (size_t c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(cmyk[3] - mul_255(255u - cmyk[c], cmyk[3]));
}

/* Opens the file up to its size and allocates the picture. */
static void begin(job *j, const uint8_t *bytes, size_t size)
{
    struct jpeg_decompress_struct *lib = &j->lib;
    jpeg_create_decompress(lib);
    jpeg_mem_src(lib, bytes, (unsigned long)size);
    lib->src->fill_input_buffer = on_end_of_data; // the default makes up an end of the picture
    lib->progress = &j->progress;
    if (!j->opts->ignore_exif) jpeg_save_markers(lib, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(lib, TRUE);

    const int n = lib->num_components;
    if (n != 1 && n != 3 && n != 4)
        stop(j, vise_fail(j->e, VISE_EFORMAT, "a JPEG of %d components, not 1, 3 or 4", n));
    lib->out_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
    vise_status s =
        vise_image_new(j->out, lib->image_height, lib->image_width, n == 1 ? 1 : 3, j->opts, j->e);
    if (!s && n == 4) s = vise_alloc_or(&j->cmyk, lib->image_width, 4, "a row of a JPEG", j->e);
    if (s) stop(j, s);
    j->orientation = find_orientation(lib);
}

static bool decode(job *j, const uint8_t *bytes, size_t size)
{
    if (setjmp(j->jump)) return false;
    begin(j, bytes, size);
    jpeg_start_decompress(&j->lib);
    while (j->lib.output_scanline < j->lib.output_height) {
        size_t y = j->lib.output_scanline, stride = j->out->width * j->out->channels;
        uint8_t *row = j->out->data + y * stride;
        jpeg_read_scanlines(&j->lib, (JSAMPARRAY)(j->cmyk ? &j->cmyk : &row), 1);
        if (j->cmyk) cmyk_to_rgb(row, j->cmyk, j->out->width);
    }
    jpeg_finish_decompress(&j->lib);
    return true;
}

/* Replaces the picture by one turned as EXIF asks. */
static vise_status turn(vise_image *im, int orientation, vise_err *e)
{
    static const struct {
        bool swap, flip_y, flip_x; // rows become columns; then read a side from its end
    } how[9] = {[2] = {0, 0, 1}, [3] = {0, 1, 1}, [4] = {0, 1, 0}, [5] = {1, 0, 0},
                [6] = {1, 1, 0}, [7] = {1, 1, 1}, [8] = {1, 0, 1}};
    const bool swap = how[orientation].swap;
    const size_t c = im->channels, h = swap ? im->width : im->height,
                 w = swap ? im->height : im->width;
    uint8_t *turned, *to;
    VISE_TRY(vise_alloc_or(&turned, h * w, c, "the turned picture", e));
    to = turned;
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++, to += c) {
            size_t sy = swap ? x : y, sx = swap ? y : x;
            if (how[orientation].flip_y) sy = im->height - 1 - sy;
            if (how[orientation].flip_x) sx = im->width - 1 - sx;
            memcpy(to, im->data + (sy * im->width + sx) * c, c);
        }
    vise_free(im->data);
    *im = (vise_image){h, w, c, turned};
    return VISE_OK;
}

vise_status vise_image_jpeg(vise_image *out, const uint8_t *bytes, size_t size,
                            const vise_image_opts *opts, vise_err *e)
{
    job j = {.out = out, .opts = opts, .orientation = 1, .e = e};
    j.lib.err = jpeg_std_error(&j.errors);
    j.lib.client_data = &j;
    j.errors.error_exit = on_error;
    j.errors.output_message = on_message;
    j.progress.progress_monitor = on_progress;
    bool done = decode(&j, bytes, size);
    jpeg_destroy_decompress(&j.lib);
    vise_free(j.cmyk);
    if (!done) return j.status;
    return j.orientation == 1 ? VISE_OK : turn(out, j.orientation, e);
}
