/* test_scenes.c - synthetic pictures: their bits, masks and boxes, classes, and what a line cannot tell
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"
#include "data/preprocess.h"
#include "data/scene_parts.h"
#include "data/scenes.h"

#include "shared.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static uint64_t hash(uint64_t h, const void *bytes, size_t n) // FNV-1a
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Hash of some pictures and masks, one after the other. */
static uint64_t hash_of(const vise_scenes *s, size_t first, size_t n)
{
    const size_t pixels = s->height * s->width;
    uint8_t *picture = vise_alloc(pixels, 3), *mask = vise_alloc(pixels, 1);
    uint64_t h = 0xcbf29ce484222325u;
    vise_scene scene;
    vise_err e;
    assert_true(picture && mask);
    for (size_t i = first; i < first + n; i++) {
        MUST(vise_scene_draw(&scene, picture, mask, s, i, &e));
        const uint32_t told[] = {(uint32_t)scene.label, (uint32_t)scene.x0, (uint32_t)scene.y0,
                                 (uint32_t)scene.x1, (uint32_t)scene.y1};
        for (size_t k = 0; k < 5; k++) // byte by byte: the same on machines of any order
            h = hash(h, (const uint8_t[]){(uint8_t)told[k], (uint8_t)(told[k] >> 8)}, 2);
        h = hash(hash(h, picture, 3 * pixels), mask, pixels);
    }
    vise_free(mask);
    vise_free(picture);
    return h;
}

/* The same numbers on every machine. If the pictures are meant to change, these change, and with
 * them every result that is told for them. */
static void test_bits(void **state)
{
    (void)state;
    static const struct {
        vise_scenes s;
        size_t first, n;
        uint64_t want;
    } rows[] = {
        {{0, 64, 64, 10}, 0, 50, 0x311ee39fb2041a5a},
        {{1, 48, 48, 10}, 299990, 20, 0xa12c8a92891b3a2a},
        {{7, 224, 224, 100}, 0, 5, 0xe792b37437747f1a},
        {{~(uint64_t)0, 37, 90, 100}, 1 << 23, 20, 0xa7284e1611d40eb0},
        {{3, 16, 300, 10}, 0, 10, 0x5493e1de929c3883},
    };
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint64_t got = hash_of(&rows[i].s, rows[i].first, rows[i].n);
        if (got == rows[i].want) continue;
        print_error("row %zu: 0x%016llx\n", i, (unsigned long long)got); // all, to be kept at once
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

typedef struct job {
    pthread_t thread;
    size_t first;
    uint64_t got;
} job;

static const vise_scenes small = {.seed = 5, .height = 32, .width = 32, .classes = 100};

static void *draw_some(void *arg)
{
    job *j = arg;
    j->got = hash_of(&small, j->first, 10);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    job jobs[4] = {{.first = 30}, {.first = 0}, {.first = 10}, {.first = 30}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, draw_some, &jobs[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(jobs[i].thread, NULL);
        assert_true(jobs[i].got == hash_of(&small, jobs[i].first, 10));
    }
    assert_true(jobs[0].got == jobs[3].got && jobs[0].got != jobs[1].got);
}

/* ---- shapes and textures ---- */

/* Every shape stays in its circle, and has neither too little nor too much of it. */
static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < VISE_SHAPES; i++) {
        size_t inside = 0, circle = 0;
        for (int32_t y = -2 * VISE_UNIT; y <= 2 * VISE_UNIT; y += 64)
            for (int32_t x = -2 * VISE_UNIT; x <= 2 * VISE_UNIT; x += 64) {
                const bool in = vise_shape_parts[i].distance(x, y) < 0;
                const int64_t square = (int64_t)x * x + (int64_t)y * y;
                inside += in;
                circle += square < VISE_UNIT * VISE_UNIT;
                if (in && square > VISE_UNIT * VISE_UNIT)
                    fail_msg("%s reaches (%d, %d)", vise_shape_parts[i].name, x, y);
            }
        const double share = (double)inside / (double)circle;
        if (!(share > 0.25 && share < 0.7)) fail_msg("%s: %f", vise_shape_parts[i].name, share);
    }
}

/* All textures have about as much ink, or the mean colour would tell them apart. */
static void test_textures(void **state)
{
    (void)state;
    for (size_t i = 0; i < VISE_TEXTURES; i++) {
        size_t ink = 0, all = 0;
        for (int32_t t = -5 * VISE_UNIT; t < 5 * VISE_UNIT; t += 67)
            for (int32_t s = -5 * VISE_UNIT; s < 5 * VISE_UNIT; s += 67, all++)
                ink += vise_texture_parts[i].distance(s, t) < 0;
        const double share = (double)ink / (double)all;
        if (i == VISE_PLAIN ? ink > 0 : !(share > 0.42 && share < 0.58))
            fail_msg("%s: %f", vise_texture_parts[i].name, share);
    }
}

