/* test_augment.c - views of pictures and mixtures of batches
 * SPDX-License-Identifier: MIT */
#include "data/augment.h"
#include "data/distort.h"

#include "shared.h"

#include <math.h>
#include <string.h>

enum { SIDE = 24, FLOATS = SIDE * SIDE * 3 };

/* mean 0 and std 1 / 255: the input is the picture's bytes, but for the last bits. */
static const vise_recipe bytes_recipe = {
    3, SIDE, SIDE, VISE_BILINEAR, VISE_CROP_CENTER, 1, {0}, {1 / 255.0f, 1 / 255.0f, 1 / 255.0f},
    0};
static const vise_recipe real_recipe = {3,
                                        SIDE,
                                        SIDE,
                                        VISE_BICUBIC,
                                        VISE_CROP_CENTER,
                                        0.9,
                                        {0.485f, 0.456f, 0.406f},
                                        {0.229f, 0.224f, 0.225f},
                                        0};

static void noise(uint8_t *p, size_t n, uint64_t seed)
{
    vise_rng rng = {seed};
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)vise_rng_u64(&rng);
}

static void view(float *pixels, const vise_recipe *r, const vise_augment *a, const vise_image *im,
                 uint64_t seed)
{
    vise_err e;
    vise_rng rng = {seed};
    MUST(vise_augment_run(pixels, r, a, im, &rng, &e));
}

static bool same(const float *a, const float *b)
{
    return !memcmp(a, b, FLOATS * sizeof *a);
}

/* ---- views ---- */

static void test_identity(void **state)
{
    (void)state;
    static uint8_t raw[40 * 31 * 3];
    static float want[FLOATS], got[FLOATS];
    static const vise_crop crops[] = {VISE_CROP_CENTER, VISE_CROP_SQUASH, VISE_CROP_BORDER};
    noise(raw, sizeof raw, 1);
    for (size_t channels = 1; channels <= 3; channels += 2)
        for (size_t c = 0; c < 3; c++) {
            const vise_image im = {40, 31, channels, raw};
            vise_recipe r = real_recipe;
            vise_err e;
            vise_rng rng = {7};
            r.crop = crops[c];
            MUST(vise_preprocess(want, &r, &im, &e));
            memset(got, 0xff, sizeof got);
            MUST(vise_augment_run(got, &r, &(vise_augment){0}, &im, &rng, &e));
            assert_true(same(want, got));
            assert_true(rng.state == 7); // nothing was drawn
        }
}

static void test_flip(void **state)
{
    (void)state;
    static uint8_t raw[SIDE * SIDE * 3];
    static float plain[FLOATS], got[FLOATS];
    const vise_image im = {SIDE, SIDE, 3, raw};
    noise(raw, sizeof raw, 2);
    view(plain, &bytes_recipe, &(vise_augment){0}, &im, 0);
    view(got, &bytes_recipe, &(vise_augment){.flip = 1}, &im, 3);
    for (size_t i = 0; i < FLOATS; i++) {
        const size_t y = i / 3 / SIDE, x = i / 3 % SIDE;
        assert_true(got[i] == plain[(y * SIDE + SIDE - 1 - x) * 3 + i % 3]);
    }
    size_t flipped = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        view(got, &bytes_recipe, &(vise_augment){.flip = 0.3}, &im, seed);
        flipped += !same(got, plain);
    }
    if (flipped < 240 || flipped > 360) fail_msg("%zu of 1000 flipped", flipped); // 4 sigma
}

