/* ops_util.c - what several operators share
 * SPDX-License-Identifier: MIT */
#include "graph/ops_util.h"

#include <math.h>
#include <string.h>

void vise_strides(size_t stride[VISE_MAX_RANK], const vise_shape *s)
{
    size_t n = 1;
    for (uint32_t i = s->rank; i-- > 0; n *= s->dim[i])
        stride[i] = n;
}

void vise_walk_start(vise_walk *w, const vise_shape *space)
{
    size_t stride[VISE_MAX_RANK] = {0};
    *w = (vise_walk){.n = vise_shape_last(space), .outer = *space};
    if (space->rank) w->outer.rank--;
    vise_strides(stride, space);
    vise_walk_strides(w, 0, stride);
}

void vise_walk_strides(vise_walk *w, unsigned i, const size_t *stride)
{
    memcpy(w->stride[i], stride, w->outer.rank * sizeof *stride);
    w->step[i] = stride[w->outer.rank]; // of a scalar: never taken, for its row has one element
}

void vise_walk_broadcast(vise_walk *w, unsigned i, const vise_shape *s)
{
    // the axes of s are the last ones of the space
    size_t own[VISE_MAX_RANK], stride[VISE_MAX_RANK] = {0};
    const uint32_t rank = w->outer.rank + 1, skip = rank > s->rank ? rank - s->rank : 0;
    vise_strides(own, s);
    for (uint32_t a = 0; a < s->rank; a++)
        stride[skip + a] = s->dim[a] == 1 ? 0 : own[a];
    vise_walk_strides(w, i, stride);
}

bool vise_walk_next(vise_walk *w)
{
    for (uint32_t a = w->outer.rank; a-- > 0;) {
        const bool more = ++w->index[a] < w->outer.dim[a];
        for (unsigned i = 0; i < VISE_WALK_ARRAYS; i++)
            if (more)
                w->at[i] += w->stride[i][a];
            else
                w->at[i] -= w->stride[i][a] * (w->outer.dim[a] - 1);
        if (more) return true;
        w->index[a] = 0;
    }
    return false;
}

static void walk_blocks(vise_walk *w, const vise_shape *space, const size_t *to_stride,
                        const size_t *from_stride)
{
    vise_walk_start(w, space);
    if (!space->rank) return;
    vise_walk_strides(w, 0, to_stride);
    vise_walk_strides(w, 1, from_stride);
}

void vise_copy_block(float *to, const size_t *to_stride, const float *from,
                     const size_t *from_stride, const vise_shape *space)
{
    vise_walk w;
    walk_blocks(&w, space, to_stride, from_stride);
    const size_t ts = w.step[0], fs = w.step[1];
    do {
        float *t = to + w.at[0];
        const float *f = from + w.at[1];
        if (ts == 1 && fs == 1) {
            memcpy(t, f, w.n * sizeof *t);
        } else {
            for (size_t i = 0; i < w.n; i++)
                t[i * ts] = f[i * fs];
        }
    } while (vise_walk_next(&w));
}

void vise_add_block(float *to, const size_t *to_stride, const float *from,
                    const size_t *from_stride, const vise_shape *space)
{
    vise_walk w;
    walk_blocks(&w, space, to_stride, from_stride);
    const size_t ts = w.step[0], fs = w.step[1];
    do
        if (ts == 1 && fs == 1)
            vise_axpy(to + w.at[0], 1, from + w.at[1], w.n);
        else
            for (size_t i = 0; i < w.n; i++)
                to[w.at[0] + i * ts] += from[w.at[1] + i * fs];
    while (vise_walk_next(&w));
}

size_t vise_call_images(const vise_call *c)
{
    return c->out[0].batched ? c->batch : 1;
}

const float *vise_call_optional(const vise_call *c, uint32_t i, size_t b)
{
    return i < c->nin && c->in[i].data ? vise_arg_at(&c->in[i], b) : NULL;
}

float *vise_call_gradient(const vise_call *c, float *const din[], uint32_t i, size_t b)
{
    if (i >= c->nin || !c->in[i].shape || !din[i]) return NULL;
    return din[i] + (c->in[i].batched ? b * vise_shape_count(c->in[i].shape) : 0);
}

/* The loops of both go by LANES, for the compiler to make vectors of. */
enum { LANES = 8 };

void vise_axpy(float *restrict y, float a, const float *restrict x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            y[i + j] += a * x[i + j];
    for (; i < n; i++)
        y[i] += a * x[i];
}

