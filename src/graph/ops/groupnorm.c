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

static void normalise(const group *g, float *y, const float *x)
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
    const double rstd = 1 / sqrt(var / count + g->eps);
    for (size_t r = 0; r < g->rows; r++)
        for (size_t i = 0; i < g->n; i++) {
            const double xhat = ((double)x[r * g->ld + i] - mean) * rstd;
            y[r * g->ld + i] =
                (float)(xhat * (g->w ? (double)g->w[i] : 1) + (g->b ? (double)g->b[i] : 0));
        }
}

static void forward(const vise_call *c)
{
    const vise_groupnorm_attr *a = c->attr;
    const size_t C = vise_shape_last(c->in[0].shape), groups = (size_t)a->groups, n = C / groups;
    const float *w = vise_call_optional(c, 1, 0), *b = vise_call_optional(c, 2, 0);
    const size_t images = vise_call_images(c);
    for (size_t i = 0; i < images * groups; i++) {
        const size_t first = i % groups * n, im = i / groups;
        const group g = {.rows = vise_shape_count(c->in[0].shape) / C,
                         .n = n,
                         .ld = C,
                         .eps = a->eps,
                         .w = w ? w + first : NULL,
                         .b = b ? b + first : NULL};
        normalise(&g, vise_arg_at(&c->out[0], im) + first, vise_arg_at(&c->in[0], im) + first);
    }
}

const vise_op vise_op_groupnorm = {.name = "groupnorm",
                                   .min_in = 1,
                                   .max_in = 3,
                                   .attr_size = sizeof(vise_groupnorm_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .forward = forward};
