/* ops_places.h - oracles of the operators that move elements, and of those on feature maps
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_OPS_PLACES_H
#define TESTS_OPS_PLACES_H

#include "ops_problem.h"

static void make_concat(problem *p)
{
    const vise_shape s = random_shape(p, 1, 4, 7);
    const uint32_t axis = (uint32_t)pick(p, s.rank), n = 1 + (uint32_t)pick(p, VISE_MAX_IN);
    ((vise_concat_attr *)p->attr)->axis = (int64_t)axis - (pick(p, 2) ? (int64_t)s.rank : 0);
    p->out = s;
    p->out.dim[axis] = 0;
    for (uint32_t i = 0; i < n; i++) {
        vise_shape x = s;
        x.dim[axis] = extent(p, 5);
        operand_add(p, x, true);
        p->out.dim[axis] += x.dim[axis];
    }
}

static double want_concat(const problem *p, size_t b, const size_t *at, double *mag)
{
    const int64_t a = ((const vise_concat_attr *)p->attr)->axis;
    const size_t axis = (size_t)(a < 0 ? a + p->out.rank : a);
    size_t own[VISE_MAX_RANK];
    unsigned i = 0;
    memcpy(own, at, sizeof own);
    for (; own[axis] >= p->in[i].shape.dim[axis]; i++)
        own[axis] -= p->in[i].shape.dim[axis];
    *mag = 0;
    return get(p, i, b, own);
}

/* Weight of input j (which may lie outside) for output o of a resized line, not normalised. */
static double tap(double j, double o, double in, double out, bool cubic, bool antialias)
{
    const double scale = in / out, wide = antialias ? fmax(scale, 1) : 1;
    double centre = (o + 0.5) * scale - 0.5;
    if (!cubic && !antialias) centre = fmax(centre, 0);
    const double x = fabs(j - centre) / wide, a = antialias ? -0.5 : -0.75;
    if (!cubic) return fmax(1 - x, 0);
    if (x >= 2) return 0;
    return x < 1 ? (a + 2) * pow(x, 3) - (a + 3) * x * x + 1
                 : a * pow(x, 3) - 5 * a * x * x + 8 * a * x - 4 * a;
}

typedef struct map {
    const float *data; // [in[0], in[1], C]
    size_t in[2], out[2], C;
    bool cubic, antialias;
} map;

/* Inputs beyond the border repeat the outermost; antialiased, they do not take part. */
static double resized(const map *m, const size_t *at, double *mag)
{
    const long margin = m->antialias ? 0 : 4;
    double y = 0, weights = 0, all = 0;
    for (long i = -margin; i < (long)m->in[0] + margin; i++) {
        const double wy = tap((double)i, (double)at[0], (double)m->in[0], (double)m->out[0],
                              m->cubic, m->antialias);
        const long ci = i < 0 ? 0 : i >= (long)m->in[0] ? (long)m->in[0] - 1 : i;
        for (long j = -margin; wy != 0 && j < (long)m->in[1] + margin; j++) {
            const double w = wy * tap((double)j, (double)at[1], (double)m->in[1], (double)m->out[1],
                                      m->cubic, m->antialias);
            const long cj = j < 0 ? 0 : j >= (long)m->in[1] ? (long)m->in[1] - 1 : j;
            const size_t pixel = (size_t)ci * m->in[1] + (size_t)cj;
            const double x = (double)m->data[pixel * m->C + at[2]];
            weights += w;
            y += w * x;
            all += fabs(w * x);
        }
    }
    *mag = all / weights;
    return y / weights;
}

