/* test_recipe.c - the input recipe: configurations of timm and Hugging Face, options, usual values
 * SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

static const vise_recipe input = {.channels = 3, .height = 224, .width = 224};
static const vise_recipe usual = {.filter = VISE_BICUBIC,
                                  .crop = VISE_CROP_CENTER,
                                  .crop_pct = 0.9,
                                  .mean = {0.5f, 0.25f, 0.125f},
                                  .std = {1, 2, 4}};

static vise_status complete(vise_recipe *r, const char *config, const char *preprocessor,
                            size_t *notes, vise_err *e)
{
    json_t *c = config ? json_loads(config, 0, NULL) : NULL;
    json_t *p = preprocessor ? json_loads(preprocessor, 0, NULL) : NULL;
    vise_strings l = {0};
    assert_true((!config || c) && (!preprocessor || p));
    const vise_status s = vise_recipe_complete(r, &(vise_configs){c, p}, &usual, &l, e);
    if (notes) *notes = l.count;
    vise_strings_free(&l);
    json_decref(c);
    json_decref(p);
    return s;
}

/* The side that pictures are resized to: this is what the crop percentage means. */
static double resized(const vise_recipe *r)
{
    return floor(r->height / r->crop_pct);
}

static void check(const vise_recipe *r, vise_filter filter, vise_crop crop, double side,
                  double mean, double std)
{
    assert_string_equal(vise_filter_name(r->filter), vise_filter_name(filter));
    assert_string_equal(vise_crop_name(r->crop), vise_crop_name(crop));
    assert_true(resized(r) == side);
    if (!(fabs((double)r->mean[0] - mean) < 1e-6))
        fail_msg("mean %g, not %g", (double)r->mean[0], mean);
    if (!(fabs((double)r->std[0] - std) < 1e-6)) fail_msg("std %g, not %g", (double)r->std[0], std);
}

/* ---- what is read ---- */

typedef struct reading {
    const char *config, *preprocessor;
    vise_filter filter;
    vise_crop crop;
    double side, mean, std;
    size_t notes;
} reading;

static const reading readings[] = {
    {NULL, NULL, VISE_BICUBIC, VISE_CROP_CENTER, 248, 0.5, 1, 4},
    {"{\"pretrained_cfg\": {\"input_size\": [3, 224, 224], \"interpolation\": \"bilinear\", "
     "\"crop_pct\": 0.875, \"crop_mode\": \"squash\", \"mean\": [0.485, 0.456, 0.406], "
     "\"std\": "
     "[0.229, 0.224, 0.225]}}",
     NULL, VISE_BILINEAR, VISE_CROP_SQUASH, 256, 0.485, 0.229, 0},
    {"{\"interpolation\": \"nearest\", \"crop_pct\": 1.0, \"mean\": [0, 0, 0], \"std\": [1, 1, "
     "1], "
     "\"crop_mode\": \"border\"}", // older files are flat
     NULL, VISE_NEAREST, VISE_CROP_BORDER, 224, 0, 1, 0},
    {"{\"pretrained_cfg\": {\"crop_pct\": 0.95}}", NULL, VISE_BICUBIC, VISE_CROP_CENTER, 235, 0.5,
     1, 3},
    // ViTImageProcessor: both sides to 224
    {NULL,
     "{\"do_resize\": true, \"size\": {\"height\": 224, \"width\": 224}, \"resample\": 2, "
     "\"do_normalize\": true, \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.5]}",
     VISE_BILINEAR, VISE_CROP_SQUASH, 224, 0.5, 0.5, 0},
    {NULL, "{\"size\": 224, \"resample\": 0, \"image_mean\": [0, 0, 0], \"image_std\": [1, 1, 1]}",
     VISE_NEAREST, VISE_CROP_SQUASH, 224, 0, 1, 0},
    // DeiTImageProcessor: both sides to 256, the middle 224
    {NULL,
     "{\"size\": 256, \"do_center_crop\": true, \"crop_size\": 224, \"resample\": 3, "
     "\"image_mean\": "
     "[0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
     VISE_BICUBIC, VISE_CROP_SQUASH, 256, 0.485, 0.229, 0},
    // BitImageProcessor of DINOv2: shorter side to 256, the middle 224
    {NULL,
     "{\"size\": {\"shortest_edge\": 256}, \"crop_size\": {\"height\": 224, \"width\": 224}, "
     "\"do_center_crop\": true, \"resample\": 3, \"image_mean\": [0.485, 0.456, 0.406], "
     "\"image_std\": [0.229, 0.224, 0.225]}",
     VISE_BICUBIC, VISE_CROP_CENTER, 256, 0.485, 0.229, 0},
    // CLIP: a number is the shorter side
    {NULL,
     "{\"feature_extractor_type\": \"CLIPFeatureExtractor\", \"size\": 224, \"crop_size\": "
     "224, "
     "\"do_center_crop\": true, \"resample\": 3, \"image_mean\": [0.48, 0.46, 0.41], "
     "\"image_std\": "
     "[0.27, 0.26, 0.28]}",
     VISE_BICUBIC, VISE_CROP_CENTER, 224, 0.48, 0.27, 0},
    // bytes times 1 / 127.5, minus 1
    {NULL,
     "{\"size\": 224, \"resample\": 2, \"rescale_factor\": 0.00784313725490196, "
     "\"image_mean\": [1, 1, "
     "1], \"image_std\": [1, 1, 1]}",
     VISE_BILINEAR, VISE_CROP_SQUASH, 224, 0.5, 0.5, 0},
    {NULL, "{\"size\": 224, \"resample\": 2, \"do_normalize\": false}", VISE_BILINEAR,
     VISE_CROP_SQUASH, 224, 0, 1, 0},
};

