/* fast.c - nodes whose gradients are worth a version of their own
 * SPDX-License-Identifier: MIT */
#include "train/fast.h"
#include "graph/ops.h"
#include "train/matrices.h"

#include <math.h>
#include <string.h>

static size_t images_of(const vise_fast *f)
{
    return f->call.out[0].batched ? f->call.batch : 1;
}

static size_t last_of(const vise_shape *s)
{
    return s->rank ? s->dim[s->rank - 1] : 1;
}

/* ---- linear ---- */

static vise_linear_grad linear_of(const vise_fast *f)
{
    static const vise_actq none = {0};
    const vise_call *c = &f->call;
    return (vise_linear_grad){.dx = f->din[0],
                              .dw = f->din[1],
                              .db = f->din[2],
                              .fresh = f->fresh,
                              .dout = f->dout,
                              .x = c->in[0].data,
                              .w = c->in[1].data,
                              .actq = c->actq ? c->actq : &none,
                              .dscale = f->dscale};
}

static vise_status linear(const vise_fast *f, vise_err *e)
{
    vise_linear_grad l = linear_of(f);
    l.N = f->call.in[1].shape->dim[0];
    l.K = f->call.in[1].shape->dim[1];
    l.rows = vise_shape_count(f->call.in[0].shape) / l.K * images_of(f);
    return vise_linear_gradients(f->dense, f->work, &l, e);
}

/* ---- conv2d: patches are the rows of a matrix ---- */

enum { PATCHES = 4096 }; // about how many at once

typedef struct conv {
    vise_conv2d_geometry g;
    const float *x;  // [images, in[0], in[1], C]
    float *dx;       // likewise, or NULL
    float *rows;     // [images, out[0], out[1], K]
    float *drows;    // likewise, or NULL
    size_t K, image; // of a patch; of a picture
    bool fresh;      // dx is not there yet
} conv;

/* Where a tap reads a picture; SIZE_MAX: outside. */
static size_t tap_at(const vise_conv2d_geometry *g, size_t y, size_t x, size_t ky, size_t kx)
{
    // unsigned wrap makes a position before the image larger than its size
    const size_t iy = y * g->stride[0] + ky * g->dilation[0] - g->pad[0];
    const size_t ix = x * g->stride[1] + kx * g->dilation[1] - g->pad[1];
    return iy < g->in[0] && ix < g->in[1] ? (iy * g->in[1] + ix) * g->ldx : SIZE_MAX;
}

/* Rows of output pixels [from, to). */
static void gather(void *ctx, size_t from, size_t to)
{
    const conv *v = ctx;
    const vise_conv2d_geometry *g = &v->g;
    const size_t pixels = g->out[0] * g->out[1], taps = g->k[0] * g->k[1];
    for (size_t i = from; i < to; i++) {
        const float *x = v->x + i / pixels * v->image;
        float *row = v->rows + i * v->K;
        for (size_t k = 0; k < taps; k++) {
            const size_t p = i % pixels,
                         at = tap_at(g, p / g->out[1], p % g->out[1], k / g->k[1], k % g->k[1]);
            for (size_t c = 0; c < g->C; c++)
                row[c * taps + k] = at == SIZE_MAX ? 0 : x[at + c];
        }
    }
}

/* Gradients of rows to where they came from, picture by picture. */
static void scatter(void *ctx, size_t from, size_t to)
{
    const conv *v = ctx;
    const vise_conv2d_geometry *g = &v->g;
    const size_t pixels = g->out[0] * g->out[1], taps = g->k[0] * g->k[1];
    if (v->fresh) memset(v->dx + from * v->image, 0, (to - from) * v->image * sizeof *v->dx);
    for (size_t i = from * pixels; i < to * pixels; i++) {
        float *dx = v->dx + i / pixels * v->image;
        const float *row = v->drows + i * v->K;
        for (size_t k = 0; k < taps; k++) {
            const size_t p = i % pixels,
                         at = tap_at(g, p / g->out[1], p % g->out[1], k / g->k[1], k % g->k[1]);
            for (size_t c = 0; at != SIZE_MAX && c < g->C; c++)
                dx[at + c] += row[c * taps + k];
        }
    }
}

