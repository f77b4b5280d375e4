/* integer_grids.c - measuring, and choosing the grid of every value
 * SPDX-License-Identifier: MIT */
#include "compress/integer_plan.h"

#include <math.h>
#include <string.h>

static size_t channels_of(const vise_int_plan *p, vise_id v)
{
    const vise_shape *s = &p->g->value[v].shape;
    return s->rank ? s->dim[s->rank - 1] : 1;
}

static bool is(const vise_node *n, const char *op)
{
    return !strcmp(vise_int_op(n), op);
}

/* ---- measuring ---- */

static vise_status measure(vise_int_plan *p, vise_err *e)
{
    bool *want;
    VISE_TRY(vise_int_keep(p, &want, p->g->values, sizeof *want, e));
    for (vise_id v = 0; v < p->g->values; v++)
        if (p->role[v] && p->role[v] != VISE_INT_PARTS && p->root[v] == v) want[p->tap[v]] = true;
    return vise_spread_measure(p->spread, p->c, want, e);
}

static const vise_spread *spread_of(const vise_int_plan *p, vise_id v)
{
    return &p->spread[p->tap[v]];
}

/* ---- grids of values ---- */

static vise_status grid_new(vise_int_plan *p, vise_id v, vise_err *e)
{
    vise_int_grid *g = &p->grid[v];
    g->channels = channels_of(p, v);
    VISE_TRY(vise_int_keep(p, &g->delta, g->channels, sizeof *g->delta, e));
    return vise_int_keep(p, &g->center, g->channels, sizeof *g->center, e);
}

static vise_status fit_input(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    VISE_TRY(grid_new(p, n->out, e));
    vise_fit_input(&p->grid[n->out], spread_of(p, n->out));
    return VISE_OK;
}

static vise_status fit_attention(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const size_t heads = (size_t)((const vise_attention_attr *)n->attr)->heads;
    for (uint32_t k = 0; k < 3; k++)
        VISE_TRY(grid_new(p, n->in[k], e));
    const size_t D = channels_of(p, n->in[0]) / heads;
    for (size_t h = 0; h < heads; h++)
        vise_fit_scores(&p->grid[n->in[0]], &p->grid[n->in[1]], spread_of(p, n->in[0]),
                        spread_of(p, n->in[1]), h * D, D);
    vise_fit_channels(&p->grid[n->in[2]], spread_of(p, n->in[2]));
    return VISE_OK;
}

/* The input of an activation: its table covers where the function is neither flat nor (beyond the
 * table) the identity. */
static vise_status fit_table(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    enum { FAR = 16, FINE = 64 };
    const double near = 1e-3;
    const vise_id x = n->in[0];
    VISE_TRY(grid_new(p, x, e));
    const bool identity = fabs((double)vise_int_act(n, FAR) - FAR) < near;
    const double left = (double)vise_int_act(n, -FAR), right = (double)vise_int_act(n, FAR);
    double lo = -FAR, hi = FAR;
    while (fabs((double)vise_int_act(n, (float)lo) - left) < near && lo < 0)
        lo += 1.0 / FINE;
    while (fabs((double)vise_int_act(n, (float)hi) - (identity ? hi : right)) < near && hi > 0)
        hi -= 1.0 / FINE;
    const double step = (hi - lo + 2.0 / FINE) / (VISE_INT_ENTRIES - 1);
    for (size_t c = 0; c < p->grid[x].channels; c++)
        p->grid[x].delta[c] = step; // their centers are 0
    p->table[n - p->g->node] =
        (vise_int_lut_attr){(int64_t)floor((lo - 1.0 / FINE) / step), identity ? VISE_INT_GAIN : 0};
    return VISE_OK;
}