/* ---- masks, boxes, classes ---- */

static void check_mask(const vise_scene *s, const uint8_t *mask, size_t height, size_t width)
{
    size_t x0 = width, y0 = height, x1 = 0, y1 = 0, count = 0;
    for (size_t i = 0; i < height * width; i++) {
        const size_t x = i % width, y = i / width;
        assert_in_range(mask[i], 0, 3);
        if (mask[i] != 1) continue;
        count++;
        if (x < x0) x0 = x;
        if (y < y0) y0 = y;
        if (x >= x1) x1 = x + 1;
        if (y >= y1) y1 = y + 1;
    }
    if (s->x0 != x0 || s->y0 != y0 || s->x1 != x1 || s->y1 != y1)
        fail_msg("box %zu %zu %zu %zu, mask %zu %zu %zu %zu", s->x0, s->y0, s->x1, s->y1, x0, y0,
                 x1, y1);
    // the smallest shape is 0.25 of a circle of 0.55 of the side, and 3/4 of it show
    const double side = (double)(height < width ? height : width), most = 0.8 * side + 2;
    assert_true((double)count > 0.75 * 0.25 * 0.785 * 0.3 * side * side * 0.9);
    assert_true((double)(x1 - x0) < most && (double)(y1 - y0) < most);
}

static void test_masks(void **state)
{
    (void)state;
    static const vise_scenes sets[] = {{1, 64, 64, 10}, {2, 50, 33, 100}, {3, 20, 100, 10}};
    uint8_t picture[64 * 64 * 3], mask[64 * 64];
    size_t seen[4] = {0};
    vise_err e;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 200; i++) {
            const vise_scenes *s = &sets[k];
            vise_scene scene, bare;
            MUST(vise_scene_draw(&scene, picture, mask, s, i, &e));
            check_mask(&scene, mask, s->height, s->width);
            for (size_t p = 0; p < s->height * s->width; p++)
                seen[mask[p]]++;
            MUST(vise_scene_draw(&bare, picture, NULL, s, i, &e));
            assert_memory_equal(&bare, &scene, sizeof bare);
        }
    assert_true(seen[0] > seen[1] && seen[1] > seen[2] && seen[2] > seen[3] && seen[3] > 0);
}

/* What is on a picture does not depend on its size; thin tips do. */
static void test_sizes(void **state)
{
    (void)state;
    const vise_scenes little = {4, 40, 40, 10}, large = {4, 160, 160, 10};
    uint8_t *picture = vise_alloc(160 * 160, 3);
    vise_err e;
    for (size_t i = 0; i < 50; i++) {
        vise_scene a, b;
        MUST(vise_scene_draw(&a, picture, NULL, &little, i, &e));
        MUST(vise_scene_draw(&b, picture, NULL, &large, i, &e));
        assert_int_equal(a.label, b.label);
        const size_t at[2][4] = {{a.x0, a.y0, a.x1, a.y1}, {b.x0, b.y0, b.x1, b.y1}};
        for (size_t k = 0; k < 4; k++) {
            const double apart = fabs((double)at[0][k] - (double)at[1][k] / 4);
            if (!(apart < 4)) fail_msg("picture %zu: %zu and %zu", i, at[0][k], at[1][k]);
        }
    }
    vise_free(picture);
}

