/* sensitivity.c - matrices rounded one at a time, and the rest of the network run on what the original
 * had computed before them
 * SPDX-License-Identifier: MIT */
#include "compress/sensitivity.h"
#include "compress/fit.h"
#include "compress/rows.h"
#include "compress/select.h"
#include "data/kl.h"

#include <math.h>
#include <string.h>

static const uint32_t widths[VISE_WIDTHS] = {8, 6, 5, 4, 3, 2};

static const float DAMP = 0.1f; // of fits: the pictures are few

static size_t group_at(uint32_t bits, size_t group)
{
    return bits <= 6 ? group : 0;
}

vise_encoding vise_codes_of(uint32_t bits, size_t group)
{
    const vise_grid g = vise_grid_of(bits);
    return (vise_encoding){.type = VISE_U8,
                           .bits = bits,
                           .levels = g.step == 1 ? VISE_AFFINE : VISE_CODEBOOK,
                           .zero = g.step > 1  ? 0
                                   : bits == 8 ? 128
                                               : -g.first,
                           .group = group,
                           .multiplied = group != 0};
}

/* ---- the list ---- */

static void fill_row(vise_sensitivity_row *r, const vise_graph *g, size_t i, size_t group)
{
    const vise_shape *shape = &g->value[g->node[i].in[1]].shape;
    *r = (vise_sensitivity_row){.name = g->node[i].name, .params = vise_shape_count(shape)};
    for (size_t w = 0; w < VISE_WIDTHS; w++) {
        const vise_const c = {.shape = *shape,
                              .enc = vise_codes_of(widths[w], group_at(widths[w], group))};
        r->bits[w] = widths[w];
        r->bytes[w] = vise_const_bytes(&c);
    }
}

vise_status vise_sensitivity_list(vise_sensitivity_row **rows, size_t *n, const vise_change *c,
                                  const bool *want, size_t group, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    bool *seen;
    *n = 0;
    VISE_TRY(vise_alloc_or(rows, g->nodes, sizeof **rows, "the list of matrices", e));
    vise_status s = vise_alloc_or(&seen, g->values, sizeof *seen, "the list of matrices", e);
    for (size_t i = 0; !s && i < g->nodes; i++) {
        if (!vise_is_matrix(g, &g->node[i]) || (want && !want[i])) continue;
        const vise_id v = g->node[i].in[1];
        if (!seen[v] && !c->data[v].enc.bits) fill_row(&(*rows)[(*n)++], g, i, group);
        seen[v] = true;
    }
    if (s) {
        vise_free(*rows);
        *rows = NULL;
    } else {
        vise_free(seen);
    }
    return s;
}

/* ---- measuring ---- */

typedef struct job {
    vise_change c; // constants of its own, the rest is the caller's
    vise_eval_opts opts;
    vise_prefix prefix;
    vise_dense dense;
    vise_blas blas; // with feedback
    const vise_rounding *how;
    size_t floats, classes; // of a picture's logits; of a row of them
    float *original, *now;  // [pictures, floats]
    size_t done, all;       // for progress
} job;

/* The mean over rows of logits. */
static vise_status mean_kl(double *kl, const job *j, const char *name, uint32_t bits, vise_err *e)
{
    const size_t rows = j->prefix.pictures * (j->floats / j->classes);
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += vise_kl(j->original + i * j->classes, j->now + i * j->classes, j->classes);
    if (!isfinite(sum))
        return vise_fail(e, VISE_EFORMAT, "%s: with %u bits not all logits are finite", name, bits);
    *kl = sum > 0 ? sum / (double)rows : 0; // sums of tiny terms of both signs
    return VISE_OK;
}

/* The matrix that is measured. */
typedef struct matrix {
    size_t node;
    vise_id w, b;         // values; b VISE_NONE: no bias that may change
    float *weight, *bias; // as they are
    float *moved;         // the bias for a rounded matrix
    vise_gram gram;       // with feedback
} matrix;

static vise_const floats(const vise_const *like, const float *data)
{
    return (vise_const){.shape = like->shape, .enc = {.type = VISE_F32}, .data = data};
}

