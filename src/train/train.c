/* train.c - the loop: a batch, forward, losses, backward, a step; and what surrounds it
 *
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "train/feed.h"
#include "train/goal.h"
#include "train/params.h"
#include "train/state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OF_ROOM = 2400, EVERY = 60, WHAT_ROOM = 64, TEST_BATCH = 32 };
#define NO_MOMENTUM 1e-30 // for an optimizer to which 0 is its default

typedef struct run {
    vise_model *m;
    const vise_train_opts *o;
    const vise_training *how;
    vise_change change;
    vise_params params;
    vise_dense dense;
    vise_tape tape;
    vise_optim optim;
    vise_feed feed;
    vise_goal goal;
    vise_state state;
    char of[OF_ROOM];
    uint64_t step, steps;
    bool halved;           // matrices are multiplied as bf16
    vise_train_point seen; // since the last report
    char what[WHAT_ROOM];  // for who watches
    double since, saved;   // times of the last report and checkpoint
    size_t right, pictures, batches;
    double loss;
} run;

/* ---- bf16 ---- */

static vise_status round_weight(vise_change *c, vise_id w, vise_err *e)
{
    const size_t count = vise_shape_count(&c->data[w].shape);
    uint16_t *half;
    float *x;
    VISE_TRY(vise_change_alloc(c, &half, count, sizeof *half, e));
    VISE_TRY(vise_alloc_or(&x, count, sizeof *x, "bf16 weights", e));
    vise_decode(x, &c->data[w]);
    vise_from_f32(half, VISE_BF16, x, count);
    vise_free(x);
    c->data[w].enc.type = VISE_BF16;
    c->data[w].data = half;
    return VISE_OK;
}

/* Inputs and weights of linears that are f32 so far. */
static vise_status to_bf16(run *r, vise_err *e)
{
    vise_change *c = &r->change;
    const vise_graph *g = &c->from->graph;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        const vise_id w = n->nin > 1 ? n->in[1] : VISE_NONE;
        if (strcmp(n->op->name, "linear") != 0 || n->actq[0].kind || w == VISE_NONE ||
            g->value[w].kind != VISE_VALUE_CONST || g->value[w].data.enc.bits ||
            g->value[w].data.enc.type != VISE_F32)
            continue;
        if (c->data[w].enc.type == VISE_F32)
            VISE_TRY(round_weight(c, w, e)); // or a node before did
        c->actq[i][0].kind = VISE_ACTQ_BF16;
    }
    r->halved = true;
    return VISE_OK;
}

/* What was bf16 for training alone becomes f32 again, from the masters. */
static vise_status from_bf16(run *r, vise_err *e)
{
    vise_change *c = &r->change;
    const vise_graph *g = &c->from->graph;
    for (size_t i = 0; i < g->nodes; i++) // what to_bf16 has changed
        if (!g->node[i].actq[0].kind) c->actq[i][0] = g->node[i].actq[0];
    for (size_t i = 0; i < r->params.count; i++) {
        const vise_trained *t = &r->params.trained[i];
        const vise_encoding *was = &g->value[t->from].data.enc;
        if (was->bits || was->type == c->data[t->from].enc.type) continue;
        float *x;
        VISE_TRY(vise_change_alloc(c, &x, t->n, sizeof *x, e));
        memcpy(x, t->x, t->n * sizeof *x);
        c->data[t->from].enc = *was;
        c->data[t->from].data = x;
    }
    for (vise_id v = 0; v < g->values; v++) // those that were not trained
        if (g->value[v].kind == VISE_VALUE_CONST && !g->value[v].data.enc.bits &&
            c->data[v].enc.type != g->value[v].data.enc.type)
            c->data[v] = g->value[v].data;
    return VISE_OK;
}

/* ---- opening ---- */

static vise_status open_tape(run *r, vise_err *e)
{
    const vise_tape_opts o = {.batch = r->feed.batch,
                              .threads = r->o->threads,
                              .cpu = r->o->cpu,
                              .want = r->params.want,
                              .cuts = (size_t)r->how->parts,
                              .keep = r->goal.keep};
    VISE_TRY(vise_tape_open(&r->tape, &r->params.net, &r->dense, &o, e));
    vise_params_connect(&r->params, &r->tape);
    return VISE_OK;
}