static void test_classes(void **state)
{
    (void)state;
    vise_err e;
    for (size_t classes = 10; classes <= 100; classes *= 10) {
        const vise_scenes s = {9, 64, 64, classes};
        size_t count[100] = {0}, moved = 0;
        char name[100][32];
        for (size_t i = 0; i < 5 * classes; i++) {
            vise_scene scene;
            MUST(vise_scene_draw(&scene, NULL, NULL, &s, i, &e));
            assert_true(scene.label < classes && scene.label == vise_scene_label(&s, i));
            assert_int_equal(count[scene.label]++, i / classes); // each once in so many
            moved += scene.label != vise_scene_label(&(vise_scenes){8, 64, 64, classes}, i);
            snprintf(name[scene.label], sizeof name[0], "%s %s", scene.shape, scene.texture);
        }
        assert_true(moved > 0); // another seed has another order
        for (size_t a = 0; a < classes; a++)
            for (size_t b = 0; b < a; b++)
                assert_string_not_equal(name[a], name[b]);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        vise_scenes s;
        const char *words;
    } rows[] = {{{0, 15, 64, 10}, "a height of 15 pixels, not 16 to 4096"},
                {{0, 64, 4097, 10}, "a width of 4097 pixels"},
                {{0, 64, SIZE_MAX, 10}, "a width of"},
                {{0, 64, 64, 0}, "classes=0, there are 10 or 100"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vise_scene scene;
        vise_err e = {0};
        assert_int_equal(vise_scene_draw(&scene, NULL, NULL, &rows[i].s, 0, &e), VISE_EARG);
        if (!strstr(e.msg, rows[i].words)) fail_msg("%s", e.msg);
    }
}

/* ---- as a data set ---- */

static void test_set(void **state)
{
    (void)state;
    const vise_recipe r = {3, 24, 32, VISE_BILINEAR, VISE_CROP_SQUASH, 1, {0}, {1, 1, 1}, false};
    const vise_scenes s = {12, 48, 40, 100};
    uint8_t picture[48 * 40 * 3];
    float got[3 * 24 * 32], want[3 * 24 * 32];
    vise_data *d;
    vise_scene scene;
    vise_err e;
    MUST(vise_data_open(&d, "scenes:seed=12,size=48x40,classes=100,count=250", NULL, &e));
    assert_int_equal(vise_data_count(d), 250);
    assert_int_equal(vise_data_classes(d), 100);
    for (size_t i = 0; i < 250; i += 83) {
        MUST(vise_scene_draw(&scene, picture, NULL, &s, i, &e));
        MUST(vise_image_from_raw(want, &r, picture, 48, 40, 3, &e));
        MUST(vise_data_read(d, i, &r, got, &e));
        assert_memory_equal(got, want, sizeof got);
        assert_int_equal(vise_data_label(d, i), scene.label);
        assert_int_equal(strtoul(vise_data_name(d, i), NULL, 10), i);
    }
    vise_data_free(d);
    MUST(vise_data_open(&d, "scenes:", NULL, &e));
    assert_int_equal(vise_data_count(d), 20000);
    assert_int_equal(vise_data_classes(d), 10);
    vise_data_free(d);
}

static void test_bad_sets(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"scenes:foo=1",
         "scenes:foo=1: 'foo=1' is none of count=N, size=N or HxW, seed=N, classes=N"},
        {"scenes:seed", "'seed' is none of"},
        {"scenes:=", "'=' is none of"},
        {"scenes:,", "'' is none of"},
        {"scenes:seed=1,", "nothing follows the last comma"},
        {"scenes:seed=", "'seed=' is not a whole number"},
        {"scenes:seed=-1", "'seed=-1' is not a whole number"},
        {"scenes:seed=18446744073709551616", "is not a whole number below 2^64"},
        {"scenes:count=0", "'count=0' is not 1 to 16777216"},
        {"scenes:count=16777217", "is not 1 to 16777216"},
        {"scenes:size=64x", "'size=64x' is not a whole number or two as HxW"},
        {"scenes:size=64x64x3", "is not a whole number or two"},
        {"scenes:seed=1x2", "'seed=1x2' is not a whole number"},
        {"scenes:size=64x9", "a width of 9 pixels, not 16 to 4096"},
        {"scenes:classes=11", "classes=11, there are 10 or 100"},
    };
    vise_data *d;
    vise_err e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e.msg[0] = 0;
        assert_int_equal(vise_data_open(&d, rows[i][0], NULL, &e), VISE_EARG);
        if (!strstr(e.msg, rows[i][1])) fail_msg("%s", e.msg);
    }
    assert_int_equal(vise_data_open(&d, "scenes:", "labels.csv", &e), VISE_EARG);
    MUST(vise_data_open(&d, "scenes:seed=18446744073709551615,count=1", NULL, &e));
    vise_data_free(d);
    vise_status s = VISE_ENOMEM;
    for (long i = 0; s; i++) { // every allocation fails in turn
        vise_alloc_fail_at = i;
        s = vise_data_open(&d, "scenes:count=3", NULL, &e);
        if (s) assert_int_equal(s, VISE_ENOMEM);
        if (!s && vise_alloc_fail_at < 0) fail_msg("allocation %ld failed unseen", i);
    }
    vise_alloc_fail_at = -1;
    vise_data_free(d);
}

/* ---- what simple features tell ---- */

enum { TRAIN = 4000, TEST = 2000, SIDE = 32, PIXELS = SIDE * SIDE * 3, COLOURS = 9, CLASSES = 10 };

/* Pixels in [-1, 1]. */
static void pixel_features(float *f, const uint8_t *picture)
{
    for (size_t i = 0; i < PIXELS; i++)
        f[i] = (float)picture[i] / 127.5f - 1;
}

