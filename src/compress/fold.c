/* fold.c - layernorm into the matrices behind it, q and k into each other, v through the attention
 *
 * A layernorm's output x becomes x' = x / r - b per channel: gamma / r, beta / r - b; the matrices that
 * read it make up for it: W' = W r, bias + W' b (RepQ-ViT, arXiv 2212.08254; SmoothQuant, 2211.10438).
 * Of an attention, k may lose any constant per channel, which adds the same to all scores of a query; q t
 * and k / t have the same scores; and as the probabilities sum to 1, v / r - b gives y / r - b, which the
 * projection behind makes up for. Nothing passes through a GELU: channels behind it that reach far beyond
 * the others are divided by a node of its own, where one scale has to serve all rows.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/fold.h"
#include "compress/calib.h"
#include "compress/select.h"
#include "graph/ops.h"

#include <math.h>
#include <stdlib.h>

static const float FAR = 2;

/* Columns [at, at + n) of what a linear gives. */
typedef struct source {
    const vise_node *linear; // NULL: something else makes the value
    size_t at, n;
} source;

typedef struct job {
    vise_change *c;
    const vise_graph *g;
    const bool *skip;
    double strength;
    bool fixed;
    uint32_t *uses;     // [values] how often nodes and outputs read them
    float **mine;       // [values] constants that are changed, as f32
    vise_range **range; // [values] per channel, where wanted
    vise_region texts;  // holds the ranges
} job;

static bool is_single(const job *j, vise_id v) // a constant that one node reads
{
    return v != VISE_NONE && j->g->value[v].kind == VISE_VALUE_CONST && j->uses[v] == 1;
}

/* A linear whose weight and bias are its own. */
static bool is_own_linear(const job *j, size_t i)
{
    const vise_node *n = &j->g->node[i];
    return vise_is_op(n, "linear") && !j->skip[i] && n->nin > 2 && is_single(j, n->in[1]) &&
           is_single(j, n->in[2]) && !j->c->data[n->in[1]].enc.bits;
}

/* A constant to be changed. */
static vise_status mine(float **out, job *j, vise_id v, vise_err *e)
{
    const vise_shape s = j->g->value[v].shape;
    if (!j->mine[v]) {
        VISE_TRY(vise_change_alloc(j->c, &j->mine[v], vise_shape_count(&s), sizeof(float), e));
        vise_decode(j->mine[v], &j->c->data[v]);
        j->c->data[v] = (vise_const){.shape = s, .enc = {.type = VISE_F32}, .data = j->mine[v]};
    }
    *out = j->mine[v];
    return VISE_OK;
}

/* ---- what reads and makes a value ---- */

/* Do only linears that may change read it? */
static bool only_linears(const job *j, vise_id v)
{
    uint32_t found = 0;
    for (size_t i = 0; i < j->g->nodes; i++)
        found += is_own_linear(j, i) && j->g->node[i].in[0] == v;
    return found && found == j->uses[v];
}

/* The columns that a slice of v takes; false if it takes anything else. */
static bool is_columns(source *s, const job *j, const vise_node *n)
{
    const vise_slice_attr *a = n->attr;
    const vise_shape *x = &j->g->value[n->in[0]].shape, *y = &j->g->value[n->out].shape;
    if (a->axis != -1 && a->axis != (int64_t)x->rank - 1) return false;
    *s = (source){NULL, (size_t)a->start, y->dim[y->rank - 1]};
    return a->step == 1 && a->start >= 0;
}

/* Is whatever else reads the value that slice n takes columns from a slice of other columns? */
static bool is_apart(const job *j, const vise_node *n, const source *s)
{
    uint32_t found = 0;
    for (size_t i = 0; i < j->g->nodes; i++) {
        const vise_node *other = &j->g->node[i];
        source t;
        if (!vise_is_op(other, "slice") || other->in[0] != n->in[0]) continue;
        if (!is_columns(&t, j, other)) return false;
        if (other != n && t.at < s->at + s->n && s->at < t.at + t.n) return false;
        found++;
    }
    return found == j->uses[n->in[0]];
}

static source source_of(const job *j, vise_id v)
{
    const vise_value *x = &j->g->value[v];
    source s = {NULL, 0, x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 0};
    if (j->uses[v] != 1 || x->kind != VISE_VALUE_NODE) return s;
    const vise_node *n = &j->g->node[x->node];
    if (vise_is_op(n, "slice")) {
        const vise_value *whole = &j->g->value[n->in[0]];
        if (whole->kind != VISE_VALUE_NODE || !is_columns(&s, j, n) || !is_apart(j, n, &s))
            return s;
        n = &j->g->node[whole->node];
    }
    if (is_own_linear(j, (size_t)(n - j->g->node))) s.linear = n;
    return s;
}

/* ---- ranges ---- */