/* The network's outputs with these weights. */
static vise_status run_with(job *j, const matrix *x, const float *w, vise_err *e)
{
    const vise_const weight = j->c.data[x->w];
    const vise_const bias = x->b == VISE_NONE ? weight : j->c.data[x->b];
    vise_model m = {0};
    j->c.data[x->w] = floats(&weight, w);
    if (x->b != VISE_NONE) j->c.data[x->b] = floats(&bias, x->moved);
    vise_status s = vise_change_build(&m.graph, &j->c, e);
    if (!s) s = vise_prefix_rest(&j->prefix, &m, j->now, e);
    vise_graph_free(&m.graph);
    j->c.data[x->w] = weight;
    if (x->b != VISE_NONE) j->c.data[x->b] = bias;
    return s;
}

/* r becomes the matrix on a grid, and x->moved the bias that goes with it. */
static vise_status round_matrix(job *j, matrix *x, vise_rounded *r, const vise_rounding *how,
                                vise_err *e)
{
    const vise_fitting fitting = {
        .rounding = *how, .target = {0, -1}, .damp = {DAMP, -1}, .blas = &j->blas};
    vise_fit_result result;
    if (!how->feedback) return vise_round(r, x->weight, &(vise_metric){0}, how, &j->dense, e);
    VISE_TRY(vise_fit(r, &result, x->weight, &x->gram, &fitting, &j->dense, e));
    if (x->b != VISE_NONE) vise_fit_bias(x->moved, x->bias, x->weight, r->value, &x->gram);
    return VISE_OK;
}

static vise_status measure_width(job *j, vise_sensitivity_row *row, size_t w, matrix *x,
                                 vise_err *e)
{
    const vise_code_layout l = vise_code_layout_of(&j->c.data[x->w].shape, &(vise_encoding){0});
    vise_rounding how = *j->how;
    vise_rounded r;
    how.grid = vise_grid_of(row->bits[w]);
    how.group = group_at(row->bits[w], how.group);
    if (j->opts.progress && !j->opts.progress(j->opts.user, "sensitivity", j->done++, j->all))
        return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu roundings", j->done - 1,
                         j->all);
    memcpy(j->now, j->original, j->prefix.pictures * j->floats * sizeof *j->now);
    vise_status s = vise_rounded_open(&r, l.rows, l.cols, how.group, e);
    if (!s) s = round_matrix(j, x, &r, &how, e);
    if (!s) s = run_with(j, x, r.value, e);
    if (!s) s = mean_kl(&row->kl[w], j, row->name, row->bits[w], e);
    vise_rounded_close(&r);
    return s;
}

/* Sums over all pictures; none are held out. */
static vise_status sum_rows(job *j, matrix *x, vise_err *e)
{
    vise_rows_of rows = {0};
    vise_gram *g = &x->gram;
    vise_status s = vise_rows_open(&rows, &j->prefix, x->node, false, e);
    if (!s) s = vise_gram_open(g, rows.n, rows.k, false, x->b != VISE_NONE, e);
    if (!s) s = vise_rows_sum(g, &rows, &j->c.actq[x->node][0], &j->dense, e);
    vise_rows_close(&rows);
    if (s) return s;
    vise_gram_merge(g);
    g->rows[1] = 0; // every fit merges again
    memset(g->h[1], 0, g->k * g->k * sizeof *g->h[1]);
    memset(g->c[1], 0, g->k * g->k * sizeof *g->c[1]);
    memset(g->x_sum[1], 0, g->k * sizeof *g->x_sum[1]);
    memset(g->y_sum[1], 0, g->k * sizeof *g->y_sum[1]);
    return VISE_OK;
}

static vise_status open_matrix(job *j, matrix *x, vise_err *e)
{
    const vise_graph *g = &j->c.from->graph;
    const vise_node *n = &g->node[x->node];
    x->w = n->in[1];
    x->b = j->how->feedback && n->nin > 2 ? n->in[2] : VISE_NONE;
    if (x->b != VISE_NONE && g->value[x->b].kind != VISE_VALUE_CONST) x->b = VISE_NONE;
    VISE_TRY(vise_prefix_to(&j->prefix, x->node, e));
    VISE_TRY(vise_alloc_or(&x->weight, vise_shape_count(&g->value[x->w].shape), sizeof(float),
                           "decoding weights", e));
    vise_decode(x->weight, &j->c.data[x->w]);
    if (!j->how->feedback) return VISE_OK;
    if (x->b != VISE_NONE) {
        const size_t bias = vise_shape_count(&g->value[x->b].shape);
        VISE_TRY(vise_alloc_or(&x->bias, bias, sizeof(float), "decoding a bias", e));
        VISE_TRY(vise_alloc_or(&x->moved, bias, sizeof(float), "a changed bias", e));
        vise_decode(x->bias, &j->c.data[x->b]);
    }
    return sum_rows(j, x, e);
}

