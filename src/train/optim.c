/* optim.c - pieces of tensors, each stepped on one thread
 * SPDX-License-Identifier: MIT */
#include "train/optim.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 8192, BLOCK = 256, PARTS = 8 }; // floats; BLOCK and PIECE are multiples of PARTS

struct vise_optim_moments {
    float *m, *v, *ema; // [n], NULL: there is none
    size_t first;       // piece
    float ratio;        // LAMB: of the step
};

struct vise_optim_piece {
    size_t param, from, to;
};

/* ---- opening ---- */

static float *take_state(vise_optim *o, const char *what, const vise_param *p)
{
    const size_t len = strlen(what) + 1 + strlen(p->name) + 1;
    char *name = vise_arena_take(&o->block, len, 1);
    float *x = vise_arena_take(&o->block, p->n, sizeof *x);
    if (name) {
        snprintf(name, len, "%s.%s", what, p->name);
        o->state[o->states] = (vise_optim_state){name, x, p->n};
    }
    o->states++;
    return x;
}

/* Measures, or places. */
static void layout(vise_optim *o, const vise_param *p, size_t states)
{
    const vise_optim_opts *h = &o->how;
    const bool has_v = h->kind != VISE_OPTIM_SGD, has_m = has_v || h->momentum > 0;
    o->param = vise_arena_take(&o->block, o->params, sizeof *o->param);
    o->moments = vise_arena_take(&o->block, o->params, sizeof *o->moments);
    o->piece = vise_arena_take(&o->block, o->pieces, sizeof *o->piece);
    o->sum = vise_arena_take(&o->block, 2 * o->pieces, sizeof *o->sum);
    o->state = vise_arena_take(&o->block, states, sizeof *o->state);
    o->states = o->pieces = 0;
    for (size_t i = 0; i < o->params; i++) {
        struct vise_optim_moments m = {.first = o->pieces};
        if (has_m) m.m = take_state(o, "m", p + i);
        if (has_v) m.v = take_state(o, "v", p + i);
        if (h->ema > 0) m.ema = take_state(o, "ema", p + i);
        for (size_t from = 0; from < p[i].n; from += PIECE, o->pieces++)
            if (o->piece)
                o->piece[o->pieces] = (struct vise_optim_piece){
                    i, from, p[i].n - from < PIECE ? p[i].n : from + PIECE};
        if (!o->moments) continue;
        o->param[i] = p[i];
        o->moments[i] = m;
        if (m.ema) memcpy(m.ema, p[i].x, p[i].n * sizeof(float));
    }
}

static vise_status in_range(const char *what, double x, vise_err *e)
{
    return x >= 0 && x < 1 ? VISE_OK : vise_fail(e, VISE_EARG, "%s %g is not in [0, 1)", what, x);
}

static vise_status check(const vise_optim_opts *h, vise_err *e)
{
    VISE_TRY(in_range("beta1", h->beta1, e));
    VISE_TRY(in_range("beta2", h->beta2, e));
    VISE_TRY(in_range("momentum", h->momentum, e));
    VISE_TRY(in_range("ema", h->ema, e));
    if (!(h->eps > 0 && h->eps < 1))
        return vise_fail(e, VISE_EARG, "eps %g is not in (0, 1)", h->eps);
    if (h->nesterov && !(h->momentum > 0))
        return vise_fail(e, VISE_EARG, "nesterov needs a momentum");
    return VISE_OK;
}

vise_status vise_optim_open(vise_optim *o, const vise_optim_opts *how, const vise_param *p,
                            size_t params, vise_err *e)
{
    *o = (vise_optim){.how = *how, .params = params};
    vise_optim_opts *h = &o->how;
    if (h->beta1 == 0) h->beta1 = 0.9;
    if (h->beta2 == 0) h->beta2 = 0.999;
    if (h->eps == 0) h->eps = h->kind == VISE_OPTIM_LAMB ? 1e-6 : 1e-8;
    VISE_TRY(check(h, e));
    for (size_t i = 0; i < params; i++)
        o->pieces += (p[i].n + PIECE - 1) / PIECE;
    const size_t states = 3 * params; // at most
    layout(o, p, states);
    VISE_TRY(vise_arena_commit(&o->block, e));
    layout(o, p, states);
    return VISE_OK;
}

void vise_optim_close(vise_optim *o)
{
    vise_free(o->block.base);
    *o = (vise_optim){0};
}

