/* test_preprocess.c - resizing to the pixel, and the recipe to the bit
 *
 * Expected values are Pillow's resize() and timm's evaluation transform (as PyTorch computes it) of
 * the picture that pattern() makes.
 *
 * SPDX-License-Identifier: MIT */
#include "data/preprocess.h"

#include "data/resize.h"
#include "model/tensors.h"
#include "shared.h"

#include <math.h>
#include <string.h>

static uint8_t *pattern(size_t height, size_t width, size_t channels)
{
    const size_t n = height * width * channels;
    uint8_t *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((i * i * 31 + i * 77 + 13) % 251);
    return p;
}

static void expect_hex(const uint8_t *got, const char *want, size_t n, size_t which)
{
    assert_int_equal(strlen(want), 2 * n);
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {want[2 * i], want[2 * i + 1], 0};
        const unsigned long value = strtoul(digits, NULL, 16);
        if (got[i] != value) fail_msg("case %zu, sample %zu: %u, not %lu", which, i, got[i], value);
    }
}

static const struct resize_case {
    size_t height, width, to_height, to_width, channels;
    vise_filter filter;
    const char *pixels; // hexadecimal
} resizes[] = {
    // clang-format off
    {5, 7, 4, 3, 3, VISE_BICUBIC,
     "356573877575839e99bcab808f7854887f39856a5a91ad50725d625176a98b89919ac5a6"},
    {5, 7, 4, 3, 3, VISE_BILINEAR,
     "426b75887872819894b1a17a917f57857d418870618fa3527565605a79a18c899194bca0"},
    {4, 4, 6, 9, 1, VISE_BICUBIC,
     "0017517655281813101930698d6c3e2e28253d548db08e5e4d4743576ea6c8a475625b576e84bbdc"
     "b787726a667b90c7e7c2907b726d"},
    {4, 4, 6, 9, 3, VISE_BILINEAR,
     "0d79280e6f3e1256771940a5354088513f6b845463b96d5fcd765d48af5a47a36d4484a04568c95c"
     "62a6725b829e6a75cd7d6adf846684e58980d69a75afc56e8ae67d7cbb8b6e8faf757ad67f67e583"
     "6089e58482d39170a4b46178cc6762996d4b668a4a48a94d2eb54e245aaf4865af5282b06d9cac85"
     "9a8e8198707ead675fc4613dcd5f3028790d468c1595be2ad9e543d2c171ca9d9fd88e82e98259f0"
     "7e4a"},
    {1, 64, 1, 5, 3, VISE_BICUBIC,
     "8586778a835d839399847d93898d98"},
    {64, 1, 5, 1, 1, VISE_BILINEAR,
     "699a748c7d"},
    {9, 9, 4, 9, 1, VISE_BICUBIC,
     "7b77546a94956781a969768baf8e59ad8f5faf7f57918d1c9cac8589917b8f53603c6156"},
    {9, 9, 9, 4, 3, VISE_BICUBIC,
     "19516a917d72899db9bbab7b6d4f7a7a801ad1a46eaab634a767655a579653883e8f776f4b8a9d60"
     "7daec0b39aa2a7d9a9be7f64bb94672684ab4ac871a37297a18cb271804d9ec91e6278b16295b5a6"
     "8fa0a7dbb5cf8f7e69b97f4b696f806b894d5055579b6ba450c1ad38"},
    {3, 5, 3, 5, 1, VISE_BICUBIC,
     "0d79281540a9553f67cd765d82e58b"},
    {5, 7, 9, 3, 3, VISE_NEAREST,
     "1540a9cd765d6f91f11540a9cd765d6f91f18be582673f5528790d8be582673f5528790df07e4aeb"
     "f23ccb50134906016399126216084906016399126216088c78a2c52fd2e3c6e78c78a2c52fd2e3c6"
     "e7"},
    {1, 1, 2, 3, 3, VISE_BICUBIC,
     "0d79280d79280d79280d79280d79280d7928"},
    // clang-format on
};

enum { RESIZES = sizeof resizes / sizeof *resizes };

static void test_resize(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESIZES; i++) {
        const struct resize_case *x = &resizes[i];
        const vise_axis rows = {x->height, x->to_height, 0, x->to_height};
        const vise_axis cols = {x->width, x->to_width, 0, x->to_width};
        const size_t n = x->to_height * x->to_width * x->channels;
        uint8_t *in = pattern(x->height, x->width, x->channels), *out = malloc(n);
        vise_err e;
        MUST(vise_resize_u8(out, in, x->channels, &rows, &cols, x->filter, &e));
        expect_hex(out, x->pixels, n, i);
        free(in);
        free(out);
    }
}

