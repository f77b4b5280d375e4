/* prefix.c - sessions on ranges of nodes, for both sides, and the values that cross the borders
 * SPDX-License-Identifier: MIT */
#include "compress/prefix.h"
#include "data/batch.h"

#include <string.h>

enum { BATCH = 8 };

/* Floats that value v has for all pictures. */
static size_t floats_of(const vise_prefix *p, vise_id v)
{
    const vise_value *x = &p->c->from->graph.value[v];
    return vise_shape_count(&x->shape) * (x->batched ? p->pictures : 1);
}

const float *vise_prefix_value(const vise_prefix *p, vise_side side, vise_id v)
{
    return p->value[side][v];
}

/* ---- pictures ---- */

vise_status vise_pictures_count(size_t *n, const vise_change *c, size_t fallback, vise_err *e)
{
    const vise_eval_opts *o = c->opts;
    if (!o->data || !vise_data_count(o->data))
        return vise_fail(e, VISE_EARG,
                         "this pass needs calibration pictures (--calib), and none are given");
    const size_t limit = o->limit ? o->limit : fallback, all = vise_data_count(o->data);
    *n = limit < all ? limit : all;
    return VISE_OK;
}

vise_status vise_pictures_read(const vise_change *c, size_t n, float *to, vise_err *e)
{
    const vise_eval_opts *o = c->opts;
    vise_runner r = {.recipe = c->from->recipe, .batch = 1};
    r.floats_in = (size_t)r.recipe.height * r.recipe.width * r.recipe.channels;
    const size_t all = vise_data_count(o->data);
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < n; i++) {
        r.pixels = to + i * r.floats_in;
        if (o->progress && !o->progress(o->user, "reading pictures", i, n))
            s = vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu calibration pictures", i, n);
        // sets are often sorted by class: pictures from all over it
        if (!s) s = vise_runner_read(&r, o->data, i * all / n, 1, e);
    }
    return s;
}

static vise_status open_values(vise_prefix *p, vise_err *e)
{
    const vise_graph *g = &p->c->from->graph;
    const size_t values = g->values;
    VISE_TRY(vise_alloc_or(&p->value[0], values, sizeof(float *), "calibration", e));
    VISE_TRY(vise_alloc_or(&p->value[1], values, sizeof(float *), "calibration", e));
    const vise_id in = g->input[0].value;
    const vise_recipe *r = &p->c->from->recipe;
    if (g->inputs != 1 ||
        vise_shape_count(&g->value[in].shape) != (size_t)r->height * r->width * r->channels)
        return vise_fail(e, VISE_EARG, "the model takes something else than one picture");
    VISE_TRY(vise_alloc_or(&p->value[0][in], floats_of(p, in), sizeof(float),
                           "calibration pictures", e));
    p->value[1][in] = p->value[0][in];
    return vise_pictures_read(p->c, p->pictures, p->value[0][in], e);
}

vise_status vise_prefix_open(vise_prefix *p, const vise_change *c, size_t fallback, vise_err *e)
{
    *p = (vise_prefix){.c = c};
    VISE_TRY(vise_pictures_count(&p->pictures, c, fallback, e));
    VISE_TRY(vise_change_build(&p->original.graph, c, e));
    return open_values(p, e);
}

static void drop(vise_prefix *p, vise_id v)
{
    if (p->value[0][v] != p->value[1][v]) vise_free(p->value[1][v]);
    vise_free(p->value[0][v]);
    p->value[0][v] = p->value[1][v] = NULL;
}

void vise_prefix_close(vise_prefix *p)
{
    for (vise_id v = 0; p->value[0] && p->value[1] && v < p->c->from->graph.values; v++)
        drop(p, v);
    vise_free(p->value[0]);
    vise_free(p->value[1]);
    vise_graph_free(&p->original.graph);
    *p = (vise_prefix){0};
}

/* ---- running ---- */

/* A session's ports and where their values lie. */
typedef struct ports {
    const float **in;
    float **out;
    vise_id *in_id, *out_id;
    size_t nin, nout;
} ports;

static vise_status list_ports(ports *t, const vise_prefix *p, const vise_session *s, vise_err *e)
{
    t->nin = vise_session_inputs(s);
    t->nout = vise_session_outputs(s);
    VISE_TRY(vise_alloc_or(&t->in, t->nin, sizeof *t->in, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->out, t->nout, sizeof *t->out, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->in_id, t->nin, sizeof *t->in_id, "calibration", e));
    VISE_TRY(vise_alloc_or(&t->out_id, t->nout, sizeof *t->out_id, "calibration", e));
    for (size_t i = 0; i < t->nin; i++)
        t->in_id[i] = vise_graph_find(&p->c->from->graph, vise_session_input(s, i)->name);
    return VISE_OK;
}

