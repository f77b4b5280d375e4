/* tune.c - a short training of few numbers, the original as teacher
 * SPDX-License-Identifier: MIT */
#include "compress/tune.h"
#include "base/rng.h"
#include "compress/select.h"
#include "data/batch.h"
#include "data/kl.h"
#include "train/tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16, HELD = 8 };

/* One constant that is tuned: its own numbers, or the scales of its rows in logarithms. */
typedef struct param {
    vise_id v;
    bool scales;
    size_t n, per;  // numbers; elements of the constant for each
    float *x;       // [n] in the change
    float *base;    // [n] scales at the start
    float *at;      // [n] what Adam moves: the numbers, or logarithms of scales over base
    float *m, *s;   // [n] moments
    float *best;    // [n] of at
    double size;    // of a step
} param;

typedef struct job {
    vise_change *c;
    const vise_tuning *how;
    vise_dense *d;
    param *p;
    size_t params;
    bool *want;             // [values]
    size_t pictures, floats, classes;
    float *pixels;          // [pictures, floats]
    float *teacher;         // [2, pictures, classes]: as they are, mirrored
    float *batch;           // [BATCH, floats]
    float *dlogits;         // [BATCH, classes]
    size_t *order;          // [2 pictures]
    size_t count;           // of order
    size_t steps, step;     // all, done
    vise_rng rng;
} job;

/* ---- pictures and answers ---- */

static void mirror(const vise_recipe *r, float *to, const float *from)
{
    for (size_t y = 0; y < r->height; y++)
        for (size_t x = 0; x < r->width; x++)
            memcpy(to + (y * r->width + x) * r->channels,
                   from + (y * r->width + r->width - 1 - x) * r->channels,
                   r->channels * sizeof *to);
}

/* Picture i, the mirrored ones behind the others. */
static void put_picture(const job *j, float *to, size_t i)
{
    const float *from = j->pixels + i % j->pictures * j->floats;
    if (i < j->pictures)
        memcpy(to, from, j->floats * sizeof *to);
    else
        mirror(&j->c->from->recipe, to, from);
}

static vise_status read_pictures(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    vise_eval_opts bo = *o;
    vise_runner r = {0};
    bo.batch = BATCH;
    const size_t all = vise_data_count(o->data), limit = o->limit ? o->limit : j->how->pictures;
    j->pictures = limit < all ? limit : all;
    vise_status s = vise_runner_open(&r, j->c->from, &bo, NULL, 0, e);
    j->floats = r.floats_in;
    j->classes = r.floats_out;
    if (!s) s = vise_alloc_or(&j->pixels, j->pictures * j->floats, sizeof(float), "pictures", e);
    if (!s) s = vise_alloc_or(&j->teacher, 2 * j->pictures * j->classes, sizeof(float), "answers", e);
    if (!s) s = vise_alloc_or(&j->batch, BATCH * j->floats, sizeof(float), "pictures", e);
    if (!s) s = vise_alloc_or(&j->dlogits, BATCH * j->classes, sizeof(float), "answers", e);
    for (size_t i = 0; !s && i < j->pictures; i++) {
        s = vise_runner_read(&r, o->data, i * all / j->pictures, 1, e);
        if (!s) memcpy(j->pixels + i * j->floats, r.pixels, j->floats * sizeof(float));
    }
    for (size_t i = 0; !s && i < 2 * j->pictures; i += BATCH) {
        const size_t n = 2 * j->pictures - i < BATCH ? 2 * j->pictures - i : BATCH;
        for (size_t k = 0; k < n; k++)
            put_picture(j, r.pixels + k * j->floats, i + k);
        r.in = r.pixels;
        vise_runner_run(&r, n);
        memcpy(j->teacher + i * j->classes, r.out[0], n * j->classes * sizeof(float));
    }
    vise_runner_close(&r);
    return s;
}

/* ---- what is tuned ---- */

static vise_status add_param(job *j, vise_id v, bool scales, vise_err *e)
{
    param *p = &j->p[j->params++];
    vise_const *c = &j->c->data[v];
    *p = (param){.v = v, .scales = scales};
    const size_t all = vise_shape_count(&c->shape);
    p->n = scales ? c->shape.dim[0] : all;
    p->per = all / p->n;
    VISE_TRY(vise_change_alloc(j->c, &p->x, p->n, sizeof(float), e));
    if (scales) {
        memcpy(p->x, c->scale, p->n * sizeof(float));
        c->scale = p->x;
    } else {
        vise_decode(p->x, c);
        *c = (vise_const){.shape = c->shape, .enc = {.type = VISE_F32}, .data = p->x};
    }
    VISE_TRY(vise_alloc_or(&p->base, p->n, 5 * sizeof(float), "tuning", e));
    p->at = p->base + p->n;
    p->m = p->at + p->n;
    p->s = p->m + p->n;
    p->best = p->s + p->n;
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        p->base[i] = p->x[i];
        p->at[i] = scales ? 0 : p->x[i];
        sum += (double)p->x[i] * (double)p->x[i];
    }
    memcpy(p->best, p->at, p->n * sizeof(float));
    p->size = scales ? 1 : sqrt(sum / (double)p->n) + 1e-6;
    j->want[v] = true;
    return VISE_OK;
}

