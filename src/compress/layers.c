/* layers.c - which layers, their operands, targets and codes; one after the other
 * SPDX-License-Identifier: MIT */
#include "compress/layers.h"
#include "compress/books.h"
#include "compress/budget.h"
#include "compress/fit.h"
#include "compress/fold.h"
#include "compress/importance.h"
#include "compress/operand.h"
#include "compress/prefix.h"
#include "compress/rows.h"
#include "compress/select.h"
#include "compress/sensitivity.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FREE_LEVELS = 4, FEW = 5 }; // bits
enum { PICTURES = 128 };           // when no count is given

typedef vise_layers_opts options;

static uint32_t weight_bits(const options *o) // 0: floats
{
    uint32_t n = 1;
    while (o->centroids > (double)(1u << n))
        n++;
    if (o->centroids > 0) return n;
    static const uint32_t bits[] = {8, 7, 6, 5, 4, 3, 2, 0, 0, 0, 8}; // auto: 8 at most
    return bits[o->weights];
}

static size_t group_of(const options *o)
{
    static const size_t group[] = {0, 32, 64, 128};
    return group[o->group];
}

/* The rounding of operands; STATIC without its scale. */
static vise_actq act_rounding(const options *o, bool symmetric)
{
    static const struct {
        vise_actq_kind kind;
        uint32_t bits;
    } acts[] = {{VISE_ACTQ_ASYM, 8},   {VISE_ACTQ_ASYM, 6},   {VISE_ACTQ_ASYM, 5},
                {VISE_ACTQ_ASYM, 4},   {VISE_ACTQ_ASYM, 3},   {VISE_ACTQ_STATIC, 8},
                {VISE_ACTQ_STATIC, 6}, {VISE_ACTQ_STATIC, 5}, {VISE_ACTQ_STATIC, 4},
                {VISE_ACTQ_STATIC, 3}, {VISE_ACTQ_BF16, 0},   {VISE_ACTQ_NONE, 0}};
    vise_actq q = {.kind = acts[o->acts].kind, .bits = acts[o->acts].bits};
    if (q.kind == VISE_ACTQ_ASYM && symmetric) q.kind = VISE_ACTQ_SYM;
    return q;
}

typedef struct job {
    vise_change *c;
    const vise_graph *g; // as it was
    const options *o;
    bool *skip;         // [nodes]
    bool *kept;         // [values] constants that a skipped node reads
    size_t first, last; // matrices, by node
    uint8_t *chosen;    // [nodes] bits of matrices with weights=auto, or NULL
    bool calibrated;
    vise_prefix prefix;
    vise_importance important;
    vise_dense dense;
    vise_blas blas;
    float *book;      // [centroids] of all matrices, or NULL
    float unit;       // of the book, in rows of root mean square 1
    size_t done, all; // layers, for progress
} job;

/* ---- which nodes, which bits ---- */

static vise_status check_numbers(const options *o, vise_err *e)
{
    const double k = o->centroids;
    if (k != 0 && (!(k >= 2 && k <= 256) || k != rint(k)))
        return vise_fail(e, VISE_EARG, "%s k: a whole number from 2 to 256, or 0", o->pass);
    const struct {
        const char *key;
        double value, most;
        bool automatic;
    } numbers[] = {{"fold", o->fold, 1, true},
                   {"target", o->target, 1, true},
                   {"polish", o->polish, 100, false},
                   {"probs", o->probs, 16, false}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (isnan(numbers[i].value) ? !numbers[i].automatic : numbers[i].value > numbers[i].most)
            return vise_fail(e, VISE_EARG, "%s %s: a number from 0 to %g%s", o->pass,
                             numbers[i].key, numbers[i].most,
                             numbers[i].automatic ? ", or auto" : "");
    return VISE_OK;
}

static vise_status select_nodes(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    char keep[40], skip[40]; // what messages begin with
    snprintf(keep, sizeof keep, "%s keep=", j->o->pass);
    snprintf(skip, sizeof skip, "%s skip=", j->o->pass);
    VISE_TRY(vise_alloc_or(&j->skip, g->nodes, sizeof *j->skip, j->o->pass, e));
    VISE_TRY(vise_alloc_or(&j->kept, g->values, sizeof *j->kept, j->o->pass, e));
    if (*j->o->keep) {
        VISE_TRY(vise_select(j->skip, g, j->o->keep, keep, e));
        for (size_t i = 0; i < g->nodes; i++)
            j->skip[i] = !j->skip[i];
    }
    VISE_TRY(vise_select(j->skip, g, j->o->skip, skip, e));
    j->first = g->nodes;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        j->all += vise_rounded_operands(g, n) > 0;
        if (vise_is_matrix(g, n)) j->last = i;
        if (vise_is_matrix(g, n) && j->first == g->nodes) j->first = i;
        for (uint32_t k = 0; k < n->nin; k++)
            if (j->skip[i] && n->in[k] != VISE_NONE) j->kept[n->in[k]] = true;
    }
    return VISE_OK;
}

