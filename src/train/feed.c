/* feed.c - which pictures a step sees, and how they are changed
 * SPDX-License-Identifier: MIT */
#include "train/feed.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "train/loss.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 40 };

static vise_status check_labels(const vise_feed *f, vise_err *e)
{
    if (!f->count) return vise_fail(e, VISE_EARG, "the training set has no pictures");
    for (size_t i = 0; i < f->count; i++)
        if (vise_data_label(f->data, i) >= f->classes)
            return vise_fail(e, VISE_EARG,
                             "%.200s has label %zu, the model has %zu classes: make one with "
                             "--classes",
                             vise_data_name(f->data, i), vise_data_label(f->data, i), f->classes);
    return VISE_OK;
}

vise_status vise_feed_open(vise_feed *f, const vise_feed_opts *o, vise_err *e)
{
    const vise_training *how = o->how;
    const vise_recipe *r = o->recipe;
    *f = (vise_feed){.data = o->data,
                     .recipe = r,
                     .augment = {.area_lo = how->crop,
                                 .pad = (size_t)how->pad,
                                 .flip = how->flip,
                                 .jitter = how->jitter,
                                 .erase = how->erase,
                                 .ra_ops = (size_t)how->operations,
                                 .ra_magnitude = how->magnitude},
                     .mix = {.mixup = how->mixup, .cutmix = how->cutmix},
                     .smoothing = how->smoothing,
                     .seed = o->seed,
                     .count = vise_data_count(o->data),
                     .batch = (size_t)how->batch,
                     .classes = o->classes,
                     .floats = (size_t)r->height * r->width * r->channels,
                     .epoch = UINT64_MAX};
    VISE_TRY(vise_mix_check(&f->mix, e));
    VISE_TRY(check_labels(f, e));
    if (f->batch > f->count) f->batch = f->count;
    VISE_TRY(vise_alloc_or(&f->order, f->count, sizeof *f->order, "a training set", e));
    VISE_TRY(vise_alloc_or(&f->pixels, f->batch * f->floats, sizeof(float), "a batch", e));
    VISE_TRY(vise_alloc_or(&f->target, f->batch * f->classes, sizeof(float), "a batch", e));
    return vise_alloc_or(&f->label, f->batch, sizeof *f->label, "a batch", e);
}

void vise_feed_close(vise_feed *f)
{
    vise_free(f->order);
    vise_free(f->pixels);
    vise_free(f->target);
    vise_free(f->label);
    *f = (vise_feed){0};
}

/* A stream of random numbers for one thing of one number. */
static vise_rng stream(const vise_feed *f, const char *what, uint64_t number)
{
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s %llu", what, (unsigned long long)number);
    return vise_rng_named(f->seed, name);
}

static void shuffle(vise_feed *f, uint64_t epoch)
{
    vise_rng r = stream(f, "order", epoch);
    for (size_t i = 0; i < f->count; i++)
        f->order[i] = (uint32_t)i;
    vise_rng_shuffle(&r, f->order, f->count);
    f->epoch = epoch;
}

typedef struct job {
    vise_feed *f;
    const uint32_t *which; // [batch] pictures
    uint64_t first;        // number of the batch's first picture since the beginning
    vise_err *err;         // [batch]; code 0: none
} job;

static void read_some(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    vise_feed *f = j->f;
    for (size_t i = from; i < to; i++) {
        vise_image im = {0};
        vise_rng r = stream(f, "picture", j->first + i);
        const vise_image_opts how = {.ignore_exif = f->recipe->ignore_exif};
        f->label[i] = vise_data_label(f->data, j->which[i]);
        vise_status s = vise_data_picture(f->data, j->which[i], &how, &im, &j->err[i]);
        if (!s) {
            s = vise_augment_run(f->pixels + i * f->floats, f->recipe, &f->augment, &im, &r,
                                 &j->err[i]);
            if (s) vise_data_fail_in(f->data, j->which[i], s, &j->err[i]);
        }
        j->err[i].code = s;
        vise_free(im.data);
    }
}

vise_status vise_feed_step(vise_feed *f, uint64_t step, vise_dense *d, vise_err *e)
{
    const size_t per_epoch = f->count / f->batch;
    job j = {.f = f, .first = step * f->batch};
    vise_status s = VISE_OK;
    if (f->epoch != step / per_epoch) shuffle(f, step / per_epoch);
    j.which = f->order + step % per_epoch * f->batch;
    VISE_TRY(vise_alloc_or(&j.err, f->batch, sizeof *j.err, "a batch", e));
    vise_dense_rows(d, f->batch, 1, read_some, &j);
    for (size_t i = 0; i < f->batch && !s; i++) {
        s = j.err[i].code;
        if (s && e) *e = j.err[i];
    }
    vise_free(j.err);
    if (s) return s;
    vise_targets_of(f->target, f->label, f->batch, f->classes, f->smoothing);
    vise_rng r = stream(f, "mix", step);
    const vise_mix_batch m = {.pixels = f->pixels,
                              .targets = f->target,
                              .n = f->batch,
                              .height = f->recipe->height,
                              .width = f->recipe->width,
                              .channels = f->recipe->channels,
                              .classes = f->classes};
    vise_mix_run(&m, &f->mix, &r);
    return VISE_OK;
}
