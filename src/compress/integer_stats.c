/* integer_stats.c - ranges and moments of the channels of values, by a session with taps
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "compress/integer.h"
#include "data/batch.h"

#include <math.h>

enum { PICTURES = 128 }; // when no limit is given: ranges need more than averages

typedef struct taps {
    vise_spread *s; // [values]
    vise_id *id;    // [n]
    const char **name;
    size_t n;
} taps;

static vise_status room_for(vise_spread *s, size_t channels, vise_err *e)
{
    s->channels = channels;
    VISE_TRY(vise_alloc_or(&s->lo, channels, sizeof *s->lo, "calibration", e));
    VISE_TRY(vise_alloc_or(&s->hi, channels, sizeof *s->hi, "calibration", e));
    VISE_TRY(vise_alloc_or(&s->mean, channels, sizeof *s->mean, "calibration", e));
    VISE_TRY(vise_alloc_or(&s->square, channels, sizeof *s->square, "calibration", e));
    for (size_t c = 0; c < channels; c++) {
        s->lo[c] = INFINITY;
        s->hi[c] = -INFINITY;
    }
    return VISE_OK;
}

void vise_spread_free(vise_spread *s, size_t n)
{
    for (size_t i = 0; s && i < n; i++) {
        vise_free(s[i].lo);
        vise_free(s[i].hi);
        vise_free(s[i].mean);
        vise_free(s[i].square);
    }
    vise_free(s);
}

/* ---- one batch of one value: x [rows, channels] ---- */

static vise_status look(vise_spread *s, const float *x, size_t rows, const char *name, vise_err *e)
{
    for (size_t i = 0; i < rows; i++, x += s->channels)
        for (size_t c = 0; c < s->channels; c++) {
            if (!isfinite(x[c]))
                return vise_fail(e, VISE_EFORMAT, "%s: channel %zu is %g on a calibration picture",
                                 name, c, (double)x[c]);
            s->lo[c] = x[c] < s->lo[c] ? x[c] : s->lo[c];
            s->hi[c] = x[c] > s->hi[c] ? x[c] : s->hi[c];
            s->mean[c] += (double)x[c];
            s->square[c] += (double)x[c] * (double)x[c];
        }
    s->count += (double)rows;
    return VISE_OK;
}

/* ---- all of them ---- */

static vise_status list_taps(taps *t, const vise_graph *g, const bool *want, vise_err *e)
{
    VISE_TRY(vise_alloc_or(&t->id, g->values, sizeof *t->id, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->name, g->values, sizeof *t->name, "calibration", e));
    for (vise_id v = 0; v < g->values; v++) {
        const vise_shape *x = &g->value[v].shape;
        if (!want[v]) continue;
        VISE_TRY(room_for(&t->s[v], x->rank ? x->dim[x->rank - 1] : 1, e));
        t->id[t->n] = v;
        t->name[t->n++] = g->value[v].name;
    }
    return VISE_OK;
}

static vise_status measure(const taps *t, const vise_eval_opts *o, vise_runner *run, vise_err *e)
{
    const size_t first = vise_session_outputs(run->session) - t->n; // the graph's own come before
    const size_t limit = o->limit ? o->limit : PICTURES, all = vise_data_count(o->data);
    const size_t n = limit < all ? limit : all;
    for (size_t i = 0; i < n; i++) {
        if (o->progress && !o->progress(o->user, "calibration", i, n))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu calibration pictures", i,
                             n);
        VISE_TRY(vise_runner_read(run, o->data, i * all / n, 1, e)); // from all over the set
        vise_runner_run(run, 1);
        for (size_t k = 0; k < t->n; k++) {
            vise_spread *s = &t->s[t->id[k]];
            const vise_port *p = vise_session_output(run->session, first + k);
            VISE_TRY(look(s, run->out[first + k], vise_shape_count(&p->shape) / s->channels,
                          p->name, e));
        }
    }
    if (o->progress) o->progress(o->user, "calibration", n, n);
    return VISE_OK;
}

static void average(vise_spread *s)
{
    for (size_t c = 0; c < s->channels; c++) {
        s->mean[c] /= s->count;
        s->square[c] /= s->count;
    }
}

vise_status vise_spread_measure(vise_spread *s, const vise_change *c, const bool *want, vise_err *e)
{
    taps t = {.s = s};
    vise_runner run = {0};
    if (!c->opts->data || !vise_data_count(c->opts->data))
        return vise_fail(e, VISE_EARG,
                         "this pass needs calibration pictures (--calib), and none are given");
    vise_status st = list_taps(&t, &c->from->graph, want, e);
    if (!st) st = vise_runner_open(&run, c->from, c->opts, t.name, t.n, e);
    if (!st) st = measure(&t, c->opts, &run, e);
    for (size_t k = 0; !st && k < t.n; k++)
        average(&s[t.id[k]]);
    vise_runner_close(&run);
    vise_free(t.name);
    vise_free(t.id);
    return st;
}
