/* test_image.c - picture files: right pixels, and one sentence for everything that is no picture
 *
 * Expected pixels are Pillow's for the files of fuzz/corpus/image, after exif_transpose and
 * convert("RGB") or ("L"); for the 16-bit files they are the high bytes, where Pillow differs.
 *
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

static const struct sample {
    const char *file;
    size_t height, width, channels;
    const char *pixels; // hexadecimal
} samples[] = {
    // clang-format off
    {"alpha.webp", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"alpha_lossy.webp", 4, 5, 3,
     "6c5bc7371277691b7394246eb82d67606cac463c767545719e4c6acb5e6c468c725083627d8759a4"
     "8b4fc29147379c555fad618bb056adb34bd7c14b"},
    {"baseline.jpg", 4, 5, 3,
     "0e0a922f17915f1e828c2773b82f671a34913b42926a4980985173c359671d767c3e837e6e8b6d9d"
     "935ec79b52259d7947ab7976b26aa4b95acfc24f"},
    {"cmyk.jpg", 4, 5, 3,
     "f5ff36acda4370b8473d984c187746ebbb51a49e596a83593a6a59165150df7c689a656c62526735"
     "4063142f54d7427f94337e5d2676321c6e12125a"},
    {"exif_1.jpg", 4, 5, 3,
     "0901c83c06b6700ea1a0158cd41b78083ea83b43946e4b819e526cd359580a798d3d7e7a708566a1"
     "8d52d5933d09b56d3dba5c70c2469ec931d5d01e"},
    {"exif_2.jpg", 4, 5, 3,
     "d41b78a0158c700ea13c06b60901c8d359589e526c6e4b813b4394083ea8d5933da18d527085663d"
     "7e7a0a798dd5d01e9ec93170c2463dba5c09b56d"},
    {"exif_3.jpg", 4, 5, 3,
     "d5d01e9ec93170c2463dba5c09b56dd5933da18d527085663d7e7a0a798dd359589e526c6e4b813b"
     "4394083ea8d41b78a0158c700ea13c06b60901c8"},
    {"exif_4.jpg", 4, 5, 3,
     "09b56d3dba5c70c2469ec931d5d01e0a798d3d7e7a708566a18d52d5933d083ea83b43946e4b819e"
     "526cd359580901c83c06b6700ea1a0158cd41b78"},
    {"exif_5.jpg", 5, 4, 3,
     "0901c8083ea80a798d09b56d3c06b63b43943d7e7a3dba5c700ea16e4b8170856670c246a0158c9e"
     "526ca18d529ec931d41b78d35958d5933dd5d01e"},
    {"exif_6.jpg", 5, 4, 3,
     "09b56d0a798d083ea80901c83dba5c3d7e7a3b43943c06b670c2467085666e4b81700ea19ec931a1"
     "8d529e526ca0158cd5d01ed5933dd35958d41b78"},
    {"exif_7.jpg", 5, 4, 3,
     "d5d01ed5933dd35958d41b789ec931a18d529e526ca0158c70c2467085666e4b81700ea13dba5c3d"
     "7e7a3b43943c06b609b56d0a798d083ea80901c8"},
    {"exif_8.jpg", 5, 4, 3,
     "d41b78d35958d5933dd5d01ea0158c9e526ca18d529ec931700ea16e4b8170856670c2463c06b63b"
     "43943d7e7a3dba5c0901c8083ea80a798d09b56d"},
    {"grey.jpg", 4, 5, 1,
     "021d4d739141537aa7c9648accc7ffaec3d71534"},
    {"grey.pgm", 4, 5, 1,
     "00254a6f94355a7fa4c96a8fb4d9fe9fc4e90e33"},
    {"grey1.png", 4, 5, 1,
     "00000000ff0000ffffff00ffffffffffffff0000"},
    {"grey16.png", 4, 5, 1,
     "002346698c1e416487ab3c5f83a6c95b7ea1c4e7"},
    {"grey2.png", 4, 5, 1,
     "00005555aa005555aaff55aaaaffffaaffff0000"},
    {"grey4.png", 4, 5, 1,
     "0022446699335577aacc6688bbddff99ccee0033"},
    {"grey_1023.pgm", 4, 5, 1,
     "00326496c7114375a7d9235587b8ea346698cafc"},
    {"grey_15.pgm", 4, 5, 1,
     "0022446699335577aacc6688bbddff99ccee0033"},
    {"grey_alpha.png", 4, 5, 1,
     "00254a6f94355a7fa4c96a8fb4d9fe9fc4e90e33"},
    {"interlaced.png", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"lossless.webp", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"lossy.webp", 4, 5, 3,
     "1311b33119ac6422938c287cae2c681b38a93940a26c4989944f72ba57611f7a893c8180718b6997"
     "8f50c49e4728a17f46a97879b25fa0b746d0c940"},
    {"palette.png", 4, 5, 3,
     "2322af2322af871296871296a03d782322af2322afa03d78a03d78a0795a237c82237c82a0795aa0"
     "795aadbc3523b86423b864adbc35adbc35adbc35"},
    {"palette_clear.png", 4, 5, 3,
     "2322af2322af871296871296a03d782322af2322afa03d78a03d78a0795a237c82237c82a0795aa0"
     "795aadbc3523b86423b864adbc35adbc35adbc35"},
    {"progressive.jpg", 4, 5, 3,
     "0e0a922f17915f1e828c2773b82f671a34913b42926a4980985173c359671d767c3e837e6e8b6d9d"
     "935ec79b52259d7947ab7976b26aa4b95acfc24f"},
    {"rgb.ppm", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"rgb16.png", 4, 5, 3,
     "0000002300034600066900098c000c00307523307846307b69307e8c30810060ea2360ed4660f069"
     "60f38c60f600905f2390624690656990688c906b"},
    {"rgb16.ppm", 4, 5, 3,
     "0000002300034600066900098c000c00307523307846307b69307e8c30810060ea2360ed4660f069"
     "60f38c60f600905f2390624690656990688c906b"},
    {"rgb_clear_gamma.png", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"rgba.png", 4, 5, 3,
     "0a00c83c07b46e0ea0a0158cd21c780a3caa3c43966e4a82a0516ed2585a0a788c3c7f786e8664a0"
     "8d50d2943c0ab46e3cbb5a6ec246a0c932d2d01e"},
    {"ycck.jpg", 4, 5, 3,
     "720100753800795e00747b006a82124502004d3700545a0b5374304e79451b030027343032545235"
     "6b68336d6c00045b04337f1351921a66871e6466"},
    // clang-format on
};

enum { SAMPLES = sizeof samples / sizeof *samples };

static const vise_image_opts defaults = {0};

static void load(vise_map *m, const char *file)
{
    char path[512];
    vise_err e;
    snprintf(path, sizeof path, VISE_CORPUS "/image/%s", file);
    if (vise_map_open(m, path, &e)) fail_msg("%s", e.msg);
}

/* Reads a copy that ends where its block ends, so that a sanitizer sees a step beyond. */
static vise_status read_copy(vise_image *im, const void *bytes, size_t size, vise_err *e)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size) memcpy(copy, bytes, size);
    *e = (vise_err){0};
    vise_status s = vise_image_read(im, copy, size, &defaults, e);
    free(copy);
    return s;
}