/* Every place of the window comes from one place of the picture, or is black. */
static void test_pad(void **state)
{
    (void)state;
    static uint8_t raw[SIDE * SIDE * 3];
    static float got[FLOATS];
    static size_t seen[9][9];
    const vise_image im = {SIDE, SIDE, 3, raw};
    noise(raw, sizeof raw, 4);
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] |= 1; // nothing is black
    for (uint64_t seed = 0; seed < 600; seed++) {
        size_t fits = 0;
        view(got, &bytes_recipe, &(vise_augment){.pad = 4}, &im, seed);
        for (size_t down = 0; down < 9; down++)
            for (size_t right = 0; right < 9; right++) {
                bool fit = true;
                for (size_t i = 0; fit && i < FLOATS; i++) {
                    const size_t y = i / 3 / SIDE + down - 4, x = i / 3 % SIDE + right - 4;
                    const bool inside = y < SIDE && x < SIDE;
                    const int want = inside ? raw[(y * SIDE + x) * 3 + i % 3] : 0;
                    fit = lroundf(got[i]) == want;
                }
                seen[down][right] += fit;
                fits += fit;
            }
        assert_int_equal(fits, 1);
    }
    size_t places = 0;
    for (size_t i = 0; i < 81; i++)
        places += seen[i / 9][i % 9] > 0;
    if (places < 78) fail_msg("%zu of 81 moves were drawn", places);
}

/* Red tells the column, green the row: so the window tells its box. Blue is never 0: nothing comes
 * from outside. */
static void test_crop(void **state)
{
    (void)state;
    enum { H = 200, W = 160 };
    static uint8_t raw[H * W * 3];
    static float got[FLOATS];
    const vise_image im = {H, W, 3, raw};
    for (size_t i = 0; i < (size_t)H * W; i++) {
        raw[3 * i] = (uint8_t)(i % W + 40);
        raw[3 * i + 1] = (uint8_t)(i / W + 40);
        raw[3 * i + 2] = 99;
    }
    double smallest = 1, mean = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        view(got, &bytes_recipe, &(vise_augment){.area_lo = 0.3}, &im, seed);
        for (size_t i = 2; i < FLOATS; i += 3)
            assert_int_equal(lroundf(got[i]), 99);
        // near the middle no box's border is felt: 10 places are 10 / SIDE of the box
        const float *a = got + (6 * SIDE + 6) * 3, *b = got + (16 * SIDE + 16) * 3;
        const double width = (double)(b[0] - a[0]) * SIDE / 10,
                     height = (double)(b[1] - a[1]) * SIDE / 10;
        const double left = (double)a[0] - 40 - width * 6.5 / SIDE,
                     top = (double)a[1] - 40 - height * 6.5 / SIDE;
        const double share = width * height / (H * W), slack = 3; // bytes were rounded
        if (!(left > -slack && top > -slack && left + width < W + slack &&
              top + height < H + slack))
            fail_msg("a box of %g x %g at %g, %g", width, height, left, top);
        if (!(share > 0.26 && share < 1.05)) fail_msg("a share of %g", share);
        if (!(width / height > 0.7 && width / height < 1.43)) fail_msg("%g x %g", width, height);
        smallest = fmin(smallest, share);
        mean += share / 2000;
    }
    // boxes that do not fit are drawn again, so large ones are rarer than small ones
    if (!(smallest < 0.34 && mean > 0.53 && mean < 0.66)) fail_msg("%g, %g", smallest, mean);
}

/* Pictures in which no box fits give their middle. */
static void test_crop_of_thin(void **state)
{
    (void)state;
    static uint8_t raw[1000 * 3];
    static float got[FLOATS];
    for (size_t i = 0; i < 1000; i++)
        memset(raw + 3 * i, i == 499 || i == 500 ? 200 : 10, 3);
    view(got, &bytes_recipe, &(vise_augment){.area_lo = 0.9}, &(vise_image){1, 1000, 3, raw}, 5);
    assert_true(got[0] > 150);
    view(got, &bytes_recipe, &(vise_augment){.area_lo = 0.9}, &(vise_image){1000, 1, 3, raw}, 5);
    assert_true(got[0] > 150);
}

