/* integer_weights.c - the codes of weights, for the codes that they meet
 *
 * Column c of a weight meets x_c = delta_c a_c + center_c. What is rounded is w delta, with the products of
 * the codes a (fit.h): the target makes up for what the inputs' own rounding does, and the bias keeps
 * the mean output. The inputs are those of the network as it was.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/fit.h"
#include "compress/integer_plan.h"
#include "compress/prefix.h"
#include "graph/int_ops.h"

#include <math.h>
#include <string.h>

enum { PICTURES = 128 }; // when no count is given

typedef struct fitter {
    vise_int_plan *p;
    vise_prefix prefix;
    vise_dense dense;
    vise_blas blas;
} fitter;

typedef struct layer {
    const vise_node *n;
    vise_int_layer *to;
    const vise_int_grid *grid;  // of the input
    vise_conv2d_geometry patch; // of a convolution
    bool conv;
    size_t taps;     // columns of one channel
    size_t rows;     // of one picture
    float *w, *bias; // [n, k], [n]: w delta, and a bias with the centers in it
    float *x, *code; // [rows, k] x / delta - center, and that as codes
    vise_gram gram;
    vise_rounded r;
} layer;

static bool is(const vise_node *n, const char *op)
{
    return !strcmp(vise_int_op(n), op);
}

/* ---- inputs ---- */

/* Row x of the input in units of delta, and the codes that it becomes. */
static void read_row(const layer *l, float *x, float *code)
{
    const size_t k = l->to->k;
    const float most = (float)(VISE_INT_CODE << l->grid->exponents);
    for (size_t c = 0; c < k; c++) {
        const size_t at = c / l->taps;
        x[c] = (float)(((double)x[c] - l->grid->center[at]) / l->grid->delta[at]);
        code[c] = fminf(fmaxf(rintf(x[c]), -most), most);
    }
    const float step = (float)(1 << vise_int_exponent(code, k, l->grid->exponents));
    for (size_t c = 0; c < k; c++)
        code[c] = step * fminf(fmaxf(rintf(code[c] / step), -VISE_INT_CODE), VISE_INT_CODE);
}

static void read_picture(const layer *l, const float *x)
{
    const size_t k = l->to->k;
    for (size_t i = 0; i < l->rows; i++) {
        float *row = l->x + i * k;
        if (l->conv)
            vise_conv2d_patch(&l->patch, row, x, i / l->patch.out[1], i % l->patch.out[1]);
        else
            memcpy(row, x + i * k, k * sizeof *row);
        read_row(l, row, l->code + i * k);
    }
}

static vise_status sum_products(fitter *f, layer *l, vise_err *e)
{
    const vise_id v = l->n->in[0];
    const size_t one = vise_shape_count(&f->p->g->value[v].shape);
    for (size_t i = 0; i < f->prefix.pictures; i++) {
        const unsigned part = i % VISE_GRAM_HELD == VISE_GRAM_HELD - 1;
        read_picture(l, vise_prefix_value(&f->prefix, VISE_ORIGINAL, v) + i * one);
        const vise_gram_rows more = {.x = l->x, .y = l->code, .rows = l->rows};
        VISE_TRY(vise_gram_add(&l->gram, &f->dense, part, &more, e));
    }
    vise_gram_finish(&l->gram);
    return VISE_OK;
}

/* ---- weights ---- */

/* A layer scale behind the product is part of it. */
static void read_weights(const vise_int_plan *p, layer *l)
{
    const vise_id b = l->n->nin > 2 ? l->n->in[2] : VISE_NONE, by = p->gain[l->n->out];
    const size_t k = l->to->k;
    for (size_t j = 0; j < l->to->n; j++) {
        const double gain = by == VISE_NONE ? 1 : (double)p->fixed[by][j];
        double bias = b == VISE_NONE ? 0 : (double)p->fixed[b][j];
        for (size_t c = 0; c < k; c++) {
            const double w = (double)p->fixed[l->n->in[1]][j * k + c];
            l->w[j * k + c] = (float)(gain * w * l->grid->delta[c / l->taps]);
            bias += w * l->grid->center[c / l->taps];
        }
        l->bias[j] = (float)(gain * bias);
    }
}

