/* mean.c - average over the listed axes, which disappear
 *
 *   x  in   [...]
 *   y  out  the extents of the axes not listed
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

static const vise_attr_def attrs[] = {
    {"axes", VISE_ATTR_INTS, offsetof(vise_mean_attr, axes), 0, -VISE_MAX_RANK, VISE_MAX_RANK - 1,
     NULL},
    {0},
};

/* The axes of x that stay (y's, in order) and those that go. */
typedef struct split {
    vise_shape keep, gone;
    size_t keep_stride[VISE_MAX_RANK], gone_stride[VISE_MAX_RANK];
} split;

/* Fails if an axis is out of range, listed twice, or none is listed. */
static vise_status split_axes(split *p, const vise_ints *axes, const vise_shape *x,
                              const char *node, vise_err *e)
{
    bool gone[VISE_MAX_RANK] = {false};
    size_t stride[VISE_MAX_RANK];
    char text[VISE_SHAPE_TEXT];
    if (!axes->n)
        return vise_fail(e, VISE_EFORMAT, "%s: mean of %s over no axis", node,
                         vise_shape_text(text, sizeof text, x));
    for (uint32_t i = 0; i < axes->n; i++) {
        uint32_t a;
        VISE_TRY(vise_axis(&a, axes->v[i], x->rank, node, e));
        if (gone[a])
            return vise_fail(e, VISE_EFORMAT, "%s: mean of %s over axis %u twice", node,
                             vise_shape_text(text, sizeof text, x), a);
        gone[a] = true;
    }
    *p = (split){0};
    vise_strides(stride, x);
    for (uint32_t a = 0; a < x->rank; a++) {
        vise_shape *to = gone[a] ? &p->gone : &p->keep;
        (gone[a] ? p->gone_stride : p->keep_stride)[to->rank] = stride[a];
        to->dim[to->rank++] = x->dim[a];
    }
    return VISE_OK;
}

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    split p;
    const vise_ints *axes = &((const vise_mean_attr *)s->attr)->axes;
    VISE_TRY(split_axes(&p, axes, s->in[0], s->name, e));
    *out = p.keep;
    return VISE_OK;
}

static float average(const split *p, const float *x)
{
    double sum = 0;
    vise_walk w;
    vise_walk_start(&w, &p->gone);
    vise_walk_strides(&w, 0, p->gone_stride);
    do
        for (size_t i = 0; i < w.n; i++)
            sum += (double)x[w.at[0] + i * w.step[0]];
    while (vise_walk_next(&w));
    return (float)(sum / (double)vise_shape_count(&p->gone));
}

static void forward(const vise_call *c)
{
    split p = {0};
    split_axes(&p, &((const vise_mean_attr *)c->attr)->axes, c->in[0].shape, "", NULL);
    for (size_t b = 0; b < vise_call_images(c); b++) {
        const float *x = vise_arg_at(&c->in[0], b);
        float *y = vise_arg_at(&c->out[0], b);
        vise_walk w;
        vise_walk_start(&w, &p.keep);
        vise_walk_strides(&w, 1, p.keep_stride);
        do
            for (size_t i = 0; i < w.n; i++)
                y[w.at[0] + i] = average(&p, x + w.at[1] + i * w.step[1]);
        while (vise_walk_next(&w));
    }
}

/* Adds g to every element that an average was made of. */
static void spread(const split *p, float *dx, float g)
{
    vise_walk w;
    vise_walk_start(&w, &p->gone);
    vise_walk_strides(&w, 0, p->gone_stride);
    do
        for (size_t i = 0; i < w.n; i++)
            dx[w.at[0] + i * w.step[0]] += g;
    while (vise_walk_next(&w));
}

/* Each of the n elements of an average receives dy / n. */
vise_backward_fn vise_mean_backward;
void vise_mean_backward(const vise_call *c, const float *dout, float *const din[])
{
    split p = {0};
    split_axes(&p, &((const vise_mean_attr *)c->attr)->axes, c->in[0].shape, "", NULL);
    const float n = (float)vise_shape_count(&p.gone);
    for (size_t b = 0; din[0] && b < vise_call_images(c); b++) {
        const float *dy = dout + b * vise_shape_count(c->out[0].shape);
        float *dx = vise_call_gradient(c, din, 0, b);
        vise_walk w;
        vise_walk_start(&w, &p.keep);
        vise_walk_strides(&w, 1, p.keep_stride);
        do
            for (size_t i = 0; i < w.n; i++)
                spread(&p, dx + w.at[1] + i * w.step[1], dy[w.at[0] + i] / n);
        while (vise_walk_next(&w));
    }
}

const vise_op vise_op_mean = {.name = "mean",
                              .min_in = 1,
                              .max_in = 1,
                              .attr_size = sizeof(vise_mean_attr),
                              .attrs = attrs,
                              .shape = shape,
                              .forward = forward};