/* All at once: in the range of a picture, the same for the same state, and different otherwise. */
static void test_all(void **state)
{
    (void)state;
    static uint8_t raw[50 * 70 * 3];
    static float a[FLOATS], b[FLOATS];
    const vise_augment all = {
        .area_lo = 0.08, .flip = 0.5, .jitter = 1, .ra_ops = 4, .ra_magnitude = 10};
    const vise_augment moved = {
        .pad = 23, .flip = 0.5, .jitter = 0.4, .ra_ops = 2, .ra_magnitude = 9};
    size_t repeated = 0;
    noise(raw, sizeof raw, 6);
    for (uint64_t seed = 0; seed < 1500; seed++) {
        const vise_image im = {50, 70, seed % 2 ? 3 : 1, raw};
        const vise_augment *how = seed % 3 ? &all : &moved;
        view(a, &real_recipe, how, &im, seed);
        view(b, &real_recipe, how, &im, seed);
        assert_true(same(a, b));
        view(b, &real_recipe, how, &im, seed + 5000);
        repeated += same(a, b);
        for (size_t i = 0; i < FLOATS; i++) {
            const float x = (a[i] * real_recipe.std[i % 3] + real_recipe.mean[i % 3]) * 255;
            if (!(x > -0.01f && x < 255.01f)) fail_msg("seed %zu: %g", (size_t)seed, (double)x);
        }
    }
    assert_true(repeated < 15);
}

static void test_erase(void **state)
{
    (void)state;
    static uint8_t raw[FLOATS];
    static float got[FLOATS];
    const vise_image im = {SIDE, SIDE, 3, raw};
    double sum = 0, squares = 0, shares = 0;
    size_t n = 0;
    memset(raw, 255, sizeof raw);
    for (uint64_t seed = 0; seed < 500; seed++) {
        size_t gone = 0, top = SIDE, left = SIDE, bottom = 0, right = 0;
        view(got, &bytes_recipe, &(vise_augment){.erase = 1}, &im, seed);
        for (size_t i = 0; i < FLOATS; i++) {
            if (lroundf(got[i]) == 255) continue;
            const size_t y = i / 3 / SIDE, x = i / 3 % SIDE;
            gone++;
            sum += (double)got[i];
            squares += (double)got[i] * (double)got[i];
            top = y < top ? y : top;
            left = x < left ? x : left;
            bottom = y + 1 > bottom ? y + 1 : bottom;
            right = x + 1 > right ? x + 1 : right;
        }
        assert_int_equal(gone, 3 * (bottom - top) * (right - left));
        const double share = (double)gone / FLOATS;
        if (!(share > 0.01 && share < 0.36)) fail_msg("a share of %g", share);
        shares += share / 500;
        n += gone;
    }
    sum /= (double)n;
    squares /= (double)n;
    if (!(fabs(sum) < 0.02 && fabs(squares - 1) < 0.03))
        fail_msg("mean %g, square %g", sum, squares);
    if (!(shares > 0.14 && shares < 0.2)) fail_msg("a mean share of %g", shares);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        vise_augment a;
        const char *words;
    } bad[] = {
        {{.area_lo = 1.5}, "area_lo of 1.5, not 0 to 1"},
        {{.flip = -1}, "flip of -1"},
        {{.jitter = 2}, "jitter of 2"},
        {{.erase = (double)NAN}, "erase of "},
        {{.ra_ops = 17}, "ra_ops of 17, not 0 to 16"},
        {{.ra_magnitude = 11}, "ra_magnitude of 11"},
        {{.pad = SIDE}, "a pad of 24 pixels, not below 24"},
        {{.pad = 1, .area_lo = 0.5}, "both area_lo and pad"},
    };
    static float got[FLOATS];
    uint8_t raw[3] = {0};
    vise_err e;
    vise_rng rng = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const vise_status s =
            vise_augment_run(got, &bytes_recipe, &bad[i].a, &(vise_image){1, 1, 3, raw}, &rng, &e);
        if (s != VISE_EARG || !strstr(e.msg, bad[i].words)) fail_msg("%zu: %s", i, e.msg);
    }
    long starved = 0;
    for (bool reached = true; reached; starved++) {
        const vise_augment a = {.area_lo = 0.5, .ra_ops = 1};
        vise_alloc_fail_at = starved;
        const vise_status s =
            vise_augment_run(got, &bytes_recipe, &a, &(vise_image){1, 1, 3, raw}, &rng, &e);
        reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
    }
    assert_true(starved > 2);
}

/* ---- operations ---- */