static uint32_t bits_of(const job *j, size_t node)
{
    const bool end = node == j->first || node == j->last;
    const uint32_t bits = weight_bits(j->o);
    if (j->chosen) return j->chosen[node];
    return bits && end && j->o->ends == VISE_ENDS_INT8 ? 8 : bits;
}

/* Does this node's matrix get a palette? */
static bool has_palette(const job *j, size_t node)
{
    const bool end = node == j->first || node == j->last;
    return j->o->centroids > 0 && !(end && j->o->ends == VISE_ENDS_INT8);
}

/* Does this node's matrix become codes? */
static bool is_rounded(const job *j, size_t i)
{
    const vise_node *n = &j->g->node[i];
    return weight_bits(j->o) && vise_is_matrix(j->g, n) && !j->skip[i] && !j->kept[n->in[1]] &&
           !j->c->data[n->in[1]].enc.bits; // what is coded already stays, for all its readers
}

/* ---- storing ---- */

static vise_status decode(float **out, const vise_const *c, vise_err *e)
{
    VISE_TRY(vise_alloc_or(out, vise_shape_count(&c->shape), sizeof **out, "decoding weights", e));
    vise_decode(*out, c);
    return VISE_OK;
}

static vise_status check_finite(const vise_value *v, const float *w, vise_err *e)
{
    for (size_t i = 0; i < vise_shape_count(&v->shape); i++)
        if (!isfinite(w[i]))
            return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g", v->name, i, (double)w[i]);
    return VISE_OK;
}

static void pack_codes(uint8_t *to, const vise_rounded *r, const vise_grid *g, uint32_t bits,
                       size_t stride)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t c = 0; c < r->k; c++) {
            const int level = r->level[i * r->k + c] - (bits == 8 ? -128 : g->first);
            const uint32_t code = r->count ? (uint8_t)r->level[i * r->k + c]
                                           : (uint32_t)(level / g->step),
                           at = (uint32_t)(c % 8) * bits;
            uint8_t *p = to + i * stride + c / 8 * bits + at / 8;
            p[0] |= (uint8_t)(code << at % 8);
            if (at % 8 + bits > 8) p[1] |= (uint8_t)(code >> (8 - at % 8));
        }
}

static vise_status store(job *j, vise_id v, const vise_rounded *r, const vise_rounding *how,
                         uint32_t bits, vise_err *e)
{
    vise_const *out = &j->c->data[v];
    const vise_grid *g = &how->grid;
    vise_const c = {.shape = out->shape, .enc = vise_codes_of(bits, how->group)};
    const vise_code_layout l = vise_code_layout_of(&c.shape, &c.enc);
    uint8_t *code, *mult;
    float *scale, *book;
    VISE_TRY(vise_change_alloc(j->c, &code, l.rows, l.stride, e));
    VISE_TRY(vise_change_alloc(j->c, &scale, l.rows, sizeof *scale, e));
    pack_codes(code, r, g, bits, l.stride);
    memcpy(scale, r->scale, l.rows * sizeof *scale);
    c.data = code;
    c.scale = scale;
    if (how->group) {
        VISE_TRY(vise_change_alloc(j->c, &mult, l.rows, l.groups, e));
        memcpy(mult, r->mult, l.rows * l.groups);
        c.mult = mult;
    }
    if (r->count) {
        VISE_TRY(vise_change_alloc(j->c, &book, r->books << bits, sizeof *book, e));
        for (size_t i = 0; i < r->books << bits; i++) { // what no code has repeats the last
            const size_t at = i & ((1u << bits) - 1);
            book[i] = r->book[(i >> bits) * r->count + (at < r->count ? at : r->count - 1)];
        }
        c.codebook = book;
        c.enc.levels = VISE_CODEBOOK;
        c.enc.zero = 0;
        c.enc.book_rows = r->books > 1 ? r->book_rows : 0;
    } else if (g->step > 1) {
        VISE_TRY(vise_change_alloc(j->c, &book, (size_t)g->count, sizeof *book, e));
        for (int32_t i = 0; i < g->count; i++)
            book[i] = (float)(g->first + i * g->step);
        c.codebook = book;
    }
    *out = c;
    return VISE_OK;
}