/* Memory for what the session gives out. */
static vise_status keep_outputs(ports *t, vise_prefix *p, vise_side side, const vise_session *s,
                                vise_err *e)
{
    const vise_graph *g = &p->c->from->graph;
    for (size_t i = 0; i < t->nout; i++) {
        const vise_id v = vise_graph_find(g, vise_session_output(s, i)->name);
        t->out_id[i] = v;
        if (v == VISE_NONE || g->value[v].kind != VISE_VALUE_NODE) continue; // an output's own name
        VISE_TRY(vise_alloc_or(&p->value[side][v], floats_of(p, v), sizeof(float),
                               "values of calibration pictures", e));
    }
    return VISE_OK;
}

static void free_ports(ports *t)
{
    vise_free(t->in);
    vise_free(t->out);
    vise_free(t->in_id);
    vise_free(t->out_id);
}

/* Where picture i's part of a value lies; NULL for a value that is not kept. */
static float *part_of(const vise_prefix *p, vise_side side, vise_id v, size_t i)
{
    if (v == VISE_NONE || !p->value[side][v]) return NULL;
    const vise_value *x = &p->c->from->graph.value[v];
    return p->value[side][v] + (x->batched ? i * vise_shape_count(&x->shape) : 0);
}

static void run_all(const vise_prefix *p, vise_side side, vise_session *s, const ports *t)
{
    for (size_t i = 0; i < p->pictures; i += BATCH) {
        for (size_t k = 0; k < t->nin; k++)
            t->in[k] = part_of(p, side, t->in_id[k], i);
        for (size_t k = 0; k < t->nout; k++)
            t->out[k] = part_of(p, side, t->out_id[k], i);
        vise_session_run(s, p->pictures - i < BATCH ? p->pictures - i : BATCH, t->in, t->out);
    }
}

/* Where m, which may have more nodes, has run all that the old graph's nodes [0, i) give. */
static size_t node_in(const vise_prefix *p, const vise_model *m, size_t i)
{
    const vise_graph *from = &p->c->from->graph;
    if (!i) return 0;
    return m->graph.value[vise_graph_find(&m->graph, from->node[i - 1].name)].node + 1;
}

static vise_status run_side(vise_prefix *p, vise_side side, const vise_model *m, size_t to,
                            vise_err *e)
{
    const vise_eval_opts *o = p->c->opts;
    const vise_session_opts so = {.threads = o->threads,
                                  .batch = BATCH,
                                  .cpu = o->cpu,
                                  .from = node_in(p, m, p->at),
                                  .to = node_in(p, m, to)};
    vise_session *s;
    ports t = {0};
    VISE_TRY(vise_session_new(&s, m, &so, e));
    vise_status st = list_ports(&t, p, s, e);
    if (!st) st = keep_outputs(&t, p, side, s, e);
    if (!st) run_all(p, side, s, &t);
    free_ports(&t);
    vise_session_free(s);
    return st;
}

/* Frees what no node from p->at on reads. */
static void forget(vise_prefix *p)
{
    const vise_graph *g = &p->c->from->graph;
    for (vise_id v = 0; v < g->values; v++) {
        bool read = false;
        for (size_t i = p->at; i < g->nodes; i++)
            for (uint32_t k = 0; k < g->node[i].nin; k++)
                read |= g->node[i].in[k] == v;
        if (!read) drop(p, v);
    }
}

vise_status vise_prefix_to(vise_prefix *p, size_t i, vise_err *e)
{
    vise_model compressed = {0};
    if (i <= p->at) return VISE_OK;
    vise_status s = vise_change_build(&compressed.graph, p->c, e);
    if (!s) s = run_side(p, VISE_ORIGINAL, &p->original, i, e);
    if (!s) s = run_side(p, VISE_COMPRESSED, &compressed, i, e);
    vise_graph_free(&compressed.graph);
    if (s) return s;
    p->at = i;
    forget(p);
    return VISE_OK;
}

static vise_status run_rest(const vise_prefix *p, vise_session *s, ports *t, float *to, vise_err *e)
{
    const char *name = p->c->from->graph.output[0].name;
    VISE_TRY(list_ports(t, p, s, e));
    const vise_port *out = vise_session_output(s, 0); // the network's outputs come first, in order
    if (strcmp(out->name, name) != 0) return VISE_OK;
    const size_t n = vise_shape_count(&out->shape);
    for (size_t i = 0; i < p->pictures; i += BATCH) {
        for (size_t k = 0; k < t->nin; k++)
            t->in[k] = part_of(p, VISE_ORIGINAL, t->in_id[k], i);
        t->out[0] = to + i * n;
        vise_session_run(s, p->pictures - i < BATCH ? p->pictures - i : BATCH, t->in, t->out);
    }
    return VISE_OK;
}

vise_status vise_prefix_rest(const vise_prefix *p, const vise_model *m, float *to, vise_err *e)
{
    const vise_session_opts so = {.threads = p->c->opts->threads,
                                  .batch = BATCH,
                                  .cpu = p->c->opts->cpu,
                                  .from = node_in(p, m, p->at),
                                  .to = m->graph.nodes};
    vise_session *s;
    ports t = {0};
    VISE_TRY(vise_session_new(&s, m, &so, e));
    const vise_status st = run_rest(p, s, &t, to, e);
    free_ports(&t);
    vise_session_free(s);
    return st;
}
