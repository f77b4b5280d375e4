/* recipe.c - how pictures get into a network: from configurations, options and usual values
 * SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { MAX_SIDE = 16384, MAX_RESIZED = 65500 }; // pixels

static const char *const filter_names[] = {
    [VISE_NEAREST] = "nearest", [VISE_BILINEAR] = "bilinear", [VISE_BICUBIC] = "bicubic"};
static const char *const crop_names[] = {
    [VISE_CROP_CENTER] = "center", [VISE_CROP_SQUASH] = "squash", [VISE_CROP_BORDER] = "border"};

const char *vise_filter_name(vise_filter f)
{
    return f >= VISE_NEAREST && f <= VISE_BICUBIC ? filter_names[f] : "unset";
}

const char *vise_crop_name(vise_crop c)
{
    return c >= VISE_CROP_CENTER && c <= VISE_CROP_BORDER ? crop_names[c] : "unset";
}

bool vise_filter_from(vise_filter *f, const char *name)
{
    for (vise_filter i = VISE_NEAREST; name && i <= VISE_BICUBIC; i++)
        if (!strcmp(filter_names[i], name)) {
            *f = i;
            return true;
        }
    return false;
}

bool vise_crop_from(vise_crop *c, const char *name)
{
    for (vise_crop i = VISE_CROP_CENTER; name && i <= VISE_CROP_BORDER; i++)
        if (!strcmp(crop_names[i], name)) {
            *c = i;
            return true;
        }
    return false;
}

/* ---- ranges ---- */

/* The resized picture has to have a sane size, too. */
static bool crop_pct_ok(const vise_recipe *r, double x)
{
    const uint32_t side = r->height > r->width ? r->height : r->width;
    return x > 0 && x <= 1 && side / x <= MAX_RESIZED;
}

static bool mean_ok(float x)
{
    return fabsf(x) <= 1e6f; // not NaN
}

static bool std_ok(float x)
{
    return x >= 1e-6f && x <= 1e6f;
}

vise_status vise_recipe_check(const vise_recipe *r, vise_err *e)
{
    if (r->channels != 1 && r->channels != 3)
        return vise_fail(e, VISE_EFORMAT, "recipe: %u channels, expected 1 or 3", r->channels);
    if (!r->height || r->height > MAX_SIDE || !r->width || r->width > MAX_SIDE)
        return vise_fail(e, VISE_EFORMAT, "recipe: size %ux%u, expected 1 to %d each", r->height,
                         r->width, MAX_SIDE);
    if (r->filter < VISE_NEAREST || r->filter > VISE_BICUBIC)
        return vise_fail(e, VISE_EFORMAT, "recipe: no interpolation");
    if (r->crop < VISE_CROP_CENTER || r->crop > VISE_CROP_BORDER)
        return vise_fail(e, VISE_EFORMAT, "recipe: no crop_mode");
    if (!crop_pct_ok(r, r->crop_pct))
        return vise_fail(e, VISE_EFORMAT,
                         "recipe: crop_pct %g is not in (0, 1], or "
                         "resizes to more than %d pixels",
                         r->crop_pct, MAX_RESIZED);
    for (uint32_t i = 0; i < r->channels; i++) {
        if (!mean_ok(r->mean[i]))
            return vise_fail(e, VISE_EFORMAT, "recipe: mean %g is out of range",
                             (double)r->mean[i]);
        if (!std_ok(r->std[i]))
            return vise_fail(e, VISE_EFORMAT, "recipe: std %g is out of range", (double)r->std[i]);
    }
    return VISE_OK;
}

/* ---- options ---- */

static vise_status check_override(const vise_recipe *r, const vise_recipe *o, vise_err *e)
{
    if ((o->channels && o->channels != r->channels) || (o->height && o->height != r->height) ||
        (o->width && o->width != r->width))
        return vise_fail(e, VISE_EARG,
                         "the recipe's input cannot be %ux%ux%u: the network's is %ux%ux%u",
                         o->height, o->width, o->channels, r->height, r->width, r->channels);
    if (o->filter != VISE_FILTER_UNSET && (o->filter < VISE_NEAREST || o->filter > VISE_BICUBIC))
        return vise_fail(e, VISE_EARG, "--interpolation: no such filter (%d)", (int)o->filter);
    if (o->crop != VISE_CROP_UNSET && (o->crop < VISE_CROP_CENTER || o->crop > VISE_CROP_BORDER))
        return vise_fail(e, VISE_EARG, "--crop-mode: no such mode (%d)", (int)o->crop);
    if (o->crop_pct != 0 && !crop_pct_ok(r, o->crop_pct))
        return vise_fail(e, VISE_EARG,
                         "--crop-pct %g: not in (0, 1], or "
                         "resizes to more than %d pixels",
                         o->crop_pct, MAX_RESIZED);
    for (uint32_t i = 0; o->std[0] != 0 && i < r->channels; i++) {
        if (!mean_ok(o->mean[i]))
            return vise_fail(e, VISE_EARG, "--mean %g: out of range", (double)o->mean[i]);
        if (!std_ok(o->std[i]))
            return vise_fail(e, VISE_EARG, "--std %g: out of range", (double)o->std[i]);
    }
    return VISE_OK;
}