/* ---- a matrix ---- */

static vise_palette palette_of(const job *j)
{
    static const size_t rows[] = {0, 0, 64, 128};
    const options *o = j->o;
    return (vise_palette){.count = (size_t)o->centroids,
                          .rows = rows[o->book],
                          .whole = o->whole,
                          .scaled = o->scales == VISE_ON,
                          .given = o->book == VISE_BOOK_MODEL ? j->book : NULL,
                          .unit = j->unit};
}

static vise_rounding rounding_of(const job *j, size_t node)
{
    const options *o = j->o;
    const uint32_t bits = bits_of(j, node);
    const bool full =
        o->method == VISE_METHOD_FULL || (o->method == VISE_METHOD_AUTO && j->calibrated);
    vise_rounding how = {.grid = vise_grid_of(bits),
                         .group = bits <= 6 ? group_of(o) : 0,
                         .fit = (vise_fit_kind)o->range,
                         .feedback = full || o->method == VISE_METHOD_GPTQ,
                         .ordered = o->order == VISE_ON,
                         .polish = full ? (unsigned)o->polish : 0,
                         .refit = full && o->refit == VISE_ON ? 3 : 0};
    if (has_palette(j, node)) how.palette = palette_of(j);
    return how;
}

static vise_fitting fitting_of(const job *j, size_t node)
{
    const options *o = j->o;
    const uint32_t bits = bits_of(j, node);
    const bool full = o->method != VISE_METHOD_GPTQ && o->method != VISE_METHOD_WEIGHTED;
    vise_fitting f = {
        rounding_of(j, node), {0, 0.5f, 1, -1}, {0.03f, 0.1f, 0.3f, -1}, bits < 4, &j->blas};
    const uint32_t operands = act_rounding(o, false).bits;
    for (size_t i = 0; operands && operands <= FEW && f.damp[i] > 0; i++)
        f.damp[i] *= 10; // their noise is not to be fitted
    if (!full || !isnan(o->target)) {
        f.target[0] = full ? (float)o->target : 0;
        f.target[1] = -1;
    }
    if (!isnan(o->damp)) {
        f.damp[0] = (float)o->damp;
        f.damp[1] = -1;
    }
    return f;
}

static vise_status round_nearest(job *j, size_t i, vise_err *e)
{
    const vise_id v = j->g->node[i].in[1];
    const uint32_t bits = bits_of(j, i);
    const vise_rounding how = rounding_of(j, i);
    const vise_code_layout l = vise_code_layout_of(&j->g->value[v].shape, &(vise_encoding){0});
    vise_rounded r = {0};
    float *w;
    VISE_TRY(decode(&w, &j->c->data[v], e));
    vise_status s = check_finite(&j->g->value[v], w, e);
    if (!s) s = vise_rounded_open(&r, l.rows, l.cols, &how, e);
    if (!s) s = vise_round(&r, w, &(vise_metric){0}, &how, &j->dense, e);
    if (!s) s = store(j, v, &r, &how, bits, e);
    vise_rounded_close(&r);
    vise_free(w);
    return s;
}

/* A node's bias as it is, or NULL if there is none that may change. */
static vise_status bias_of(float **bias, vise_id *v, const job *j, size_t i, vise_err *e)
{
    const vise_node *n = &j->g->node[i];
    *bias = NULL;
    *v = n->nin > 2 ? n->in[2] : VISE_NONE;
    if (*v == VISE_NONE || j->g->value[*v].kind != VISE_VALUE_CONST || j->kept[*v] ||
        j->o->bias == VISE_OFF || j->o->method == VISE_METHOD_GPTQ)
        return VISE_OK;
    return decode(bias, &j->c->data[*v], e);
}

