/* test_train_golden.c - losses, optimizers and ten steps of training do what PyTorch does
 *
 * The numbers are from scripts/golden_train.py, computed in double.
 *
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "model/model.h"
#include "model/tensors.h"
#include "train/groups.h"
#include "train/loss.h"
#include "train/optim.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>

static vise_tensors golden;

static int setup(void **state)
{
    (void)state;
    vise_err e;
    vise_map map;
    return vise_map_open(&map, VISE_GOLDEN "/train.safetensors", &e) ||
           vise_read_safetensors(&golden, &map, &e);
}

static int teardown(void **state)
{
    (void)state;
    vise_tensors_free(&golden);
    return 0;
}

static const float *tensor(const char *prefix, const char *name, size_t count)
{
    char text[96];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    const vise_stored *s = vise_tensors_find(&golden, text);
    if (!s) fail_msg("no %s in the golden file", text);
    assert_int_equal(s->dtype, VISE_F32);
    assert_int_equal(vise_shape_count(&s->shape), count);
    return s->data;
}

/* max|x - y| <= limit max|y| */
static void check(const char *what, const float *x, const float *y, size_t n, float limit)
{
    float err = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        const float d = fabsf(x[i] - y[i]);
        if (!(d <= err)) err = d;
        max = fmaxf(max, fabsf(y[i]));
    }
    if (!(err <= limit * max))
        fail_msg("%s: off by %g of %g, PyTorch's numbers", what, (double)err, (double)max);
}

/* ---- losses ---- */

enum { ROWS = 4, CLASSES = 10, LOGITS = ROWS * CLASSES };

static void check_loss(const char *name, double value, const float *dx, size_t n)
{
    char text[64];
    const float got = (float)value;
    check(name, &got, tensor("loss.", name, 1), 1, 1e-5f);
    snprintf(text, sizeof text, "%s.dx", name);
    check(text, dx, tensor("loss.", text, n), n, 1e-5f);
}

static void test_logits(void **state)
{
    (void)state;
    float dx[6][LOGITS] = {{0}}, smoothed[LOGITS];
    vise_student s[6];
    size_t labels[ROWS];
    for (size_t i = 0; i < 6; i++)
        s[i] = (vise_student){tensor("loss.", "x", LOGITS), dx[i], ROWS, CLASSES, 1};
    const float *teacher = tensor("loss.", "teacher", LOGITS);
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = (size_t)tensor("loss.", "labels", ROWS)[i];
    vise_targets_of(smoothed, labels, ROWS, CLASSES, 0.1);
    check_loss("soft_targets", vise_loss_targets(s, tensor("loss.", "targets", LOGITS)), dx[0],
               LOGITS);
    check_loss("smoothed", vise_loss_targets(s + 1, smoothed), dx[1], LOGITS);
    check_loss("soft", vise_loss_soft(s + 2, teacher, 3), dx[2], LOGITS);
    check_loss("hard", vise_loss_hard(s + 3, teacher), dx[3], LOGITS);
    check_loss("mse", vise_loss_mse(s + 4, teacher, false), dx[4], LOGITS);
    check_loss("normalised", vise_loss_mse(s + 5, teacher, true), dx[5], LOGITS);
}

static void test_values(void **state)
{
    (void)state;
    enum { PICTURES = 2, TOKENS = 5, DIM = 6, WIDE = 9, N = PICTURES * TOKENS * DIM };
    vise_err e;
    vise_dense d;
    double loss;
    float dx[N] = {0}, dw[WIDE * DIM] = {0}, room[2 * PICTURES * TOKENS * WIDE];
    const vise_student s = {tensor("loss.", "value", N), dx, PICTURES * TOKENS, DIM, 1};
    const float *wide = tensor("loss.", "wide", PICTURES * TOKENS * WIDE);
    MUST(vise_dense_open(&d, 2, NULL, &e));
    const vise_projected p = {tensor("loss.", "w", WIDE * DIM), .teacher = wide, .dw = dw,
                              .room = room, .dim = WIDE};
    MUST(vise_loss_projected(&loss, &d, &s, &p, &e));
    check_loss("projected", loss, dx, N);
    check("dw", dw, tensor("loss.", "projected.dw", WIDE * DIM), WIDE * DIM, 1e-5f);
    vise_relation r = {.teacher = wide, .dim = WIDE, .heads = 3, .pictures = PICTURES};
    MUST(vise_alloc_or(&r.room, vise_relation_room(&d, &s, &r), sizeof(float), "room", &e));
    memset(dx, 0, sizeof dx);
    check_loss("relation", vise_loss_relation(&d, &s, &r), dx, N);
    vise_free(r.room);
    vise_dense_close(&d);
}

