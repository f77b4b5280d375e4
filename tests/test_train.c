/* test_train.c - training: it learns, the same bits whatever interrupts it, every encoding stays what it
 * is, and what goes wrong is told
 * SPDX-License-Identifier: MIT */
#include "edit.h"
#include "model/model.h"
#include "train/params.h"

#include <math.h>
#include <unistd.h>

#define SCENES "scenes:count=64,size=16,seed=5"

static char state_path[64];

static vise_data *scenes(const char *path)
{
    vise_err e = {0};
    vise_data *d;
    if (vise_data_open(&d, path, NULL, &e)) fail_msg("%s", e.msg);
    return d;
}

static vise_model *deep(uint64_t seed, uint32_t depth)
{
    vise_err e = {0};
    vise_model *m;
    const vise_new dims = {.seed = seed,
                           .dim = 32,
                           .depth = depth,
                           .heads = 2,
                           .patch = 4,
                           .height = 16,
                           .width = 16,
                           .classes = 10,
                           .mlp_ratio = 2};
    if (vise_model_new(&m, "vit", &dims, &e)) fail_msg("%s", e.msg);
    return m;
}

static vise_model *student(uint64_t seed)
{
    return deep(seed, 2);
}

/* What a callback saw, and when it is to stop. */
typedef struct watch {
    double first, last; // losses
    double top1;        // the last that was measured
    uint64_t steps, stop;
} watch;

static void report(void *user, const vise_train_point *p)
{
    watch *w = user;
    if (isnan(w->first)) w->first = p->loss;
    w->last = p->loss;
    if (!isnan(p->top1)) w->top1 = p->top1;
    w->steps = p->step;
}

static bool progress(void *user, const char *what, size_t done, size_t total)
{
    const watch *w = user;
    (void)what;
    (void)total;
    return !w->stop || done < w->stop;
}

typedef struct session {
    const char *line, *data;
    const vise_model *teacher;
    const char *state;
    size_t threads;
    uint64_t stop;
    bool test; // measure on the training set
} session;

static vise_status train(vise_model *m, const session *s, watch *w, vise_err *e)
{
    vise_data *d;
    VISE_TRY(vise_data_open(&d, s->data ? s->data : SCENES, NULL, e));
    *w = (watch){.first = (double)NAN, .top1 = (double)NAN, .stop = s->stop};
    const vise_train_opts o = {.data = d,
                               .test = s->test ? d : NULL,
                               .teacher = s->teacher,
                               .threads = s->threads ? s->threads : 2,
                               .seed = 3,
                               .state = s->state,
                               .report = report,
                               .progress = progress,
                               .user = w};
    const vise_status st = vise_train(m, s->line, &o, e);
    vise_data_free(d);
    return st;
}

static void must_train(vise_model *m, const session *s, watch *w)
{
    vise_err e = {0};
    if (train(m, s, w, &e)) fail_msg("%s: %s", s->line, e.msg);
}

/* All constants as they are stored: data, scales, codebooks. */
static size_t bytes_of(char *to, const vise_model *m)
{
    const vise_graph *g = &m->graph;
    size_t n = 0;
    for (vise_id v = 0; v < g->values; v++) {
        const vise_const *c = &g->value[v].data;
        if (g->value[v].kind != VISE_VALUE_CONST) continue;
        const size_t count = vise_shape_count(&c->shape);
        float *x = malloc(count * sizeof *x);
        vise_decode(x, c);
        memcpy(to + n, x, count * sizeof *x);
        n += count * sizeof *x;
        free(x);
    }
    return n;
}

static void assert_same(const vise_model *a, const vise_model *b, bool same)
{
    static char x[1 << 20], y[1 << 20];
    const size_t n = bytes_of(x, a);
    assert_true(n < sizeof x);
    assert_int_equal(bytes_of(y, b), n);
    assert_int_equal(!memcmp(x, y, n), same);
}

/* ---- learning ---- */

