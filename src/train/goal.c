/* goal.c - losses on answers and on values inside
 * SPDX-License-Identifier: MIT */
#include "train/goal.h"
#include "base/rng.h"
#include "train/loss.h"

#include <math.h>
#include <string.h>

/* ---- answers ---- */

static vise_status find_answers(vise_goal *g, const vise_graph *net, vise_err *e)
{
    const vise_shape *s = &net->value[net->output[0].value].shape;
    g->answer[0] = net->output[0].value;
    g->answers = 1;
    if (strcmp(net->output[0].name, "logits") != 0 || s->rank < 1 ||
        vise_shape_count(s) != s->dim[s->rank - 1])
        return vise_fail(e, VISE_EARG, "the model gives no row of logits for a picture");
    g->classes = s->dim[s->rank - 1];
    if (g->how->distill != VISE_DISTILL_TOKEN) return VISE_OK;
    g->answer[0] = vise_graph_find(net, "head");
    g->answer[1] = vise_graph_find(net, "head_dist");
    g->answers = 2;
    if (g->answer[0] == VISE_NONE || g->answer[1] == VISE_NONE)
        return vise_fail(e, VISE_EARG,
                         "distill=token: the model has no distillation token (nodes head and "
                         "head_dist)");
    return VISE_OK;
}

/* ---- pairs of blocks ---- */

static vise_id block_output(const vise_graph *g, size_t i)
{
    return g->node[vise_graph_block_end(g, i)].out;
}

static size_t blocks_of(const vise_graph *g)
{
    size_t n = 0;
    while (vise_graph_block_end(g, n) != SIZE_MAX)
        n++;
    return n;
}

/* The teacher's block, of m, for block i of n: as evenly as can be, the last for the last. */
static size_t counterpart(size_t i, size_t n, size_t m)
{
    return n ? ((i + 1) * m + n - 1) / n - 1 : 0;
}

static vise_status open_pair(vise_goal *g, const vise_graph *net, const vise_graph *teacher,
                             const size_t block[2], vise_err *e)
{
    vise_goal_pair *p = &g->pair[g->pairs++];
    p->value = block_output(net, block[0]);
    const vise_shape *a = &net->value[p->value].shape;
    const vise_shape *b = &teacher->value[block_output(teacher, block[1])].shape;
    if (a->rank != 2 || b->rank != 2 || a->dim[0] != b->dim[0])
        return vise_fail(e, VISE_EARG,
                         "hidden= and relation=: block %zu and the teacher's block %zu do not have "
                         "as many tokens",
                         block[0], block[1]);
    p->tokens = a->dim[0];
    p->dim = a->dim[1];
    p->wide = b->dim[1];
    const size_t rows = g->batch * p->tokens;
    VISE_TRY(vise_alloc_or(&p->taught, rows * p->wide, sizeof(float), "a teacher's values", e));
    VISE_TRY(vise_alloc_or(&p->d, rows * p->dim, sizeof(float), "gradients", e));
    if (p->dim == p->wide || !(g->how->hidden > 0)) return VISE_OK;
    VISE_TRY(vise_alloc_or(&p->w, p->wide * p->dim, 2 * sizeof(float), "a projection", e));
    p->dw = p->w + p->wide * p->dim;
    vise_rng r = vise_rng_named(block[0], "projection");
    for (size_t i = 0; i < p->wide * p->dim; i++)
        p->w[i] = vise_rng_normal(&r) / sqrtf((float)p->dim);
    g->param[g->params++] = (vise_param){
        .name = "projection", .x = p->w, .grad = p->dw, .n = p->wide * p->dim, .rate = 1};
    return VISE_OK;
}

/* Every block of the student has one of the teacher's; relations are those of the last ones. */
static vise_status open_pairs(vise_goal *g, const vise_graph *net, const vise_graph *teacher,
                              vise_err *e)
{
    const size_t n = blocks_of(net), m = blocks_of(teacher);
    if (!n || !m)
        return vise_fail(e, VISE_EARG,
                         "hidden= and relation=: there are no blocks (nodes blocks.N)");
    VISE_TRY(vise_alloc_or(&g->pair, n, sizeof *g->pair, "pairs of blocks", e));
    VISE_TRY(vise_alloc_or(&g->param, n, sizeof *g->param, "pairs of blocks", e));
    VISE_TRY(vise_alloc_or(&g->keep, net->values, sizeof *g->keep, "pairs of blocks", e));
    for (size_t i = g->how->hidden > 0 ? 0 : n - 1; i < n; i++) {
        VISE_TRY(open_pair(g, net, teacher, (size_t[]){i, counterpart(i, n, m)}, e));
        g->keep[g->pair[g->pairs - 1].value] = true;
    }
    return VISE_OK;
}