static void distorted(uint8_t *out, const uint8_t *in, size_t channels, vise_distortion what,
                      double amount)
{
    static uint8_t p[FLOATS + 8], spare[FLOATS + 8];
    const size_t n = SIDE * SIDE * channels;
    vise_canvas v = {SIDE, SIDE, channels, p, spare, {1, 2, 3}};
    memcpy(p, in, n);
    memset(p + n, 0xa5, 8);
    memset(spare + n, 0xa5, 8);
    vise_distort(&v, what, amount);
    for (size_t i = n; i < n + 8; i++)
        assert_true(p[i] == 0xa5 && spare[i] == 0xa5);
    assert_true((v.p == p && v.spare == spare) || (v.p == spare && v.spare == p));
    memcpy(out, v.p, n);
}

/* An amount of 0 changes nothing; every other changes something. */
static void test_neutral(void **state)
{
    (void)state;
    static uint8_t in[FLOATS], out[FLOATS];
    noise(in, sizeof in, 8);
    for (size_t channels = 1; channels <= 3; channels += 2)
        for (int what = 0; what < VISE_DISTORTIONS; what++) {
            const bool grey = channels == 1 && what == VISE_SATURATION;
            const bool always = what == VISE_EQUALIZE, never = what == VISE_AUTOCONTRAST || grey;
            const size_t n = SIDE * SIDE * channels;
            distorted(out, in, channels, (vise_distortion)what, 0);
            if (!always && memcmp(in, out, n)) fail_msg("operation %d by 0", what);
            for (int sign = -1; sign <= 1; sign += 2) {
                distorted(out, in, channels, (vise_distortion)what, sign);
                if (!never == !memcmp(in, out, n)) fail_msg("operation %d by %d", what, sign);
            }
        }
}

static void test_colours(void **state)
{
    (void)state;
    static uint8_t in[FLOATS], out[FLOATS];
    noise(in, sizeof in, 9);
    for (size_t i = 0; i < FLOATS; i++)
        in[i] = (uint8_t)(in[i] / 4 + 60); // [60, 123], all of them
    distorted(out, in, 3, VISE_BRIGHTNESS, 0.5);
    for (size_t i = 0; i < FLOATS; i++)
        assert_true(abs(out[i] - (int)lround(in[i] * 1.45)) <= 1);
    distorted(out, in, 3, VISE_CONTRAST, -1 / 0.9); // a factor of 0
    for (size_t i = 0; i < FLOATS; i++)
        assert_true(out[i] == out[0] && out[0] > 88 && out[0] < 95);
    distorted(out, in, 3, VISE_SATURATION, -1 / 0.9);
    for (size_t i = 0; i < FLOATS; i++) {
        const uint8_t *p = in + i / 3 * 3;
        assert_true(abs(out[i] - (int)lround(0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2])) <= 1);
    }
    distorted(out, in, 3, VISE_POSTERIZE, 0.5);
    for (size_t i = 0; i < FLOATS; i++)
        assert_int_equal(out[i], in[i] / 4 * 4);
    distorted(out, in, 3, VISE_SOLARIZE, -0.625); // from 96
    for (size_t i = 0; i < FLOATS; i++)
        assert_int_equal(out[i], in[i] < 96 ? in[i] : 255 - in[i]);
    distorted(out, in, 3, VISE_AUTOCONTRAST, 0);
    for (size_t i = 0; i < FLOATS; i++)
        assert_int_equal(out[i], lround((in[i] - 60) * 255 / 63.0));
    distorted(out, in, 3, VISE_EQUALIZE, 0);
    for (size_t i = 0; i < FLOATS; i++) { // every value by how many are darker
        size_t darker = 0, brightest = 0, top = 0;
        for (size_t k = i % 3; k < FLOATS; k += 3) {
            darker += in[k] < in[i];
            if (in[k] > top) brightest = 0;
            if (in[k] >= top) brightest++;
            if (in[k] > top) top = in[k];
        }
        const size_t step = (FLOATS / 3 - brightest) / 255, want = (darker + step / 2) / step;
        assert_int_equal(out[i], want < 255 ? want : 255);
    }
    memset(in, 77, sizeof in);
    for (int what = VISE_SATURATION; what <= VISE_EQUALIZE; what++) { // nothing to even out
        if (what == VISE_POSTERIZE || what == VISE_SOLARIZE) continue;
        distorted(out, in, 3, (vise_distortion)what, 1);
        assert_memory_equal(in, out, sizeof in);
    }
}