/* ---- sums of squares ---- */

/* Parts side by side, so that a compiler may add several at once without changing the result. */
static double squares(const float *x, size_t n)
{
    double part[PARTS] = {0}, sum = 0;
    size_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (size_t k = 0; k < PARTS; k++)
            part[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++)
        part[i % PARTS] += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < PARTS; k++)
        sum += part[k];
    return sum;
}

/* ---- rules; everything of one piece ---- */

/* Numbers of a step. Bias-corrected: m is multiplied by `up`, sqrt(v) by `root`. */
typedef struct rule {
    float rate, decay; // of the tensor: decay is per unit of rate
    float beta1, rest1, beta2, rest2, up, root, eps, momentum;
    bool nesterov;
} rule;

static void moments(float *restrict m, float *restrict v, const float *restrict g, size_t n,
                    const rule *r)
{
    assert(m && v);
    const float b1 = r->beta1, c1 = r->rest1, b2 = r->beta2, c2 = r->rest2;
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * (g[i] * g[i]);
    }
}

static void adamw(float *restrict x, float *restrict m, float *restrict v, const float *restrict g,
                  size_t n, const rule *r)
{
    assert(m && v);
    const float b1 = r->beta1, c1 = r->rest1, b2 = r->beta2, c2 = r->rest2, root = r->root,
                eps = r->eps, keep = 1 - r->rate * r->decay, step = r->rate * r->up;
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * (g[i] * g[i]);
        x[i] = keep * x[i] - step * (m[i] / (sqrtf(v[i]) * root + eps));
    }
}

static void sgd(float *restrict x, const float *restrict g, size_t n, const rule *r)
{
    const float decay = r->decay, rate = r->rate;
    for (size_t i = 0; i < n; i++)
        x[i] -= rate * (g[i] + decay * x[i]);
}

static void sgd_momentum(float *restrict x, float *restrict m, const float *restrict g, size_t n,
                         const rule *r)
{
    assert(m);
    const float decay = r->decay, rate = r->rate, keep = r->momentum;
    // of what moves x: m, or d + keep m
    const float of_m = r->nesterov ? keep : 1, of_d = r->nesterov ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        const float d = g[i] + decay * x[i];
        m[i] = keep * m[i] + d;
        x[i] -= rate * (of_d * d + of_m * m[i]);
    }
}

/* Where LAMB wants to go, before the length of the step is known. */
static void lamb_direction(float *restrict u, const float *restrict x, const float *restrict m,
                           const float *restrict v, size_t n, const rule *r)
{
    assert(m && v);
    const float up = r->up, root = r->root, eps = r->eps, decay = r->decay;
    for (size_t i = 0; i < n; i++)
        u[i] = up * m[i] / (sqrtf(v[i]) * root + eps) + decay * x[i];
}

static void toward(float *restrict x, const float *restrict u, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        x[i] += by * u[i];
}

static void average(float *restrict a, const float *restrict x, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        a[i] += by * (x[i] - a[i]);
}

/* ---- a step ---- */

typedef struct job {
    const vise_optim *o;
    rule all; // rate and decay are of a tensor, and filled in where it is known
    float scale;
} job;

/* A piece's numbers. */
typedef struct part {
    float *x, *m, *v, *ema;
    float *g;
    size_t n;
    rule r;
} part;

static part part_of(const job *j, size_t piece)
{
    const struct vise_optim_piece *s = j->o->piece + piece;
    const vise_param *p = j->o->param + s->param;
    const struct vise_optim_moments *m = j->o->moments + s->param;
    part a = {p->x + s->from, NULL, NULL, NULL, p->grad + s->from, s->to - s->from, j->all};
    if (m->m) a.m = m->m + s->from;
    if (m->v) a.v = m->v + s->from;
    if (m->ema) a.ema = m->ema + s->from;
    a.r.rate *= p->rate;
    a.r.decay = p->decay;
    return a;
}

static void step_piece(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    for (size_t i = from; i < to; i++) {
        const part a = part_of(j, i);
        if (a.v)
            adamw(a.x, a.m, a.v, a.g, a.n, &a.r);
        else if (a.m)
            sgd_momentum(a.x, a.m, a.g, a.n, &a.r);
        else
            sgd(a.x, a.g, a.n, &a.r);
        if (a.ema) average(a.ema, a.x, a.n, 1 - (float)j->o->how.ema);
    }
}

