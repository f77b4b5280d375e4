/* embed_add.c - position embeddings, resized to a feature map and added to it
 *
 *   x      in   [H, W, C]
 *   table  in   [..., skip + grid_h grid_w, C]   leading extents 1
 *   y      out  [H, W, C]   x + resize(table[skip:], [grid_h, grid_w] -> [H, W])
 *
 * The resize is bicubic, antialiased unless the node is "aliased", and none if the grid is H x W.
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <string.h>

static const vise_attr_def attrs[] = {
    {"skip", VISE_ATTR_INT, offsetof(vise_embed_add_attr, skip), 0, 0, VISE_MAX_DIM, NULL},
    {"grid_h", VISE_ATTR_INT, offsetof(vise_embed_add_attr, grid_h), 1, 1, VISE_MAX_DIM, NULL},
    {"grid_w", VISE_ATTR_INT, offsetof(vise_embed_add_attr, grid_w), 1, 1, VISE_MAX_DIM, NULL},
    {"aliased", VISE_ATTR_BOOL, offsetof(vise_embed_add_attr, aliased), 0, 0, 1, NULL},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    const vise_embed_add_attr *a = s->attr;
    const vise_shape *x = s->in[0], *t = s->in[1];
    const uint64_t rows = (uint64_t)a->skip + (uint64_t)a->grid_h * (uint64_t)a->grid_w;
    bool ok = x->rank == 3 && t->rank >= 2 && t->dim[t->rank - 1] == x->dim[2] &&
              t->dim[t->rank - 2] == rows;
    for (uint32_t i = 0; ok && i + 2 < t->rank; i++)
        ok = t->dim[i] == 1;
    if (!ok) {
        char tx[VISE_SHAPE_TEXT], tt[VISE_SHAPE_TEXT];
        return vise_fail(
            e, VISE_EFORMAT, "%s: table %s of %lld + %lld x %lld positions does not fit %s",
            s->name, vise_shape_text(tt, sizeof tt, t), (long long)a->skip, (long long)a->grid_h,
            (long long)a->grid_w, vise_shape_text(tx, sizeof tx, x));
    }
    *out = *x;
    return VISE_OK;
}

static vise_map_resize geometry(const vise_embed_add_attr *a, const vise_shape *y)
{
    const size_t grid[2] = {(size_t)a->grid_h, (size_t)a->grid_w};
    return vise_map_resize_of(grid, y->dim, VISE_BICUBIC, !a->aliased);
}

static size_t scratch(const vise_sig *s, const vise_shape *out)
{
    const vise_map_resize g = geometry(s->attr, out);
    return vise_map_resize_scratch(&g);
}

static bool resizes(const vise_map_resize *g)
{
    return g->line[0].in != g->line[0].out || g->line[1].in != g->line[1].out;
}

static void forward(const vise_call *c)
{
    const vise_embed_add_attr *a = c->attr;
    const vise_shape *s = c->out[0].shape;
    const vise_map_resize g = geometry(a, s);
    const size_t count = vise_shape_count(s), C = s->dim[2];
    for (size_t b = 0; b < vise_call_images(c); b++) {
        const float *x = vise_arg_at(&c->in[0], b);
        const float *table = vise_arg_at(&c->in[1], b) + (size_t)a->skip * C;
        float *y = vise_arg_at(&c->out[0], b);
        if (resizes(&g))
            vise_map_resize_run(&g, y, table, C, c->scratch);
        else
            memcpy(y, table, count * sizeof *y);
        for (size_t i = 0; i < count; i++)
            y[i] += x[i];
    }
}

/* x receives dy; the table what the resize makes of it, back through its weights. */
vise_backward_fn vise_embed_add_backward;
void vise_embed_add_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_embed_add_attr *a = c->attr;
    const vise_shape *s = c->out[0].shape;
    const vise_map_resize g = geometry(a, s);
    const size_t count = vise_shape_count(s), C = s->dim[2];
    for (size_t b = 0; b < vise_call_images(c); b++) {
        const float *dy = dout + b * count;
        float *dx = vise_call_gradient(c, din, 0, b), *dtable = vise_call_gradient(c, din, 1, b);
        if (dx) vise_axpy(dx, 1, dy, count);
        if (!dtable) continue;
        dtable += (size_t)a->skip * C;
        if (resizes(&g))
            vise_map_resize_transposed(&g, dtable, dy, C, c->scratch);
        else
            vise_axpy(dtable, 1, dy, count);
    }
}

const vise_op vise_op_embed_add = {.name = "embed_add",
                                   .min_in = 2,
                                   .max_in = 2,
                                   .attr_size = sizeof(vise_embed_add_attr),
                                   .attrs = attrs,
                                   .shape = shape,
                                   .scratch = scratch,
                                   .forward = forward};