/* Pixels as hexadecimal, for messages that can be read. */
static char *hex(const vise_image *im)
{
    const size_t n = im->height * im->width * im->channels;
    char *text = calloc(n + 1, 2);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", im->data[i]);
    return text;
}

static void test_pixels(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct sample *x = &samples[i];
        vise_map m;
        vise_image im;
        vise_err e;
        load(&m, x->file);
        if (read_copy(&im, m.data, m.size, &e)) fail_msg("%s: %s", x->file, e.msg);
        if (im.height != x->height || im.width != x->width || im.channels != x->channels)
            fail_msg("%s: [%zu, %zu, %zu]", x->file, im.height, im.width, im.channels);
        char *got = hex(&im);
        if (strcmp(got, x->pixels)) fail_msg("%s:\n got %s\nwant %s", x->file, got, x->pixels);
        free(got);
        vise_free(im.data);
        vise_map_close(&m);
    }
}

static void must_refuse(const void *bytes, size_t size, const char *what)
{
    vise_image im;
    vise_err e;
    vise_status s = read_copy(&im, bytes, size, &e);
    if (s != VISE_EFORMAT || im.data || e.code != s || strlen(e.msg) < 10 || strchr(e.msg, '\n'))
        fail_msg("%s: status %d, '%s'", what, s, e.msg);
}