/* LAMB first finds the lengths of a tensor and of its direction, */
static void lamb_measure(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    float u[BLOCK];
    for (size_t i = from; i < to; i++) {
        const part a = part_of(j, i);
        double sum = 0;
        moments(a.m, a.v, a.g, a.n, &a.r);
        for (size_t k = 0; k < a.n; k += BLOCK) {
            const size_t n = a.n - k < BLOCK ? a.n - k : BLOCK;
            lamb_direction(u, a.x + k, a.m + k, a.v + k, n, &a.r);
            sum += squares(u, n);
        }
        j->o->sum[2 * i] = squares(a.x, a.n);
        j->o->sum[2 * i + 1] = sum;
    }
}

/* then goes there. */
static void lamb_go(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    float u[BLOCK];
    for (size_t i = from; i < to; i++) {
        const part a = part_of(j, i);
        const float by = -a.r.rate * j->o->moments[j->o->piece[i].param].ratio;
        for (size_t k = 0; k < a.n; k += BLOCK) {
            const size_t n = a.n - k < BLOCK ? a.n - k : BLOCK;
            lamb_direction(u, a.x + k, a.m + k, a.v + k, n, &a.r);
            toward(a.x + k, u, n, by);
        }
        if (a.ema) average(a.ema, a.x, a.n, 1 - (float)j->o->how.ema);
    }
}

/* |x| / |u|, or 1 where one of them is 0 or where nothing decays (as the paper's own code does). */
static void lamb_ratios(vise_optim *o)
{
    for (size_t i = 0; i < o->params; i++) {
        double x = 0, u = 0;
        const size_t end = i + 1 < o->params ? o->moments[i + 1].first : o->pieces;
        for (size_t k = o->moments[i].first; k < end; k++) {
            x += o->sum[2 * k];
            u += o->sum[2 * k + 1];
        }
        const bool scaled = o->param[i].decay > 0 && x > 0 && u > 0;
        o->moments[i].ratio = scaled ? (float)sqrt(x / u) : 1;
    }
}

void vise_optim_step(vise_optim *o, vise_dense *d, double rate)
{
    const vise_optim_opts *h = &o->how;
    const double t = (double)++o->steps;
    job j = {.o = o,
             .all = {.rate = (float)rate,
                     .beta1 = (float)h->beta1,
                     .rest1 = (float)(1 - h->beta1),
                     .beta2 = (float)h->beta2,
                     .rest2 = (float)(1 - h->beta2),
                     .up = (float)(1 / (1 - pow(h->beta1, t))),
                     .root = (float)(1 / sqrt(1 - pow(h->beta2, t))),
                     .eps = (float)h->eps,
                     .momentum = (float)h->momentum,
                     .nesterov = h->nesterov}};
    if (h->kind != VISE_OPTIM_LAMB) {
        vise_dense_rows(d, o->pieces, 1, step_piece, &j);
        return;
    }
    vise_dense_rows(d, o->pieces, 1, lamb_measure, &j);
    lamb_ratios(o);
    vise_dense_rows(d, o->pieces, 1, lamb_go, &j);
}

/* ---- clipping ---- */

static void measure_gradients(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    for (size_t i = from; i < to; i++) {
        const part a = part_of(j, i);
        j->o->sum[i] = squares(a.g, a.n);
    }
}

static void scale_gradients(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    for (size_t i = from; i < to; i++) {
        const part a = part_of(j, i);
        for (size_t k = 0; k < a.n; k++)
            a.g[k] *= j->scale;
    }
}

double vise_optim_clip(vise_optim *o, vise_dense *d, double most)
{
    job j = {.o = o};
    double sum = 0;
    vise_dense_rows(d, o->pieces, 1, measure_gradients, &j);
    for (size_t i = 0; i < o->pieces; i++)
        sum += o->sum[i];
    const double length = sqrt(sum);
    if (!(length > most) || !isfinite(length)) return length;
    j.scale = (float)(most / length);
    vise_dense_rows(d, o->pieces, 1, scale_gradients, &j);
    return length;
}

/* ---- rates ---- */

double vise_schedule_at(const vise_schedule *s, size_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < s->warmup) return s->rate * (double)(step + 1) / (double)(s->warmup + 1);
    if (step >= s->steps) return s->last;
    const double t = (double)(step - s->warmup) / (double)(s->steps - s->warmup);
    return s->last + (s->rate - s->last) * (1 + cos(pi * t)) / 2;
}
