/* round.c - scales, rounding with error feedback, polish and refit, row by row
 * SPDX-License-Identifier: MIT */
#include "compress/round.h"
#include "compress/books.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 128, // columns that are rounded before their errors reach the others
    ROWS = 16,   // of one task
    LANES = 8,   // sums side by side
    TRIES = 32,  // scales tried per row or group
    PIECE = 64,  // columns after which a scale may be given up
};
static const float SMALLEST = 0.25f; // of the tried scales, relative to the largest
static const double PERCENTILE = 0.999;

vise_grid vise_grid_of(unsigned bits)
{
    if (bits == 8) return (vise_grid){-127, 1, 255};
    if (bits == 2) return (vise_grid){-3, 2, 4}; // no zero, but both signs alike
    return (vise_grid){-(1 << (bits - 1)), 1, 1 << bits};
}

vise_status vise_rounded_open(vise_rounded *r, size_t n, size_t k, const vise_rounding *how,
                              vise_err *e)
{
    const size_t group = how->group, rows = how->palette.rows;
    *r = (vise_rounded){.n = n, .k = k, .groups = group ? (k + group - 1) / group : 1};
    r->count = how->palette.count;
    r->book_rows = rows && rows < n ? rows : n;
    r->books = (n + r->book_rows - 1) / r->book_rows;
    VISE_TRY(vise_alloc_or(&r->book, r->books * r->count, sizeof *r->book, "rounded weights", e));
    VISE_TRY(vise_alloc_or(&r->level, n, k, "rounded weights", e));
    VISE_TRY(vise_alloc_or(&r->scale, n, sizeof *r->scale, "rounded weights", e));
    VISE_TRY(vise_alloc_or(&r->mult, n, r->groups, "rounded weights", e));
    return vise_alloc_or(&r->value, n * k, sizeof *r->value, "rounded weights", e);
}

void vise_rounded_close(vise_rounded *r)
{
    vise_free(r->book);
    vise_free(r->level);
    vise_free(r->scale);
    vise_free(r->mult);
    vise_free(r->value);
    *r = (vise_rounded){0};
}

/* The nearest level to x scales. Adding and subtracting 1.5 2^23 rounds to whole numbers, ties to
 * even, where a call of rintf would keep the loops below from being vectorised. */
static inline float nearest(const vise_grid *g, float x)
{
    // steps are 1 or 2, whose inverses are exact: no division in the loops
    const float last = (float)(g->count - 1), step = g->step == 2 ? 0.5f : 1;
    const float at = (x - (float)g->first) * step;
    const float j = at > 0 ? at < last ? at : last : 0;
    return (float)g->first + (float)g->step * ((j + 0x1.8p23f) - 0x1.8p23f);
}

/* ---- scales ---- */

static double total(const float *sum)
{
    double all = 0;
    for (size_t i = 0; i < LANES; i++)
        all += (double)sum[i];
    return all;
}

/* The weighted squared error of rounding w to steps of s, or, as soon as that is seen to be no less
 * than enough, some of it. */