/* Codes in the order in which a patch's numbers lie in memory, + 128. */
static void store(const layer *l)
{
    const double of_zeros = 1e-3; // a scale: any will do
    const size_t k = l->to->k, channels = k / l->taps;
    for (size_t j = 0; j < l->to->n; j++) {
        for (size_t c = 0; c < k; c++)
            l->to->code[j * k + c % l->taps * channels + c / l->taps] =
                (uint8_t)(l->r.level[j * k + c] + 128);
        l->to->scale[j] = l->r.scale[j] > 0 ? (double)l->r.scale[j] : of_zeros;
        l->to->bias[j] = (double)l->bias[j] / l->to->scale[j];
    }
}

static vise_status open_layer(fitter *f, layer *l, vise_err *e)
{
    vise_int_plan *p = f->p;
    const vise_shape *w = &p->g->value[l->n->in[1]].shape, *y = &p->g->value[l->n->out].shape;
    const vise_shape *x = &p->g->value[l->n->in[0]].shape;
    const size_t n = w->dim[0], k = vise_shape_count(w) / n;
    l->conv = is(l->n, "conv2d");
    l->grid = &p->grid[vise_int_root(p, l->n->in[0])];
    l->taps = k / l->grid->channels;
    l->rows = vise_shape_count(y) / n;
    if (l->conv) vise_conv2d_geometry_of(&l->patch, l->n->attr, x, w, y);
    l->to->n = n;
    l->to->k = k;
    VISE_TRY(vise_change_alloc(p->c, &l->to->code, n, k, e));
    VISE_TRY(vise_int_keep(p, &l->to->scale, n, sizeof *l->to->scale, e));
    VISE_TRY(vise_int_keep(p, &l->to->bias, n, sizeof *l->to->bias, e));
    VISE_TRY(vise_alloc_or(&l->w, n * k, sizeof *l->w, "fitting weights", e));
    VISE_TRY(vise_alloc_or(&l->bias, n, sizeof *l->bias, "fitting weights", e));
    VISE_TRY(vise_alloc_or(&l->x, l->rows * k, sizeof *l->x, "fitting weights", e));
    VISE_TRY(vise_alloc_or(&l->code, l->rows * k, sizeof *l->code, "fitting weights", e));
    VISE_TRY(vise_gram_open(&l->gram, n, k, VISE_GRAM_CENTRED, e));
    return vise_rounded_open(&l->r, n, k, &(vise_rounding){0}, e);
}

static vise_status fit_layer(fitter *f, layer *l, vise_err *e)
{
    const vise_fitting how = {.rounding = {.grid = vise_grid_of(8),
                                           .fit = VISE_FIT_MSE,
                                           .feedback = true,
                                           .ordered = true,
                                           .polish = 4,
                                           .refit = 3},
                              .target = {0, 0.5f, 1, -1},
                              .damp = {0.03f, 0.1f, 0.3f, -1},
                              .blas = &f->blas};
    vise_fit_result result;
    VISE_TRY(open_layer(f, l, e));
    VISE_TRY(sum_products(f, l, e));
    read_weights(f->p, l);
    VISE_TRY(vise_fit(&l->r, &result, l->w, &l->gram, &how, &f->dense, e));
    vise_fit_bias(l->bias, l->bias, l->w, l->r.value, &l->gram);
    store(l);
    return VISE_OK;
}

static void close_layer(layer *l)
{
    vise_rounded_close(&l->r);
    vise_gram_close(&l->gram);
    vise_free(l->w);
    vise_free(l->bias);
    vise_free(l->x);
    vise_free(l->code);
}

static vise_status fit_layers(fitter *f, vise_err *e)
{
    const vise_graph *g = f->p->g;
    const vise_eval_opts *o = f->p->c->opts;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        layer l = {.n = n, .to = &f->p->layer[i]};
        if (!g->value[n->out].batched || (!is(n, "linear") && !is(n, "conv2d"))) continue;
        if (o->progress && !o->progress(o->user, "weights", i, g->nodes))
            return vise_fail(e, VISE_ECANCEL, "stopped before %s", n->name);
        VISE_TRY(vise_prefix_to(&f->prefix, i, e));
        const vise_status s = fit_layer(f, &l, e);
        close_layer(&l);
        if (s) return s;
    }
    return VISE_OK;
}

vise_status vise_int_fit_weights(vise_int_plan *p, vise_err *e)
{
    fitter f = {.p = p};
    vise_status s = vise_blas_load(&f.blas, e);
    if (!s) s = vise_dense_open(&f.dense, p->c->opts->threads, p->c->opts->cpu, e);
    if (!s) s = vise_prefix_open(&f.prefix, p->c, PICTURES, e);
    if (!s) s = fit_layers(&f, e);
    vise_prefix_close(&f.prefix);
    vise_dense_close(&f.dense);
    return s;
}
