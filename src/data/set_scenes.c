/* set_scenes.c - synthetic pictures as a data set, drawn when they are read
 *
 * A path of the form scenes:count=20000,size=64,seed=0,classes=10 names it. These are also the values
 * of keys that are left out; size is HxW, too. Pictures are named by number.
 *
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"
#include "data/preprocess.h"
#include "data/scenes.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "scenes:";

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    (void)truth;
    (void)e;
    *mine = !strncmp(path, prefix, strlen(prefix));
    return VISE_OK;
}

/* A whole number at *text, which goes past it. False: there is none, or it takes more than 64 bits. */
static bool take_number(uint64_t *n, const char **text)
{
    const char *p = *text;
    *n = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (*n > (UINT64_MAX - digit) / 10) return false;
        *n = 10 * *n + digit;
    }
    const bool any = p != *text;
    *text = p;
    return any;
}

static bool is_key(const char *text, size_t n, const char *key)
{
    return n == strlen(key) && !memcmp(text, key, n);
}

/* One key=value of n bytes. */
static vise_status set_key(vise_scenes *s, size_t *count, const char *text, size_t n, vise_err *e)
{
    const char *equals = memchr(text, '=', n), *p = equals ? equals + 1 : text;
    const size_t key = equals ? (size_t)(equals - text) : n;
    const int shown = n < 64 ? (int)n : 64; // of a text that may have any length
    const bool is_count = is_key(text, key, "count"), is_size = is_key(text, key, "size");
    const bool is_seed = is_key(text, key, "seed"), is_classes = is_key(text, key, "classes");
    if (!equals || !(is_count || is_size || is_seed || is_classes))
        return vise_fail(e, VISE_EARG,
                         "'%.*s' is none of count=N, size=N or HxW, seed=N, classes=N", shown,
                         text);
    uint64_t value, width;
    bool good = take_number(&value, &p);
    width = value;
    if (good && is_size && *p == 'x') {
        p++;
        good = take_number(&width, &p);
    }
    if (!good || p != text + n || value > SIZE_MAX || width > SIZE_MAX)
        return vise_fail(e, VISE_EARG, "'%.*s' is not a whole number%s", shown, text,
                         is_size ? " or two as HxW" : " below 2^64");
    if (is_count && (!value || value > VISE_MAX_PICTURES))
        return vise_fail(e, VISE_EARG, "'%.*s' is not 1 to %d", shown, text, VISE_MAX_PICTURES);
    if (is_count) *count = (size_t)value;
    if (is_seed) s->seed = value;
    if (is_classes) s->classes = (size_t)value;
    if (is_size) {
        s->height = (size_t)value;
        s->width = (size_t)width;
    }
    return VISE_OK;
}

/* Parses what follows the prefix: keys apart by commas, or nothing. */
static vise_status parse(vise_scenes *s, size_t *count, const char *text, vise_err *e)
{
    *s = (vise_scenes){.seed = 0, .height = 64, .width = 64, .classes = 10};
    *count = 20000;
    while (*text) {
        const size_t n = strcspn(text, ",");
        VISE_TRY(set_key(s, count, text, n, e));
        text += n;
        if (*text == ',' && !*++text)
            return vise_fail(e, VISE_EARG, "nothing follows the last comma");
    }
    return vise_scenes_check(s, e);
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    vise_scenes *s;
    size_t count;
    if (truth)
        return vise_fail(e, VISE_EARG,
                         "%s: these pictures have labels of their own, %s cannot replace them",
                         d->path, truth);
    VISE_TRY(vise_alloc_or(&s, 1, sizeof *s, "a set of synthetic pictures", e));
    d->block = s;
    vise_status status = parse(s, &count, d->path + strlen(prefix), e);
    for (size_t i = 0; !status && i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        status = vise_data_add(d, number, vise_scene_label(s, i), 0, e);
    }
    return vise_fail_in(e, status, d->path);
}

static vise_status draw(const vise_data *d, size_t i, const vise_image_opts *how, vise_image *out,
                        vise_err *e)
{
    const vise_scenes *s = d->block;
    vise_scene scene;
    VISE_TRY(vise_image_new(out, s->height, s->width, 3, how, e));
    return vise_scene_draw(&scene, out->data, NULL, s, i, e);
}

const vise_data_kind vise_set_scenes = {.claims = claims, .open = open_set, .picture = draw};