/* Scratch for the losses of any pair. */
static vise_status open_room(vise_goal *g, const vise_dense *d, vise_err *e)
{
    size_t most = 1;
    for (size_t i = 0; i < g->pairs; i++) {
        const vise_goal_pair *p = &g->pair[i];
        const size_t rows = g->batch * p->tokens;
        const vise_student s = {.rows = rows, .cols = p->dim};
        const vise_relation r = {.dim = p->wide, .heads = 1, .pictures = g->batch};
        const size_t relation = vise_relation_room(d, &s, &r), projected = 2 * rows * p->wide;
        if (relation > most) most = relation;
        if (projected > most) most = projected;
    }
    return vise_alloc_or(&g->room, most, sizeof(float), "losses", e);
}

/* ---- the teacher ---- */

static vise_status check_teacher(vise_goal *g, const vise_model *net, const vise_model *teacher,
                                 vise_err *e)
{
    const vise_recipe *a = &net->recipe, *b = &teacher->recipe;
    const vise_graph *t = &teacher->graph;
    const size_t classes = vise_shape_count(&t->value[t->output[0].value].shape);
    if (a->height != b->height || a->width != b->width || a->channels != b->channels)
        return vise_fail(e, VISE_EARG,
                         "the teacher sees pictures of %u x %u x %u, the student of %u x %u x %u; "
                         "open one of them with another --size",
                         b->height, b->width, b->channels, a->height, a->width, a->channels);
    if (classes != g->classes)
        return vise_fail(e, VISE_EARG, "the teacher has %zu classes, the student %zu", classes,
                         g->classes);
    if (vise_recipe_same_colours(a, b)) return VISE_OK;
    g->own = a;
    g->other = b;
    const size_t floats = (size_t)a->height * a->width * a->channels;
    return vise_alloc_or(&g->pixels, g->batch * floats, sizeof(float), "a batch", e);
}

static vise_status open_teacher(vise_goal *g, const vise_model *net, const vise_train_opts *o,
                                vise_err *e)
{
    const vise_graph *t = &o->teacher->graph;
    const char **taps;
    const bool inside = g->how->hidden > 0 || g->how->relation > 0;
    VISE_TRY(check_teacher(g, net, o->teacher, e));
    if (inside) VISE_TRY(open_pairs(g, &net->graph, t, e));
    VISE_TRY(vise_alloc_or(&taps, g->pairs + 1, sizeof *taps, "a teacher", e));
    const size_t n = blocks_of(&net->graph), m = blocks_of(t);
    for (size_t i = 0; i < g->pairs; i++) {
        const size_t block = n - g->pairs + i;
        taps[i] = t->value[block_output(t, counterpart(block, n, m))].name;
    }
    const vise_session_opts so = {
        .threads = o->threads, .cpu = o->cpu, .batch = g->batch, .taps = taps, .ntaps = g->pairs};
    const vise_status s = vise_session_new(&g->teacher, o->teacher, &so, e);
    vise_free(taps);
    if (s) return s;
    const size_t outputs = vise_session_outputs(g->teacher);
    VISE_TRY(vise_alloc_or(&g->out, outputs, sizeof *g->out, "a teacher", e));
    VISE_TRY(vise_alloc_or(&g->taught, g->batch * g->classes, sizeof(float), "a teacher", e));
    g->out[0] = g->taught;
    for (size_t i = 0; i < g->pairs; i++)
        g->out[outputs - g->pairs + i] = g->pair[i].taught;
    return VISE_OK;
}

static vise_status check_options(const vise_training *h, const vise_train_opts *o, vise_err *e)
{
    const bool teaches = h->distill != VISE_DISTILL_NONE || h->hidden > 0 || h->relation > 0;
    if (teaches && !o->teacher)
        return vise_fail(e, VISE_EARG,
                         "distill=, hidden= and relation= need a teacher: vise distill");
    if (!teaches && o->teacher)
        return vise_fail(e, VISE_EARG, "distill=none: there is nothing to learn from the teacher");
    return VISE_OK;
}

