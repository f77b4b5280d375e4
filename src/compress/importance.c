/* importance.c - gradients of random directions of the logits, their length in each row
 * SPDX-License-Identifier: MIT */
#include "compress/importance.h"
#include "base/rng.h"
#include "compress/select.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>

enum { BATCH = 4 };
static const double FLOOR = 0.1; // of the mean: no row counts for less

typedef struct job {
    vise_importance *m;
    const vise_prefix *p;
    vise_tape tape;
    size_t first; // picture of the batch
    size_t classes, floats;
    float *probe; // [batch, floats]
    vise_rng rng;
} job;

static size_t rows_of(const vise_graph *g, size_t node)
{
    const vise_shape *y = &g->value[g->node[node].out].shape;
    return vise_shape_count(y) / y->dim[y->rank - 1];
}

static void see(void *user, size_t node, const float *dout)
{
    const job *j = user;
    const vise_graph *g = &j->p->original.graph;
    float *to = j->m->row[node];
    if (!to) return;
    const size_t rows = rows_of(g, node);
    const size_t n = vise_shape_count(&g->value[g->node[node].out].shape) / rows;
    to += j->first * rows;
    for (size_t i = 0; i < rows * j->tape.images; i++)
        for (size_t c = 0; c < n; c++)
            to[i] += dout[i * n + c] * dout[i * n + c];
}

/* A row z of normal numbers becomes one of covariance diag(p) - p p^T, p the softmax of the logits. */
static void make_probe(float *z, const float *logit, size_t n, vise_rng *rng)
{
    double most = (double)logit[0], sum = 0, mean = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, (double)logit[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logit[i] - most);
    for (size_t i = 0; i < n; i++) {
        const double p = exp((double)logit[i] - most) / sum;
        z[i] = (float)sqrt(p) * vise_rng_normal(rng);
        mean += sqrt(p) * (double)z[i];
    }
    // z = sqrt(p) x, and p (sqrt(p) x) is taken off
    for (size_t i = 0; i < n; i++) {
        const double p = exp((double)logit[i] - most) / sum;
        z[i] -= (float)(p * mean);
    }
}

static vise_status measure(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->p->c->opts;
    const vise_graph *g = &j->p->original.graph;
    const vise_id in = g->input[0].value;
    const size_t size = vise_shape_count(&g->value[in].shape), all = j->p->pictures;
    for (j->first = 0; j->first < all; j->first += BATCH) {
        const size_t n = all - j->first < BATCH ? all - j->first : BATCH;
        if (o->progress && !o->progress(o->user, "importance", j->first, all))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu calibration pictures",
                             j->first, all);
        vise_tape_forward(&j->tape, n,
                          vise_prefix_value(j->p, VISE_ORIGINAL, in) + j->first * size);
        for (size_t i = 0; i < n * (j->floats / j->classes); i++)
            make_probe(j->probe + i * j->classes, j->tape.logits + i * j->classes, j->classes,
                       &j->rng);
        VISE_TRY(vise_tape_backward(&j->tape, &(vise_seed){g->output[0].value, j->probe}, 1, e));
    }
    if (o->progress) o->progress(o->user, "importance", all, all);
    return VISE_OK;
}

/* Squares become weights of mean 1. Roots are taken: squares would leave little but class tokens, of
 * which there are as many as pictures, and sums of so few rows tell nothing of other pictures. */
static void to_weights(float *w, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        w[i] = sqrtf(w[i]);
        sum += (double)w[i];
    }
    const bool usable = sum > 0 && isfinite(sum); // who meets what is no number will name it
    for (size_t i = 0; i < n; i++)
        w[i] = usable ? (float)(FLOOR + (1 - FLOOR) * (double)w[i] * (double)n / sum) : 1;
}

static vise_status open_rows(job *j, vise_err *e)
{
    const vise_graph *g = &j->p->original.graph;
    VISE_TRY(vise_alloc_or(&j->probe, BATCH * j->floats, sizeof(float), "importance", e));
    for (size_t i = 0; i < g->nodes; i++)
        if (vise_is_matrix(g, &g->node[i]))
            VISE_TRY(vise_alloc_or(&j->m->row[i], j->p->pictures * rows_of(g, i), sizeof(float),
                                   "importance", e));
    return VISE_OK;
}

static vise_status run(job *j, vise_dense *d, vise_err *e)
{
    const vise_graph *g = &j->p->original.graph;
    const vise_eval_opts *o = j->p->c->opts;
    const vise_tape_opts to = {.batch = BATCH, .threads = o->threads, .cpu = o->cpu};
    const vise_shape *out = &g->value[g->output[0].value].shape;
    if (strcmp(g->output[0].name, "logits") != 0 || !out->rank) return VISE_OK;
    j->floats = vise_shape_count(out);
    j->classes = out->dim[out->rank - 1];
    const vise_status s = vise_tape_open(&j->tape, &j->p->original, d, &to, e);
    if (s) return s == VISE_EARG ? VISE_OK : s; // no gradient of some operator
    j->tape.seen = see;
    j->tape.user = j;
    VISE_TRY(open_rows(j, e));
    VISE_TRY(measure(j, e));
    for (size_t i = 0; i < g->nodes; i++)
        if (j->m->row[i]) to_weights(j->m->row[i], j->p->pictures * rows_of(g, i));
    return VISE_OK;
}

vise_status vise_importance_open(vise_importance *m, const vise_prefix *p, vise_dense *d,
                                 vise_err *e)
{
    job j = {.m = m, .p = p, .rng = vise_rng_named(0, "importance")};
    *m = (vise_importance){.nodes = p->original.graph.nodes};
    VISE_TRY(vise_alloc_or(&m->row, m->nodes, sizeof *m->row, "importance", e));
    const vise_status s = run(&j, d, e);
    vise_tape_close(&j.tape);
    vise_free(j.probe);
    return s;
}

void vise_importance_close(vise_importance *m)
{
    for (size_t i = 0; m->row && i < m->nodes; i++)
        vise_free(m->row[i]);
    vise_free(m->row);
    *m = (vise_importance){0};
}
