/* relation.c - which tokens are alike: a loss between values of different widths
 *
 * Of one head, with Z = s X X^T, P = softmax(Z) per row and D = (P_student - P_teacher) / rows:
 *   dX += s (D + D^T) X
 *
 * SPDX-License-Identifier: MIT */
#include "train/loss.h"

#include <math.h>
#include <string.h>

typedef struct job {
    const vise_kern *kern;
    const vise_student *s;
    const vise_relation *r;
    size_t T;                  // tokens of a picture
    size_t square, per_thread; // floats of scratch
    double *loss;              // [pictures, heads] sums over rows
    float *room;               // [threads, per_thread]
} job;

/* Where a thread works: scores and probabilities [T, T], both ways. */
typedef struct place {
    float *zt, *pt, *zs, *ps;
    void *panels;
} place;

static size_t padded(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Returns the floats of all scratch; the sums of losses lie at its start. */
static size_t measure(job *j, const vise_dense *d, const vise_student *s, const vise_relation *r)
{
    const vise_gemm *g = &d->kern.gemm_f32;
    const size_t threads = d->pool ? vise_pool_threads(d->pool) : 1;
    const size_t sums = padded(r->pictures * r->heads * sizeof(double) / sizeof(float));
    *j = (job){&d->kern, s, r, .T = s->rows / r->pictures};
    const size_t ds = s->cols / r->heads, dt = r->dim / r->heads;
    const size_t scores = vise_panels_bytes(g, j->T, ds > dt ? ds : dt);
    const size_t back = vise_panels_bytes(g, ds, j->T);
    j->square = padded(j->T * j->T);
    j->per_thread = 4 * j->square + padded((scores > back ? scores : back) / sizeof(float));
    if (r->room) {
        j->loss = (double *)(void *)r->room;
        j->room = r->room + sums;
    }
    return sums + threads * j->per_thread;
}

size_t vise_relation_room(const vise_dense *d, const vise_student *s, const vise_relation *r)
{
    job j;
    return measure(&j, d, s, r);
}

static void multiply(const job *j, vise_product p, void *panels)
{
    vise_product_run(j->kern, &p, panels);
}

static float scale_of(size_t width)
{
    return (float)(1 / sqrt((double)width));
}

/* z = x x^T, p = softmax(z / sqrt(n)).   x in [T, n], rows ld apart */
static void relate(const job *j, float *const zp[2], const vise_mat *x, size_t n, void *panels)
{
    const size_t T = j->T;
    multiply(j, (vise_product){zp[0], T, *x, *x, T, T, n, false, false}, panels);
    memcpy(zp[1], zp[0], T * T * sizeof(float));
    j->kern->softmax(zp[1], T, T, T, scale_of(n));
}

static size_t largest(const float *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* KL of row i. A probability's logarithm is that of the row's largest one and the difference of
 * scores, so that it stays exact where the probability is tiny. */
static double row_kl(const job *j, const place *w, size_t i)
{
    const size_t T = j->T, ds = j->s->cols / j->r->heads, dt = j->r->dim / j->r->heads;
    const float *zt = w->zt + i * T, *zs = w->zs + i * T, *pt = w->pt + i * T;
    const size_t at = largest(zt, T), as = largest(zs, T);
    const double lt = log((double)pt[at]), ls = log((double)w->ps[i * T + as]);
    const double ct = (double)scale_of(dt), cs = (double)scale_of(ds);
    double sum = 0;
    for (size_t k = 0; k < T; k++)
        sum += (double)pt[k] *
               (ct * (double)(zt[k] - zt[at]) + lt - cs * (double)(zs[k] - zs[as]) - ls);
    return sum;
}

static void one_head(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    const vise_student *s = j->s;
    const vise_relation *r = j->r;
    const size_t T = j->T, picture = task / r->heads, head = task % r->heads;
    const size_t ds = s->cols / r->heads, dt = r->dim / r->heads;
    const size_t at = picture * T * s->cols + head * ds;
    const vise_mat xs = {s->x + at, s->cols, 1};
    const vise_mat xt = {r->teacher + picture * T * r->dim + head * dt, r->dim, 1};
    float *room = j->room + thread * j->per_thread;
    const place w = {room, room + j->square, room + 2 * j->square, room + 3 * j->square,
                     room + 4 * j->square};
    relate(j, (float *[]){w.zt, w.pt}, &xt, dt, w.panels);
    relate(j, (float *[]){w.zs, w.ps}, &xs, ds, w.panels);
    double sum = 0;
    for (size_t i = 0; i < T; i++)
        sum += row_kl(j, &w, i);
    j->loss[task] = sum;
    if (!s->dx) return;
    const float scale = (float)(s->weight / (double)(r->heads * s->rows)) * scale_of(ds);
    for (size_t i = 0; i < T * T; i++)
        w.ps[i] = scale * (w.ps[i] - w.pt[i]);
    for (size_t i = 0; i < T; i++)
        for (size_t k = 0; k < T; k++)
            w.zs[i * T + k] = w.ps[i * T + k] + w.ps[k * T + i];
    const vise_mat x = {xs.p, 1, s->cols};
    multiply(j, (vise_product){s->dx + at, s->cols, {w.zs, T, 1}, x, T, ds, T, true, false},
             w.panels);
}

double vise_loss_relation(vise_dense *d, const vise_student *s, const vise_relation *r)
{
    job j;
    measure(&j, d, s, r);
    const size_t tasks = r->pictures * r->heads;
    double sum = 0;
    vise_pool_run(d->pool, tasks, one_head, &j);
    for (size_t i = 0; i < tasks; i++)
        sum += j.loss[i];
    return sum / (double)(r->heads * s->rows);
}