/* With everything switched on, 64 pictures are learnt by heart; the line joins the history. */
static void test_learns(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "train steps=120 batch=16 rate=0.003 smoothing=0 flip=0",
        "train steps=120 batch=16 rate=0.03 smoothing=0 flip=0 optimizer=lamb clip=0",
        "train steps=120 batch=16 rate=0.1 smoothing=0 flip=0 optimizer=sgd layers=0.9 ema=0.9",
        "train steps=120 batch=16 rate=0.003 smoothing=0 flip=0 precision=bf16 parts=2",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        watch w;
        vise_err e = {0};
        vise_model *m = student(1);
        const session s = {.line = lines[i]};
        if (train(m, &s, &w, &e)) fail_msg("%s: %s", lines[i], e.msg);
        if (!(w.first > 2 && w.last < 0.85 * w.first))
            fail_msg("%s: the loss went from %g to %g", lines[i], w.first, w.last);
        assert_int_equal(w.steps, 120);
        assert_true(strstr(vise_model_history(m, 1), "train epochs=30 steps=120 batch=16"));
        const vise_graph *g = &m->graph; // all is f32 as before
        for (vise_id v = 0; v < g->values; v++)
            if (g->value[v].kind == VISE_VALUE_CONST)
                assert_true(g->value[v].data.enc.type == VISE_F32 && !g->value[v].data.enc.bits);
        vise_model_free(m);
    }
}

/* Every random change of pictures runs. */
static void test_augmented(void **state)
{
    (void)state;
    watch w;
    vise_model *m = student(1);
    const session s = {.line = "train steps=6 batch=16 mixup=0.4 cutmix=1 crop=0.5 jitter=0.3 "
                               "operations=2 erase=0.3"};
    must_train(m, &s, &w);
    assert_true(isfinite(w.last));
    vise_model_free(m);
}

/* No step changes no bit, in any encoding, averaged or with bf16 weights for a while. */
static void test_nothing(void **state)
{
    (void)state;
    static const char *const passes[] = {NULL, "quantize weights=int4",
                                         "quantize weights=int3 group=32", "cluster k=16",
                                         "quantize weights=f16"};
    static const char *const lines[] = {"finetune epochs=0 precision=bf16",
                                        "finetune epochs=0 ema=0.9"};
    vise_data *d = scenes(SCENES);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        for (size_t k = 0; k < sizeof lines / sizeof *lines; k++) {
            watch w;
            vise_err e = {0};
            vise_model *m = student(1), *same = student(1);
            const vise_eval_opts o = {.data = d, .limit = 8};
            if (passes[i] &&
                (vise_apply(m, passes[i], &o, &e) || vise_apply(same, passes[i], &o, &e)))
                fail_msg("%s: %s", passes[i], e.msg);
            must_train(m, &(session){.line = lines[k]}, &w);
            assert_same(m, same, true);
            vise_model_free(m);
            vise_model_free(same);
        }
    vise_data_free(d);
}

/* A batch of more than all pictures is all of them; no momentum is none; what is measured on the way is
 * what the result is, averages included. */
static void test_edges(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "train epochs=25 batch=1000 rate=0.005 smoothing=0 flip=0 momentum=0",
        "train epochs=25 batch=1000 rate=0.1 smoothing=0 flip=0 optimizer=sgd momentum=0",
        "train epochs=25 batch=1000 rate=0.005 smoothing=0 flip=0 ema=0.5 parts=1 precision=bf16",
    };
    vise_data *d = scenes("scenes:count=24,size=16,seed=5");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        watch w;
        vise_err e = {0};
        vise_eval_result r;
        vise_model *m = student(1);
        must_train(
            m, &(session){.line = lines[i], .data = "scenes:count=24,size=16,seed=5", .test = true},
            &w);
        assert_int_equal(w.steps, 25);
        assert_true(w.last < w.first);
        if (vise_eval(&r, m, &(vise_eval_opts){.data = d}, &e)) fail_msg("%s", e.msg);
        if (!strstr(lines[i], "bf16")) assert_true(w.top1 == (double)r.correct_top1 / (double)r.n);
        vise_model_free(m);
    }
    vise_data_free(d);
}