static vise_status want(job *j, vise_id v, vise_err *e)
{
    const vise_shape *s = &j->g->value[v].shape;
    if (j->range[v]) return VISE_OK;
    j->range[v] = vise_region_take(&j->texts, s->dim[s->rank - 1], sizeof **j->range);
    return j->range[v] ? VISE_OK : vise_fail(e, VISE_ENOMEM, "out of memory: ranges of channels");
}

static bool is_foldable_norm(const job *j, const vise_node *n)
{
    return vise_is_op(n, "layernorm") && n->nin == 3 && is_single(j, n->in[1]) &&
           is_single(j, n->in[2]) && only_linears(j, n->out);
}

static bool is_scalable_act(const job *j, const vise_node *n)
{
    return j->fixed && vise_is_op(n, "act") && only_linears(j, n->out);
}

static vise_status want_ranges(job *j, vise_err *e)
{
    for (size_t i = 0; i < j->g->nodes; i++) {
        const vise_node *n = &j->g->node[i];
        if (j->skip[i]) continue;
        if (is_foldable_norm(j, n) || is_scalable_act(j, n)) VISE_TRY(want(j, n->out, e));
        for (uint32_t k = 0; k < 3 && vise_is_op(n, "attention"); k++)
            if (source_of(j, n->in[k]).linear) VISE_TRY(want(j, n->in[k], e));
    }
    return VISE_OK;
}

static float size_of(vise_range r)
{
    return fmaxf(r.hi - r.lo, 1e-6f);
}

static float middle_of(vise_range r)
{
    return (r.hi + r.lo) / 2;
}

/* r[c] = (size / geometric mean of sizes)^strength, for n channels. */
static void factors(float *r, const vise_range *range, size_t n, double strength)
{
    double log_mean = 0;
    for (size_t c = 0; c < n; c++)
        log_mean += log((double)size_of(range[c])) / (double)n;
    for (size_t c = 0; c < n; c++)
        r[c] = (float)exp(strength * (log((double)size_of(range[c])) - log_mean));
}

/* ---- changing matrices ---- */

/* Columns [0, n) of a linear's weight: W' = W r, bias += W (r b). */
static vise_status columns(job *j, const vise_node *n, const float *r, const float *b, vise_err *e)
{
    const vise_shape *s = &j->g->value[n->in[1]].shape;
    float *w, *bias;
    VISE_TRY(mine(&w, j, n->in[1], e));
    VISE_TRY(mine(&bias, j, n->in[2], e));
    for (size_t i = 0; i < s->dim[0]; i++) {
        double sum = 0;
        for (size_t c = 0; c < s->dim[1]; c++) {
            w[i * s->dim[1] + c] *= r[c];
            sum += (double)w[i * s->dim[1] + c] * (double)b[c];
        }
        bias[i] += (float)sum;
    }
    return VISE_OK;
}

/* What a source gives becomes y / r - b. */
static vise_status outputs(job *j, const source *s, const float *r, const float *b, vise_err *e)
{
    const size_t k = j->g->value[s->linear->in[1]].shape.dim[1];
    float *w, *bias;
    VISE_TRY(mine(&w, j, s->linear->in[1], e));
    VISE_TRY(mine(&bias, j, s->linear->in[2], e));
    for (size_t c = 0; c < s->n; c++) {
        for (size_t i = 0; i < k; i++)
            w[(s->at + c) * k + i] /= r[c];
        bias[s->at + c] = bias[s->at + c] / r[c] - b[c];
    }
    return VISE_OK;
}

static vise_status fold_norm(job *j, const vise_node *n, float *r, float *b, vise_err *e)
{
    const size_t C = j->g->value[n->in[1]].shape.dim[0];
    const vise_range *range = j->range[n->out];
    float *gamma, *beta;
    VISE_TRY(mine(&gamma, j, n->in[1], e));
    VISE_TRY(mine(&beta, j, n->in[2], e));
    factors(r, range, C, j->strength);
    for (size_t c = 0; c < C; c++) {
        b[c] = middle_of(range[c]) / r[c];
        gamma[c] /= r[c];
        beta[c] = beta[c] / r[c] - b[c];
    }
    for (size_t i = 0; i < j->g->nodes; i++)
        if (vise_is_op(&j->g->node[i], "linear") && j->g->node[i].in[0] == n->out)
            VISE_TRY(columns(j, &j->g->node[i], r, b, e));
    return VISE_OK;
}

static vise_status fold_qk(job *j, const vise_node *n, float *r, float *b, vise_err *e)
{
    const source q = source_of(j, n->in[0]), k = source_of(j, n->in[1]);
    if (!q.linear || !k.linear) return VISE_OK;
    const vise_range *rq = j->range[n->in[0]], *rk = j->range[n->in[1]];
    for (size_t c = 0; c < k.n; c++) {
        const float most = fmaxf(fmaxf(rq[c].hi, -rq[c].lo), 1e-6f);
        r[c] = (float)pow((double)(size_of(rk[c]) / 2 / most), j->strength / 2);
        b[c] = middle_of(rk[c]) / r[c];
    }
    VISE_TRY(outputs(j, &k, r, b, e));
    for (size_t c = 0; c < q.n; c++) {
        r[c] = 1 / r[c];
        b[c] = 0;
    }
    return outputs(j, &q, r, b, e);
}