static void test_readings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        vise_err e = {0};
        vise_recipe r = input;
        size_t notes;
        if (complete(&r, readings[i].config, readings[i].preprocessor, &notes, &e))
            fail_msg("case %zu: %s", i, e.msg);
        check(&r, readings[i].filter, readings[i].crop, readings[i].side, readings[i].mean,
              readings[i].std);
        if (notes != readings[i].notes) fail_msg("case %zu: %zu notes", i, notes);
    }
}

/* The size of the pictures that a processor hands on, if it hands on one size. */
static void test_processor_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t height, width; // 0: none
    } cases[] = {
        {"{\"size\": {\"shortest_edge\": 256}, \"crop_size\": {\"height\": 224, \"width\": 196}}",
         224, 196},
        {"{\"size\": {\"height\": 224, \"width\": 196}}", 224, 196},
        {"{\"size\": 224}", 224, 224},
        {"{\"size\": 256, \"do_center_crop\": true, \"crop_size\": 224}", 224, 224},
        {"{\"size\": 256, \"do_center_crop\": false, \"crop_size\": 224}", 256, 256},
        {"{\"size\": 256, \"do_resize\": false, \"crop_size\": 224}", 224, 224},
        {"{\"size\": 256, \"do_resize\": false}", 0, 0},
        {"{\"size\": {\"shortest_edge\": 256}}", 0, 0},
        {"{\"feature_extractor_type\": \"CLIPFeatureExtractor\", \"size\": 224}", 0, 0},
        {"{\"size\": 256, \"crop_size\": {\"height\": 1e9, \"width\": 1}}", 0, 0},
        {"{}", 0, 0},
    };
    size_t size[2];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j = json_loads(cases[i].text, 0, NULL);
        assert_non_null(j);
        const bool has = vise_recipe_processor_size(&(vise_configs){NULL, j}, size);
        json_decref(j);
        if (has != (cases[i].height != 0)) fail_msg("%s: %d", cases[i].text, has);
        if (!has) continue;
        assert_int_equal(size[0], cases[i].height);
        assert_int_equal(size[1], cases[i].width);
    }
    assert_false(vise_recipe_processor_size(NULL, size));
    assert_false(vise_recipe_processor_size(&(vise_configs){NULL, NULL}, size));
}