static vise_status measure_row(job *j, vise_sensitivity_row *row, vise_err *e)
{
    const vise_graph *g = &j->c.from->graph;
    matrix x = {.node = g->value[vise_graph_find(g, row->name)].node};
    vise_status s = open_matrix(j, &x, e);
    for (size_t w = 0; !s && w < VISE_WIDTHS; w++)
        s = measure_width(j, row, w, &x, e);
    vise_gram_close(&x.gram);
    vise_free(x.weight);
    vise_free(x.bias);
    vise_free(x.moved);
    return s;
}

static vise_status open_job(job *j, const vise_change *c, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    const vise_shape *out = &g->value[g->output[0].value].shape;
    if (strcmp(g->output[0].name, "logits") != 0 || !out->rank)
        return vise_fail(e, VISE_EARG, "the model gives %.64s, not logits: there is no KL",
                         g->output[0].name);
    j->c = *c;
    j->opts = *c->opts;
    j->c.opts = &j->opts;
    j->c.data = NULL;
    VISE_TRY(vise_alloc_or(&j->c.data, g->values, sizeof *c->data, "sensitivity", e));
    memcpy(j->c.data, c->data, g->values * sizeof *c->data);
    if (j->how->feedback) VISE_TRY(vise_blas_load(&j->blas, e));
    VISE_TRY(vise_dense_open(&j->dense, j->opts.threads, j->opts.cpu, e));
    VISE_TRY(vise_prefix_open(&j->prefix, &j->c, VISE_SENSITIVITY_PICTURES, e));
    j->floats = vise_shape_count(out);
    j->classes = out->dim[out->rank - 1];
    VISE_TRY(
        vise_alloc_or(&j->original, j->prefix.pictures * j->floats, sizeof(float), "logits", e));
    VISE_TRY(vise_alloc_or(&j->now, j->prefix.pictures * j->floats, sizeof(float), "logits", e));
    return vise_prefix_rest(&j->prefix, &j->prefix.original, j->original, e);
}

vise_status vise_sensitivity_measure(vise_sensitivity_row *rows, size_t n, const vise_change *c,
                                     const vise_rounding *how, vise_err *e)
{
    job j = {.how = how, .all = n * VISE_WIDTHS};
    vise_status s = open_job(&j, c, e);
    for (size_t i = 0; !s && i < n; i++)
        s = measure_row(&j, &rows[i], e);
    if (!s && j.opts.progress) j.opts.progress(j.opts.user, "sensitivity", j.all, j.all);
    vise_prefix_close(&j.prefix);
    vise_dense_close(&j.dense);
    vise_free(j.original);
    vise_free(j.now);
    vise_free(j.c.data);
    return s;
}

/* ---- the public part ---- */

vise_status vise_sensitivity(vise_sensitivity_row **rows, size_t *n, const vise_model *m,
                             size_t group, const vise_eval_opts *opts, vise_err *e)
{
    const vise_eval_opts none = {0};
    const vise_rounding how = {.group = group, .fit = VISE_FIT_MSE};
    vise_change c = {0};
    *rows = NULL;
    *n = 0;
    if (group % VISE_GROUP_UNIT)
        return vise_fail(e, VISE_EARG, "groups of %zu columns: a multiple of %d", group,
                         VISE_GROUP_UNIT);
    vise_status s = vise_change_open(&c, m, opts ? opts : &none, e);
    if (!s) s = vise_sensitivity_list(rows, n, &c, NULL, group, e);
    if (!s && !*n) s = vise_fail(e, VISE_EARG, "the model has no matrix of floats to round");
    if (!s) s = vise_sensitivity_measure(*rows, *n, &c, &how, e);
    if (s) {
        vise_free(*rows);
        *rows = NULL;
        *n = 0;
    }
    vise_change_close(&c);
    return s;
}

void vise_sensitivity_free(vise_sensitivity_row *rows)
{
    vise_free(rows);
}
