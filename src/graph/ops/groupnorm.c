/* groupnorm.c - y = (x - mean) / sqrt(var + eps) * w + b, per image and group of channels
 *
 *   x     in   [..., C]   mean and variance over all extents and C / groups channels
 *   w, b  in   [C]        optional
 *   y     out  [..., C]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

static const vise_attr_def attrs[] = {
    {"eps", VISE_ATTR_REAL, offsetof(vise_groupnorm_attr, eps), 1e-5, 0, 1, NULL},
    {"groups", VISE_ATTR_INT, offsetof(vise_groupnorm_attr, groups), 1, 1, VISE_MAX_DIM, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const size_t C = vise_shape_last(s->in[0]);
    const size_t groups = (size_t)((const vise_groupnorm_attr *)s->attr)->groups;
    char text[VISE_SHAPE_TEXT];
    if (C % groups)
        return vise_fail(e, VISE_EFORMAT, "%s: the channels of %s do not divide into %zu groups",
                         s->name, vise_shape_text(text, sizeof text, s->in[0]), groups);
    *out = *s->in[0];
    return vise_check_channels(s, 1, C, e);
}

/* n channels of an image: rows of ld numbers. w, b start at the first of the channels, or NULL. */
typedef struct group {
    size_t rows, n, ld;
    double eps;
    const float *w, *b;
} group;

typedef struct stats {
    double mean, rstd;
} stats;

static stats stats_of(const group *g, const float *x)
{
    const double count = (double)(g->rows * g->n);
    double mean = 0, var = 0;
    for (size_t r = 0; r < g->rows; r++)
        for (size_t i = 0; i < g->n; i++)
            mean += (double)x[r * g->ld + i];
    mean /= count;
    for (size_t r = 0; r < g->rows; r++)
        for (size_t i = 0; i < g->n; i++)
            var += ((double)x[r * g->ld + i] - mean) * ((double)x[r * g->ld + i] - mean);
    return (stats){mean, 1 / sqrt(var / count + g->eps)};
}

static void normalise(const group *g, float *y, const float *x)
{
    const stats s = stats_of(g, x);
    for (size_t r = 0; r < g->rows; r++)
        for (size_t i = 0; i < g->n; i++) {
            const double xhat = ((double)x[r * g->ld + i] - s.mean) * s.rstd;
            y[r * g->ld + i] =
                (float)(xhat * (g->w ? (double)g->w[i] : 1) + (g->b ? (double)g->b[i] : 0));
        }
}

static size_t groups_of(const vise_call *c)
{
    return (size_t)((const vise_groupnorm_attr *)c->attr)->groups;
}

/* Group i of every image; its first channel. */
static group group_of(const vise_call *c, size_t i, size_t *first)
{
    const vise_groupnorm_attr *a = c->attr;
    const size_t C = vise_shape_last(c->in[0].shape), n = C / groups_of(c);
    const float *w = vise_call_optional(c, 1, 0), *b = vise_call_optional(c, 2, 0);
    *first = i * n;
    return (group){.rows = vise_shape_count(c->in[0].shape) / C,
                   .n = n,
                   .ld = C,
                   .eps = a->eps,
                   .w = w ? w + *first : NULL,
                   .b = b ? b + *first : NULL};
}

static void forward(const vise_call *c)
{
    const size_t images = vise_call_images(c), groups = groups_of(c);
    for (size_t i = 0; i < images * groups; i++) {
        size_t first;
        const group g = group_of(c, i % groups, &first);
        normalise(&g, vise_arg_at(&c->out[0], i / groups) + first,
                  vise_arg_at(&c->in[0], i / groups) + first);
    }
}

/* With xhat = (x - mean) rstd and g = dy w, averages over the group:
 *   dx = rstd (g - avg(g) - xhat avg(g xhat)),  dw = sum dy xhat,  db = sum dy.
 * dx, dw, db start as x, w, b, or are NULL. */
static void back(const group *g, float *dx, float *dw, float *db, const float *x, const float *dy)
{
    const stats s = stats_of(g, x);
    const double count = (double)(g->rows * g->n);
    double g_avg = 0, gx_avg = 0;
    for (size_t j = 0; j < g->rows * g->n; j++) {
        const size_t i = j % g->n, at = j / g->n * g->ld + i;
        const double xhat = ((double)x[at] - s.mean) * s.rstd, d = (double)dy[at];
        const double gi = d * (g->w ? (double)g->w[i] : 1);
        g_avg += gi / count;
        gx_avg += gi * xhat / count;
        if (dw) dw[i] += (float)(d * xhat);
        if (db) db[i] += dy[at];
    }
    for (size_t j = 0; dx && j < g->rows * g->n; j++) {
        const size_t i = j % g->n, at = j / g->n * g->ld + i;
        const double xhat = ((double)x[at] - s.mean) * s.rstd;
        const double gi = (double)dy[at] * (g->w ? (double)g->w[i] : 1);
        dx[at] += (float)(s.rstd * (gi - g_avg - xhat * gx_avg));
    }
}

vise_backward_fn vise_groupnorm_backward;
void vise_groupnorm_backward(const vise_call *c, const float *dout, float *const din[])
{
    const size_t images = vise_call_images(c), groups = groups_of(c);
    const size_t count = vise_shape_count(c->in[0].shape);
    for (size_t i = 0; i < images * groups; i++) {
        size_t first;
        const size_t im = i / groups;
        const group g = group_of(c, i % groups, &first);
        float *dx = vise_call_gradient(c, din, 0, im), *dw = vise_call_gradient(c, din, 1, im),
              *db = vise_call_gradient(c, din, 2, im);
        back(&g, dx ? dx + first : NULL, dw ? dw + first : NULL, db ? db + first : NULL,
             vise_arg_at(&c->in[0], im) + first, dout + im * count + first);
    }
}

const vise_op vise_op_groupnorm = {.name = "groupnorm",
                                   .min_in = 1,
                                   .max_in = 3,
                                   .attr_size = sizeof(vise_groupnorm_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .forward = forward};