static void make_embed_add(problem *p)
{
    vise_embed_add_attr *a = (vise_embed_add_attr *)p->attr;
    const size_t C = extent(p, 9), h = extent(p, 9), w = extent(p, 9), lead = 2 + pick(p, 3);
    const bool same = pick(p, 3) == 0;
    a->skip = (int64_t)pick(p, 3);
    a->grid_h = (int64_t)h;
    a->grid_w = (int64_t)w;
    p->out = shape_of(3, same ? h : extent(p, 16), same ? w : extent(p, 16), C, 0);
    vise_shape t = {.rank = (uint32_t)lead, .dim = {1, 1, 1, 1}};
    t.dim[lead - 2] = (size_t)a->skip + h * w;
    t.dim[lead - 1] = C;
    operand_add(p, p->out, true);
    operand_add(p, t, pick(p, 4) == 0);
    a->aliased = pick(p, 2) == 0;
}

static double want_embed_add(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_embed_add_attr *a = (const vise_embed_add_attr *)p->attr;
    const size_t image = p->in[1].batched ? b * vise_shape_count(&p->in[1].shape) : 0;
    const map m = {.data = p->in[1].data + image + (size_t)a->skip * p->out.dim[2],
                   .in = {(size_t)a->grid_h, (size_t)a->grid_w},
                   .out = {p->out.dim[0], p->out.dim[1]},
                   .C = p->out.dim[2],
                   .cubic = true,
                   .antialias = !a->aliased};
    const double x = get(p, 0, b, at), y = x + resized(&m, at, mag);
    *mag += fabs(x);
    return y;
}

static void make_pad(problem *p)
{
    vise_pad_attr *a = (vise_pad_attr *)p->attr;
    const vise_shape s = random_shape(p, 1, 4, 7);
    const bool before = pick(p, 3), after = pick(p, 3);
    p->out = s;
    a->value = pick(p, 2) ? 0 : -1.5;
    for (uint32_t i = 0; i < s.rank; i++) {
        if (before) p->out.dim[i] += (size_t)(a->before.v[a->before.n++] = (int64_t)pick(p, 3));
        if (after) p->out.dim[i] += (size_t)(a->after.v[a->after.n++] = (int64_t)pick(p, 3));
    }
    operand_add(p, s, true);
}

static double want_pad(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_pad_attr *a = (const vise_pad_attr *)p->attr;
    const vise_shape *s = &p->in[0].shape;
    size_t x[VISE_MAX_RANK];
    *mag = 0;
    for (uint32_t i = 0; i < s->rank; i++) {
        const size_t skip = a->before.n ? (size_t)a->before.v[i] : 0;
        if (at[i] < skip || at[i] - skip >= s->dim[i]) return a->value;
        x[i] = at[i] - skip;
    }
    return get(p, 0, b, x);
}

static void make_permute(problem *p)
{
    vise_ints *order = &((vise_permute_attr *)p->attr)->order;
    const vise_shape s = random_shape(p, 0, 5, 5);
    p->out = s;
    order->n = s.rank;
    for (uint32_t i = 0; i < s.rank; i++) { // insert axis i at a random place
        const uint32_t to = (uint32_t)pick(p, i + 1);
        order->v[i] = order->v[to];
        order->v[to] = i;
    }
    for (uint32_t i = 0; i < s.rank; i++) {
        p->out.dim[i] = s.dim[order->v[i]];
        if (pick(p, 2)) order->v[i] -= (int64_t)s.rank;
    }
    operand_add(p, s, true);
}

static double want_permute(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_ints *order = &((const vise_permute_attr *)p->attr)->order;
    size_t x[VISE_MAX_RANK];
    for (uint32_t i = 0; i < order->n; i++)
        x[order->v[i] < 0 ? order->v[i] + (int64_t)order->n : order->v[i]] = at[i];
    *mag = 0;
    return get(p, 0, b, x);
}