/* floor(C / crop_pct) is the size that a processor resizes to, whatever the two numbers. */
static void test_crop_pct(void **state)
{
    (void)state;
    for (unsigned C = 1; C <= 400; C += 3)
        for (unsigned S = C; S <= C + 200; S += 1 + S % 3) {
            char text[200];
            vise_err e;
            vise_recipe r = {.channels = 3, .height = C, .width = C};
            snprintf(text, sizeof text, "{\"size\": {\"shortest_edge\": %u}, \"crop_size\": %u}", S,
                     C);
            assert_int_equal(complete(&r, NULL, text, NULL, &e), VISE_OK);
            if (resized(&r) != S) fail_msg("%u of %u: %g", C, S, resized(&r));
        }
}

static void test_set_fields_stay(void **state)
{
    (void)state;
    vise_recipe r = input;
    vise_err e;
    size_t notes;
    const vise_recipe o = {.filter = VISE_NEAREST,
                           .crop = VISE_CROP_BORDER,
                           .crop_pct = 0.5,
                           .mean = {7, 7, 7},
                           .std = {8, 8, 8},
                           .ignore_exif = true};
    assert_int_equal(vise_recipe_override(&r, &o, &e), VISE_OK);
    assert_int_equal(complete(&r, "{\"crop_pct\": 9, \"interpolation\": \"lanczos\", \"mean\": 1}",
                              "{\"resample\": 1}", &notes, &e),
                     VISE_OK);
    check(&r, VISE_NEAREST, VISE_CROP_BORDER, 448, 7, 8);
    assert_true(r.ignore_exif);
    assert_int_equal(notes, 0);
    const vise_recipe before = r;
    assert_int_equal(vise_recipe_override(&r, &(vise_recipe){0}, &e), VISE_OK);
    assert_memory_equal(&before, &r, sizeof r);
}

static void test_grey(void **state)
{
    (void)state;
    vise_err e;
    vise_recipe r = {.channels = 1, .height = 28, .width = 28};
    const vise_recipe o = {.mean = {0.5f}, .std = {0.25f}};
    assert_int_equal(vise_recipe_override(&r, &o, &e), VISE_OK);
    assert_int_equal(complete(&r, NULL, NULL, NULL, &e), VISE_OK);
    assert_true(r.mean[0] == 0.5f && r.std[0] == 0.25f);
    r = (vise_recipe){.channels = 1, .height = 28, .width = 28};
    assert_int_equal(complete(&r, "{\"mean\": [0.25], \"std\": [0.75]}", NULL, NULL, &e), VISE_OK);
    assert_true(r.mean[0] == 0.25f && r.std[0] == 0.75f);
}

/* ---- what is refused ---- */

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"crop_pct\": 0}", NULL, "crop_pct"},
        {"{\"crop_pct\": 1.5}", NULL, "crop_pct"},
        {"{\"crop_pct\": \"big\"}", NULL, "crop_pct"},
        {"{\"interpolation\": \"lanczos\"}", NULL, "interpolation"},
        {"{\"interpolation\": 3}", NULL, "interpolation"},
        {"{\"crop_mode\": \"corner\"}", NULL, "crop_mode"},
        {"{\"mean\": [0.5], \"std\": [1, 1, 1]}", NULL, "mean"},
        {"{\"mean\": [0, 0, 0], \"std\": [1, 0, 1]}", NULL, "std"},
        {"{\"mean\": [0, 0, 0], \"std\": [1, 1, \"x\"]}", NULL, "std"},
        {"{\"mean\": [0, 1e300, 0], \"std\": [1, 1, 1]}", NULL, "mean"},
        {NULL, "{\"size\": 0}", "size"},
        {NULL, "{\"size\": {\"height\": 224}}", "size"},
        {NULL, "{\"size\": {\"shortest_edge\": 1e9}}", "size"},
        {NULL, "{\"size\": 224, \"crop_size\": 225}", "crop_size"},
        {NULL, "{\"size\": 224.5}", "size of a configuration: not 1 to 16384 whole pixels"},
        {NULL, "{\"size\": {\"height\": 256, \"width\": 128}, \"crop_size\": 128}",
         "128 x 128 does not scale to size, 256 x 128"},
        {"{\"crop_pct\": 1e-300}", NULL, "resizes to more than 65500 pixels"},
        {NULL, "{\"resample\": 1}", "resample"},
        {NULL, "{\"resample\": 2.5}", "resample"},
        {NULL, "{\"image_mean\": [0, 0], \"image_std\": [1, 1, 1]}", "image_mean"},
        {NULL, "{\"image_mean\": [0, 0, 0], \"image_std\": [1, 1, 0]}", "image_std"},
        {NULL, "{\"rescale_factor\": 0, \"image_mean\": [0, 0, 0], \"image_std\": [1, 1, 1]}",
         "rescale_factor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e = {0};
        vise_recipe r = input;
        const vise_status s = complete(&r, cases[i][0], cases[i][1], NULL, &e);
        if (s != VISE_EFORMAT || !strstr(e.msg, cases[i][2]))
            fail_msg("case %zu: status %d, %s", i, (int)s, e.msg);
    }
}