vise_status vise_goal_open(vise_goal *g, const vise_model *net, const vise_training *how,
                           const vise_train_opts *o, const vise_dense *d, vise_err *e)
{
    const size_t count = vise_data_count(o->data);
    *g = (vise_goal){.how = how, .batch = (size_t)how->batch < count ? (size_t)how->batch : count};
    VISE_TRY(check_options(how, o, e));
    VISE_TRY(find_answers(g, &net->graph, e));
    if (o->teacher) VISE_TRY(open_teacher(g, net, o, e));
    VISE_TRY(open_room(g, d, e));
    VISE_TRY(vise_alloc_or(&g->seed, g->answers + g->pairs, sizeof *g->seed, "gradients", e));
    for (size_t i = 0; i < g->answers; i++) {
        VISE_TRY(vise_alloc_or(&g->d[i], g->batch * g->classes, sizeof(float), "gradients", e));
        g->seed[g->seeds++] = (vise_seed){g->answer[i], g->d[i]};
        if (g->keep) g->keep[g->answer[i]] = true;
    }
    for (size_t i = 0; i < g->pairs; i++)
        g->seed[g->seeds++] = (vise_seed){g->pair[i].value, g->pair[i].d};
    return VISE_OK;
}

void vise_goal_close(vise_goal *g)
{
    for (size_t i = 0; g->pair && i < g->pairs; i++) {
        vise_free(g->pair[i].taught);
        vise_free(g->pair[i].d);
        vise_free(g->pair[i].w);
    }
    vise_session_free(g->teacher);
    vise_free(g->pixels);
    vise_free(g->taught);
    vise_free(g->out);
    vise_free(g->d[0]);
    vise_free(g->d[1]);
    vise_free(g->pair);
    vise_free(g->room);
    vise_free(g->keep);
    vise_free(g->seed);
    vise_free(g->param);
    *g = (vise_goal){0};
}

/* ---- running ---- */

/* The student's pixels with the teacher's mean and deviation. */
static const float *teacher_pixels(const vise_goal *g, const float *pixels)
{
    if (!g->pixels) return pixels;
    const vise_recipe *a = g->own, *b = g->other;
    const size_t n = g->batch * a->height * a->width;
    for (size_t i = 0; i < n; i++)
        for (uint32_t c = 0; c < a->channels; c++)
            g->pixels[i * a->channels + c] =
                (pixels[i * a->channels + c] * a->std[c] + a->mean[c] - b->mean[c]) / b->std[c];
    return g->pixels;
}

static double answers_loss(vise_goal *g, const vise_tape *t, const vise_feed *f)
{
    const vise_training *h = g->how;
    const size_t last = g->answers - 1;
    const vise_student own = {t->value[g->answer[0]], g->d[0], g->batch, g->classes,
                              h->distill == VISE_DISTILL_NONE ? 1 : 1 - h->share};
    const vise_student taught = {t->value[g->answer[last]], g->d[last], g->batch, g->classes,
                                 h->share};
    double loss = own.weight > 0 ? own.weight * vise_loss_targets(&own, f->target) : 0;
    if (h->distill == VISE_DISTILL_SOFT)
        loss += taught.weight * vise_loss_soft(&taught, g->taught, h->temperature);
    if (h->distill == VISE_DISTILL_HARD || h->distill == VISE_DISTILL_TOKEN)
        loss += taught.weight * vise_loss_hard(&taught, g->taught);
    return loss;
}

static vise_status pairs_loss(vise_goal *g, double *loss, const vise_tape *t, vise_err *e)
{
    const vise_training *h = g->how;
    for (size_t i = 0; i < g->pairs; i++) {
        vise_goal_pair *p = &g->pair[i];
        vise_student s = {t->value[p->value], p->d, g->batch * p->tokens, p->dim,
                          h->hidden / (double)g->pairs};
        double x = 0;
        memset(p->d, 0, s.rows * s.cols * sizeof(float));
        if (p->w) {
            const vise_projected r = {p->w, p->taught, p->dw, g->room, p->wide, true};
            memset(p->dw, 0, p->wide * p->dim * sizeof(float));
            VISE_TRY(vise_loss_projected(&x, t->dense, &s, &r, e));
        } else if (h->hidden > 0) {
            x = vise_loss_mse(&s, p->taught, true);
        }
        *loss += s.weight * x;
        if (i + 1 < g->pairs || !(h->relation > 0)) continue;
        const vise_relation r = {p->taught, g->room, p->wide, 1, g->batch};
        s.weight = h->relation;
        *loss += s.weight * vise_loss_relation(t->dense, &s, &r);
    }
    return VISE_OK;
}

vise_status vise_goal_run(vise_goal *g, double *loss, const vise_tape *t, const vise_feed *f,
                          vise_err *e)
{
    for (size_t i = 0; i < g->answers; i++)
        memset(g->d[i], 0, g->batch * g->classes * sizeof(float));
    if (g->teacher) {
        const float *in = teacher_pixels(g, f->pixels);
        vise_session_run(g->teacher, g->batch, &in, g->out);
    }
    *loss = answers_loss(g, t, f);
    return pairs_loss(g, loss, t, e);
}