/* ---- optimizers ---- */

static void test_optimizers(void **state)
{
    (void)state;
    enum { N = 40, TIMES = 5 };
    static const struct {
        const char *name;
        vise_optim_opts how;
    } ways[] = {
        {"adamw", {.kind = VISE_OPTIM_ADAMW}},
        {"sgd", {.kind = VISE_OPTIM_SGD}},
        {"momentum", {.kind = VISE_OPTIM_SGD, .momentum = 0.9}},
        {"nesterov", {.kind = VISE_OPTIM_SGD, .momentum = 0.9, .nesterov = true}},
        {"lamb", {.kind = VISE_OPTIM_LAMB}},
    };
    vise_err e;
    vise_dense d;
    vise_optim o;
    float x[N], grad[N];
    const vise_param p = {"x", x, grad, N, 1, 0.1f};
    const float *start = tensor("optim.", "start", N),
                *grads = tensor("optim.", "grads", TIMES * N);
    MUST(vise_dense_open(&d, 1, NULL, &e));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        memcpy(x, start, sizeof x);
        MUST(vise_optim_open(&o, &ways[i].how, &p, 1, &e));
        for (size_t t = 0; t < TIMES; t++) {
            memcpy(grad, grads + t * N, sizeof grad);
            vise_optim_step(&o, &d, 0.01);
        }
        check(ways[i].name, x, tensor("optim.", ways[i].name, N), N, 1e-6f);
        vise_optim_close(&o);
    }
    MUST(vise_optim_open(&o, &ways[0].how, &p, 1, &e));
    memcpy(grad, grads, sizeof grad);
    const float norm = (float)vise_optim_clip(&o, &d, 0.25);
    check("norm", &norm, tensor("optim.", "norm", 1), 1, 1e-5f);
    check("clipped", grad, tensor("optim.", "clipped", N), N, 1e-5f);
    vise_optim_close(&o);
    vise_dense_close(&d);
}

/* ---- ten steps of a ViT ---- */

enum {
    BATCH = 8,
    BATCHES = 2,
    STEPS = 10,
    PIXELS = 16 * 16 * 3,
    DIM = 24,
    TOKENS = 17,
    MOST = 256
};

typedef struct training {
    vise_model *m;
    vise_dense dense;
    vise_optim optim;
    vise_param param[MOST];
    vise_id value[MOST]; // of params
    size_t params;
    bool want[MOST]; // [values]
    vise_tape tape;
} training;

static const vise_param *param(const training *t, const char *name)
{
    for (size_t i = 0; i < t->params; i++)
        if (!strcmp(t->param[i].name, name)) return t->param + i;
    fail_msg("no parameter %s", name);
    return NULL;
}

/* The model's constants become arrays of ours, which steps change. */
static void open_training(training *t)
{
    vise_err e;
    MUST(vise_model_open(&t->m, VISE_GOLDEN "/vit.safetensors", &(vise_import){.heads = 2}, &e));
    MUST(vise_dense_open(&t->dense, 2, NULL, &e));
    const vise_graph *g = &t->m->graph;
    assert_true(g->values <= MOST);
    for (vise_id v = 0; v < g->values; v++) {
        if (g->value[v].kind != VISE_VALUE_CONST) continue;
        vise_param *p = t->param + t->params;
        *p = (vise_param){.name = g->value[v].name, .n = vise_shape_count(&g->value[v].shape)};
        MUST(vise_alloc_or(&p->x, p->n, sizeof(float), "weights", &e));
        vise_decode(p->x, &g->value[v].data);
        g->value[v].data.data = p->x;
        t->want[v] = true;
        t->value[t->params++] = v;
    }
    assert_int_equal(t->params, 8 + 2 * 12);
    const vise_tape_opts o = {.batch = BATCH, .threads = 2, .want = t->want};
    MUST(vise_tape_open(&t->tape, t->m, &t->dense, &o, &e));
    for (size_t i = 0; i < t->params; i++)
        t->param[i].grad = t->tape.grad[t->value[i]];
    vise_groups_apply(&(vise_groups){0.05, 1}, g, t->value, t->param, t->params);
    const vise_optim_opts how = {
        .kind = VISE_OPTIM_ADAMW, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-4};
    MUST(vise_optim_open(&t->optim, &how, t->param, t->params, &e));
}