/* Every window is what one would cut from the whole. */
static void test_windows(void **state)
{
    (void)state;
    size_t checked = 0;
    for (size_t i = 0; i < RESIZES; i++) {
        const struct resize_case *x = &resizes[i];
        const size_t c = x->channels;
        uint8_t *in = pattern(x->height, x->width, c);
        for (size_t from = 0; from < x->to_height && from < x->to_width; from++) {
            const vise_axis rows = {x->height, x->to_height, from, x->to_height - from};
            const vise_axis cols = {x->width, x->to_width, from, 1};
            const vise_axis all_rows = {x->height, x->to_height, 0, x->to_height};
            const vise_axis all_cols = {x->width, x->to_width, 0, x->to_width};
            uint8_t whole[9 * 9 * 3], part[9 * 3];
            vise_err e;
            MUST(vise_resize_u8(whole, in, c, &all_rows, &all_cols, x->filter, &e));
            MUST(vise_resize_u8(part, in, c, &rows, &cols, x->filter, &e));
            for (size_t y = 0; y < rows.n; y++)
                assert_memory_equal(part + y * c, whole + ((from + y) * x->to_width + from) * c, c);
            checked += rows.n;
        }
        free(in);
    }
    assert_true(checked > 50);
}

static const struct recipe_case {
    vise_recipe recipe;
    size_t height, width, channels;
    const char *pixels; // of the input, before (x / 255 - mean) / std, hexadecimal
} recipes[] = {
    // clang-format off
    {{3, 6, 6, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, {0, 0, 0}, {1, 1, 1}, false}, 9, 13, 3,
     "87586aa9bf5b998fa1a27a83708c925d584b7f7d94729d83b5787f94afa6837dafa3a25d304e7285"
     "34c0a05d9b91b38089c2acda8f9761739d7156588b7e83ac82467076928375a8a89c696e9d64ac6b"
     "4f757a7d674aa2c17b995b6a507e358786598a8a5d7f86926a9f89b5"},
    {{3, 6, 6, VISE_BICUBIC, VISE_CROP_CENTER, 0.8, {0, 0, 0}, {1, 1, 1}, false}, 9, 13, 3,
     "a67248a1da848a80b4b2717891b9934d5a897d8e6988c370cf6f6d8f8d946d97d289545a6f2aad95"
     "55c88a61928eba888feba79f6da02744868a518ab866a5a18765bdc49e689ed87b82829479367896"
     "608b8332774c565067b4609e946b7247bd48798b7d9f5c639eb43db2"},
    {{1, 6, 6, VISE_BILINEAR, VISE_CROP_CENTER, 0.67, {0, 0, 0}, {1, 1, 1}, false}, 13, 9, 3,
     "6d746a75a2b6948f906b7588bea0898f5d786b82868aaaa79e766b6d68777877616d89b4"},
    {{3, 4, 4, VISE_BICUBIC, VISE_CROP_CENTER, 0.55, {0, 0, 0}, {1, 1, 1}, false}, 20, 8, 1,
     "303030020202282828b5b5b53131314848486666668e8e8e7575758d8d8da4a4a4aeaeae5f5f5f85"
     "85859494947a7a7a"},
    {{3, 6, 4, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, {0, 0, 0}, {1, 1, 1}, false}, 9, 13, 3,
     "a79d469cc1a1a16480999d9673907e99859cb98e6078b9db6524b4ae66b6845978a5f399635a6681"
     "6c77a08861ab784e69a37f998344a35e60587e92723e7a8c54937c3f7c8f8d7e"},
    {{3, 6, 5, VISE_BICUBIC, VISE_CROP_SQUASH, 0.8, {0, 0, 0}, {1, 1, 1}, false}, 9, 13, 3,
     "486c6d99815e96a2a0a48d88616e7aa0905c829e75b3906d868baf7f79705b82736a38aa905da88b"
     "cc94b4979753a3b2355481a75c97aea07d93a0c18b8b858e7675838c4c816e43676295bea551719a"
     "709c5a677a70a0a954ac"},
    {{3, 7, 7, VISE_BICUBIC, VISE_CROP_BORDER, 1, {0.4, 0.4, 0.4}, {1, 1, 1}, false}, 9, 13, 3,
     "6666666666666666666666666666666666666666666a866693725fa2c279a57187828f9d5b61587a"
     "864876895c6863938c73a8a38c7d83b9beb78e76839e96629fb43953828c4e969e767b9cb4859686"
     "b6ab9a7da59f60918f7e858b4c967a52635d82966a9d74978d90a86964695e8248878d4e8782887e"
     "a87ca4826fa9666666666666666666666666666666666666666666"},
    {{1, 6, 7, VISE_BILINEAR, VISE_CROP_BORDER, 0.9, {0.2, 0.2, 0.2}, {1, 1, 1}, false}, 13, 4, 1,
     "3333644c3333333333a3833333333333b78c33333333339162333333333375773333333333998733"
     "3333"},
    {{3, 4, 8, VISE_NEAREST, VISE_CROP_BORDER, 0.5, {0.6, 0.6, 0.6}, {1, 1, 1}, false}, 30, 2, 3,
     "999999999999999999cb501399999999999999999999999999999999999999999938a65799999999"
     "9999999999999999999999999999999999e3c6e79999999999999999999999999999999999999999"
     "994d1e2d999999999999999999999999"},
    // clang-format on
};

