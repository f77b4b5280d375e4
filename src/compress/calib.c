/* calib.c - ranges of values, by a session with taps
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "data/batch.h"

#include <math.h>

/* What is tapped: the values' ids and names, and where their ranges go. */
typedef struct taps {
    vise_id *id;
    const char **name;
    vise_range **range;
    size_t *channels; // of range; 1: one for all
    size_t n;
} taps;

static vise_status open_taps(taps *t, size_t most, vise_err *e)
{
    VISE_TRY(vise_alloc_or(&t->id, most, sizeof *t->id, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->name, most, sizeof *t->name, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->range, most, sizeof *t->range, "calibration", e));
    return vise_alloc_or(&t->channels, most, sizeof *t->channels, "calibration", e);
}

static void close_taps(taps *t)
{
    vise_free(t->id);
    vise_free(t->name);
    vise_free(t->range);
    vise_free(t->channels);
}

static void add_tap(taps *t, const vise_graph *g, vise_id v, vise_range *range, size_t channels)
{
    t->id[t->n] = v;
    t->name[t->n] = g->value[v].name;
    t->range[t->n] = range;
    t->channels[t->n++] = channels;
}

static vise_status widen(vise_range *range, size_t channels, const float *x, size_t n,
                         const char *name, vise_err *e)
{
    for (size_t i = 0, c = 0; i < n; i++, c = c + 1 < channels ? c + 1 : 0) {
        if (!isfinite(x[i]))
            return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g on a calibration picture",
                             name, i, (double)x[i]);
        vise_range *r = &range[c];
        r->lo = x[i] < r->lo ? x[i] : r->lo;
        r->hi = x[i] > r->hi ? x[i] : r->hi;
    }
    return VISE_OK;
}

static vise_status measure(const vise_change *c, const taps *t, vise_runner *run, vise_err *e)
{
    const vise_eval_opts *o = c->opts;
    const size_t first = vise_session_outputs(run->session) - t->n; // the graph's own come before
    const size_t limit = o->limit ? o->limit : VISE_CALIB_PICTURES, all = vise_data_count(o->data);
    const size_t n = limit < all ? limit : all;
    for (size_t i = 0; i < n; i++) {
        if (o->progress && !o->progress(o->user, "calibration", i, n))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu calibration pictures", i,
                             n);
        VISE_TRY(vise_runner_read(run, o->data, i * all / n, 1, e)); // from all over the set
        vise_runner_run(run, 1);
        for (size_t k = 0; k < t->n; k++) {
            const vise_port *p = vise_session_output(run->session, first + k);
            VISE_TRY(widen(t->range[k], t->channels[k], run->out[first + k],
                           vise_shape_count(&p->shape), p->name, e));
        }
    }
    if (o->progress) o->progress(o->user, "calibration", n, n);
    return VISE_OK;
}

static vise_status run_taps(const vise_change *c, const taps *t, vise_err *e)
{
    vise_runner run = {0};
    if (!c->opts->data || !vise_data_count(c->opts->data))
        return vise_fail(e, VISE_EARG,
                         "this pass needs calibration pictures (--calib), and none are given");
    vise_status s = vise_runner_open(&run, c->from, c->opts, t->name, t->n, e);
    if (!s) s = measure(c, t, &run, e);
    vise_runner_close(&run);
    return s;
}

vise_status vise_calib_ranges(vise_range *range, const vise_change *c, const bool *want,
                              vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    taps t = {0};
    vise_status s = open_taps(&t, g->values, e);
    for (vise_id v = 0; !s && v < g->values; v++)
        if (want[v]) add_tap(&t, g, v, &range[v], 1);
    if (!s) s = run_taps(c, &t, e);
    close_taps(&t);
    return s;
}

vise_status vise_calib_channels(vise_range *const *range, const vise_change *c, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    taps t = {0};
    vise_status s = open_taps(&t, g->values, e);
    for (vise_id v = 0; !s && v < g->values; v++) {
        const vise_shape *x = &g->value[v].shape;
        if (range[v]) add_tap(&t, g, v, range[v], x->rank ? x->dim[x->rank - 1] : 1);
    }
    if (!s) s = run_taps(c, &t, e);
    close_taps(&t);
    return s;
}