/* A model read in place from its file trains as the one that was written. */
static void test_opened(void **state)
{
    (void)state;
    watch w;
    vise_err e = {0};
    vise_model *m = student(1), *opened;
    vise_data *d = scenes(SCENES);
    const vise_eval_opts o = {.data = d, .limit = 8};
    if (vise_apply(m, "quantize weights=int3 group=32", &o, &e)) fail_msg("%s", e.msg);
    if (vise_model_save(m, state_path, &e)) fail_msg("%s", e.msg);
    if (vise_model_open(&opened, state_path, NULL, &e)) fail_msg("%s", e.msg);
    must_train(m, &(session){.line = "finetune steps=4 batch=16"}, &w);
    must_train(opened, &(session){.line = "finetune steps=4 batch=16"}, &w);
    assert_same(m, opened, true);
    vise_model_free(m);
    vise_model_free(opened);
    vise_data_free(d);
}

/* ---- the same bits ---- */

#define SHORT "train steps=12 batch=16 rate=0.003 ema=0.9 mixup=0.2 crop=0.6"

static void test_threads(void **state)
{
    (void)state;
    watch w;
    vise_model *one = student(1), *three = student(1), *other = student(1);
    must_train(one, &(session){.line = SHORT, .threads = 1}, &w);
    must_train(three, &(session){.line = SHORT, .threads = 3}, &w);
    must_train(other, &(session){.line = SHORT " layers=0.8"}, &w);
    assert_same(one, three, true);
    assert_same(one, other, false);
    vise_model_free(one);
    vise_model_free(three);
    vise_model_free(other);
}

/* Stopped again and again, it ends with the bits of one that was never stopped. */
static void test_resume(void **state)
{
    (void)state;
    watch w;
    vise_err e;
    vise_model *whole = student(1), *parts = student(1);
    must_train(whole, &(session){.line = SHORT}, &w);
    for (uint64_t stop = 5; stop < 12; stop += 3) {
        const session s = {.line = SHORT, .state = state_path, .stop = stop};
        assert_int_equal(train(parts, &s, &w, &e), VISE_ECANCEL);
        assert_non_null(strstr(e.msg, state_path));
    }
    must_train(parts, &(session){.line = SHORT, .state = state_path}, &w);
    assert_same(whole, parts, true);
    vise_model_free(whole);
    vise_model_free(parts);
}

/* A checkpoint of something else is left alone, and named. */
static void test_state_refused(void **state)
{
    (void)state;
    watch w;
    vise_err e;
    vise_model *m = student(1), *other = student(2);
    const session s = {.line = SHORT, .state = state_path, .stop = 3};
    assert_int_equal(train(m, &s, &w, &e), VISE_ECANCEL);
    assert_int_equal(train(other, &s, &w, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "another training"));
    FILE *f = fopen(state_path, "r+b"); // damaged: the end is missing
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), 5000), 0);
    fclose(f);
    assert_int_equal(train(m, &s, &w, &e), VISE_EFORMAT);
    vise_model_free(m);
    vise_model_free(other);
}