static void take_mean_std(vise_recipe *r, const float mean[3], const float std[3])
{
    memcpy(r->mean, mean, sizeof r->mean);
    memcpy(r->std, std, sizeof r->std);
}

vise_status vise_recipe_override(vise_recipe *r, const vise_recipe *o, vise_err *e)
{
    VISE_TRY(check_override(r, o, e));
    if (o->filter) r->filter = o->filter;
    if (o->crop) r->crop = o->crop;
    if (o->crop_pct != 0) r->crop_pct = o->crop_pct;
    if (o->std[0] != 0) take_mean_std(r, o->mean, o->std);
    r->ignore_exif |= o->ignore_exif;
    return VISE_OK;
}

/* ---- timm ---- */

/* A list of numbers, one per channel; a list of three serves one channel by its first. */
static vise_status read_channels(float out[3], const json_t *list, const vise_recipe *r,
                                 const char *key, vise_err *e)
{
    const size_t n = json_array_size(list);
    if (n < r->channels || n > 3)
        return vise_fail(e, VISE_EFORMAT, "%s of a configuration: not a list of %u numbers", key,
                         r->channels);
    for (size_t i = 0; i < r->channels; i++) {
        const json_t *x = json_array_get(list, i);
        out[i] = (float)json_number_value(x);
        if (!json_is_number(x) || !isfinite(out[i]))
            return vise_fail(e, VISE_EFORMAT, "%s of a configuration: entry %zu is no number", key,
                             i);
    }
    return VISE_OK;
}

static vise_status check_mean_std(const float mean[3], const float std[3], const vise_recipe *r,
                                  const char *mean_key, const char *std_key, vise_err *e)
{
    for (uint32_t i = 0; i < r->channels; i++) {
        if (!mean_ok(mean[i]))
            return vise_fail(e, VISE_EFORMAT, "%s of a configuration: %g is out of range", mean_key,
                             (double)mean[i]);
        if (!std_ok(std[i]))
            return vise_fail(e, VISE_EFORMAT, "%s of a configuration: %g is out of range", std_key,
                             (double)std[i]);
    }
    return VISE_OK;
}

static vise_status read_word(const char **word, const json_t *o, const char *key, vise_err *e)
{
    const json_t *v = json_object_get(o, key);
    *word = json_string_value(v);
    return v && !json_is_null(v) && !*word
               ? vise_fail(e, VISE_EFORMAT, "%s of a configuration: not a text", key)
               : VISE_OK;
}

static vise_status timm_words(vise_recipe *r, const json_t *o, vise_err *e)
{
    const char *word;
    if (!r->filter) {
        VISE_TRY(read_word(&word, o, "interpolation", e));
        if (word && !vise_filter_from(&r->filter, word))
            return vise_fail(e, VISE_EFORMAT, "interpolation of a configuration: %.40s", word);
    }
    if (!r->crop) {
        VISE_TRY(read_word(&word, o, "crop_mode", e));
        if (word && !vise_crop_from(&r->crop, word))
            return vise_fail(e, VISE_EFORMAT, "crop_mode of a configuration: %.40s", word);
    }
    return VISE_OK;
}

static vise_status read_timm(vise_recipe *r, const json_t *config, vise_err *e)
{
    const json_t *o = json_object_get(config, "pretrained_cfg");
    if (!json_is_object(o)) o = config; // older files are flat
    VISE_TRY(timm_words(r, o, e));
    const json_t *pct = json_object_get(o, "crop_pct");
    if (r->crop_pct == 0 && pct && !json_is_null(pct)) {
        r->crop_pct = json_number_value(pct);
        if (!crop_pct_ok(r, r->crop_pct))
            return vise_fail(e, VISE_EFORMAT,
                             "crop_pct of a configuration: %g is not in (0, 1], or "
                             "resizes to more than %d pixels",
                             r->crop_pct, MAX_RESIZED);
    }
    const json_t *mean = json_object_get(o, "mean"), *std = json_object_get(o, "std");
    if (r->std[0] != 0 || !mean || !std) return VISE_OK;
    float m[3] = {0}, s[3] = {0};
    VISE_TRY(read_channels(m, mean, r, "mean", e));
    VISE_TRY(read_channels(s, std, r, "std", e));
    VISE_TRY(check_mean_std(m, s, r, "mean", "std", e));
    take_mean_std(r, m, s);
    return VISE_OK;
}