float vise_dot(const float *x, const float *y, size_t n)
{
    float lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += x[i + j] * y[i + j];
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

void vise_call_rows(const vise_call *c, vise_row_fn *row)
{
    const size_t images = vise_call_images(c);
    for (size_t b = 0; b < images; b++) {
        vise_walk w;
        vise_walk_start(&w, c->out[0].shape);
        vise_walk_broadcast(&w, 1, c->in[0].shape);
        vise_walk_broadcast(&w, 2, c->in[1].shape);
        do
            row(vise_arg_at(&c->out[0], b) + w.at[0], vise_arg_at(&c->in[0], b) + w.at[1],
                w.step[1], vise_arg_at(&c->in[1], b) + w.at[2], w.step[2], w.n);
        while (vise_walk_next(&w));
    }
}

void vise_softmax_row(float *p, size_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        max = p[i] > max ? p[i] : max; // NaN comes back through expf
    for (size_t i = 0; i < n; i++) {
        p[i] = expf(p[i] - max);
        sum += (double)p[i];
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((double)p[i] / sum);
}

vise_map_resize vise_map_resize_of(const size_t *in, const size_t *out, vise_filter filter,
                                   bool antialias)
{
    return (vise_map_resize){
        {{in[0], out[0], filter, antialias}, {in[1], out[1], filter, antialias}}};
}

size_t vise_map_resize_scratch(const vise_map_resize *g)
{
    return (vise_taps_max(&g->line[0]) + vise_taps_max(&g->line[1])) * sizeof(double) /
           sizeof(float);
}

/* One output: all channels of a pixel from [ny, nx] pixels of x, whose rows are W pixels. */
typedef struct window {
    const double *wy, *wx;
    size_t ny, nx, W, C;
} window;

static void blend(const window *k, float *y, const float *x)
{
    for (size_t c = 0; c < k->C; c++) {
        double sum = 0;
        for (size_t i = 0; i < k->ny; i++)
            for (size_t j = 0; j < k->nx; j++)
                sum += k->wy[i] * k->wx[j] * (double)x[(i * k->W + j) * k->C + c];
        y[c] = (float)sum;
    }
}

void vise_map_resize_run(const vise_map_resize *g, float *y, const float *x, size_t C,
                         float *scratch)
{
    double *wy = (void *)scratch, *wx = wy + vise_taps_max(&g->line[0]);
    for (size_t i = 0; i < g->line[0].out; i++) {
        size_t top, left;
        const size_t ny = vise_taps_at(&g->line[0], i, &top, wy);
        for (size_t j = 0; j < g->line[1].out; j++, y += C) {
            const size_t nx = vise_taps_at(&g->line[1], j, &left, wx);
            const window k = {wy, wx, ny, nx, g->line[1].in, C};
            blend(&k, y, x + (top * k.W + left) * C);
        }
    }
}

void vise_map_resize_transposed(const vise_map_resize *g, float *dx, const float *dy, size_t C,
                                float *scratch)
{
    double *wy = (void *)scratch, *wx = wy + vise_taps_max(&g->line[0]);
    for (size_t i = 0; i < g->line[0].out; i++) {
        size_t top, left;
        const size_t ny = vise_taps_at(&g->line[0], i, &top, wy);
        for (size_t j = 0; j < g->line[1].out; j++, dy += C) {
            const size_t nx = vise_taps_at(&g->line[1], j, &left, wx);
            for (size_t k = 0; k < ny * nx; k++) {
                const size_t y = top + k / nx, x = left + k % nx;
                vise_axpy(dx + (y * g->line[1].in + x) * C, (float)(wy[k / nx] * wx[k % nx]), dy,
                          C);
            }
        }
    }
}

vise_status vise_shape_elementwise(const vise_sig *s, vise_shape *out, vise_err *e)
{
    return vise_broadcast(out, s->in[0], s->in[1], s->name, e);
}

vise_status vise_check_channels(const vise_sig *s, uint32_t first, size_t C, vise_err *e)
{
    for (uint32_t i = first; i < s->nin; i++) {
        char text[VISE_SHAPE_TEXT];
        if (!s->in[i]) continue;
        if (s->in[i]->rank != 1 || s->in[i]->dim[0] != C)
            return vise_fail(e, VISE_EFORMAT, "%s: parameter %u has shape %s, expected [%zu]",
                             s->name, i, vise_shape_text(text, sizeof text, s->in[i]), C);
        if (s->batched[i])
            return vise_fail(e, VISE_EFORMAT, "%s: parameter %u depends on the image", s->name, i);
    }
    return VISE_OK;
}

uint64_t vise_mul_saturated(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}