/* What is not trained, a teacher, and what a long line says at its end are part of a training, too. */
static void test_state_knows(void **state)
{
    (void)state;
    watch w;
    vise_err e;
    char line[4000] = "distill steps=9 batch=16 only=head.*";
    vise_model *m = student(1), *other = student(1), *teacher = student(2), *another = student(3);
    const vise_id v = vise_graph_find(&other->graph, "blocks.0.attn.qkv.bias");
    assert_true(v != VISE_NONE);
    ((float *)(uintptr_t)other->graph.value[v].data.data)[0] += 1; // the model's own block
    size_t n = strlen(line);
    for (; n < 3500; n += strlen(",head.*"))
        memcpy(line + n, ",head.*", sizeof ",head.*");
    const session s = {.line = line, .state = state_path, .stop = 3, .teacher = teacher};
    session t = s;
    assert_int_equal(train(m, &s, &w, &e), VISE_ECANCEL);
    assert_int_equal(train(other, &s, &w, &e), VISE_EARG);
    t.teacher = another;
    assert_int_equal(train(m, &t, &w, &e), VISE_EARG);
    memcpy(line + n, ",norm.*", sizeof ",norm.*");
    assert_int_equal(train(m, &s, &w, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "another training"));
    vise_model_free(m);
    vise_model_free(other);
    vise_model_free(teacher);
    vise_model_free(another);
}

/* ---- encodings ---- */

enum { TYPES_ROOM = 512 };

static void add_type(char types[TYPES_ROOM], const vise_weight_info *w)
{
    const size_t n = strlen(types);
    snprintf(types + n, TYPES_ROOM - n, "%s %zu,", w->type, w->tensors);
}

/* Codes, groups, palettes and rounded operands are trained and stay what they are: the same types, and
 * a lower loss. */
static void test_encodings(void **state)
{
    (void)state;
    static const char *const passes[] = {
        "quantize weights=int8",
        "quantize weights=int4 ends=same",
        "quantize weights=int3 group=32",
        "quantize weights=int2 ends=same acts=f32",
        "quantize weights=int4 acts=static4 ends=same",
        "cluster k=16",
        "cluster k=8 acts=f32",
        "cluster k=4 codebook=rows64 scales=off acts=f32",
        "quantize weights=f16",
    };
    vise_data *d = scenes(SCENES);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        watch w;
        vise_err e = {0};
        vise_weight_info before, after;
        vise_model *m = student(1), *q;
        must_train(m, &(session){.line = "train steps=30 batch=16 rate=0.003"}, &w);
        const vise_eval_opts o = {.data = d, .limit = 8, .threads = 2};
        if (vise_apply(m, passes[i], &o, &e)) fail_msg("%s: %s", passes[i], e.msg);
        q = m;
        char types[TYPES_ROOM] = "", now[TYPES_ROOM] = "";
        for (size_t k = 0; vise_model_get_weights(q, k, &before); k++)
            add_type(types, &before);
        must_train(m, &(session){.line = "finetune steps=200 batch=16 rate=0.003 flip=0"}, &w);
        for (size_t k = 0; vise_model_get_weights(q, k, &after); k++)
            add_type(now, &after);
        assert_string_equal(types, now);
        if (!(w.last < 0.9 * w.first))
            fail_msg("%s: the loss went from %g to %g", passes[i], w.first, w.last);
        vise_model_free(m);
    }
    vise_data_free(d);
}

/* Static scales of all operands; returns how many. */
static size_t scales_of(float to[64], const vise_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->graph.nodes; i++)
        for (uint32_t k = 0; k < m->graph.node[i].nin; k++) {
            const vise_actq *q = &m->graph.node[i].actq[k];
            assert_true(n < 64);
            if (q->kind >= VISE_ACTQ_STATIC) to[n++] = q->scale;
        }
    return n;
}

/* Scales of static operands are trained unless told otherwise, and the model has those that it was
 * trained with. */