static bool is_pointwise(const vise_conv2d_geometry *g)
{
    bool is = true;
    for (unsigned i = 0; i < 2; i++)
        is = is && g->k[i] == 1 && g->stride[i] == 1 && !g->pad[i];
    return is;
}

/* Some pictures, whose patches there is room for. */
static vise_status some_pictures(const vise_fast *f, conv *v, vise_linear_grad *l, size_t images,
                                 vise_err *e)
{
    const size_t pixels = v->g.out[0] * v->g.out[1];
    l->rows = images * pixels;
    l->x = v->rows;
    l->dx = v->drows;
    vise_dense_rows(f->dense, l->rows, 64, gather, v);
    VISE_TRY(vise_linear_gradients(f->dense, f->work, l, e));
    if (v->dx) vise_dense_rows(f->dense, images, 1, scatter, v);
    return VISE_OK;
}

static vise_status conv2d(const vise_fast *f, vise_err *e)
{
    const vise_call *c = &f->call;
    const size_t images = images_of(f);
    vise_linear_grad l = linear_of(f);
    conv v = {.x = c->in[0].data,
              .dx = f->din[0],
              .image = vise_shape_count(c->in[0].shape),
              .fresh = f->fresh};
    vise_conv2d_geometry_of(&v.g, c->attr, c->in[0].shape, c->in[1].shape, c->out[0].shape);
    const size_t pixels = v.g.out[0] * v.g.out[1], most = PATCHES / pixels ? PATCHES / pixels : 1;
    l.N = v.g.N;
    l.K = v.K = v.g.C * v.g.k[0] * v.g.k[1];
    l.rows = images * pixels;
    if (is_pointwise(&v.g)) return vise_linear_gradients(f->dense, f->work, &l, e);
    const size_t room = (most < images ? most : images) * pixels * v.K;
    VISE_TRY(vise_work_need(f->work, VISE_WORK_PATCHES, room, e));
    if (v.dx) VISE_TRY(vise_work_need(f->work, VISE_WORK_DPATCHES, room, e));
    v.rows = f->work->p[VISE_WORK_PATCHES];
    v.drows = v.dx ? f->work->p[VISE_WORK_DPATCHES] : NULL;
    l.fresh = true; // drows
    for (size_t i = 0; i < images; i += most) {
        const size_t n = images - i < most ? images - i : most;
        VISE_TRY(some_pictures(f, &v, &l, n, e));
        v.x += n * v.image;
        if (v.dx) v.dx += n * v.image;
        l.dout += n * pixels * l.N;
    }
    return VISE_OK;
}

/* ---- layernorm ---- */

enum { LANES = 8, PIECE = 32 }; // numbers that the compiler makes vectors of; rows of one sum

typedef struct norm {
    const float *x, *w, *dy;
    float *dx;   // or NULL
    float *sums; // [pieces of rows, 2, C] of dw and db
    size_t C;
    float eps;
    bool fresh;
} norm;