static void test_recipes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        const struct recipe_case *x = &recipes[i];
        const vise_recipe *r = &x->recipe;
        const size_t n = (size_t)r->height * r->width * r->channels;
        uint8_t *in = pattern(x->height, x->width, x->channels), *u8 = malloc(n);
        float *out = malloc(n * sizeof *out);
        vise_err e;
        MUST(vise_image_from_raw(out, r, in, x->height, x->width, x->channels, &e));
        for (size_t j = 0; j < n; j++) {
            const double v = ((double)out[j] + (double)r->mean[0]) * 255;
            if (!(v > -0.5 && v < 255.5)) fail_msg("case %zu: %g", i, v);
            u8[j] = (uint8_t)lrint(v);
        }
        expect_hex(u8, x->pixels, n, i);
        free(in);
        free(u8);
        free(out);
    }
}

static void test_normalise(void **state)
{
    (void)state;
    uint8_t raw[256];
    float out[256 * 3];
    vise_err e;
    vise_recipe r = {3,
                     16,
                     16,
                     VISE_BICUBIC,
                     VISE_CROP_CENTER,
                     1,
                     {0.485f, 0.456f, 0.406f},
                     {0.229f, 0.224f, 0.225f},
                     false};
    for (size_t i = 0; i < 256; i++)
        raw[i] = (uint8_t)i;
    MUST(vise_image_from_raw(out, &r, raw, 16, 16, 1, &e));
    for (size_t i = 0; i < 256; i++)
        for (size_t c = 0; c < 3; c++) {
            const float x = (float)i / 255.0f, centred = x - r.mean[c], want = centred / r.std[c];
            assert_memory_equal(&out[i * 3 + c], &want, sizeof want);
        }
}

/* Weights of red, green and blue; each sum is exact in 16-bit fixed point, rounded. */
static void test_grey(void **state)
{
    (void)state;
    const uint8_t raw[5][3] = {
        {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}, {10, 20, 30}};
    const double want[5] = {76, 150, 29, 255, 18};
    for (size_t i = 0; i < 5; i++) {
        const vise_recipe r = {1, 1, 1, VISE_BICUBIC, VISE_CROP_CENTER, 1, {0}, {1}, false};
        float out;
        vise_err e;
        MUST(vise_image_from_raw(&out, &r, raw[i], 1, 1, 3, &e));
        assert_true(fabs((double)out * 255 - want[i]) < 1e-4);
    }
}

static void refuse(const vise_recipe *r, const char *words)
{
    const uint8_t raw[3] = {0};
    float out[12];
    vise_err e;
    assert_int_equal(vise_image_from_raw(out, r, raw, 1, 1, 3, &e), VISE_EARG);
    if (!strstr(e.msg, words)) fail_msg("'%s', not '%s'", e.msg, words);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    const vise_recipe good = {3, 2, 2, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, {0}, {1, 1, 1}, false};
    vise_recipe r;
#define REFUSE(field, value, words)                                                                \
    r = good;                                                                                      \
    r.field = value;                                                                               \
    refuse(&r, words)
    REFUSE(channels, 2, "2 channels");
    REFUSE(height, 0, "2 x 0 pixels");
    REFUSE(width, 100000, "100000 x 2 pixels");
    REFUSE(crop_pct, 0, "crop_pct of 0");
    REFUSE(crop_pct, 1.01, "crop_pct of 1.01");
    REFUSE(crop_pct, 1e-300, "crop_pct of 1e-300");
    REFUSE(crop_pct, (double)NAN, "crop_pct of ");
    REFUSE(filter, VISE_FILTER_UNSET, "filter");
    REFUSE(crop, VISE_CROP_UNSET, "crop mode");
    REFUSE(std[2], 0, "std of 0 in channel 2");
    REFUSE(std[1], NAN, "in channel 1");
    REFUSE(mean[0], INFINITY, "in channel 0");
#undef REFUSE
    const uint8_t raw[4] = {0};
    float out[12];
    vise_err e;
    assert_int_equal(vise_image_from_raw(out, &good, raw, 1, 1, 4, &e), VISE_EARG);
    assert_int_equal(vise_image_from_raw(out, &good, raw, 0, 1, 3, &e), VISE_EFORMAT);
}