static void make_pool(problem *p)
{
    vise_pool_attr *a = (vise_pool_attr *)p->attr;
    a->kind = (int)pick(p, 2);
    a->kernel = pair(p, 2, 4);
    if (!a->kernel.n) a->kernel.n = 1;
    a->stride = pair(p, 1, 4);
    a->pad = pair(p, 0, 1);
    a->ceil = pick(p, 2);
    a->count_pad = pick(p, 2);
    const vise_shape x = shape_of(3, 4 + pick(p, 6), 4 + pick(p, 6), extent(p, 5), 0);
    p->out = x;
    for (size_t i = 0; i < 2; i++) {
        const size_t k = pair_get(&a->kernel, i, 0), pad = pair_get(&a->pad, i, 0);
        const size_t end = x.dim[i] + 2 * pad, step = pair_get(&a->stride, i, k);
        size_t n = 0, at = 0;
        for (; at + k <= end; at += step)
            n++;
        // one more with ceil, if elements are left over and it starts no later than the image ends
        if (a->ceil && at - step + k < end && at < x.dim[i] + pad) n++;
        p->out.dim[i] = n;
    }
    operand_add(p, x, true);
}

static double want_pool(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_pool_attr *a = (const vise_pool_attr *)p->attr;
    const vise_shape *x = &p->in[0].shape;
    const size_t kh = pair_get(&a->kernel, 0, 0), kw = pair_get(&a->kernel, 1, 0);
    const size_t ph = pair_get(&a->pad, 0, 0), pw = pair_get(&a->pad, 1, 0);
    double max = -HUGE_VAL, sum = 0, all = 0, n = 0;
    for (size_t i = 0; i < kh * kw; i++) { // in padded coordinates
        const size_t py = at[0] * pair_get(&a->stride, 0, kh) + i / kw;
        const size_t px = at[1] * pair_get(&a->stride, 1, kw) + i % kw;
        if (py >= x->dim[0] + 2 * ph || px >= x->dim[1] + 2 * pw) continue;
        const bool inside = py >= ph && px >= pw && py < x->dim[0] + ph && px < x->dim[1] + pw;
        n += inside || a->count_pad;
        if (!inside) continue;
        const double v = get(p, 0, b, (size_t[]){py - ph, px - pw, at[2]});
        max = fmax(max, v);
        sum += v;
        all += fabs(v);
    }
    *mag = a->kind ? all / n : 0;
    return a->kind ? sum / n : max;
}

static void make_reshape(problem *p)
{
    vise_ints *want = &((vise_reshape_attr *)p->attr)->shape;
    const vise_shape s = random_shape(p, 2, 4, 7);
    const unsigned how = (unsigned)pick(p, 3);
    operand_add(p, s, true);
    *want = (vise_ints){2, {(int64_t)s.dim[0], -1}};
    p->out = shape_of(2, s.dim[0], vise_shape_count(&s) / s.dim[0], 0, 0);
    if (how == 0) want->v[0] = 0;
    if (how == 1) { // everything in one axis, behind a new one
        *want = (vise_ints){2, {1, (int64_t)vise_shape_count(&s)}};
        p->out = shape_of(2, 1, vise_shape_count(&s), 0, 0);
    }
}

static double want_reshape(const problem *p, size_t b, const size_t *at, double *mag)
{
    size_t x[VISE_MAX_RANK];
    coordinates(x, &p->in[0].shape, offset_of(&p->out, at));
    *mag = 0;
    return get(p, 0, b, x);
}

static void make_resize(problem *p)
{
    vise_resize_attr *a = (vise_resize_attr *)p->attr;
    const unsigned how = (unsigned)pick(p, 3);
    a->filter = (int)pick(p, 3);
    a->antialias = a->filter && pick(p, 2);
    const vise_shape x = shape_of(3, extent(p, 16), extent(p, 16), extent(p, 5), 0);
    p->out = shape_of(3, extent(p, 16), extent(p, 16), x.dim[2], 0);
    operand_add(p, x, true);
    if (how == 0) a->size = (vise_ints){2, {(int64_t)p->out.dim[0], (int64_t)p->out.dim[1]}};
    if (how == 1) operand_add(p, shape_of(3, p->out.dim[0], p->out.dim[1], 2, 0), true);
    if (how == 2) {
        a->scale = (vise_ints){2, {2, 3}};
        p->out.dim[0] = 2 * x.dim[0];
        p->out.dim[1] = 3 * x.dim[1];
    }
}