/* Values that are rows or parts of others share their grids. */
static vise_status share(vise_int_plan *p, const vise_node *n, vise_err *e)
{
    const vise_id x = n->in[0];
    const bool parts = p->role[x] == VISE_INT_PARTS;
    const vise_slice_attr *a = n->attr;
    if (!parts) { // from what was fitted where it is made
        p->grid[n->out] = p->grid[x];
        return VISE_OK;
    }
    const vise_int_grid *from = &p->grid[n->out];
    if (!is(n, "slice") || a->step != 1 || !from->delta)
        return vise_fail(e, VISE_EARG, "integer: %s: parts of %s have no grid", n->name,
                         p->g->value[x].name);
    if (!p->grid[x].delta) VISE_TRY(grid_new(p, x, e));
    const size_t at = (size_t)(a->start < 0 ? a->start + (int64_t)channels_of(p, x) : a->start);
    memcpy(p->grid[x].delta + at, from->delta, from->channels * sizeof *from->delta);
    memcpy(p->grid[x].center + at, from->center, from->channels * sizeof *from->center);
    return VISE_OK;
}

static vise_status fit_values(vise_int_plan *p, vise_err *e)
{
    for (size_t i = 0; i < p->g->nodes; i++) {
        const vise_node *n = &p->g->node[i];
        if (!p->g->value[n->out].batched) continue;
        if (p->role[n->out] == VISE_INT_INPUT && p->root[n->out] == n->out)
            VISE_TRY(fit_input(p, n, e));
        else if (p->role[n->out] == VISE_INT_INPUT)
            VISE_TRY(share(p, n, e));
        if (is(n, "attention")) VISE_TRY(fit_attention(p, n, e));
        if (is(n, "act")) VISE_TRY(fit_table(p, n, e));
    }
    for (size_t i = p->g->nodes; i-- > 0;) { // parts, from what reads them
        const vise_node *n = &p->g->node[i];
        const vise_int_role r = p->role[n->out];
        if (r < VISE_INT_QUERY || r > VISE_INT_VALUE || is(n, "linear")) continue;
        if (p->role[n->in[0]] != VISE_INT_PARTS)
            return vise_fail(e, VISE_EARG, "integer: %s: a %s makes queries, keys or values",
                             n->name, vise_int_op(n));
        VISE_TRY(share(p, n, e));
    }
    return VISE_OK;
}

/* Pixels of 8 bits, as they are: code = 255 (std x + mean) - 128. */
static vise_status fit_picture(vise_int_plan *p, vise_id v, vise_err *e)
{
    const vise_recipe *r = &p->c->from->recipe;
    VISE_TRY(grid_new(p, v, e));
    vise_int_grid *g = &p->grid[v];
    for (size_t c = 0; c < g->channels; c++) {
        const size_t at = c < r->channels ? c : 0;
        g->delta[c] = 1 / (255 * (double)r->std[at]);
        g->center[c] = (128.0 / 255 - (double)r->mean[at]) / (double)r->std[at];
    }
    return VISE_OK;
}

/* One scale for many values: room for four times what was seen. */
static void widen(double *delta, const vise_int_plan *p, vise_int_role role)
{
    const double room = 4, most = (1 << 23) - 1;
    for (vise_id v = 0; v < p->g->values; v++) {
        const vise_spread *s = spread_of(p, v);
        if (p->role[v] != role) continue;
        for (size_t c = 0; c < s->channels; c++)
            *delta =
                fmax(*delta, fmax(fabs((double)s->lo[c]), fabs((double)s->hi[c])) * room / most);
    }
}

vise_status vise_int_fit(vise_int_plan *p, vise_err *e)
{
    VISE_TRY(measure(p, e));
    for (vise_id v = 0; v < p->g->values; v++)
        if (p->role[v] == VISE_INT_PICTURE) VISE_TRY(fit_picture(p, v, e));
    VISE_TRY(fit_values(p, e));
    VISE_TRY(vise_int_fit_weights(p, e));
    p->residual = p->answer = 1e-9;
    widen(&p->residual, p, VISE_INT_RESIDUAL);
    widen(&p->answer, p, VISE_INT_ANSWER);
    return VISE_OK;
}
