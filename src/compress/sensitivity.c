/* sensitivity.c - matrices rounded one at a time, and the rest of the network run on what the original
 * had computed before them
 * SPDX-License-Identifier: MIT */
#include "compress/sensitivity.h"
#include "compress/prefix.h"
#include "compress/select.h"
#include "data/kl.h"

#include <math.h>
#include <string.h>

static const uint32_t widths[VISE_WIDTHS] = {8, 6, 5, 4, 3, 2};

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

/* The network's outputs with value v of this instead of its own. */
static vise_status run_with(job *j, vise_id v, const float *w, vise_err *e)
{
    const vise_const was = j->c.data[v];
    vise_model m = {0};
    j->c.data[v] = (vise_const){.shape = was.shape, .enc = {.type = VISE_F32}, .data = w};
    vise_status s = vise_change_build(&m.graph, &j->c, e);
    if (!s) s = vise_prefix_rest(&j->prefix, &m, j->now, e);
    vise_graph_free(&m.graph);
    j->c.data[v] = was;
    return s;
}

static vise_status measure_width(job *j, vise_sensitivity_row *row, size_t w, vise_id v,
                                 const float *weight, size_t group, vise_err *e)
{
    const vise_code_layout l = vise_code_layout_of(&j->c.data[v].shape, &(vise_encoding){0});
    const vise_rounding how = {.grid = vise_grid_of(row->bits[w]),
                               .group = group_at(row->bits[w], group),
                               .fit = VISE_FIT_MSE};
    vise_rounded r;
    if (j->opts.progress && !j->opts.progress(j->opts.user, "sensitivity", j->done++, j->all))
        return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu roundings", j->done - 1,
                         j->all);
    memcpy(j->now, j->original, j->prefix.pictures * j->floats * sizeof *j->now);
    vise_status s = vise_rounded_open(&r, l.rows, l.cols, &how, e);
    if (!s) s = vise_round(&r, weight, &(vise_metric){0}, &how, &j->dense, e);
    if (!s) s = run_with(j, v, r.value, e);
    if (!s) s = mean_kl(&row->kl[w], j, row->name, row->bits[w], e);
    vise_rounded_close(&r);
    return s;
}

static vise_status measure_row(job *j, vise_sensitivity_row *row, size_t group, vise_err *e)
{
    const vise_graph *g = &j->c.from->graph;
    const size_t i = g->value[vise_graph_find(g, row->name)].node;
    const vise_id v = g->node[i].in[1];
    float *weight;
    VISE_TRY(vise_prefix_to(&j->prefix, i, e));
    VISE_TRY(vise_alloc_or(&weight, row->params, sizeof *weight, "decoding weights", e));
    vise_decode(weight, &j->c.data[v]);
    vise_status s = VISE_OK;
    for (size_t w = 0; !s && w < VISE_WIDTHS; w++)
        s = measure_width(j, row, w, v, weight, group, e);
    vise_free(weight);
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
                                     size_t group, vise_err *e)
{
    job j = {.all = n * VISE_WIDTHS};
    vise_status s = open_job(&j, c, e);
    for (size_t i = 0; !s && i < n; i++)
        s = measure_row(&j, &rows[i], group, e);
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
    vise_change c = {0};
    *rows = NULL;
    *n = 0;
    if (group % VISE_GROUP_UNIT)
        return vise_fail(e, VISE_EARG, "groups of %zu columns: a multiple of %d", group,
                         VISE_GROUP_UNIT);
    vise_status s = vise_change_open(&c, m, opts ? opts : &none, e);
    if (!s) s = vise_sensitivity_list(rows, n, &c, NULL, group, e);
    if (!s && !*n) s = vise_fail(e, VISE_EARG, "the model has no matrix of floats to round");
    if (!s) s = vise_sensitivity_measure(*rows, *n, &c, group, e);
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
