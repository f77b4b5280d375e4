/* diff.c - two models, value by value, on the same pictures
 * SPDX-License-Identifier: MIT */
#include "data/batch.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

typedef struct sums {
    double aa, bb, ab, dd; // of squares of a and b, of products, of squared differences
} sums;

/* Names of the values that depend on the images and that both graphs have with one shape. */
static vise_status common_values(const char ***names, size_t *n, const vise_model *a,
                                 const vise_model *b, vise_err *e)
{
    VISE_TRY(vise_alloc_or(names, a->graph.nodes, sizeof **names, "the list of values", e));
    *n = 0;
    for (size_t i = 0; i < a->graph.nodes; i++) {
        const vise_value *va = &a->graph.value[a->graph.node[i].out];
        vise_id id = vise_graph_find(&b->graph, va->name);
        const vise_value *vb = id == VISE_NONE ? NULL : &b->graph.value[id];
        if (va->batched && vb && vb->batched && vb->kind == VISE_VALUE_NODE &&
            vise_shape_same(&va->shape, &vb->shape))
            (*names)[(*n)++] = va->name;
    }
    if (!*n) {
        vise_free(*names);
        *names = NULL;
        return vise_fail(e, VISE_EARG, "the two models have no value of the same name and shape");
    }
    return VISE_OK;
}

static void accumulate(sums *s, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i];
        s->aa += x * x;
        s->bb += y * y;
        s->ab += x * y;
        s->dd += (x - y) * (x - y);
    }
}

/* taps are the last outputs of each session */
static vise_status compare(sums *s, size_t taps, vise_runner *a, vise_runner *b,
                           const vise_eval_opts *o, vise_err *e)
{
    const size_t all = vise_data_count(o->data), n = o->limit && o->limit < all ? o->limit : all;
    const size_t fa = vise_session_outputs(a->session) - taps;
    const size_t fb = vise_session_outputs(b->session) - taps;
    for (size_t i = 0; i < n; i += a->batch) {
        const size_t m = n - i < a->batch ? n - i : a->batch;
        if (o->progress && !o->progress(o->user, "pictures", i, n))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu pictures", i, n);
        VISE_TRY(vise_runner_read(a, o->data, i, m, e));
        if (!vise_runner_same_input(a, b)) VISE_TRY(vise_runner_read(b, o->data, i, m, e));
        vise_runner_run(a, m);
        vise_runner_run(b, m);
        for (size_t t = 0; t < taps; t++)
            accumulate(&s[t], a->out[fa + t], b->out[fb + t],
                       m * vise_shape_count(&vise_session_output(a->session, fa + t)->shape));
    }
    if (o->progress) o->progress(o->user, "pictures", n, n);
    return VISE_OK;
}

vise_status vise_diff(vise_diff_row **rows, size_t *nrows, const vise_model *a, const vise_model *b,
                      const vise_eval_opts *o, vise_err *e)
{
    const char **names = NULL;
    sums *s = NULL;
    vise_runner ra = {0}, rb = {0};
    size_t n = 0;
    *rows = NULL;
    *nrows = 0;
    VISE_TRY(common_values(&names, &n, a, b, e));
    vise_status st = vise_alloc_or(&s, n, sizeof *s, "sums", e);
    if (!st) st = vise_alloc_or(rows, n, sizeof **rows, "rows", e);
    if (!st) st = vise_runner_open(&ra, a, o, names, n, e);
    if (!st) st = vise_runner_open(&rb, b, o, names, n, e);
    if (!st) st = compare(s, n, &ra, &rb, o, e);
    for (size_t i = 0; !st && i < n; i++) {
        const double norms = sqrt(s[i].aa) * sqrt(s[i].bb);
        (*rows)[i] = (vise_diff_row){
            .name = names[i],
            .relative_error = s[i].dd == 0 ? 0 : sqrt(s[i].dd / s[i].aa),
            .cosine = norms == 0 ? s[i].aa == s[i].bb : s[i].ab / norms, // NaN shows
        };
    }
    if (st) {
        vise_free(*rows);
        *rows = NULL;
    } else {
        *nrows = n;
    }
    vise_runner_close(&rb);
    vise_runner_close(&ra);
    vise_free(s);
    vise_free(names);
    return st;
}

void vise_diff_free(vise_diff_row *rows)
{
    vise_free(rows);
}