static vise_status store_bias(job *j, vise_id v, const float *bias, vise_err *e)
{
    const vise_shape *s = &j->g->value[v].shape;
    float *to;
    VISE_TRY(vise_change_alloc(j->c, &to, vise_shape_count(s), sizeof *to, e));
    memcpy(to, bias, vise_shape_count(s) * sizeof *to);
    j->c->data[v] = (vise_const){.shape = *s, .enc = {.type = VISE_F32}, .data = to};
    return VISE_OK;
}

typedef struct layer {
    size_t node;
    vise_rows_of rows;
    vise_gram gram;
    vise_rounded r;
    float *w, *bias;
} layer;

static vise_status fit_layer(job *j, layer *l, vise_err *e)
{
    const vise_id v = j->g->node[l->node].in[1];
    const uint32_t bits = bits_of(j, l->node);
    const vise_fitting how = fitting_of(j, l->node);
    vise_fit_result result;
    vise_id b;
    VISE_TRY(decode(&l->w, &j->c->data[v], e));
    VISE_TRY(check_finite(&j->g->value[v], l->w, e));
    VISE_TRY(bias_of(&l->bias, &b, j, l->node, e));
    const bool residual = l->bias && j->o->method != VISE_METHOD_GPTQ;
    VISE_TRY(vise_rows_open(&l->rows, &j->prefix, l->node, residual, e));
    const bool alike = l->rows.n < l->rows.k; // then that is fewer sums
    if (alike) VISE_TRY(vise_rows_alike(&l->rows, l->w, e));
    VISE_TRY(vise_gram_open(&l->gram, l->rows.n, l->rows.k,
                            (alike ? VISE_GRAM_ALIKE : 0) |
                                (l->rows.missing ? VISE_GRAM_RESIDUAL : 0) |
                                (l->bias ? VISE_GRAM_CENTRED : 0),
                            e));
    VISE_TRY(vise_rows_sum(&l->gram, &l->rows, &j->c->actq[l->node][0],
                           j->important.row ? j->important.row[l->node] : NULL, &j->dense, e));
    VISE_TRY(vise_rounded_open(&l->r, l->rows.n, l->rows.k, &how.rounding, e));
    VISE_TRY(vise_fit(&l->r, &result, l->w, &l->gram, &how, &j->dense, e));
    VISE_TRY(store(j, v, &l->r, &how.rounding, bits, e));
    if (!l->bias) return VISE_OK;
    vise_fit_bias(l->bias, l->bias, l->w, l->r.value, &l->gram);
    return store_bias(j, b, l->bias, e);
}

static vise_status round_calibrated(job *j, size_t i, vise_err *e)
{
    layer l = {.node = i};
    const vise_status s = fit_layer(j, &l, e);
    vise_rows_close(&l.rows);
    vise_gram_close(&l.gram);
    vise_rounded_close(&l.r);
    vise_free(l.w);
    vise_free(l.bias);
    return s;
}

/* ---- operands ---- */

/* How node i's operands are rounded: what the ends read may have more bits. */
static vise_actq rounding_at(const job *j, size_t i)
{
    vise_actq q = act_rounding(j->o, vise_is_op(&j->g->node[i], "attention"));
    const vise_id picture = j->g->input[0].value;
    const bool end = (i == j->first || i == j->last) && j->o->ends == VISE_ENDS_INT8;
    if (vise_actq_is_coded(q.kind) && (end || j->g->node[i].in[0] == picture)) q.bits = 8;
    return q;
}

/* What an error in a column of node i's operand does to the outputs: the squared length of its weights.
 *   weight  out  [cols]  freed by the caller */
static vise_status weigh_columns(float **weight, size_t *cols, const job *j, size_t i, vise_err *e)
{
    const vise_id v = j->g->node[i].in[1];
    const vise_code_layout l = vise_code_layout_of(&j->g->value[v].shape, &(vise_encoding){0});
    float *w;
    VISE_TRY(decode(&w, &j->c->data[v], e));
    const vise_status s = vise_alloc_or(weight, l.cols, sizeof **weight, "weights of columns", e);
    *cols = l.cols;
    for (size_t a = 0; !s && a < l.rows * l.cols; a++)
        (*weight)[a % l.cols] += w[a] * w[a];
    vise_free(w);
    return s;
}