static void test_operands(void **state)
{
    (void)state;
    float scale[2][64];
    watch w;
    vise_err e = {0};
    vise_data *d = scenes(SCENES);
    const vise_eval_opts o = {.data = d, .threads = 2};
    for (size_t moves = 0; moves < 2; moves++) {
        vise_eval_result result;
        vise_model *m = student(1);
        must_train(m, &(session){.line = "train steps=30 batch=16 rate=0.003"}, &w);
        if (vise_apply(m, "quantize weights=int4 acts=static4 ends=same", &o, &e))
            fail_msg("%s", e.msg);
        const size_t n = scales_of(scale[0], m);
        assert_true(n > 10);
        const char *line = moves ? "finetune steps=8 batch=16 rate=0.001 scales=4 ema=0.5"
                                 : "finetune steps=8 batch=16 rate=0.001 scales=0 ema=0.5";
        must_train(m, &(session){.line = line, .test = true}, &w);
        assert_int_equal(scales_of(scale[1], m), n);
        size_t same = 0;
        for (size_t i = 0; i < n; i++)
            same += scale[0][i] == scale[1][i];
        assert_int_equal(same, moves ? 1 : n); // the picture's stays: it has no gradient
        MUST(vise_eval(&result, m, &o, &e));
        assert_true(w.top1 == (double)result.correct_top1 / (double)result.n);
        vise_model_free(m);
    }
    vise_data_free(d);
}

/* ---- teachers ---- */

static void test_distill(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "distill steps=60 batch=16 rate=0.003 flip=0",
        "distill steps=60 batch=16 rate=0.003 flip=0 distill=hard",
        "distill steps=60 batch=16 rate=0.003 flip=0 distill=none hidden=1",
        "distill steps=60 batch=16 rate=0.003 flip=0 relation=1 hidden=1 parts=2",
    };
    watch w;
    vise_model *teacher = student(1);
    must_train(teacher, &(session){.line = "train steps=60 batch=16 rate=0.003"}, &w);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        vise_model *m = student(7);
        must_train(m, &(session){.line = lines[i], .teacher = teacher}, &w);
        if (!(w.last < 0.9 * w.first))
            fail_msg("%s: the loss went from %g to %g", lines[i], w.first, w.last);
        vise_model_free(m);
    }
    vise_model_free(teacher);
}

/* A student with a distillation token learns the teacher's choice by the token's head, labels by the other. */
static void test_token(void **state)
{
    (void)state;
    watch w;
    vise_err e = {0};
    vise_model *teacher = student(1), *m;
    must_train(teacher, &(session){.line = "train steps=60 batch=16 rate=0.003"}, &w);
    MUST(vise_model_new(&m, "vit", &(vise_new){.seed = 7, .from = teacher, .distilled = true}, &e));
    const vise_id other = vise_graph_find(&m->graph, "head_dist.weight");
    const float was = *(const float *)m->graph.value[other].data.data;
    must_train(
        m,
        &(session){.line = "distill steps=60 batch=16 rate=0.003 flip=0 distill=token share=0.5",
                   .teacher = teacher},
        &w);
    assert_true(w.last < 0.97 * w.first);
    const vise_id now = vise_graph_find(&m->graph, "head_dist.weight");
    assert_true(was != *(const float *)m->graph.value[now].data.data);
    vise_model_free(m);
    vise_model_free(teacher);
}

/* A teacher that is used to other colours sees what it is used to: its student, which starts as its copy
 * but for the recipe, has nothing to learn. */
static void test_colours(void **state)
{
    (void)state;
    watch w;
    vise_model *teacher = student(1), *m = student(1);
    const session s = {.line = "distill steps=1 batch=16 share=1 temperature=1",
                       .teacher = teacher};
    must_train(m, &s, &w);
    assert_true(w.first < 1e-9);
    vise_model_free(m);
    m = student(1); // other numbers for the same colours are another answer
    for (size_t c = 0; c < 3; c++)
        m->recipe.mean[c] += 0.25f;
    must_train(m, &s, &w);
    assert_true(w.first > 1e-6);
    vise_model_free(m);
    vise_model_free(teacher);
}

/* A teacher of fewer blocks, or more: the last are held against each other. */
static void test_depths(void **state)
{
    (void)state;
    for (uint32_t depth = 1; depth < 6; depth++) {
        watch w;
        vise_model *teacher = deep(2, depth), *m = deep(7, 3);
        const session s = {.line =
                               "distill steps=30 batch=16 rate=0.003 flip=0 distill=none hidden=1 "
                               "relation=1",
                           .teacher = teacher};
        must_train(m, &s, &w);
        assert_true(w.last < w.first);
        vise_model_free(m);
        vise_model_free(teacher);
    }
}