static float total(const float lane[LANES])
{
    float sum = 0;
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

/* Mean and 1 / standard deviation. */
static void row_stats(const norm *v, const float *x, float *mean, float *rstd)
{
    float sum[LANES] = {0}, squares[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= v->C; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sum[j] += x[i + j];
    for (; i < v->C; i++)
        sum[i % LANES] += x[i];
    const float m = total(sum) / (float)v->C;
    for (i = 0; i + LANES <= v->C; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            squares[j] += (x[i + j] - m) * (x[i + j] - m);
    for (; i < v->C; i++)
        squares[i % LANES] += (x[i] - m) * (x[i] - m);
    *mean = m;
    *rstd = 1 / sqrtf(total(squares) / (float)v->C + v->eps);
}

/* One row: its part of dw and db; dx as the operator's file says. */
static void norm_row(const norm *v, const float *x, const float *dy, float *dx, float *dw)
{
    float mean, rstd, g[LANES] = {0}, gx[LANES] = {0}, *db = dw + v->C;
    const float *w = v->w;
    size_t i = 0;
    row_stats(v, x, &mean, &rstd);
    for (; i + LANES <= v->C; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const float hat = (x[i + j] - mean) * rstd, d = dy[i + j];
            g[j] += d * w[i + j];
            gx[j] += d * w[i + j] * hat;
            dw[i + j] += d * hat;
            db[i + j] += d;
        }
    for (; i < v->C; i++) {
        const float hat = (x[i] - mean) * rstd;
        g[i % LANES] += dy[i] * w[i];
        gx[i % LANES] += dy[i] * w[i] * hat;
        dw[i] += dy[i] * hat;
        db[i] += dy[i];
    }
    const float g_avg = total(g) / (float)v->C, gx_avg = total(gx) / (float)v->C;
    for (i = 0; dx && i < v->C; i++)
        dx[i] += rstd * (dy[i] * w[i] - g_avg - (x[i] - mean) * rstd * gx_avg);
}

static void norm_rows(void *ctx, size_t from, size_t to)
{
    const norm *v = ctx;
    const size_t C = v->C;
    float *sums = v->sums + from / PIECE * 2 * C;
    memset(sums, 0, 2 * C * sizeof *sums);
    if (v->dx && v->fresh) memset(v->dx + from * C, 0, (to - from) * C * sizeof *v->dx);
    for (size_t r = from; r < to; r++)
        norm_row(v, v->x + r * C, v->dy + r * C, v->dx ? v->dx + r * C : NULL, sums);
}

static vise_status layernorm(const vise_fast *f, vise_err *e)
{
    const vise_call *c = &f->call;
    const size_t C = last_of(c->in[0].shape);
    const size_t rows = vise_shape_count(c->in[0].shape) / C * images_of(f);
    const size_t pieces = (rows + PIECE - 1) / PIECE;
    VISE_TRY(vise_work_need(f->work, VISE_WORK_SUMS, pieces * 2 * C, e));
    norm v = {.x = c->in[0].data,
              .w = c->in[1].data,
              .dy = f->dout,
              .dx = f->din[0],
              .sums = f->work->p[VISE_WORK_SUMS],
              .C = C,
              .eps = (float)((const vise_norm_attr *)c->attr)->eps,
              .fresh = f->fresh};
    vise_dense_rows(f->dense, rows, PIECE, norm_rows, &v);
    if (f->din[1]) vise_column_sums(f->dense, f->din[1], v.sums, 2 * C, pieces, C);
    if (f->din[2]) vise_column_sums(f->dense, f->din[2], v.sums + C, 2 * C, pieces, C);
    return VISE_OK;
}

/* ---- act: dx += dy f'(x) ---- */

enum { SLOPES = 512 }; // of one round, so that they stay in the first-level cache

typedef struct slopes {
    vise_act_fn *slope;
    float *dx;
    const float *x, *dy;
    bool fresh;
} slopes;

static void some_slopes(void *ctx, size_t from, size_t to)
{
    const slopes *s = ctx;
    float y[SLOPES];
    for (size_t i = from; i < to; i += SLOPES) {
        const size_t n = to - i < SLOPES ? to - i : SLOPES;
        s->slope(y, n, s->x + i, n, 1, n, NULL);
        if (s->fresh) memset(s->dx + i, 0, n * sizeof *s->dx);
        for (size_t j = 0; j < n; j++)
            s->dx[i + j] += s->dy[i + j] * y[j];
    }
}

static void act(const vise_fast *f)
{
    slopes s = {f->dense->kern.gelu_slope, f->din[0], f->call.in[0].data, f->dout, f->fresh};
    const size_t n = vise_shape_count(f->call.in[0].shape) * images_of(f);
    if (s.dx) vise_dense_rows(f->dense, n, 16 * SLOPES, some_slopes, &s);
}

/* ---- which ---- */

static bool is(const vise_fast *f, const char *op)
{
    return !strcmp(f->op->name, op);
}

bool vise_fast_knows(const vise_fast *f)
{
    const vise_call *c = &f->call;
    if (is(f, "act")) return ((const vise_act_attr *)c->attr)->kind == VISE_ACT_GELU;
    if (is(f, "conv2d")) return ((const vise_conv2d_attr *)c->attr)->groups == 1;
    if (is(f, "layernorm")) return c->nin > 1 && c->in[1].data;
    return is(f, "linear");
}

vise_status vise_fast_backward(const vise_fast *f, vise_err *e)
{
    if (is(f, "linear")) return linear(f, e);
    if (is(f, "conv2d")) return conv2d(f, e);
    if (is(f, "layernorm")) return layernorm(f, e);
    act(f);
    return VISE_OK;
}