static vise_status open_optim(run *r, vise_err *e)
{
    const vise_training *h = r->how;
    const vise_optim_opts o = {.kind = (vise_optim_kind)h->optimizer,
                               .beta1 = h->momentum > 0 ? h->momentum : NO_MOMENTUM,
                               .beta2 = h->beta2,
                               .momentum = h->momentum,
                               .nesterov = h->momentum > 0,
                               .ema = h->ema};
    vise_param *all; // what is trained beside the model's own comes last
    const size_t own = r->params.params, n = own + r->goal.params;
    VISE_TRY(vise_alloc_or(&all, n, sizeof *all, "parameters", e));
    memcpy(all, r->params.param, own * sizeof *all);
    for (size_t i = own; i < n; i++)
        all[i] = r->goal.param[i - own];
    const vise_status s = vise_optim_open(&r->optim, &o, all, n, e);
    vise_free(all);
    return s;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Tells apart models that have the same shapes, and long lines. FNV-1a of numbers, codes and scales. */
static uint64_t hash_of(const vise_model *m, const char *line)
{
    uint64_t h = hash_bytes(0xcbf29ce484222325u, line, strlen(line));
    for (vise_id v = 0; m && v < m->graph.values; v++) {
        const vise_const *c = &m->graph.value[v].data;
        if (m->graph.value[v].kind != VISE_VALUE_CONST) continue;
        const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
        h = hash_bytes(h, c->data,
                       c->enc.bits ? l.rows * l.stride
                                   : vise_shape_count(&c->shape) * vise_dtype_size(c->enc.type));
        if (c->enc.bits) h = hash_bytes(h, c->scale, l.rows * l.scales * sizeof(float));
        if (c->codebook)
            h = hash_bytes(h, c->codebook,
                           (vise_books_of(&c->shape, &c->enc) << c->enc.bits) * sizeof(float));
    }
    for (size_t i = 0; m && i < m->graph.nodes; i++)
        for (uint32_t k = 0; k < m->graph.node[i].nin; k++)
            h = hash_bytes(h, &m->graph.node[i].actq[k].scale, sizeof(float));
    return h;
}

/* What a checkpoint holds: what was trained, and all that the optimizer keeps of it. */
static vise_status open_state(run *r, const char *line, vise_err *e)
{
    const vise_optim *o = &r->optim;
    VISE_TRY(vise_alloc_or(&r->state.array, o->params + o->states, sizeof *r->state.array,
                           "a checkpoint", e));
    for (size_t i = 0; i < o->params + o->states; i++) {
        vise_state_array *a = &r->state.array[i];
        const size_t k = i - o->params;
        if (i < o->params)
            *a = (vise_state_array){.x = o->param[i].x, .n = o->param[i].n};
        else
            *a = (vise_state_array){.x = o->state[k].x, .n = o->state[k].n};
        snprintf(a->name, sizeof a->name, i < o->params ? "weights.%zu" : "optimizer.%zu",
                 i < o->params ? i : k);
    }
    r->state.arrays = o->params + o->states;
    snprintf(r->of, sizeof r->of,
             "%.2000s; seed %llu, %zu pictures, model %016llx, teacher %016llx", line,
             (unsigned long long)r->o->seed, r->feed.count, (unsigned long long)hash_of(r->m, line),
             (unsigned long long)hash_of(r->o->teacher, ""));
    r->state.of = r->of;
    return VISE_OK;
}

/* From a checkpoint, if there is one. */
static vise_status resume(run *r, vise_err *e)
{
    bool found = false;
    if (!r->o->state) return VISE_OK;
    VISE_TRY(vise_state_read(&r->state, &found, r->o->state, e));
    if (!found) return VISE_OK;
    r->step = r->state.step;
    r->optim.steps = r->step;
    vise_params_encode(&r->params, &r->dense);
    return vise_tape_refresh(&r->tape, e);
}

static vise_status open_run(run *r, const char *line, vise_err *e)
{
    const vise_train_opts *o = r->o;
    const vise_eval_opts none = {.threads = o->threads, .cpu = o->cpu};
    VISE_TRY(vise_dense_open(&r->dense, o->threads, o->cpu, e));
    VISE_TRY(vise_change_open(&r->change, r->m, &none, e));
    if (r->how->precision) VISE_TRY(to_bf16(r, e));
    VISE_TRY(vise_params_open(&r->params, &r->change,
                              &(vise_params_opts){.only = r->how->only,
                                                  .skip = r->how->skip,
                                                  .decay = r->how->decay,
                                                  .layers = r->how->layers,
                                                  .scales = r->how->scales,
                                                  .fixed_codes = r->how->codes == 1},
                              e));
    VISE_TRY(vise_goal_open(&r->goal, &r->params.net, r->how, o, &r->dense, e));
    VISE_TRY(vise_feed_open(&r->feed,
                            &(vise_feed_opts){.data = o->data,
                                              .recipe = &r->m->recipe,
                                              .how = r->how,
                                              .classes = r->goal.classes,
                                              .seed = o->seed},
                            e));
    VISE_TRY(open_tape(r, e));
    VISE_TRY(open_optim(r, e));
    VISE_TRY(open_state(r, line, e));
    const size_t per_epoch = r->feed.count / r->feed.batch;
    r->steps =
        (uint64_t)(r->how->steps > 0 ? r->how->steps : ceil(r->how->epochs * (double)per_epoch));
    return resume(r, e);
}

static void close_run(run *r)
{
    vise_tape_close(&r->tape);
    vise_optim_close(&r->optim);
    vise_feed_close(&r->feed);
    vise_goal_close(&r->goal);
    vise_params_close(&r->params);
    vise_change_close(&r->change);
    vise_dense_close(&r->dense);
    vise_free(r->state.array);
}

/* ---- a step ---- */

static double rate_at(const run *r)
{
    const vise_training *h = r->how;
    const vise_schedule s = {.steps = r->steps,
                             .warmup = (uint64_t)(h->warmup * (double)r->steps),
                             .rate = h->rate,
                             .last = h->rate * h->floor};
    return vise_schedule_at(&s, r->step);
}

static void count_right(run *r)
{
    const size_t classes = r->goal.classes;
    for (size_t i = 0; i < r->feed.batch; i++) {
        const float *x = r->tape.logits + i * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (x[c] > x[best]) best = c;
        r->right += best == r->feed.label[i];
    }
    r->pictures += r->feed.batch;
    r->batches++;
}

static vise_status one_step(run *r, vise_err *e)
{
    double loss, norm;
    VISE_TRY(vise_feed_step(&r->feed, r->step, &r->dense, e));
    vise_tape_clear(&r->tape);
    vise_tape_forward(&r->tape, r->feed.batch, r->feed.pixels);
    VISE_TRY(vise_goal_run(&r->goal, &loss, &r->tape, &r->feed, e));
    count_right(r);
    VISE_TRY(vise_tape_backward(&r->tape, r->goal.seed, r->goal.seeds, e));
    vise_params_gradients(&r->params, &r->tape, &r->dense);
    norm =
        vise_optim_clip(&r->optim, &r->dense, r->how->clip > 0 ? r->how->clip : (double)INFINITY);
    if (!isfinite(loss) || !isfinite(norm))
        return vise_fail(
            e, VISE_EARG,
            "step %llu of %llu: the loss is %g and the gradients' norm %g; try a lower "
            "rate than %g%s%s",
            (unsigned long long)r->step + 1, (unsigned long long)r->steps, loss, norm, r->how->rate,
            r->o->state ? "; the last good state is in " : "", r->o->state ? r->o->state : "");
    r->seen.rate = rate_at(r);
    r->seen.norm = norm;
    vise_optim_step(&r->optim, &r->dense, r->seen.rate);
    vise_params_encode(&r->params, &r->dense);
    r->step++;
    r->loss += loss;
    return vise_tape_refresh(&r->tape, e);
}

/* ---- between steps ---- */

static vise_status save(run *r, vise_err *e)
{
    if (!r->o->state) return VISE_OK;
    r->state.step = r->step;
    r->saved = vise_seconds();
    return vise_state_write(&r->state, r->o->state, e);
}

/* Averages and what they are of change places, if there are averages. */
static void use_average(run *r)
{
    size_t p = 0;
    for (size_t i = 0; i < r->optim.states; i++) {
        if (strncmp(r->optim.state[i].name, "ema.", 4) != 0) continue;
        float *x = r->optim.param[p++].x, *average = r->optim.state[i].x;
        for (size_t k = 0; k < r->optim.state[i].n; k++) {
            const float was = x[k];
            x[k] = average[k];
            average[k] = was;
        }
    }
    if (p) vise_params_encode(&r->params, &r->dense);
}

/* Of the averaged weights, if there are any. */
static vise_status test(run *r, double *top1, vise_err *e)
{
    vise_eval_result result;
    const vise_eval_opts o = {
        .data = r->o->test, .threads = r->o->threads, .cpu = r->o->cpu, .batch = TEST_BATCH};
    *top1 = (double)NAN;
    if (!r->o->test) return VISE_OK;
    use_average(r);
    const vise_status s = vise_eval(&result, &r->params.net, &o, e);
    use_average(r);
    if (!s) *top1 = (double)result.correct_top1 / (double)result.n;
    return s;
}

static vise_status report(run *r, bool epoch, vise_err *e)
{
    const double now = vise_seconds();
    vise_train_point p = r->seen;
    if (!r->batches) return VISE_OK;
    p.step = r->step;
    p.steps = r->steps;
    const size_t per_epoch = r->feed.count / r->feed.batch;
    p.epoch = (double)r->step / (double)per_epoch;
    p.loss = r->loss / (double)r->batches;
    p.right = (double)r->right / (double)r->pictures;
    p.images_per_s = (double)r->pictures / (now - r->since);
    p.top1 = (double)NAN;
    if (epoch) VISE_TRY(test(r, &p.top1, e));
    snprintf(r->what, sizeof r->what, "training, loss %.3f, %.0f %% right", p.loss, 100 * p.right);
    if (r->o->report) r->o->report(r->o->user, &p);
    r->loss = 0;
    r->right = r->pictures = r->batches = 0;
    r->since = vise_seconds();
    return VISE_OK;
}

static vise_status train(run *r, vise_err *e)
{
    const uint64_t per_epoch = r->feed.count / r->feed.batch;
    const uint64_t often = r->steps / 200 + 1; // reports
    const double every = r->o->every > 0 ? r->o->every : EVERY;
    if (!r->step) VISE_TRY(save(r, e)); // a path that cannot be written is told now
    r->since = r->saved = vise_seconds();
    snprintf(r->what, sizeof r->what, "training");
    while (r->step < r->steps) {
        if (r->o->progress && !r->o->progress(r->o->user, r->what, r->step, r->steps)) {
            VISE_TRY(save(r, e));
            return vise_fail(e, VISE_ECANCEL, "stopped after %llu of %llu steps%s%s",
                             (unsigned long long)r->step, (unsigned long long)r->steps,
                             r->o->state ? "; the same command goes on from " : "",
                             r->o->state ? r->o->state : "");
        }
        VISE_TRY(one_step(r, e));
        const bool epoch = r->step % per_epoch == 0 || r->step == r->steps;
        if (epoch || r->step % often == 0) VISE_TRY(report(r, epoch, e));
        if (vise_seconds() - r->saved >= every) VISE_TRY(save(r, e));
    }
    if (r->o->progress) r->o->progress(r->o->user, r->what, r->step, r->steps);
    return save(r, e);
}

/* ---- the public part ---- */

vise_status vise_train(vise_model *m, const char *line, const vise_train_opts *o, vise_err *e)
{
    vise_line l;
    vise_status s = vise_training_parse(&l, line, e);
    run r = {.m = m, .o = o, .how = l.opts};
    if (!s && !o->data) s = vise_fail(e, VISE_EARG, "training needs pictures");
    if (!s) s = open_run(&r, l.text, e);
    if (!s) s = train(&r, e);
    if (!s) {
        use_average(&r);
        if (r.halved) s = from_bf16(&r, e);
    }
    if (!s) s = vise_change_commit(&r.change, m, l.text, e);
    close_run(&r);
    vise_line_release(&l);
    return s;
}

bool vise_train_option(const char *command, size_t i, vise_pass_info *info)
{
    const vise_line_opt *o = vise_training_options(command);
    *info = (vise_pass_info){0};
    while (o && o->key && i--)
        o++;
    if (!o || !o->key) return false;
    *info = (vise_pass_info){o->key, o->words, o->def, o->help};
    return true;
}