/* The smoothed copy, and away from it. */
static void test_sharpness(void **state)
{
    (void)state;
    static uint8_t in[FLOATS], out[FLOATS];
    const size_t at = (5 * SIDE + 7) * 3;
    memset(in, 100, sizeof in);
    in[at] = 233;
    distorted(out, in, 3, VISE_SHARPNESS, -1 / 0.9);
    assert_int_equal(out[at], 151);     // 100 + 133 * 5 / 13
    assert_int_equal(out[at + 3], 110); // 100 + 133 / 13
    assert_int_equal(out[at - 3 * SIDE - 3], 110);
    assert_int_equal(out[at + 6], 100);
    assert_int_equal(out[at + 1], 100); // another channel
    distorted(out, in, 3, VISE_SHARPNESS, 1);
    assert_int_equal(out[at], 255);
    assert_int_equal(out[at + 3], 91);
}

static void test_geometry(void **state)
{
    (void)state;
    static uint8_t in[FLOATS], out[FLOATS], back[FLOATS];
    noise(in, sizeof in, 10);
    distorted(out, in, 3, VISE_TRANSLATE_X, 5 / (0.45 * SIDE));
    distorted(back, in, 3, VISE_TRANSLATE_Y, -5 / (0.45 * SIDE));
    for (size_t i = 0; i < FLOATS; i++) {
        const size_t y = i / 3 / SIDE, x = i / 3 % SIDE, c = i % 3;
        assert_int_equal(out[i], x + 5 < SIDE ? in[i + 15] : c + 1);
        assert_int_equal(back[i], y >= 5 ? in[i - 15 * SIDE] : c + 1);
    }
    for (size_t i = 0; i < FLOATS; i++) { // a slope stays a slope
        const size_t y = i / 3 / SIDE, x = i / 3 % SIDE;
        in[i] = (uint8_t)(20 + 4 * x + 3 * y);
    }
    static const struct {
        vise_distortion what;
        double along, across; // the slope's change per column and row
    } ops[] = {
        {VISE_SHEAR_X, 4, 3 + 4 * 0.15},
        {VISE_SHEAR_Y, 4 + 3 * 0.15, 3},
        {VISE_ROTATE, 4 * 0.9659258263 + 3 * 0.2588190451, 3 * 0.9659258263 - 4 * 0.2588190451},
    };
    const double middle = (SIDE - 1) / 2.0;
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        distorted(out, in, 3, ops[k].what, 0.5);
        for (size_t y = 6; y < SIDE - 6; y++)
            for (size_t x = 6; x < SIDE - 6; x++) {
                const double want = 20 + 7 * middle + ops[k].along * ((double)x - middle) +
                                    ops[k].across * ((double)y - middle);
                if (!(fabs(out[(y * SIDE + x) * 3] - want) < 0.51)) // a byte, and 7 / 2048
                    fail_msg("%zu: %d, not %g", k, out[(y * SIDE + x) * 3], want);
            }
    }
}

/* ---- mixtures ---- */

enum { N = 7, CLASSES = 5, H = 12, W = 10 };

typedef struct batch {
    float pixels[N * H * W * 3], targets[N * CLASSES];
    vise_mix_batch b;
} batch;

/* Image i is all i + 1, of class i % CLASSES. */
static void fill_batch(batch *x)
{
    memset(x, 0, sizeof *x);
    x->b = (vise_mix_batch){x->pixels, x->targets, N, H, W, 3, CLASSES};
    for (size_t i = 0; i < N * H * W * 3; i++)
        x->pixels[i] = (float)(i / (H * W * 3) + 1);
    for (size_t i = 0; i < N; i++)
        x->targets[i * CLASSES + i % CLASSES] = 1;
}