static void test_overrides_refused(void **state)
{
    (void)state;
    const struct {
        vise_recipe o;
        const char *words;
    } cases[] = {
        {{.crop_pct = 1.01}, "--crop-pct"},
        {{.crop_pct = -0.5}, "--crop-pct"},
        {{.crop_pct = (double)NAN}, "--crop-pct"},
        {{.filter = (vise_filter)9}, "--interpolation"},
        {{.crop = (vise_crop)9}, "--crop-mode"},
        {{.std = {-1, 1, 1}}, "--std"},
        {{.std = {1, 0, 1}}, "--std"},
        {{.std = {1, 1, NAN}}, "--std"},
        {{.mean = {0, INFINITY, 0}, .std = {1, 1, 1}}, "--mean"},
        {{.channels = 1}, "224x224x3"},
        {{.width = 100}, "224x224x3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e = {0};
        vise_recipe r = input;
        const vise_status s = vise_recipe_override(&r, &cases[i].o, &e);
        if (s != VISE_EARG || !strstr(e.msg, cases[i].words))
            fail_msg("case %zu: status %d, %s", i, (int)s, e.msg);
        assert_memory_equal(&r, &input, sizeof r); // untouched
    }
}

static void test_check(void **state)
{
    (void)state;
    vise_err e;
    vise_recipe good = usual, r;
    good.channels = 3;
    good.height = good.width = 16384;
    assert_int_equal(vise_recipe_check(&good, &e), VISE_OK);
#define BAD(field, value)                                                                          \
    r = good;                                                                                      \
    r.field = value;                                                                               \
    assert_int_equal(vise_recipe_check(&r, &e), VISE_EFORMAT)
    BAD(channels, 2);
    BAD(height, 0);
    BAD(width, 16385);
    BAD(filter, VISE_FILTER_UNSET);
    BAD(crop, (vise_crop)4);
    BAD(crop_pct, 0);
    BAD(crop_pct, (double)NAN);
    BAD(mean[2], NAN);
    BAD(std[1], 0);
    BAD(std[0], INFINITY);
}

static void test_words(void **state)
{
    (void)state;
    vise_filter f = VISE_FILTER_UNSET;
    vise_crop c = VISE_CROP_UNSET;
    for (vise_filter i = VISE_NEAREST; i <= VISE_BICUBIC; i++)
        assert_true(vise_filter_from(&f, vise_filter_name(i)) && f == i);
    for (vise_crop i = VISE_CROP_CENTER; i <= VISE_CROP_BORDER; i++)
        assert_true(vise_crop_from(&c, vise_crop_name(i)) && c == i);
    assert_false(vise_filter_from(&f, "cubic") || vise_filter_from(&f, "") ||
                 vise_filter_from(&f, NULL));
    assert_false(vise_crop_from(&c, "centre") || vise_crop_from(&c, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readings),
        cmocka_unit_test(test_processor_size),
        cmocka_unit_test(test_crop_pct),
        cmocka_unit_test(test_set_fields_stay),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_overrides_refused),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