static void close_training(training *t)
{
    vise_optim_close(&t->optim);
    vise_tape_close(&t->tape);
    vise_dense_close(&t->dense);
    vise_model_free(t->m);
    for (size_t i = 0; i < t->params; i++)
        vise_free(t->param[i].x);
}

/* The loss, and gradients of all parameters. */
static double forward_backward(training *t, const float *pixels, const float *targets)
{
    vise_err e;
    float dlogits[BATCH * CLASSES] = {0};
    vise_tape_clear(&t->tape);
    vise_tape_forward(&t->tape, BATCH, pixels);
    const vise_student s = {t->tape.logits, dlogits, BATCH, CLASSES, 1};
    const double loss = vise_loss_targets(&s, targets);
    const vise_seed seed = {t->m->graph.output[0].value, dlogits};
    MUST(vise_tape_backward(&t->tape, &seed, 1, &e));
    return loss;
}

static void test_steps(void **state)
{
    (void)state;
    static training t;
    vise_err e;
    size_t labels[BATCHES * BATCH];
    float targets[BATCHES * BATCH * CLASSES];
    const float *pixels = tensor("vit.", "pixels", BATCHES * BATCH * PIXELS);
    const float *losses = tensor("vit.", "losses", STEPS), *norms = tensor("vit.", "norms", STEPS);
    open_training(&t);
    for (size_t i = 0; i < BATCHES * BATCH; i++)
        labels[i] = (size_t)tensor("vit.", "labels", BATCHES * BATCH)[i];
    vise_targets_of(targets, labels, BATCHES * BATCH, CLASSES, 0.1);
    for (size_t step = 0; step < STEPS; step++) {
        const size_t batch = step % BATCHES * BATCH;
        const float loss =
            (float)forward_backward(&t, pixels + batch * PIXELS, targets + batch * CLASSES);
        const float norm = (float)vise_optim_clip(&t.optim, &t.dense, 1);
        check("loss", &loss, losses + step, 1, 1e-5f);
        check("norm", &norm, norms + step, 1, 1e-5f);
        vise_optim_step(&t.optim, &t.dense, (double)tensor("vit.", "rates", STEPS)[step]);
        MUST(vise_tape_refresh(&t.tape, &e));
    }
    for (size_t i = 0; i < t.params; i++)
        check(t.param[i].name, t.param[i].x, tensor("final.", t.param[i].name, t.param[i].n),
              t.param[i].n, 1e-5f);
    close_training(&t);
}

/* Rates by layer; only matrices decay. */
static void test_groups(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float rate;
        bool decays;
    } cases[] = {
        {"cls_token", 0.125f, false},
        {"pos_embed", 0.125f, false},
        {"patch_embed.proj.weight", 0.125f, true},
        {"patch_embed.proj.bias", 0.125f, false},
        {"blocks.0.norm1.weight", 0.25f, false},
        {"blocks.0.attn.qkv.weight", 0.25f, true},
        {"blocks.1.mlp.fc2.weight", 0.5f, true},
        {"blocks.1.mlp.fc2.bias", 0.5f, false},
        {"norm.weight", 1, false},
        {"head.weight", 1, true},
        {"head.bias", 1, false},
    };
    static training t;
    size_t decaying = 0;
    open_training(&t);
    vise_groups_apply(&(vise_groups){0.25, 0.5}, &t.m->graph, t.value, t.param, t.params);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vise_param *p = param(&t, cases[i].name);
        assert_true(p->rate == cases[i].rate);
        assert_true(p->decay == (cases[i].decays ? 0.25f : 0));
    }
    for (size_t i = 0; i < t.params; i++)
        decaying += t.param[i].decay > 0;
    assert_int_equal(decaying, 2 + 2 * 4);
    close_training(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_optimizers), cmocka_unit_test(test_steps),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