/* Means and second moments of the three channels. */
static void colour_features(float *f, const uint8_t *picture)
{
    memset(f, 0, COLOURS * sizeof *f);
    for (size_t i = 0; i < SIDE * SIDE; i++, picture += 3)
        for (size_t a = 0, k = 3; a < 3; a++) {
            const float x = (float)picture[a] / 127.5f - 1;
            f[a] += x / (SIDE * SIDE);
            for (size_t b = a; b < 3; b++)
                f[k++] += x * ((float)picture[b] / 127.5f - 1) / (SIDE * SIDE);
        }
}

typedef void features_fn(float *f, const uint8_t *picture);

static float *features(size_t *label, uint64_t seed, size_t n, size_t dim, features_fn *make)
{
    const vise_scenes s = {seed, SIDE, SIDE, CLASSES};
    float *f = vise_alloc(n * dim, sizeof *f);
    uint8_t picture[PIXELS];
    vise_scene scene;
    vise_err e;
    assert_non_null(f);
    for (size_t i = 0; i < n; i++) {
        MUST(vise_scene_draw(&scene, picture, NULL, &s, i, &e));
        label[i] = scene.label;
        make(f + i * dim, picture);
    }
    return f;
}

/* Probabilities of a linear model; returns the likeliest class. w: [CLASSES, dim + 1] */
static size_t predict(float p[CLASSES], const float *w, const float *f, size_t dim)
{
    float sum = 0;
    size_t best = 0;
    for (size_t c = 0; c < CLASSES; c++, w += dim + 1) {
        float part[8] = {0};
        for (size_t i = 0; i + 8 <= dim; i += 8)
            for (size_t k = 0; k < 8; k++)
                part[k] += w[i + k] * f[i + k];
        p[c] = w[dim];
        for (size_t i = dim / 8 * 8; i < dim; i++)
            p[c] += w[i] * f[i];
        for (size_t k = 0; k < 8; k++)
            p[c] += part[k];
        if (p[c] > p[best]) best = c;
    }
    const float top = p[best];
    for (size_t c = 0; c < CLASSES; c++)
        sum += p[c] = expf(p[c] - top);
    for (size_t c = 0; c < CLASSES; c++)
        p[c] /= sum;
    return best;
}

/* Softmax regression by plain SGD, picture by picture; returns how many of TEST it gets right. */
static size_t linear(size_t dim, features_fn *make, float rate, size_t epochs)
{
    static size_t label[TRAIN], asked[TEST];
    float *train = features(label, 1, TRAIN, dim, make),
          *test = features(asked, 2, TEST, dim, make);
    float *w = vise_alloc(CLASSES * (dim + 1), sizeof *w), p[CLASSES];
    size_t right = 0;
    assert_non_null(w);
    for (size_t step = 0; step < epochs * TRAIN; step++) {
        const size_t i = step * 1597 % TRAIN; // 1597 has no factor in common with TRAIN
        const float *f = train + i * dim;
        const float now = rate * (1 - (float)step / (float)(epochs * TRAIN));
        predict(p, w, f, dim);
        for (size_t c = 0; c < CLASSES; c++) {
            const float g = now * (p[c] - (c == label[i]));
            float *to = w + c * (dim + 1);
            for (size_t k = 0; k < dim; k++)
                to[k] -= g * f[k];
            to[dim] -= g;
        }
    }
    for (size_t i = 0; i < TEST; i++)
        right += predict(p, w, test + i * dim, dim) == asked[i];
    vise_free(w);
    vise_free(test);
    vise_free(train);
    return right;
}

/* Pixels tell a line a little (a network has something to start from) but not much. */
static void test_pixels(void **state)
{
    (void)state;
    if (picture_limit(TRAIN) < TRAIN) skip();
    const size_t right = linear(PIXELS, pixel_features, 2e-4f, 4);
    print_message("linear on pixels: %zu of %d\n", right, TEST);
    if (!(right > TEST * 12 / 100 && right < TEST * 45 / 100)) fail_msg("%zu of %d", right, TEST);
}

static void test_colours(void **state)
{
    (void)state;
    if (picture_limit(TRAIN) < TRAIN) skip();
    const size_t right = linear(COLOURS, colour_features, 0.05f, 20);
    print_message("linear on colours: %zu of %d\n", right, TEST);
    if (!(right < TEST * 25 / 100)) fail_msg("%zu of %d", right, TEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_textures),
        cmocka_unit_test(test_masks),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_classes), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_set),     cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_pixels),  cmocka_unit_test(test_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