/* The part that is cropped away is never computed: this one would take gigabytes. */
static void test_long_and_thin(void **state)
{
    (void)state;
    uint8_t *raw = pattern(65500, 1, 3);
    vise_recipe r = {3, 32, 32, VISE_BICUBIC, VISE_CROP_CENTER, 0.875, {0}, {1, 1, 1}, false};
    float *out = malloc(32 * 32 * 3 * sizeof *out);
    vise_err e;
    for (int f = VISE_NEAREST; f <= VISE_BICUBIC; f++) {
        r.filter = (vise_filter)f;
        MUST(vise_image_from_raw(out, &r, raw, 1, 65500, 3, &e));
        MUST(vise_image_from_raw(out, &r, raw, 65500, 1, 3, &e));
    }
    r.crop = VISE_CROP_BORDER; // its shorter side would become 0 pixels wide
    MUST(vise_image_from_raw(out, &r, raw, 1, 65500, 3, &e));
    r.crop = VISE_CROP_CENTER;
    r.crop_pct = 1e-3; // 32,000 x 65,500
    assert_int_equal(vise_image_from_raw(out, &r, raw, 1, 65500, 3, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "65500 x 1 pixels are too long and thin"));
    free(raw);
    free(out);
}

static void test_short_memory(void **state)
{
    (void)state;
    const vise_recipe r = {1, 4, 4, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, {0}, {1, 1, 1}, false};
    uint8_t *raw = pattern(9, 7, 3);
    float out[16];
    long at = 0;
    for (;; at++) {
        vise_err e;
        vise_alloc_fail_at = at;
        const vise_status s = vise_image_from_raw(out, &r, raw, 9, 7, 3, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        if (!reached) break;
        assert_int_equal(s, VISE_ENOMEM);
    }
    assert_true(at >= 6);
    free(raw);
}

/* The input that PyTorch and Pillow made of real pictures, to the bit. */
static void golden(const char *checkpoint, const float mean[3], const float std[3])
{
    enum { SIDE = 224, PICTURES = 8 };
    vise_recipe r = {3, SIDE, SIDE, VISE_BICUBIC, VISE_CROP_CENTER, 0.9, {0}, {0}, false};
    memcpy(r.mean, mean, sizeof r.mean);
    memcpy(r.std, std, sizeof r.std);
    char path[512];
    vise_map map;
    vise_tensors t = {0};
    vise_err e;
    snprintf(path, sizeof path, VISE_SHARED_DATA "/golden/%s/first8_pixels_logits.safetensors",
             checkpoint);
    MUST(vise_map_open(&map, path, &e));
    MUST(vise_read_safetensors(&t, &map, &e));
    const vise_stored *pixels = vise_tensors_find(&t, "pixels");
    assert_non_null(pixels);
    assert_int_equal(pixels->bytes, (size_t)PICTURES * 3 * SIDE * SIDE * sizeof(float));
    vise_data *d;
    MUST(vise_data_open(&d, VISE_SHARED_DATA "/images/imagenet_eval", NULL, &e));
    float *out = malloc((size_t)SIDE * SIDE * 3 * sizeof *out);
    for (size_t i = 0; i < PICTURES; i++) {
        MUST(vise_data_read(d, i, &r, out, &e));
        size_t differ = 0;
        for (size_t c = 0; c < 3; c++)
            for (size_t p = 0; p < SIDE * SIDE; p++) // theirs are [3, side, side]
                differ += memcmp(&out[p * 3 + c],
                                 (const char *)pixels->data +
                                     (((i * 3 + c) * SIDE * SIDE) + p) * sizeof(float),
                                 sizeof(float)) != 0;
        if (differ) fail_msg("%s: %zu values differ", vise_data_name(d, i), differ);
    }
    free(out);
    vise_data_free(d);
    vise_tensors_free(&t);
}

static void test_golden(void **state)
{
    (void)state;
    need_shared_data();
    const float half[3] = {0.5f, 0.5f, 0.5f};
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    golden("deit_tiny_patch16_224", mean, std);
    golden("vit_tiny_patch16_224_augreg", half, half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize),        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_recipes),       cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_grey),          cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_long_and_thin), cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
