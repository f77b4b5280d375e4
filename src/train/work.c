/* work.c - scratch of gradients, transposing, sums of columns
 * SPDX-License-Identifier: MIT */
#include "train/work.h"

void vise_work_free(vise_work *w)
{
    for (size_t i = 0; i < VISE_WORK_PARTS; i++)
        vise_free(w->p[i]);
    *w = (vise_work){0};
}

vise_status vise_work_need(vise_work *w, vise_work_part part, size_t n, vise_err *e)
{
    if (n <= w->room[part]) return VISE_OK;
    vise_free(w->p[part]);
    w->p[part] = NULL;
    w->room[part] = 0;
    VISE_TRY(vise_alloc_or(&w->p[part], n, sizeof(float), "gradients", e));
    w->room[part] = n;
    return VISE_OK;
}

enum { STRIP = 8 }; // rows whose columns are written at once; a number that the compiler knows

static inline void turn_strip(float *restrict to, size_t ldt, const float *restrict from, size_t ld,
                              size_t rows, size_t cols)
{
    for (size_t j = 0; j < cols; j++, to += ldt)
        for (size_t i = 0; i < rows; i++)
            to[i] = from[i * ld + j];
}

void vise_turn(float *to, size_t ldt, const float *from, size_t ld, size_t rows, size_t cols)
{
    size_t i = 0;
    for (; i + STRIP <= rows; i += STRIP)
        turn_strip(to + i, ldt, from + i * ld, ld, STRIP, cols);
    turn_strip(to + i, ldt, from + i * ld, ld, rows - i, cols);
}

enum {
    WIDE = 32, // columns of a task
    HIGH = 64, // rows that are summed before they join the others
};

typedef struct sums {
    float *to;
    const float *x;
    size_t ld, rows;
} sums;

static void some_columns(void *ctx, size_t from, size_t to)
{
    const sums *s = ctx;
    const size_t n = to - from;
    for (size_t r = 0; r < s->rows; r += HIGH) {
        const size_t end = r + HIGH < s->rows ? r + HIGH : s->rows;
        float sum[WIDE] = {0};
        for (size_t i = r; i < end; i++)
            for (size_t j = 0; j < n; j++)
                sum[j] += s->x[i * s->ld + from + j];
        for (size_t j = 0; j < n; j++)
            s->to[from + j] += sum[j];
    }
}

void vise_column_sums(vise_dense *d, float *to, const float *x, size_t ld, size_t rows, size_t cols)
{
    sums s = {to, x, ld, rows};
    vise_dense_rows(d, cols, WIDE, some_columns, &s);
}