/* ---- Hugging Face ---- */

/* A size of an image processor: a number, or {"height", "width"}, or {"shortest_edge"}. */
typedef struct hf_size {
    double height, width; // 0: none
    bool shortest;
} hf_size;

static vise_status read_hf_size(hf_size *s, const json_t *o, const char *key, vise_err *e)
{
    const json_t *v = json_object_get(o, key);
    const json_t *edge = json_object_get(v, "shortest_edge");
    const json_t *h = json_is_object(v) ? json_object_get(v, "height") : v;
    const json_t *w = json_is_object(v) ? json_object_get(v, "width") : v;
    *s = (hf_size){0};
    if (!v || json_is_null(v)) return VISE_OK;
    if (edge) h = w = edge;
    s->shortest = edge != NULL;
    s->height = json_number_value(h);
    s->width = json_number_value(w);
    if (s->height >= 1 && s->height <= MAX_SIDE && s->height == floor(s->height) && s->width >= 1 &&
        s->width <= MAX_SIDE && s->width == floor(s->width))
        return VISE_OK;
    return vise_fail(e, VISE_EFORMAT, "%s of a configuration: not 1 to %d whole pixels", key,
                     MAX_SIDE);
}

static bool is_true(const json_t *o, const char *key, bool without)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : without;
}

/* What a processor does to sizes. */
static vise_status read_hf_sizes(hf_size *size, hf_size *crop, const json_t *o, vise_err *e)
{
    const char *kind = json_string_value(json_object_get(o, "image_processor_type"));
    if (!kind) kind = json_string_value(json_object_get(o, "feature_extractor_type"));
    VISE_TRY(read_hf_size(size, o, "size", e));
    VISE_TRY(read_hf_size(crop, o, "crop_size", e));
    if (!is_true(o, "do_resize", true)) *size = (hf_size){0};
    if (!is_true(o, "do_center_crop", true)) *crop = (hf_size){0};
    if (kind && !strncmp(kind, "CLIP", 4)) size->shortest = true; // a number there is this, too
    return VISE_OK;
}

bool vise_recipe_processor_size(const vise_configs *c, size_t size[2])
{
    hf_size resized, cropped;
    vise_err e;
    if (!c || !c->preprocessor || read_hf_sizes(&resized, &cropped, c->preprocessor, &e))
        return false;
    const hf_size *s = cropped.height != 0 ? &cropped : &resized;
    if (s->height == 0 || (s == &resized && s->shortest)) return false;
    size[0] = (size_t)s->height;
    size[1] = (size_t)s->width;
    return true;
}

/* Pictures are resized to S and the middle C is taken: crop_pct is the number with
 * floor(C / crop_pct) == S. */
static vise_status hf_crop(vise_recipe *r, const json_t *o, vise_err *e)
{
    hf_size size, crop;
    VISE_TRY(read_hf_sizes(&size, &crop, o, e));
    if (size.height == 0) return VISE_OK;
    const bool cropped = crop.height != 0;
    if (!r->crop) r->crop = size.shortest ? VISE_CROP_CENTER : VISE_CROP_SQUASH;
    if (r->crop_pct != 0) return VISE_OK;
    const double C = cropped ? crop.height : size.height, S = size.height;
    if (C > S)
        return vise_fail(e, VISE_EFORMAT, "crop_size of a configuration: %g is more than size, %g",
                         C, S);
    r->crop_pct = C / S;
    while (floor(C / r->crop_pct) < S) // S is whole, so one step or two
        r->crop_pct = nextafter(r->crop_pct, 0);
    const double across = cropped ? crop.width : size.width;
    if (size.shortest ? across == C : floor(across / r->crop_pct) == size.width) return VISE_OK;
    return vise_fail(e, VISE_EFORMAT,
                     "crop_size of a configuration: %g x %g does not scale to size, %g x %g", C,
                     across, S, size.width);
}

