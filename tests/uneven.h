/* uneven.h - a small ViT that is far from even, and ten pictures for it
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_UNEVEN_H
#define TESTS_UNEVEN_H

#include "base/rng.h"
#include "edit.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 16, PIXELS = SIZE * SIZE * 3, PICTURES = 10, CLASSES = 7 };

static char dir[] = "/tmp/vise-quantize-XXXXXX";
static char path_a[64], path_b[64], set[64], class[80];

static inline const char *picture(int i)
{
    static char path[112];
    snprintf(path, sizeof path, "%s/%02d.ppm", class, i);
    return path;
}

static inline int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(path_a, sizeof path_a, "%s/a.vise", dir);
    snprintf(path_b, sizeof path_b, "%s/b.vise", dir);
    snprintf(set, sizeof set, "%s/set", dir);
    snprintf(class, sizeof class, "%s/one", set);
    if (mkdir(set, 0700) || mkdir(class, 0700)) return 1;
    vise_rng r = vise_rng_named(1, "pictures");
    for (int i = 0; i < PICTURES; i++) {
        FILE *f = fopen(picture(i), "wb");
        if (!f) return 1;
        fprintf(f, "P6\n%d %d\n255\n", SIZE, SIZE);
        for (int k = 0; k < PIXELS; k++)
            fputc((int)(128 + 100 * vise_rng_uniform(&r) * sinf((float)(k * (i + 1)) / 60)), f);
        if (fclose(f)) return 1;
    }
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++)
        unlink(picture(i));
    unlink(path_a);
    unlink(path_b);
    return rmdir(class) || rmdir(set) || rmdir(dir); // fails if a temporary was left behind
}

static inline vise_data *pictures(void)
{
    vise_err e;
    vise_data *d;
    MUST(vise_data_open(&d, set, NULL, &e));
    assert_int_equal(vise_data_count(d), PICTURES);
    return d;
}

/* ---- models ---- */

static inline const vise_const *const_of(const vise_graph *g, const char *name)
{
    const vise_id v = vise_graph_find(g, name);
    if (v == VISE_NONE || g->value[v].kind != VISE_VALUE_CONST) fail_msg("no constant %s", name);
    return &g->value[v].data;
}

/* A ViT whose norms, biases and weights are far from even: what random ones never are. One channel
 * behind the first GELU reaches far beyond the others. */
static inline vise_model *vit_of(uint64_t seed)
{
    vise_err e;
    vise_model *m;
    const vise_new o = {.seed = 9,
                        .dim = 24,
                        .depth = 2,
                        .heads = 3,
                        .patch = 4,
                        .height = SIZE,
                        .width = SIZE,
                        .classes = CLASSES,
                        .mlp_ratio = 2};
    MUST(vise_model_new(&m, "vit", &o, &e));
    const vise_graph *g = &m->graph;
    for (size_t v = 0; v < g->values; v++) {
        const vise_value *x = &g->value[v];
        if (x->kind != VISE_VALUE_CONST) continue;
        float *w = (float *)(uintptr_t)x->data.data; // the model's own block
        vise_rng r = vise_rng_named(seed, x->name);
        for (size_t i = 0; i < vise_shape_count(&x->shape); i++) {
            const float z = vise_rng_normal(&r);
            if (strstr(x->name, "norm") && strstr(x->name, ".weight"))
                w[i] = 0.3f + z * z;
            else
                w[i] = z * (x->shape.rank == 1 ? 0.3f : 0.25f);
        }
    }
    float *fc1 = (float *)(uintptr_t)const_of(g, "blocks.0.mlp.fc1.weight")->data;
    for (size_t i = 0; i < 24; i++)
        fc1[5 * 24 + i] *= 30;
    return m;
}

static inline vise_model *vit(void)
{
    return vit_of(4);
}

/* Logits [PICTURES, CLASSES] of any model here; freed by the caller. */
static inline float *logits_of(const vise_model *m)
{
    vise_err e;
    vise_session *s;
    vise_data *d = pictures();
    float *y = calloc(PICTURES * CLASSES, sizeof *y), x[PIXELS];
    assert_non_null(y);
    MUST(vise_session_new(&s, m, &(vise_session_opts){0}, &e));
    assert_true(vise_shape_count(&vise_session_output(s, 0)->shape) <= CLASSES);
    for (size_t i = 0; i < PICTURES; i++) {
        MUST(vise_data_read(d, i, vise_model_recipe(m), x, &e));
        vise_session_run(s, 1, (const float *[]){x}, (float *[]){y + i * CLASSES, NULL});
    }
    vise_session_free(s);
    vise_data_free(d);
    return y;
}

/* |a - b| / |a|; both are freed. */
static inline double distance(float *a, float *b)
{
    double sum = 0, size = 0;
    for (size_t i = 0; i < PICTURES * CLASSES; i++) {
        sum += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)a[i], 2);
    }
    free(a);
    free(b);
    assert_true(size > 0);
    return sqrt(sum / size);
}

/* ---- passes, with the pictures to calibrate ---- */

static inline vise_status apply(vise_model *m, const char *line, size_t threads, vise_err *e)
{
    vise_data *d = pictures();
    const vise_status s = vise_apply(m, line, &(vise_eval_opts){.data = d, .threads = threads}, e);
    vise_data_free(d);
    return s;
}

static inline vise_model *vit_after(const char *line, size_t threads)
{
    vise_err e;
    vise_model *m = vit();
    if (apply(m, line, threads, &e)) fail_msg("%s: %s", line, e.msg);
    return m;
}

/* The mean of a few models: one may be lucky. */
static inline double error_of(const char *line)
{
    enum { MODELS = 4 };
    double sum = 0;
    for (uint64_t seed = 0; seed < MODELS; seed++) {
        vise_err e;
        vise_model *m = vit_of(seed), *q = vit_of(seed);
        if (apply(q, line, 1, &e)) fail_msg("%s: %s", line, e.msg);
        sum += distance(logits_of(m), logits_of(q)) / MODELS;
        vise_model_free(m);
        vise_model_free(q);
    }
    return sum;
}

/* The file that a line makes of the model, at path. */
static inline void make_file(const char *path, const char *line, size_t threads)
{
    vise_err e;
    vise_model *m = vit_after(line, threads);
    MUST(vise_model_save(m, path, &e));
    vise_model_free(m);
}

static inline bool same_files(void)
{
    vise_err e;
    vise_map a, b;
    MUST(vise_map_open(&a, path_a, &e));
    MUST(vise_map_open(&b, path_b, &e));
    const bool same = a.size == b.size && !memcmp(a.data, b.data, a.size);
    vise_map_close(&a);
    vise_map_close(&b);
    return same;
}

#endif
