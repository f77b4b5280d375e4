/* calib.c - ranges of values, by a session with taps
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "data/batch.h"

#include <math.h>

/* What is tapped: the values' ids and names. */
typedef struct taps {
    vise_id *id;
    const char **name;
    size_t n;
} taps;

static vise_status list_taps(taps *t, const vise_graph *g, const bool *want, vise_err *e)
{
    VISE_TRY(vise_alloc_or(&t->id, g->values, sizeof *t->id, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->name, g->values, sizeof *t->name, "calibration", e));
    for (vise_id v = 0; v < g->values; v++) {
        if (!want[v]) continue;
        t->id[t->n] = v;
        t->name[t->n++] = g->value[v].name;
    }
    return VISE_OK;
}

static vise_status widen(vise_range *r, const float *x, size_t n, const char *name, vise_err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g on a calibration picture",
                             name, i, (double)x[i]);
        r->lo = x[i] < r->lo ? x[i] : r->lo;
        r->hi = x[i] > r->hi ? x[i] : r->hi;
    }
    return VISE_OK;
}

static vise_status measure(vise_range *range, const vise_change *c, const taps *t, vise_runner *run,
                           vise_err *e)
{
    const vise_eval_opts *o = c->opts;
    const size_t first = vise_session_outputs(run->session) - t->n; // the graph's own come before
    const size_t limit = o->limit ? o->limit : VISE_CALIB_PICTURES, all = vise_data_count(o->data);
    const size_t n = limit < all ? limit : all;
    for (size_t i = 0; i < n; i += run->batch) {
        const size_t m = n - i < run->batch ? n - i : run->batch;
        if (o->progress && !o->progress(o->user, "calibration", i, n))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu calibration pictures", i,
                             n);
        VISE_TRY(vise_runner_read(run, o->data, i, m, e));
        vise_runner_run(run, m);
        for (size_t k = 0; k < t->n; k++) {
            const vise_port *p = vise_session_output(run->session, first + k);
            VISE_TRY(widen(&range[t->id[k]], run->out[first + k],
                           vise_shape_count(&p->shape) * (p->batched ? m : 1), p->name, e));
        }
    }
    if (o->progress) o->progress(o->user, "calibration", n, n);
    return VISE_OK;
}

vise_status vise_calib_ranges(vise_range *range, const vise_change *c, const bool *want,
                              vise_err *e)
{
    taps t = {0};
    vise_runner run = {0};
    if (!c->opts->data || !vise_data_count(c->opts->data))
        return vise_fail(e, VISE_EARG, "this needs calibration pictures, and none are given");
    vise_status s = list_taps(&t, &c->from->graph, want, e);
    if (!s) s = vise_runner_open(&run, c->from, c->opts, t.name, t.n, e);
    if (!s) s = measure(range, c, &t, &run, e);
    vise_runner_close(&run);
    vise_free(t.name);
    vise_free(t.id);
    return s;
}