static void must_say(const void *bytes, size_t size, const char *words)
{
    vise_image im;
    vise_err e;
    vise_status s = read_copy(&im, bytes, size, &e);
    if (s != VISE_EFORMAT || im.data || !strstr(e.msg, words))
        fail_msg("status %d, '%s', not '%s'", s, e.msg, words);
}

/* A picture that is cut off anywhere is refused, never completed with grey. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        vise_map m;
        load(&m, samples[i].file);
        for (size_t n = 0; n < m.size; n++)
            must_refuse(m.data, n, samples[i].file);
        vise_map_close(&m);
    }
}

/* One wrong byte anywhere: any outcome, as long as it is told by the status. */
static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        vise_map m;
        load(&m, samples[i].file);
        uint8_t *copy = malloc(m.size);
        assert_non_null(copy);
        for (size_t n = 0; n < m.size; n++) {
            const vise_image_opts opts = {.max_pixels = 1 << 16};
            vise_image im;
            vise_err e;
            memcpy(copy, m.data, m.size);
            copy[n] ^= n % 2 ? 0xff : 0x10;
            vise_status s = vise_image_read(&im, copy, m.size, &opts, &e);
            assert_int_equal(s != VISE_OK, im.data == NULL);
            vise_free(im.data);
        }
        free(copy);
        vise_map_close(&m);
    }
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* rgb.png with another size in its header, which is whole otherwise. */
static void refuse_png(uint32_t width, uint32_t height, const char *words)
{
    vise_map m;
    load(&m, "rgba.png");
    uint8_t *copy = malloc(m.size);
    assert_non_null(copy);
    memcpy(copy, m.data, m.size);
    put_be32(copy + 16, width);
    put_be32(copy + 20, height);
    put_be32(copy + 29, (uint32_t)crc32(0, copy + 12, 17));
    must_say(copy, m.size, words);
    free(copy);
    vise_map_close(&m);
}

static void refuse_jpeg(unsigned width, unsigned height, const char *words)
{
    vise_map m;
    load(&m, "baseline.jpg");
    uint8_t *copy = malloc(m.size), *sof = NULL;
    assert_non_null(copy);
    memcpy(copy, m.data, m.size);
    for (size_t i = 0; i + 9 < m.size && !sof; i++)
        if (copy[i] == 0xff && copy[i + 1] == 0xc0) sof = copy + i;
    assert_non_null(sof);
    sof[5] = (uint8_t)(height >> 8);
    sof[6] = (uint8_t)height;
    sof[7] = (uint8_t)(width >> 8);
    sof[8] = (uint8_t)width;
    must_say(copy, m.size, words);
    free(copy);
    vise_map_close(&m);
}