/* Room for the values of all pictures is there: the prefix stands before node i. */
static vise_status choose_static(job *j, size_t i, uint32_t k, vise_err *e)
{
    const vise_id v = j->g->node[i].in[k];
    const vise_value *x = &j->g->value[v];
    const float *values = vise_prefix_value(&j->prefix, VISE_COMPRESSED, v);
    const size_t n = vise_shape_count(&x->shape) * (x->batched ? j->prefix.pictures : 1);
    const bool symmetric = vise_is_op(&j->g->node[i], "attention");
    for (size_t a = 0; a < n; a++)
        if (!isfinite(values[a]))
            return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g on a calibration picture",
                             x->name, a, (double)values[a]);
    const uint32_t bits = rounding_at(j, i).bits;
    const vise_fit_kind clip = j->o->clip  ? (vise_fit_kind)(j->o->clip - 1)
                               : bits == 8 ? VISE_FIT_MINMAX
                                           : VISE_FIT_MSE;
    vise_samples s = {.x = values, .n = n};
    if (bits > FREE_LEVELS || j->o->levels == VISE_OFF) {
        j->c->actq[i][k] = vise_static_of(&s, bits, symmetric, clip);
        return VISE_OK;
    }
    int8_t *level;
    float *weight = NULL;
    if (vise_is_op(&j->g->node[i], "linear")) VISE_TRY(weigh_columns(&weight, &s.cols, j, i, e));
    s.weight = weight;
    const vise_status st = vise_change_alloc(j->c, &level, (size_t)1 << bits, 1, e);
    if (!st) j->c->actq[i][k] = vise_levels_of(level, &s, bits, symmetric);
    vise_free(weight);
    return st;
}

/* As many levels as operands have: by halves of octaves at 4 bits and fewer, where even steps would
 * leave nothing of the small ones. */
static vise_status change_probabilities(job *j, size_t i, vise_err *e)
{
    const vise_attention_attr *old = j->c->attr[i];
    const vise_actq q = act_rounding(j->o, true);
    vise_attention_attr *a;
    VISE_TRY(vise_change_alloc(j->c, &a, 1, sizeof *a, e));
    *a = *old;
    a->prob_bits = q.bits ? q.bits : 8;
    a->prob_step = a->prob_bits > 4 ? 0 : j->o->probs;
    j->c->attr[i] = a;
    return VISE_OK;
}

static vise_status change_operands(job *j, size_t i, vise_err *e)
{
    const uint32_t n = vise_rounded_operands(j->g, &j->g->node[i]);
    if (n == 3) VISE_TRY(change_probabilities(j, i, e));
    for (uint32_t k = 0; k < n; k++) {
        const vise_actq q = rounding_at(j, i);
        if (q.kind == VISE_ACTQ_STATIC)
            VISE_TRY(choose_static(j, i, k, e));
        else
            j->c->actq[i][k] = q;
    }
    return VISE_OK;
}

/* ---- all nodes ---- */

static vise_status change_node(job *j, size_t i, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    const bool fixed = act_rounding(j->o, false).kind == VISE_ACTQ_STATIC;
    const bool fitted = is_rounded(j, i) && j->calibrated && j->o->method != VISE_METHOD_NEAREST;
    const uint32_t operands = vise_rounded_operands(j->g, &j->g->node[i]);
    if (!operands || j->skip[i]) return VISE_OK;
    if (o->progress && !o->progress(o->user, "layers", j->done++, j->all))
        return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu layers", j->done - 1, j->all);
    if (fixed || fitted) VISE_TRY(vise_prefix_to(&j->prefix, i, e));
    VISE_TRY(change_operands(j, i, e));
    if (fitted) return round_calibrated(j, i, e);
    return is_rounded(j, i) ? round_nearest(j, i, e) : VISE_OK;
}