static double error_of(const vise_grid *g, const float *w, const float *weight, size_t n, float s,
                       double enough)
{
    const float inv = 1 / s;
    float sum[LANES] = {0};
    size_t j = 0;
    while (j + LANES <= n) {
        const size_t left = (n - j) / LANES * LANES, to = j + (left < PIECE ? left : PIECE);
        for (; j < to; j += LANES)
            for (size_t i = 0; i < LANES; i++) {
                const float d = w[j + i] - s * nearest(g, w[j + i] * inv);
                sum[i] += weight[j + i] * d * d;
            }
        if (total(sum) >= enough) return total(sum);
    }
    for (; j < n; j++) {
        const float d = w[j] - s * nearest(g, w[j] * inv);
        sum[0] += weight[j] * d * d;
    }
    return total(sum);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The size that all but a few of w's elements stay below. */
static float percentile(const float *w, float *sorted, size_t n)
{
    for (size_t j = 0; j < n; j++)
        sorted[j] = fabsf(w[j]);
    qsort(sorted, n, sizeof *sorted, by_size);
    return sorted[(size_t)(PERCENTILE * (double)(n - 1))];
}

static float largest_of(const float *w, size_t n)
{
    float most = 0;
    for (size_t j = 0; j < n; j++)
        most = fabsf(w[j]) > most ? fabsf(w[j]) : most;
    return most;
}

static float top_of(const vise_grid *g)
{
    return (float)(g->first + g->step * (g->count - 1));
}

/* A scale for w; 0 for zeros. Where the grid reaches one step further down than up, it may be
 * negative, if `signs` is 2: then that step is on the side of the larger numbers.
 *   weight  in  [n]  of squared errors;  room  scratch [n] */
static float fit_scale(const vise_rounding *how, int signs, const float *w, const float *weight,
                       float *room, size_t n)
{
    const vise_grid *g = &how->grid;
    const float most = how->fit == VISE_FIT_PERCENTILE ? percentile(w, room, n) : largest_of(w, n);
    if (!(most > 1e-30f)) return 0;
    if (how->fit != VISE_FIT_MSE) return most / top_of(g);
    const float down = (float)-g->first,
                first = 1.05f * most / (down > top_of(g) ? down : top_of(g));
    float best = first;
    double least = (double)INFINITY;
    for (int i = 0; i < TRIES * signs; i++) {
        const int down_by = i / signs;
        const float t = 1 - (1 - SMALLEST) * (float)down_by / TRIES;
        const float s = i % signs ? -first * t : first * t;
        const double err = error_of(g, w, weight, n, s, least);
        if (err >= least) continue;
        least = err;
        best = s;
    }
    return best;
}

/* ---- one matrix ---- */

typedef struct job {
    vise_rounded *r;
    const float *w;
    const vise_metric *m;
    const vise_rounding *how;
    size_t group;    // columns; k without groups
    float *weight;   // [k] the diagonal of h
    float *carry;    // [n, k] in the metric's order: what errors so far ask of the columns to come
    float *wrong;    // [n, k] in the metric's order: errors
    float *rest;     // [n, k] (w - q) h
    size_t from, to; // the block of columns
} job;

static size_t group_cols(const job *j, size_t q)
{
    const size_t left = j->r->k - q * j->group;
    return left < j->group ? left : j->group;
}

/* One scale per row, and multipliers to the nearest of what each group would like. */
static void choose_multipliers(const job *j, size_t i)
{
    vise_rounded *r = j->r;
    const vise_grid *g = &j->how->grid;
    const float *w = j->w + i * r->k, most = floorf(127 / fmaxf(top_of(g), (float)-g->first));
    float *liked = j->rest + i * r->k, largest = 0; // rest is free until there are errors
    for (size_t q = 0; q < r->groups; q++) {
        const size_t at = q * j->group;
        liked[q] =
            fit_scale(j->how, 1, w + at, j->weight + at, j->carry + i * r->k, group_cols(j, q));
        largest = fmaxf(largest, liked[q]);
    }
    r->scale[i] = largest / most;
    for (size_t q = 0; q < r->groups; q++) {
        const size_t at = q * j->group, n = group_cols(j, q);
        float m = r->scale[i] > 0 ? fminf(fmaxf(floorf(liked[q] / r->scale[i]), 1), most) : 1;
        const float s = r->scale[i];
        if (s > 0 && m < most &&
            error_of(g, w + at, j->weight + at, n, s * (m + 1), HUGE_VAL) <
                error_of(g, w + at, j->weight + at, n, s * m, HUGE_VAL))
            m++;
        r->mult[i * r->groups + q] = (uint8_t)m;
    }
}

static void choose_scales(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    const int signs = -j->how->grid.first > (int32_t)top_of(&j->how->grid) ? 2 : 1;
    for (size_t i = from; i < to; i++) {
        if (j->how->group) {
            choose_multipliers(j, i);
            continue;
        }
        j->r->scale[i] =
            fit_scale(j->how, signs, j->w + i * j->r->k, j->weight, j->rest + i * j->r->k, j->r->k);
        j->r->mult[i] = 1;
    }
}

/* The step that column c of row i has between whole levels. */
static inline float step_of(const job *j, size_t i, size_t c)
{
    const vise_rounded *r = j->r;
    const size_t group = r->groups > 1 ? c / (j->group ? j->group : 1) : 0;
    return r->scale[i] * (float)r->mult[i * r->groups + group];
}

/* Puts column c of row i to the nearest level of x. Returns the new value. */
static inline float put(const job *j, size_t i, size_t c, float x)
{
    vise_rounded *r = j->r;
    const float s = step_of(j, i, c);
    if (r->count) {
        const float *book = r->book + i / r->book_rows * r->count;
        const size_t at = vise_nearest_in(book, r->count, s != 0 ? x / s : 0);
        r->level[i * r->k + c] = (int8_t)(uint8_t)at;
        return r->value[i * r->k + c] = s * book[at];
    }
    const float level = nearest(&j->how->grid, s != 0 ? x / s : 0);
    r->level[i * r->k + c] = (int8_t)level;
    return r->value[i * r->k + c] = s * level;
}

static void round_plainly(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    for (size_t i = from; i < to; i++)
        for (size_t c = 0; c < j->r->k; c++)
            put(j, i, c, j->w[i * j->r->k + c]);
}

/* ---- feedback ---- */

static void round_block(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    const size_t k = j->r->k;
    for (size_t i = from; i < to; i++) {
        float *carry = j->carry + i * k;
        for (size_t c = j->to; c-- > j->from;) {
            const float *f = j->m->factor + c * k, w = j->w[i * k + j->m->perm[c]];
            const float wrong = w - put(j, i, j->m->perm[c], w + carry[c] / f[c]);
            j->wrong[i * k + c] = wrong;
            for (size_t b = j->from; b < c; b++)
                carry[b] += wrong * f[b];
        }
    }
}

static vise_status round_with_feedback(job *j, vise_dense *d, vise_err *e)
{
    const size_t n = j->r->n, k = j->r->k;
    memset(j->carry, 0, n * k * sizeof *j->carry);
    for (j->to = k; j->to; j->to = j->from) {
        j->from = j->to > BLOCK ? j->to - BLOCK : 0;
        vise_dense_rows(d, n, ROWS, round_block, j);
        if (!j->from) break;
        const vise_product p = {j->carry,
                                k,
                                {j->wrong + j->from, k, 1},
                                {j->m->factor + j->from * k, 1, k},
                                n,
                                j->from,
                                j->to - j->from,
                                true,
                                false};
        VISE_TRY(vise_dense_mul(d, &p, e));
    }
    return VISE_OK;
}

/* ---- polish ---- */

/* rest = (w - q) h */
static vise_status find_rest(job *j, vise_dense *d, vise_err *e)
{
    const size_t n = j->r->n, k = j->r->k;
    for (size_t i = 0; i < n * k; i++)
        j->wrong[i] = j->w[i] - j->r->value[i];
    const vise_product p = {j->rest, k, {j->wrong, k, 1}, {j->m->h, k, 1}, n, k, k, false, false};
    return vise_dense_mul(d, &p, e);
}

/* rest of row i when column c has grown by `by`. */
static inline void give_way(const job *j, size_t i, size_t c, float by)
{
    const size_t k = j->r->k;
    float *rest = j->rest + i * k;
    const float *h = j->m->h + c * k;
    for (size_t b = 0; b < k; b++)
        rest[b] -= by * h[b];
}

static void polish_rows(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    const size_t k = j->r->k;
    for (size_t i = from; i < to; i++)
        for (size_t p = k; p-- > 0;) {
            const size_t c = j->m->perm[p];
            const float old = j->r->value[i * k + c];
            if (!(j->weight[c] > 0)) continue;
            const float now = put(j, i, c, old + j->rest[i * k + c] / j->weight[c]);
            if (now != old) give_way(j, i, c, now - old);
        }
}

static vise_status polish(job *j, vise_dense *d, vise_err *e)
{
    VISE_TRY(find_rest(j, d, e));
    for (unsigned sweep = 0; sweep < j->how->polish; sweep++)
        vise_dense_rows(d, j->r->n, ROWS, polish_rows, j);
    return VISE_OK;
}

/* ---- refit ---- */

/* The values that scale, multipliers and levels of row i say. */
static void revalue(const job *j, size_t i)
{
    vise_rounded *r = j->r;
    const float *book = r->count ? r->book + i / r->book_rows * r->count : NULL;
    for (size_t c = 0; c < r->k; c++) {
        const int8_t level = r->level[i * r->k + c];
        r->value[i * r->k + c] = step_of(j, i, c) * (book ? book[(uint8_t)level] : (float)level);
    }
}

/* The error's change when group q of row i is multiplied by `by` more: -2 d.rest + d h d with d the
 * change of its values. */
static double change_of(const job *j, size_t i, size_t q, float by)
{
    const vise_rounded *r = j->r;
    const size_t at = q * j->group, n = group_cols(j, q);
    const int8_t *level = r->level + i * r->k + at;
    const float *rest = j->rest + i * r->k + at, s = by * r->scale[i];
    double sum = 0;
    for (size_t a = 0; a < n; a++) {
        const float *h = j->m->h + (at + a) * r->k + at;
        float dot = 0;
        for (size_t b = 0; b < n; b++)
            dot += h[b] * (float)level[b];
        sum += (double)(s * (float)level[a]) * ((double)(s * dot) - 2 * (double)rest[a]);
    }
    return sum;
}

static void refit_multipliers(const job *j, size_t i)
{
    vise_rounded *r = j->r;
    const float most = floorf(127 / fmaxf(top_of(&j->how->grid), (float)-j->how->grid.first));
    for (size_t q = 0; q < r->groups; q++) {
        uint8_t *m = &r->mult[i * r->groups + q];
        const double up = *m < (uint8_t)most ? change_of(j, i, q, 1) : 0;
        const double down = *m > 1 ? change_of(j, i, q, -1) : 0;
        if (up >= 0 && down >= 0) continue;
        const float by = up < down ? 1 : -1;
        *m = (uint8_t)(*m + (int)by);
        for (size_t c = q * j->group; c < q * j->group + group_cols(j, q); c++)
            give_way(j, i, c, by * r->scale[i] * (float)r->level[i * r->k + c]);
    }
    revalue(j, i);
}

static void refit_groups(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    for (size_t i = from; i < to; i++)
        refit_multipliers(j, i);
}

/* scale *= <w h q> / <q h q>, where w h q = (rest + q h) q; carry is q h. rest is not kept. */
static void refit_scales(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    vise_rounded *r = j->r;
    for (size_t i = from; i < to; i++) {
        const float *q = r->value + i * r->k, *rest = j->rest + i * r->k;
        double rq = 0, qhq = 0;
        for (size_t c = 0; c < r->k; c++) {
            rq += (double)rest[c] * (double)q[c];
            qhq += (double)j->carry[i * r->k + c] * (double)q[c];
        }
        const float by = qhq > 0 ? (float)(1 + rq / qhq) : 1;
        if (!(by > 0.5f && by < 2)) continue; // a row that hardly meets its inputs
        r->scale[i] *= by;
        revalue(j, i);
    }
}

static vise_status refit(job *j, vise_dense *d, vise_err *e)
{
    const size_t n = j->r->n, k = j->r->k;
    const vise_palette *palette = &j->how->palette;
    if (j->how->group) vise_dense_rows(d, n, ROWS, refit_groups, j);
    if (palette->count && !palette->given) {
        VISE_TRY(vise_books_refit(j->r, j->rest, j->m->h, palette, d, e));
        VISE_TRY(find_rest(j, d, e));
    }
    if (palette->count && !palette->scaled) return VISE_OK;
    const vise_product p = {j->carry, k,    {j->r->value, k, 1}, {j->m->h, k, 1}, n, k, k,
                            false,    false};
    VISE_TRY(vise_dense_mul(d, &p, e));
    vise_dense_rows(d, n, ROWS, refit_scales, j);
    return VISE_OK;
}

/* ---- all ---- */

static vise_status run(job *j, vise_dense *d, vise_err *e)
{
    const vise_rounding *how = j->how;
    const size_t n = j->r->n, k = j->r->k;
    VISE_TRY(vise_alloc_or(&j->weight, k, sizeof(float), "rounding weights", e));
    VISE_TRY(vise_alloc_or(&j->carry, n * k, sizeof(float), "rounding weights", e));
    VISE_TRY(vise_alloc_or(&j->wrong, n * k, sizeof(float), "rounding weights", e));
    VISE_TRY(vise_alloc_or(&j->rest, n * k, sizeof(float), "rounding weights", e));
    for (size_t c = 0; c < k; c++)
        j->weight[c] = j->m->h ? j->m->h[c * k + c] : 1;
    if (j->r->count)
        VISE_TRY(vise_books_choose(j->r, j->w, j->weight, &how->palette, e));
    else
        vise_dense_rows(d, n, ROWS, choose_scales, j);
    if (how->feedback && j->m->factor)
        VISE_TRY(round_with_feedback(j, d, e));
    else
        vise_dense_rows(d, n, ROWS, round_plainly, j);
    if (!j->m->h || !how->polish) return VISE_OK;
    VISE_TRY(polish(j, d, e));
    for (unsigned i = 0; i < how->refit; i++) {
        VISE_TRY(refit(j, d, e));
        VISE_TRY(polish(j, d, e));
    }
    return VISE_OK;
}

vise_status vise_round(vise_rounded *r, const float *w, const vise_metric *m,
                       const vise_rounding *how, vise_dense *d, vise_err *e)
{
    job j = {.r = r, .w = w, .m = m, .how = how, .group = how->group ? how->group : r->k};
    const vise_status s = run(&j, d, e);
    vise_free(j.weight);
    vise_free(j.carry);
    vise_free(j.wrong);
    vise_free(j.rest);
    return s;
}