static double want_resize(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_resize_attr *a = (const vise_resize_attr *)p->attr;
    const vise_shape *x = &p->in[0].shape;
    const size_t image = p->in[0].batched ? b * vise_shape_count(x) : 0;
    const map m = {.data = p->in[0].data + image,
                   .in = {x->dim[0], x->dim[1]},
                   .out = {p->out.dim[0], p->out.dim[1]},
                   .C = x->dim[2],
                   .cubic = a->filter == 2,
                   .antialias = a->antialias};
    if (a->filter) return resized(&m, at, mag);
    size_t from[3] = {0, 0, at[2]}; // the last input that starts no later than the output
    for (size_t i = 0; i < 2; i++)
        while ((from[i] + 1) * p->out.dim[i] <= at[i] * x->dim[i])
            from[i]++;
    *mag = 0;
    return get(p, 0, b, from);
}

static void make_roll(problem *p)
{
    vise_roll_attr *a = (vise_roll_attr *)p->attr;
    p->out = operand_add(p, random_shape(p, 1, 4, 7), true)->shape;
    a->axes.n = a->shifts.n = (uint32_t)pick(p, 4);
    for (uint32_t i = 0; i < a->axes.n; i++) {
        a->axes.v[i] = (int64_t)pick(p, 2 * p->out.rank) - (int64_t)p->out.rank;
        a->shifts.v[i] = (int64_t)pick(p, 31) - 15;
    }
}

static double want_roll(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_roll_attr *a = (const vise_roll_attr *)p->attr;
    size_t x[VISE_MAX_RANK];
    memcpy(x, at, sizeof x);
    for (uint32_t i = 0; i < a->axes.n; i++) {
        const int64_t axis = a->axes.v[i] < 0 ? a->axes.v[i] + p->out.rank : a->axes.v[i];
        for (int64_t s = a->shifts.v[i]; s > 0; s--) // one step back at a time
            x[axis] = x[axis] ? x[axis] - 1 : p->out.dim[axis] - 1;
        for (int64_t s = a->shifts.v[i]; s < 0; s++)
            x[axis] = x[axis] + 1 < p->out.dim[axis] ? x[axis] + 1 : 0;
    }
    *mag = 0;
    return get(p, 0, b, x);
}

static void make_slice(problem *p)
{
    vise_slice_attr *a = (vise_slice_attr *)p->attr;
    vise_shape s = random_shape(p, 1, 4, 7);
    const size_t axis = pick(p, s.rank), n = s.dim[axis] = 1 + pick(p, 9);
    const size_t start = pick(p, n), stop = start + 1 + pick(p, n - start);
    a->axis = (int64_t)axis - (pick(p, 2) ? (int64_t)s.rank : 0);
    a->step = 1 + (int64_t)pick(p, 3);
    a->start = (int64_t)start - (pick(p, 2) ? (int64_t)n : 0);
    a->stop = (int64_t)stop - (stop < n && pick(p, 2) ? (int64_t)n : 0);
    if (stop == n && pick(p, 2)) a->stop = VISE_SLICE_END;
    p->out = s;
    p->out.dim[axis] = 0;
    for (size_t i = start; i < stop; i += (size_t)a->step)
        p->out.dim[axis]++;
    operand_add(p, s, true);
}

static double want_slice(const problem *p, size_t b, const size_t *at, double *mag)
{
    const vise_slice_attr *a = (const vise_slice_attr *)p->attr;
    const size_t axis = (size_t)(a->axis < 0 ? a->axis + p->out.rank : a->axis);
    const int64_t n = (int64_t)p->in[0].shape.dim[axis];
    size_t x[VISE_MAX_RANK];
    memcpy(x, at, sizeof x);
    x[axis] = (size_t)((a->start < 0 ? a->start + n : a->start) + (int64_t)at[axis] * a->step);
    *mag = 0;
    return get(p, 0, b, x);
}

#endif