static vise_status find_params(job *j, vise_err *e)
{
    const vise_graph *g = &j->c->from->graph;
    VISE_TRY(vise_alloc_or(&j->p, g->values, sizeof *j->p, "tuning", e));
    VISE_TRY(vise_alloc_or(&j->want, 2 * g->values, sizeof *j->want, "tuning", e));
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        const bool matrix = vise_is_matrix(g, n);
        if (!matrix && !vise_is_op(n, "layernorm")) continue;
        for (uint32_t k = 1; k < n->nin; k++) {
            const vise_id v = n->in[k];
            if (v == VISE_NONE || g->value[v].kind != VISE_VALUE_CONST || j->how->fixed[v] ||
                j->want[v])
                continue;
            const bool scales = matrix && k == 1;
            if (scales && !j->c->data[v].enc.bits) continue;
            VISE_TRY(add_param(j, v, scales, e));
        }
    }
    return VISE_OK;
}

/* What p->at says becomes what the network has. */
static void put_param(const param *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->x[i] = p->scales ? p->base[i] * expf(p->at[i]) : p->at[i];
}

/* ---- steps ---- */

static void adam(const job *j, param *p, const float *grad, const float *value)
{
    const double b1 = 0.9, b2 = 0.99, t = (double)j->step + 1;
    const double rate = j->how->rate * p->size * 0.5 *
                        (1 + cos(3.14159265358979 * (double)j->step / (double)j->steps));
    for (size_t i = 0; i < p->n; i++) {
        double g = 0;
        for (size_t k = 0; k < p->per; k++)
            g += (double)grad[i * p->per + k] * (p->scales ? (double)value[i * p->per + k] : 1);
        p->m[i] = (float)(b1 * (double)p->m[i] + (1 - b1) * g);
        p->s[i] = (float)(b2 * (double)p->s[i] + (1 - b2) * g * g);
        const double m = (double)p->m[i] / (1 - pow(b1, t)), s = (double)p->s[i] / (1 - pow(b2, t));
        p->at[i] -= (float)(rate * m / (sqrt(s) + 1e-12));
    }
    put_param(p);
}

/* d = (softmax(q) - softmax(p)) / n, the gradient of the mean KL(p || q). */
static void divergence(float *d, const float *p, const float *q, size_t classes, size_t n)
{
    double most_p = (double)p[0], most_q = (double)q[0], sum_p = 0, sum_q = 0;
    for (size_t i = 0; i < classes; i++) {
        most_p = fmax(most_p, (double)p[i]);
        most_q = fmax(most_q, (double)q[i]);
    }
    for (size_t i = 0; i < classes; i++) {
        sum_p += exp((double)p[i] - most_p);
        sum_q += exp((double)q[i] - most_q);
    }
    for (size_t i = 0; i < classes; i++)
        d[i] = (float)((exp((double)q[i] - most_q) / sum_q - exp((double)p[i] - most_p) / sum_p) /
                       (double)n);
}

static vise_status open_tape(const job *j, vise_model *m, vise_tape *t, bool *want, vise_err *e)
{
    const vise_graph *g = &j->c->from->graph;
    VISE_TRY(vise_change_build(&m->graph, j->c, e));
    memset(want, 0, m->graph.values * sizeof *want);
    for (size_t i = 0; i < j->params; i++)
        want[vise_graph_find(&m->graph, g->value[j->p[i].v].name)] = true;
    const vise_tape_opts o = {
        .batch = BATCH, .threads = j->c->opts->threads, .cpu = j->c->opts->cpu, .want = want};
    return vise_tape_open(t, m, j->d, &o, e);
}

