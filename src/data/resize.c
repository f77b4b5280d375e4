/* resize.c - two passes of fixed-point filtering
 * SPDX-License-Identifier: MIT */
#include "data/resize.h"

#include <assert.h>
#include <string.h>

enum { BITS = 22 }; // of a weight's fraction; 8 bits of sample and 2 of overshoot fill an int32_t

/* Which inputs make the outputs of a window, and by how much. One block. */
typedef struct taps {
    size_t out, most;      // outputs of the window; most inputs of one
    size_t *first, *count; // [out]
    int32_t *weight;       // [out, most] fixed point
    double *exact;         // [most] of the output at hand
    void *block;
} taps;

static void place(taps *t, vise_arena *m)
{
    size_t weights = 0;
    if (vise_mul_overflows(t->out, t->most, &weights)) m->overflow = true;
    t->first = vise_arena_take(m, t->out, sizeof *t->first);
    t->count = vise_arena_take(m, t->out, sizeof *t->count);
    t->weight = vise_arena_take(m, weights, sizeof *t->weight);
    t->exact = vise_arena_take(m, t->most, sizeof *t->exact);
}

static vise_status taps_new(taps *t, const vise_axis *axis, vise_filter filter, vise_err *e)
{
    const vise_resize line = {axis->in, axis->out, filter, true};
    vise_arena m = {0};
    t->out = axis->n;
    t->most = vise_taps_max(&line);
    place(t, &m);
    VISE_TRY(vise_arena_commit(&m, e));
    place(t, &m);
    t->block = m.base;
    for (size_t i = 0; i < t->out; i++) {
        t->count[i] = vise_taps_at(&line, axis->from + i, &t->first[i], t->exact);
        for (size_t j = 0; j < t->count[i]; j++) {
            const double w = t->exact[j] * (1 << BITS);
            t->weight[i * t->most + j] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
    }
    return VISE_OK;
}

static uint8_t clip(int32_t sum)
{
    if (sum < 0) return 0;
    return sum >> BITS > 255 ? 255 : (uint8_t)(sum >> BITS);
}

/* One row through the column taps.  out [t->out, channels], in [cols.in, channels] */
static void filter_row(uint8_t *out, const uint8_t *in, size_t channels, const taps *t)
{
    const int32_t half = 1 << (BITS - 1);
    for (size_t i = 0; i < t->out; i++, out += channels) {
        const int32_t *w = t->weight + i * t->most;
        const uint8_t *p = in + t->first[i] * channels;
        const size_t n = t->count[i];
        int32_t a = half, b = half, c = half;
        if (channels == 1) {
            for (size_t j = 0; j < n; j++)
                a += p[j] * w[j];
            out[0] = clip(a);
            continue;
        }
        for (size_t j = 0; j < n; j++, p += 3) {
            a += p[0] * w[j];
            b += p[1] * w[j];
            c += p[2] * w[j];
        }
        out[0] = clip(a);
        out[1] = clip(b);
        out[2] = clip(c);
    }
}

/* All rows of the window through the row taps.
 *   out  out  [t->out, width]           u8
 *   in   in   [.., width] from row t->first[0]  u8   row stride in bytes
 *   sum  -    [width]                   s32  scratch */
static void filter_rows(uint8_t *out, const uint8_t *in, size_t stride, size_t width, const taps *t,
                        int32_t *sum)
{
    for (size_t i = 0; i < t->out; i++, out += width) {
        const int32_t *w = t->weight + i * t->most;
        const uint8_t *p = in + (t->first[i] - t->first[0]) * stride;
        for (size_t x = 0; x < width; x++)
            sum[x] = 1 << (BITS - 1);
        for (size_t j = 0; j < t->count[i]; j++, p += stride)
            for (size_t x = 0; x < width; x++)
                sum[x] += p[x] * w[j];
        for (size_t x = 0; x < width; x++)
            out[x] = clip(sum[x]);
    }
}

/* At least one axis changes: t[0] are the taps of rows, t[1] of columns, if they do. */
static vise_status filtered(uint8_t *out, const uint8_t *in, size_t channels, taps t[2],
                            const vise_axis *rows, const vise_axis *cols, vise_err *e)
{
    const bool across = cols->in != cols->out, down = rows->in != rows->out;
    const size_t stride = cols->in * channels, width = cols->n * channels;
    // the input rows that the window depends on
    size_t top = rows->from, end = rows->from + rows->n;
    if (down) {
        top = t[0].first[0];
        end = t[0].first[rows->n - 1] + t[0].count[rows->n - 1];
    }
    const uint8_t *from = in + top * stride + cols->from * channels;
    uint8_t *narrow = NULL; // [end - top, width] after the column pass
    int32_t *sum = NULL;
    vise_status s = VISE_OK;
    if (down) s = vise_alloc_or(&sum, width, sizeof *sum, "a row of a resize", e);
    if (!s && across && down)
        s = vise_alloc_or(&narrow, end - top, width, "the rows of a resize", e);
    if (!s && across) {
        uint8_t *to = down ? narrow : out;
        for (size_t y = 0; y < end - top; y++)
            filter_row(to + y * width, in + (top + y) * stride, channels, &t[1]);
    }
    if (!s && down)
        filter_rows(out, across ? narrow : from, across ? width : stride, width, &t[0], sum);
    vise_free(narrow);
    vise_free(sum);
    return s;
}

static void copy_window(uint8_t *out, const uint8_t *in, size_t channels, const vise_axis *rows,
                        const vise_axis *cols)
{
    const size_t width = cols->n * channels;
    for (size_t y = 0; y < rows->n; y++)
        memcpy(out + y * width, in + ((rows->from + y) * cols->in + cols->from) * channels, width);
}

/* at[i] = the input under the centre of output from + i. The centres are summed up as Pillow does:
 * multiplying would round differently where a centre falls between two inputs. */
static void nearest_line(size_t *at, const vise_axis *axis)
{
    const double scale = (double)axis->in / (double)axis->out;
    double centre = scale * 0.5;
    for (size_t i = 0; i < axis->from + axis->n; i++, centre += scale)
        if (i >= axis->from)
            at[i - axis->from] = (size_t)centre < axis->in ? (size_t)centre : axis->in - 1;
}

static vise_status nearest(uint8_t *out, const uint8_t *in, size_t channels, const vise_axis *rows,
                           const vise_axis *cols, vise_err *e)
{
    size_t *at; // [rows->n + cols->n]
    VISE_TRY(vise_alloc_or(&at, rows->n + cols->n, sizeof *at, "the lines of a resize", e));
    nearest_line(at, rows);
    nearest_line(at + rows->n, cols);
    for (size_t y = 0; y < rows->n; y++)
        for (size_t x = 0; x < cols->n; x++, out += channels)
            memcpy(out, in + (at[y] * cols->in + at[rows->n + x]) * channels, channels);
    vise_free(at);
    return VISE_OK;
}

vise_status vise_resize_u8(uint8_t *out, const uint8_t *in, size_t channels, const vise_axis *rows,
                           const vise_axis *cols, vise_filter filter, vise_err *e)
{
    assert(channels == 1 || channels == 3);
    assert(rows->n && rows->from + rows->n <= rows->out && cols->n &&
           cols->from + cols->n <= cols->out);
    if (filter == VISE_NEAREST) return nearest(out, in, channels, rows, cols, e);
    if (rows->in == rows->out && cols->in == cols->out) {
        copy_window(out, in, channels, rows, cols);
        return VISE_OK;
    }
    taps t[2] = {0}; // of rows, of columns
    vise_status s = VISE_OK;
    if (rows->in != rows->out) s = taps_new(&t[0], rows, filter, e);
    if (!s && cols->in != cols->out) s = taps_new(&t[1], cols, filter, e);
    if (!s) s = filtered(out, in, channels, t, rows, cols, e);
    vise_free(t[0].block);
    vise_free(t[1].block);
    return s;
}