static vise_status hf_filter(vise_recipe *r, const json_t *o, vise_err *e)
{
    static const vise_filter filters[] = {VISE_NEAREST, VISE_FILTER_UNSET, VISE_BILINEAR,
                                          VISE_BICUBIC}; // Pillow's numbers; 1 is Lanczos
    const json_t *v = json_object_get(o, "resample");
    if (r->filter || !v || json_is_null(v)) return VISE_OK;
    const json_int_t n = json_integer_value(v);
    if (json_is_integer(v) && n >= 0 && n <= 3) r->filter = filters[n];
    return r->filter
               ? VISE_OK
               : vise_fail(e, VISE_EFORMAT,
                           "resample of a configuration: %lld, not 0, 2 or 3; --interpolation "
                           "overrides it",
                           (long long)n);
}

/* y = (factor * byte - mean) / std, where ours is (byte / 255 - mean') / std'. */
static vise_status hf_mean_std(vise_recipe *r, const json_t *o, vise_err *e)
{
    const json_t *mean = json_object_get(o, "image_mean"), *std = json_object_get(o, "image_std");
    const json_t *f = json_object_get(o, "rescale_factor");
    const bool rescaled = is_true(o, "do_rescale", true), plain = !is_true(o, "do_normalize", true);
    float m[3] = {0}, s[3] = {1, 1, 1};
    if (r->std[0] != 0 || (!plain && (!mean || !std))) return VISE_OK;
    if (!plain) {
        VISE_TRY(read_channels(m, mean, r, "image_mean", e));
        VISE_TRY(read_channels(s, std, r, "image_std", e));
    }
    const double factor = rescaled ? f ? json_number_value(f) : 1 / 255. : 1;
    if (!(factor > 0 && factor <= 1))
        return vise_fail(e, VISE_EFORMAT, "rescale_factor of a configuration: %g is not in (0, 1]",
                         factor);
    const double k = 255 * factor;
    for (size_t i = 0; i < 3 && fabs(k - 1) > 1e-6; i++) { // 1 / 255 is written in many ways
        m[i] = (float)((double)m[i] / k);
        s[i] = (float)((double)s[i] / k);
    }
    VISE_TRY(check_mean_std(m, s, r, "image_mean", "image_std", e));
    take_mean_std(r, m, s);
    return VISE_OK;
}

/* ---- what nothing tells ---- */

static vise_status note_mean_std(const vise_recipe *r, vise_strings *notes, vise_err *e)
{
    const char *why =
        "not in the file, usual for networks of this kind; --mean and --std change it";
    if (r->channels == 1)
        return vise_strings_addf(notes, e, "mean %g, std %g: %s", (double)r->mean[0],
                                 (double)r->std[0], why);
    return vise_strings_addf(notes, e, "mean %g, %g, %g, std %g, %g, %g: %s", (double)r->mean[0],
                             (double)r->mean[1], (double)r->mean[2], (double)r->std[0],
                             (double)r->std[1], (double)r->std[2], why);
}

static vise_status take_usual(vise_recipe *r, const vise_recipe *usual, vise_strings *notes,
                              vise_err *e)
{
    const char *why = "not in the file, usual for networks of this kind";
    if (!r->filter) {
        r->filter = usual->filter;
        VISE_TRY(vise_strings_addf(notes, e, "interpolation %s: %s; --interpolation changes it",
                                   vise_filter_name(r->filter), why));
    }
    if (!r->crop) {
        r->crop = usual->crop;
        VISE_TRY(vise_strings_addf(notes, e, "crop_mode %s: %s; --crop-mode changes it",
                                   vise_crop_name(r->crop), why));
    }
    if (r->crop_pct == 0) {
        r->crop_pct = usual->crop_pct;
        VISE_TRY(vise_strings_addf(notes, e, "crop_pct %g: %s; --crop-pct changes it", r->crop_pct,
                                   why));
    }
    if (r->std[0] != 0) return VISE_OK;
    take_mean_std(r, usual->mean, usual->std);
    return note_mean_std(r, notes, e);
}

vise_status vise_recipe_complete(vise_recipe *r, const vise_configs *c, const vise_recipe *family,
                                 vise_strings *notes, vise_err *e)
{
    if (c && c->preprocessor) {
        VISE_TRY(hf_crop(r, c->preprocessor, e));
        VISE_TRY(hf_filter(r, c->preprocessor, e));
        VISE_TRY(hf_mean_std(r, c->preprocessor, e));
    }
    if (c && c->config) VISE_TRY(read_timm(r, c->config, e));
    VISE_TRY(take_usual(r, family, notes, e));
    return vise_recipe_check(r, e);
}

bool vise_recipe_same_colours(const vise_recipe *a, const vise_recipe *b)
{
    bool same = a->channels == b->channels;
    for (uint32_t i = 0; i < a->channels; i++)
        same = same && a->mean[i] == b->mean[i] && a->std[i] == b->std[i];
    return same;
}