static void test_sizes(void **state)
{
    (void)state;
#define SAY(text, words) must_say(text, sizeof(text) - 1, words)
    SAY("P6 100000 1 255\n", "100000 pixels wide and 1 high, each must be 1 to 65500");
    SAY("P5 1 100000 255\n", "1 pixels wide and 100000 high");
    SAY("P5 0 5 255\n", "0 pixels wide and 5 high");
    SAY("P5 5 0 255\n", "5 pixels wide and 0 high");
    SAY("P5 65500 65500 255\n", "65500 x 65500 = 4290250000 pixels, at most 268435456");
    SAY("P5 99999999999999999999999 1 255\n", "pixels wide");
    SAY("P6 60000 4000 255\n", "take 720000000 bytes, the file has 0");
    SAY("P5 1 1 65536\n?", "a largest value of 65536");
    SAY("P5 1 1 0\n?", "a largest value of 0");
    SAY("P5 1 1 255", "header");
#undef SAY
    refuse_png(100000, 1, "100000 pixels wide and 1 high");
    refuse_png(1, 2000000, "1 pixels wide and 2000000 high");
    refuse_png(65500, 65500, "65500 x 65500 = 4290250000 pixels");
    refuse_png(0, 4, "0 pixels wide and 4 high");
    refuse_png(16384, 16384, "bytes of pixels in");
    refuse_jpeg(65535, 1, "65535 pixels wide and 1 high");
    refuse_jpeg(65500, 65500, "65500 x 65500 = 4290250000 pixels");
    refuse_jpeg(0, 4, "0 pixels wide and 4 high");
}

static void test_pixel_limit(void **state)
{
    (void)state;
    size_t refused = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        vise_image_opts opts = {.max_pixels = 19};
        vise_map m;
        vise_image im;
        vise_err e;
        load(&m, samples[i].file);
        assert_int_equal(vise_image_read(&im, m.data, m.size, &opts, &e), VISE_EFORMAT);
        refused += strstr(e.msg, "= 20 pixels, at most 19") != NULL;
        opts.max_pixels = 20;
        assert_int_equal(vise_image_read(&im, m.data, m.size, &opts, &e), VISE_OK);
        vise_free(im.data);
        vise_map_close(&m);
    }
    assert_int_equal(refused, SAMPLES);
}

static void test_not_a_picture(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "x",
                                        "hello, world",
                                        "GIF89a....................",
                                        "P3 1 1 255 1 2 3",
                                        "RIFF....WAVEfmt "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        must_say(texts[i], strlen(texts[i]), "not a JPEG, PNG, WebP or PPM picture");

    float pixel[3];
    vise_err e;
    const vise_recipe r = {3, 1, 1, VISE_BICUBIC, VISE_CROP_CENTER, 1, {0}, {1, 1, 1}, false};
    assert_int_equal(vise_image_decode(pixel, &r, "hello", 5, "x.txt", &e), VISE_EFORMAT);
    assert_string_equal(e.msg, "x.txt: not a JPEG, PNG, WebP or PPM picture");
    assert_int_equal(vise_image_load(pixel, &r, "/nowhere/x.jpg", &e), VISE_EIO);
    assert_non_null(strstr(e.msg, "/nowhere/x.jpg: "));
}

static void test_exif_ignored(void **state)
{
    (void)state;
    for (int i = 1; i <= 8; i++) {
        const vise_image_opts opts = {.ignore_exif = true};
        char file[32];
        vise_map m;
        vise_image im;
        vise_err e;
        snprintf(file, sizeof file, "exif_%d.jpg", i);
        load(&m, file);
        assert_int_equal(vise_image_read(&im, m.data, m.size, &opts, &e), VISE_OK);
        assert_int_equal(im.height, 4);
        assert_int_equal(im.width, 5);
        vise_free(im.data);
        vise_map_close(&m);
    }
}

static void test_short_memory(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        vise_map m;
        load(&m, samples[i].file);
        for (long at = 0;; at++) {
            vise_image im;
            vise_err e;
            vise_alloc_fail_at = at;
            vise_status s = vise_image_read(&im, m.data, m.size, &defaults, &e);
            const bool reached = vise_alloc_fail_at < 0;
            vise_alloc_fail_at = -1;
            vise_free(im.data);
            if (!reached) break;
            assert_int_equal(s, VISE_ENOMEM);
            assert_null(im.data);
            failures++;
        }
        vise_map_close(&m);
    }
    assert_true(failures >= SAMPLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),      cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_pixel_limit),  cmocka_unit_test(test_not_a_picture),
        cmocka_unit_test(test_exif_ignored), cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