static vise_status to_plain(job *j, vise_id v, vise_dtype type, vise_err *e)
{
    const vise_const in = j->c->data[v];
    const size_t n = vise_shape_count(&in.shape);
    void *data;
    float *w;
    if (!in.enc.bits && in.enc.type == type) return VISE_OK;
    VISE_TRY(vise_change_alloc(j->c, &data, n, vise_dtype_size(type), e));
    VISE_TRY(decode(&w, &in, e));
    vise_from_f32(data, type, w, n);
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < n; i++)
        if (!isfinite(vise_element_f32(type, data, i)))
            s = vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g, too large for %s",
                          j->g->value[v].name, i, (double)w[i], vise_dtype_name(type));
    vise_free(w);
    j->c->data[v] = (vise_const){.shape = in.shape, .enc = {.type = type}, .data = data};
    return s;
}

/* Constants of two axes and more that stay floats. */
static vise_status change_floats(job *j, vise_err *e)
{
    static const vise_dtype plain[] = {[VISE_WEIGHTS_F16] = VISE_F16,
                                       [VISE_WEIGHTS_BF16] = VISE_BF16,
                                       [VISE_WEIGHTS_F32] = VISE_F32};
    const bool codes = weight_bits(j->o) != 0;
    for (size_t i = 0; i < j->g->nodes; i++)
        for (uint32_t k = 0; k < j->g->node[i].nin; k++) {
            const vise_id v = j->g->node[i].in[k];
            if (v == VISE_NONE || j->g->value[v].kind != VISE_VALUE_CONST || j->kept[v] ||
                j->g->value[v].shape.rank < 2)
                continue;
            const bool matrix = k == 1 && vise_is_matrix(j->g, &j->g->node[i]);
            const vise_encoding *enc = &j->c->data[v].enc;
            const bool is_short = enc->bits || vise_dtype_size(enc->type) <= 2;
            if (codes && (matrix || is_short || j->o->rest != 0)) continue;
            VISE_TRY(to_plain(j, v, codes ? VISE_F16 : plain[j->o->weights], e));
        }
    return VISE_OK;
}

/* What has one axis, when the layers are done. */
static vise_status change_vectors(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    for (vise_id v = 0; j->o->vectors && v < g->values; v++)
        if (g->value[v].kind == VISE_VALUE_CONST && g->value[v].shape.rank == 1 && !j->kept[v] &&
            j->c->data[v].enc.type == VISE_F32 && !j->c->data[v].enc.bits)
            VISE_TRY(to_plain(j, v, VISE_F16, e));
    return VISE_OK;
}

static vise_status open_calibration(job *j, bool fixed, bool fitted, vise_err *e)
{
    if (fitted) VISE_TRY(vise_blas_load(&j->blas, e));
    VISE_TRY(
        vise_fold(j->c, j->skip, isnan(j->o->fold) ? (fixed ? 1 : 0.5) : j->o->fold, fixed, e));
    VISE_TRY(vise_prefix_open(&j->prefix, j->c, PICTURES, e));
    const bool few = weight_bits(j->o) < 8 || j->o->weights == VISE_WEIGHTS_AUTO;
    const bool weighted =
        j->o->importance == VISE_IMPORTANCE_AUTO ? few : j->o->importance == VISE_IMPORTANCE_ON;
    return fitted && weighted ? vise_importance_open(&j->important, &j->prefix, &j->dense, e)
                              : VISE_OK;
}

static vise_status prepare(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    const bool fixed = act_rounding(j->o, false).kind == VISE_ACTQ_STATIC;
    const bool pictures = o->data && vise_data_count(o->data), palette = j->o->centroids > 0;
    const bool fitted = weight_bits(j->o) && j->o->method != VISE_METHOD_NEAREST;
    if (!pictures && j->o->method == VISE_METHOD_AUTO && weight_bits(j->o) && weight_bits(j->o) < 8)
        return vise_fail(e, VISE_EARG,
                         "%s to %u bits rounds by calibration pictures (--calib), and none "
                         "are given; method=%s goes without",
                         j->o->pass, weight_bits(j->o), palette ? "kmeans" : "nearest");
    VISE_TRY(vise_dense_open(&j->dense, o->threads, o->cpu, e));
    j->calibrated = fixed || (fitted && (pictures || j->o->method != VISE_METHOD_AUTO));
    return j->calibrated ? open_calibration(j, fixed, fitted, e) : VISE_OK;
}