static vise_status one_step(job *j, const size_t *which, size_t n, vise_err *e)
{
    vise_model m = {0};
    vise_tape t = {0};
    bool *want;
    VISE_TRY(vise_alloc_or(&want, 2 * j->c->from->graph.values + 64, sizeof *want, "tuning", e));
    vise_status s = open_tape(j, &m, &t, want, e);
    if (!s) {
        for (size_t k = 0; k < n; k++)
            put_picture(j, j->batch + k * j->floats, which[k]);
        vise_tape_forward(&t, n, j->batch);
        for (size_t k = 0; k < n; k++)
            divergence(j->dlogits + k * j->classes, j->teacher + which[k] * j->classes,
                       t.logits + k * j->classes, j->classes, n);
        s = vise_tape_backward(&t, j->dlogits, e);
    }
    for (size_t i = 0; !s && i < j->params; i++) {
        const vise_id v = vise_graph_find(&m.graph, j->c->from->graph.value[j->p[i].v].name);
        adam(j, &j->p[i], t.grad[v], t.value[v]);
    }
    j->step++;
    vise_tape_close(&t);
    vise_graph_free(&m.graph);
    vise_free(want);
    return s;
}

/* ---- epochs ---- */

static vise_status held_out(double *kl, const job *j, vise_err *e)
{
    vise_model m = {0};
    vise_session *s = NULL;
    const vise_session_opts so = {
        .threads = j->c->opts->threads, .batch = 1, .cpu = j->c->opts->cpu};
    double sum = 0;
    size_t n = 0;
    vise_status st = vise_change_build(&m.graph, j->c, e);
    if (!st) st = vise_session_new(&s, &m, &so, e);
    for (size_t i = HELD - 1; !st && i < j->pictures; i += HELD) {
        const float *in = j->pixels + i * j->floats;
        vise_session_run(s, 1, &in, (float *[]){j->dlogits});
        sum += vise_kl(j->teacher + i * j->classes, j->dlogits, j->classes);
        n++;
    }
    vise_session_free(s);
    vise_graph_free(&m.graph);
    *kl = n ? sum / (double)n : 0;
    return st;
}

static void shuffle(job *j)
{
    for (size_t i = j->count; i-- > 1;) {
        const size_t k = (size_t)(vise_rng_u64(&j->rng) % (i + 1)), x = j->order[i];
        j->order[i] = j->order[k];
        j->order[k] = x;
    }
}

static vise_status keep_best(job *j, double *least, vise_err *e)
{
    double kl;
    VISE_TRY(held_out(&kl, j, e));
    if (getenv("DBG")) fprintf(stderr, "step %zu of %zu: held out %g\n", j->step, j->steps, kl);
    if (!(kl < *least)) return VISE_OK;
    *least = kl;
    for (size_t i = 0; i < j->params; i++)
        memcpy(j->p[i].best, j->p[i].at, j->p[i].n * sizeof(float));
    return VISE_OK;
}

static vise_status train(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    double least = (double)INFINITY;
    VISE_TRY(vise_alloc_or(&j->order, 2 * j->pictures, sizeof *j->order, "tuning", e));
    for (size_t i = 0; i < 2 * j->pictures; i++)
        if (i % j->pictures % HELD != HELD - 1) j->order[j->count++] = i;
    j->steps = j->how->epochs * ((j->count + BATCH - 1) / BATCH);
    VISE_TRY(keep_best(j, &least, e));
    for (size_t epoch = 0; epoch < j->how->epochs; epoch++) {
        shuffle(j);
        for (size_t i = 0; i < j->count; i += BATCH) {
            if (o->progress && !o->progress(o->user, "tuning", j->step, j->steps))
                return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu steps", j->step,
                                 j->steps);
            const size_t n = j->count - i < BATCH ? j->count - i : BATCH;
            VISE_TRY(one_step(j, j->order + i, n, e));
        }
        VISE_TRY(keep_best(j, &least, e));
    }
    for (size_t i = 0; i < j->params; i++) {
        memcpy(j->p[i].at, j->p[i].best, j->p[i].n * sizeof(float));
        put_param(&j->p[i]);
    }
    if (o->progress) o->progress(o->user, "tuning", j->steps, j->steps);
    return VISE_OK;
}

vise_status vise_tune(vise_change *c, const vise_tuning *how, vise_dense *d, vise_err *e)
{
    job j = {.c = c, .how = how, .d = d, .rng = vise_rng_named(0, "tuning")};
    vise_status s = find_params(&j, e);
    if (!s) s = read_pictures(&j, e);
    if (!s) s = train(&j, e);
    for (size_t i = 0; i < j.params; i++)
        vise_free(j.p[i].base);
    vise_free(j.p);
    vise_free(j.want);
    vise_free(j.pixels);
    vise_free(j.teacher);
    vise_free(j.batch);
    vise_free(j.dlogits);
    vise_free(j.order);
    return s;
}