static vise_status fold_v(job *j, const vise_node *n, float *r, float *b, vise_err *e)
{
    const source v = source_of(j, n->in[2]);
    const size_t heads = (size_t)((const vise_attention_attr *)n->attr)->heads;
    if (!v.linear || j->uses[n->out] != 1 || !only_linears(j, n->out)) return VISE_OK;
    const vise_range *range = j->range[n->in[2]];
    for (size_t h = 0; h < heads; h++)
        factors(r + h * (v.n / heads), range + h * (v.n / heads), v.n / heads, j->strength);
    for (size_t c = 0; c < v.n; c++)
        b[c] = middle_of(range[c]) / r[c];
    VISE_TRY(outputs(j, &v, r, b, e));
    for (size_t i = 0; i < j->g->nodes; i++)
        if (vise_is_op(&j->g->node[i], "linear") && j->g->node[i].in[0] == n->out)
            VISE_TRY(columns(j, &j->g->node[i], r, b, e));
    return VISE_OK;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Channels that reach FAR beyond the median are brought back to that. */
static vise_status scale_act(job *j, const vise_node *n, float *r, float *b, vise_err *e)
{
    const vise_range *range = j->range[n->out];
    const vise_shape *s = &j->g->value[n->out].shape;
    const size_t C = s->dim[s->rank - 1];
    bool far = false;
    float *factor;
    for (size_t c = 0; c < C; c++)
        r[c] = size_of(range[c]);
    qsort(r, C, sizeof *r, by_size);
    const float most = FAR * r[C / 2];
    for (size_t c = 0; c < C; c++) {
        r[c] = fmaxf(1, powf(size_of(range[c]) / most, (float)j->strength));
        b[c] = 0;
        far |= r[c] > 1;
    }
    if (!far) return VISE_OK;
    VISE_TRY(vise_change_alloc(j->c, &factor, C, sizeof *factor, e));
    for (size_t c = 0; c < C; c++)
        factor[c] = 1 / r[c];
    j->c->factor[n - j->g->node] = factor;
    for (size_t i = 0; i < j->g->nodes; i++)
        if (vise_is_op(&j->g->node[i], "linear") && j->g->node[i].in[0] == n->out)
            VISE_TRY(columns(j, &j->g->node[i], r, b, e));
    return VISE_OK;
}

/* ---- all ---- */

static size_t most_channels(const vise_graph *g)
{
    size_t most = 1;
    for (size_t v = 0; v < g->values; v++) {
        const vise_shape *s = &g->value[v].shape;
        if (s->rank && s->dim[s->rank - 1] > most) most = s->dim[s->rank - 1];
    }
    return most;
}

static vise_status fold_all(job *j, float *r, float *b, vise_err *e)
{
    for (size_t i = 0; i < j->g->nodes; i++) {
        const vise_node *n = &j->g->node[i];
        if (j->skip[i]) continue;
        if (is_foldable_norm(j, n)) VISE_TRY(fold_norm(j, n, r, b, e));
        if (is_scalable_act(j, n)) VISE_TRY(scale_act(j, n, r, b, e));
        if (!vise_is_op(n, "attention")) continue;
        VISE_TRY(fold_qk(j, n, r, b, e));
        VISE_TRY(fold_v(j, n, r, b, e));
    }
    return VISE_OK;
}

static vise_status run(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    float *room;
    VISE_TRY(vise_alloc_or(&j->uses, g->values, sizeof *j->uses, "folding", e));
    VISE_TRY(vise_alloc_or(&j->mine, g->values, sizeof *j->mine, "folding", e));
    VISE_TRY(vise_alloc_or(&j->range, g->values, sizeof *j->range, "folding", e));
    for (size_t i = 0; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] != VISE_NONE) j->uses[g->node[i].in[k]]++;
    for (size_t i = 0; i < g->outputs; i++)
        j->uses[g->output[i].value]++;
    VISE_TRY(want_ranges(j, e));
    VISE_TRY(vise_calib_channels(j->range, j->c, e));
    const size_t most = most_channels(g);
    VISE_TRY(vise_alloc_or(&room, 2 * most, sizeof *room, "folding", e));
    const vise_status s = fold_all(j, room, room + most, e);
    vise_free(room);
    return s;
}

vise_status vise_fold(vise_change *c, const bool *skip, double strength, bool fixed, vise_err *e)
{
    job j = {.c = c, .g = &c->from->graph, .skip = skip, .strength = strength, .fixed = fixed};
    const vise_status s = run(&j, e);
    vise_region_free(&j.texts);
    vise_free(j.range);
    vise_free(j.mine);
    vise_free(j.uses);
    return s;
}