/* weights=auto: bits by the sensitivity of the folded network. */
static vise_status choose_bits(job *j, vise_err *e)
{
    const bool automatic = j->o->weights == VISE_WEIGHTS_AUTO;
    bool *want;
    if (automatic != (*j->o->budget != 0))
        return vise_fail(e, VISE_EARG, "%s: weights=auto and budget=... go together", j->o->pass);
    if (!automatic) return VISE_OK;
    VISE_TRY(vise_alloc_or(&j->chosen, j->g->nodes, sizeof *j->chosen, j->o->pass, e));
    VISE_TRY(vise_alloc_or(&want, j->g->nodes, sizeof *want, j->o->pass, e));
    for (size_t i = 0; i < j->g->nodes; i++)
        want[i] = is_rounded(j, i);
    const vise_status s = vise_budget_bits(j->chosen, j->c, want, j->o->budget, group_of(j->o), e);
    vise_free(want);
    return s;
}

/* ---- one palette for all ---- */

/* Adds a matrix's scaled elements to p, or makes p's range large enough for them. */
static void add_elements(vise_points *p, const job *j, const float *w, size_t n, size_t k,
                         bool widen)
{
    for (size_t i = 0; i < n; i++) {
        const double s =
            j->o->scales == VISE_ON ? (double)vise_rows_size(w + i * k, NULL, 1, k) : 1;
        for (size_t c = 0; s > 0 && c < k; c++) {
            const double x = (double)w[i * k + c] / s;
            if (!widen) vise_points_add(p, x, s * s);
            p->lo = fmin(p->lo, x);
            p->hi = fmax(p->hi, x);
        }
    }
}

static vise_status add_matrices(vise_points *p, const job *j, bool widen, vise_err *e)
{
    for (size_t i = 0; i < j->g->nodes; i++) {
        if (!is_rounded(j, i) || !has_palette(j, i)) continue;
        const vise_id v = j->g->node[i].in[1];
        const vise_code_layout l = vise_code_layout_of(&j->g->value[v].shape, &(vise_encoding){0});
        float *w;
        VISE_TRY(decode(&w, &j->c->data[v], e));
        const vise_status s = check_finite(&j->g->value[v], w, e);
        if (!s) add_elements(p, j, w, l.rows, l.cols, widen);
        vise_free(w);
        VISE_TRY(s);
    }
    return VISE_OK;
}

static vise_status choose_book(job *j, vise_err *e)
{
    const size_t k = (size_t)j->o->centroids;
    vise_points *p;
    if (!k || j->o->book != VISE_BOOK_MODEL) return VISE_OK;
    VISE_TRY(vise_alloc_or(&j->book, k, sizeof *j->book, "a palette", e));
    VISE_TRY(vise_alloc_or(&p, 1, sizeof *p, "a palette", e));
    vise_status s = add_matrices(p, j, true, e);
    if (!s) vise_points_open(p, p->lo, p->hi);
    if (!s) s = add_matrices(p, j, false, e);
    if (!s) s = vise_kmeans(j->book, k, p, e);
    j->unit = !s && j->o->whole ? vise_book_whole(j->book, k, p) : 1;
    vise_free(p);
    return s;
}

static vise_status run(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    VISE_TRY(check_numbers(j->o, e));
    VISE_TRY(select_nodes(j, e));
    VISE_TRY(prepare(j, e));
    VISE_TRY(change_floats(j, e));
    VISE_TRY(choose_bits(j, e));
    VISE_TRY(choose_book(j, e));
    for (size_t i = 0; i < j->g->nodes; i++)
        VISE_TRY(change_node(j, i, e));
    VISE_TRY(change_vectors(j, e));
    if (o->progress) o->progress(o->user, "layers", j->all, j->all);
    return VISE_OK;
}

vise_status vise_layers_change(vise_change *c, const vise_layers_opts *o, vise_err *e)
{
    job j = {.c = c, .g = &c->from->graph, .o = o};
    const vise_status s = run(&j, e);
    vise_importance_close(&j.important);
    vise_prefix_close(&j.prefix);
    vise_dense_close(&j.dense);
    vise_free(j.book);
    vise_free(j.chosen);
    vise_free(j.kept);
    vise_free(j.skip);
    return s;
}