/* Networks of integers have nothing that could be trained, and say so. */
static void test_integers(void **state)
{
    (void)state;
    watch w;
    vise_err e = {0};
    vise_model *m = student(1);
    vise_data *d = scenes(SCENES);
    if (vise_apply(m, "integer", &(vise_eval_opts){.data = d, .limit = 8}, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(train(m, &(session){.line = "finetune steps=1 batch=8"}, &w, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "there is no gradient of int_quant"));
    vise_model_free(m);
    vise_data_free(d);
}

/* ---- what goes wrong ---- */

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"teach", "one of train, distill and finetune"},
        {"train epoch=3", "epoch: no such option"},
        {"train batch=0", "train batch=0: it must be a whole number from 1"},
        {"train batch=2.5", "it must be a whole number"},
        {"train layers=2", "train layers=2: it must be a number from 0.01 to 1"},
        {"train only=nothing*", "only=nothing*: no tensor has such a name"},
        {"train skip=head.*,,cls_token", "skip=,cls_token: an empty or a very long pattern"},
        {"train skip=*", "nothing is left to train"},
        {"train distill=soft", "need a teacher"},
        {"train crop=0.5 pad=2 steps=1", "pad"},
        {"train decay=auto", "train decay=auto: it must be a number"},
        {"train relation=auto", "train relation=auto: it must be a number"},
        {"train rate=100 optimizer=sgd clip=0 steps=50 batch=16", "try a lower rate than 100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        watch w;
        vise_err e = {0};
        vise_model *m = student(1), *fresh = student(1);
        if (train(m, &(session){.line = cases[i].line}, &w, &e) != VISE_EARG ||
            !strstr(e.msg, cases[i].says))
            fail_msg("\"%s\": %s", cases[i].line, e.msg);
        assert_same(m, fresh, true);
        vise_model_free(m);
        vise_model_free(fresh);
    }
    watch w;
    vise_err e;
    vise_model *m = student(1);
    const session s = {.line = "train", .data = "scenes:count=64,size=16,classes=100"};
    assert_int_equal(train(m, &s, &w, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "the model has 10 classes"));
    const session t = {.line = "distill distill=token", .teacher = m};
    assert_int_equal(train(m, &t, &w, &e), VISE_EARG);
    assert_non_null(strstr(e.msg, "no distillation token"));
    vise_model_free(m);
}

static void test_starved(void **state)
{
    (void)state;
    vise_model *teacher = student(2);
    for (long n = 0, step = 1;; n += step) {
        watch w;
        vise_err e;
        vise_model *m = student(1);
        const session s = {.line = "distill steps=2 batch=8 hidden=1 ema=0.5", .teacher = teacher};
        step = n < 40 ? 1 : 1 + n / 16; // every one of the first, then fewer
        vise_alloc_fail_at = n;
        const vise_status st = train(m, &s, &w, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(st, reached ? VISE_ENOMEM : VISE_OK);
        vise_model_free(m);
        if (!reached) break;
    }
    vise_model_free(teacher);
}

static int clean(void **state)
{
    (void)state;
    remove(state_path);
    return 0;
}

int main(void)
{
    snprintf(state_path, sizeof state_path, "/tmp/vise_train_%d.state", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_augmented),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_edges),
        cmocka_unit_test_setup_teardown(test_opened, clean, clean),
        cmocka_unit_test(test_threads),
        cmocka_unit_test_setup_teardown(test_resume, clean, clean),
        cmocka_unit_test_setup_teardown(test_state_refused, clean, clean),
        cmocka_unit_test_setup_teardown(test_state_knows, clean, clean),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_distill),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_depths),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