/* What is of image i by its pixels is what is of it by its targets. */
static double check_mixture(const batch *x, size_t i, bool cut)
{
    const size_t j = N - 1 - i, floats = H * W * 3;
    const double own = (double)i + 1, other = (double)j + 1;
    double mean = 0, sum = 0;
    for (size_t k = 0; k < floats; k++) {
        const double p = (double)x->pixels[i * floats + k];
        assert_true(!cut || p == own || p == other);
        mean += p / (double)floats;
    }
    for (size_t c = 0; c < CLASSES; c++)
        sum += (double)x->targets[i * CLASSES + c];
    assert_true(fabs(sum - 1) < 1e-6);
    const double share = i == j ? 1 : (mean - other) / (own - other);
    const double target = (double)x->targets[i * CLASSES + i % CLASSES];
    if (i != j && i % CLASSES != j % CLASSES) assert_true(fabs(share - target) < 1e-5);
    if (i == j) assert_true(fabs(mean - own) < 1e-9 && target == 1);
    return share;
}

static void test_mix(void **state)
{
    (void)state;
    static batch x, again;
    static const vise_mix how[] = {{.mixup = 0.8}, {.cutmix = 1}, {0.2, 1}};
    for (size_t k = 0; k < 3; k++) {
        double mean = 0, squares = 0;
        size_t mixed = 0;
        for (uint64_t seed = 0; seed < 1000; seed++) {
            vise_rng a = {seed}, b = {seed};
            fill_batch(&x);
            fill_batch(&again);
            vise_mix_run(&x.b, &how[k], &a);
            vise_mix_run(&again.b, &how[k], &b);
            assert_memory_equal(x.pixels, again.pixels, sizeof x.pixels);
            assert_memory_equal(x.targets, again.targets, sizeof x.targets);
            for (size_t i = 0; i < N; i++) {
                const double share = check_mixture(&x, i, k == 1);
                if (i >= N / 2) continue;
                mean += share / (1000 * (N / 2));
                squares += share * share / (1000 * (N / 2));
                mixed += share > 0.01 && share < 0.99;
            }
        }
        const double variance = squares - mean * mean;
        // Beta(a, a): 1/2 and 1 / (4 (2a + 1)); cut boxes are smaller than that
        if (k == 0 && !(fabs(mean - 0.5) < 0.02 && fabs(variance - 1 / 10.4) < 0.01))
            fail_msg("mixup: %g, %g", mean, variance);
        if (k == 1 && !(mean > 0.6 && mean < 0.75)) fail_msg("cutmix: %g", mean);
        assert_true(mixed > 1000);
    }
    vise_rng rng = {5};
    fill_batch(&x);
    fill_batch(&again);
    vise_mix_run(&x.b, &(vise_mix){0}, &rng);
    assert_memory_equal(x.pixels, again.pixels, sizeof x.pixels);
    assert_true(rng.state == 5);
    vise_err e;
    assert_int_equal(vise_mix_check(&(vise_mix){.cutmix = 5}, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "cutmix of 5, not 0 or 0.01 to 4"));
    assert_int_equal(vise_mix_check(&(vise_mix){.mixup = (double)NAN}, &e), VISE_EARG);
}

static void test_beta(void **state)
{
    (void)state;
    static const double as[] = {0.01, 0.2, 1, 4};
    for (size_t k = 0; k < 4; k++) {
        vise_rng rng = {k};
        double mean = 0, squares = 0;
        const size_t n = 20000;
        for (size_t i = 0; i < n; i++) {
            const double x = vise_beta(as[k], &rng);
            assert_true(x >= 0 && x <= 1);
            mean += x / (double)n;
            squares += x * x / (double)n;
        }
        // 5 sigma of the mean is 0.018 at most; the variance's is smaller
        const double variance = squares - mean * mean, want = 1 / (4 * (2 * as[k] + 1));
        if (!(fabs(mean - 0.5) < 0.018 && fabs(variance - want) < 0.005))
            fail_msg("a = %g: %g, %g, not %g", as[k], mean, variance, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),     cmocka_unit_test(test_flip),
        cmocka_unit_test(test_pad),          cmocka_unit_test(test_crop),
        cmocka_unit_test(test_crop_of_thin), cmocka_unit_test(test_all),
        cmocka_unit_test(test_erase),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_neutral),      cmocka_unit_test(test_colours),
        cmocka_unit_test(test_sharpness),    cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_mix),          cmocka_unit_test(test_beta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
