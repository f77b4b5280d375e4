/* check_fixed.c - checks of the integer kernels, against the rules of fixed.h in exact real numbers
 *
 * A long double has 64 bits or more on the processors with kernels of their own, which no sum here
 * exceeds.
 *
 * SPDX-License-Identifier: MIT */
#include "kern/check.h"

#include <math.h>

/* [rows, n] numbers in and out, and the integers that they stand for. */
typedef struct job {
    float *x, *y;
    size_t rows, n, ldx, ldy;
} job;

/* Whole numbers of any size up to most; now and then one that is out of range, broken, or none. */
static float number(vise_checker *t, int32_t most)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e9f, -3e9f, 0.75f, -0.75f, -0.0f};
    if (!vise_check_pick(t, 40)) return odd[vise_check_pick(t, sizeof odd / sizeof *odd)];
    if (!vise_check_pick(t, 20)) return (float)(vise_check_pick(t, 2) ? most : -most);
    const int32_t x = (int32_t)vise_check_pick(t, (size_t)most + 1) >> vise_check_pick(t, 24);
    return (float)(vise_check_pick(t, 2) ? x : -x);
}

/* What it counts as. */
static long double meant(float x, int32_t most)
{
    if (isnan(x)) return most;
    return truncl(fmaxl(fminl((long double)x, most), -most)) + 0.0L; // no -0
}

static long double half_up(long double x)
{
    return floorl(x + 0.5L);
}

static float clamped(long double x, int32_t lo, int32_t hi)
{
    return (float)(x < lo ? lo : x > hi ? hi : x);
}

static float *matrix(vise_checker *t, const job *j, size_t *ld, int32_t most)
{
    *ld = j->n + vise_check_pick(t, 4);
    float *x = vise_check_in(t, ((j->rows - 1) * *ld + j->n) * sizeof *x, sizeof *x);
    for (size_t i = 0; i < (j->rows - 1) * *ld + j->n; i++)
        x[i] = number(t, most);
    return x;
}

static job job_new(vise_checker *t, int32_t most)
{
    job j = {.rows = vise_check_extent(t, 9, 4), .n = vise_check_extent(t, 260, 16)};
    j.x = matrix(t, &j, &j.ldx, most);
    j.ldy = j.n + vise_check_pick(t, 4);
    j.y = vise_check_out(t, ((j.rows - 1) * j.ldy + j.n) * sizeof *j.y, sizeof *j.y);
    vise_check_shape(t, "rows %zu, n %zu", j.rows, j.n);
    return j;
}

static void job_end(vise_checker *t, const job *j)
{
    vise_check_edges(t);
    vise_check_gaps(t, j->y, j->n * sizeof *j->y, j->ldy * sizeof *j->y, j->rows);
}

static int32_t *integers(vise_checker *t, size_t n, int32_t least, int32_t most)
{
    int32_t *x = vise_check_in(t, n * sizeof *x, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        const int64_t range = (int64_t)most - least;
        const int64_t at = (int64_t)vise_check_pick(t, (size_t)range + 1);
        x[i] = (int32_t)(least + (vise_check_pick(t, 8) ? at : vise_check_pick(t, 2) ? range : 0));
    }
    return x;
}

/* lo <= hi, as operators have them. */
static void bounds(vise_checker *t, int32_t *lo, int32_t *hi)
{
    const int32_t most = vise_check_pick(t, 2) ? VISE_INT_MOST : 127;
    *hi = most - (int32_t)vise_check_pick(t, 3) * (most / 3);
    *lo = vise_check_pick(t, 4) ? -most : *hi;
}

void vise_check_requant(vise_checker *t)
{
    enum { BIAS = 1 << 30, MANTISSA = 1 << 23 };
    const job j = job_new(t, VISE_INT_SUM);
    int32_t *mult = integers(t, j.n, MANTISSA, 2 * MANTISSA - 1);
    const int32_t *shift = integers(t, j.n, 9, 61);
    vise_requant q = {.bias = integers(t, j.n, -BIAS, BIAS), .mult = mult, .shift = shift};
    for (size_t i = 0; i < j.n; i++)
        if (!vise_check_pick(t, 16)) mult[i] = 0;
    bounds(t, &q.lo, &q.hi);
    vise_check_seal(t);
    t->kern->fixed.requant(j.y, j.ldy, j.x, j.ldx, j.rows, j.n, &q);
    job_end(t, &j);
    for (size_t i = 0; i < j.rows * j.n; i++) {
        const size_t r = i / j.n, c = i % j.n;
        const long double sum = meant(j.x[r * j.ldx + c], VISE_INT_SUM) + q.bias[c];
        const long double want = half_up(ldexpl(sum * mult[c], -shift[c]));
        vise_check_same(t, j.y[r * j.ldy + c], clamped(want, q.lo, q.hi), r, c);
    }
}

void vise_check_int_add(vise_checker *t)
{
    const job j = job_new(t, VISE_INT_MOST);
    size_t ldb;
    int32_t lo, hi;
    const float *b = matrix(t, &j, &ldb, VISE_INT_MOST);
    bounds(t, &lo, &hi);
    vise_check_seal(t);
    t->kern->fixed.add(j.y, j.ldy, j.x, j.ldx, b, ldb, j.rows, j.n, lo, hi);
    job_end(t, &j);
    for (size_t i = 0; i < j.rows * j.n; i++) {
        const size_t r = i / j.n, c = i % j.n;
        const long double want =
            meant(j.x[r * j.ldx + c], VISE_INT_MOST) + meant(b[r * ldb + c], VISE_INT_MOST);
        vise_check_same(t, j.y[r * j.ldy + c], clamped(want, lo, hi), r, c);
    }
}

void vise_check_ratio(vise_checker *t)
{
    enum { RATIO = 1 << 30, BITS = 20 };
    const job j = job_new(t, VISE_INT_SUM);
    const int32_t *add = integers(t, j.n, -VISE_INT_SUM, VISE_INT_SUM);
    int32_t *by = integers(t, j.rows, 0, RATIO);
    for (size_t i = 0; i < j.rows; i++)
        by[i] >>= vise_check_pick(t, 28);
    vise_check_seal(t);
    t->kern->fixed.ratio(j.y, j.ldy, j.x, j.ldx, j.rows, j.n, add, by);
    job_end(t, &j);
    for (size_t i = 0; i < j.rows * j.n; i++) {
        const size_t r = i / j.n, c = i % j.n;
        const long double sum = meant(j.x[r * j.ldx + c], VISE_INT_SUM) + add[c];
        const long double want = half_up(ldexpl(sum * by[r], -BITS));
        vise_check_same(t, j.y[r * j.ldy + c], clamped(want, -VISE_INT_MOST, VISE_INT_MOST), r, c);
    }
}

void vise_check_lut(vise_checker *t)
{
    enum { FAR = 5000 };
    const job j = job_new(t, vise_check_pick(t, 2) ? VISE_INT_SUM : FAR);
    vise_int_table table = {.count = vise_check_extent(t, 3000, 16),
                            .first = (int32_t)vise_check_pick(t, FAR) - FAR / 2,
                            .gain = (int32_t)vise_check_pick(t, 3) * 57};
    float *value = vise_check_in(t, table.count * sizeof *value, sizeof *value);
    vise_check_fill(t, value, table.count);
    table.value = value;
    vise_check_seal(t);
    t->kern->fixed.lut(j.y, j.ldy, j.x, j.ldx, j.rows, j.n, &table);
    job_end(t, &j);
    for (size_t i = 0; i < j.rows * j.n; i++) {
        const size_t r = i / j.n, c = i % j.n, last = table.count - 1;
        const long double x = meant(j.x[r * j.ldx + c], VISE_INT_SUM), at = x - table.first;
        float want = value[at < 0 ? 0 : at > (long double)last ? last : (size_t)at];
        if (at > (long double)last && table.gain)
            want = clamped(x * table.gain, -VISE_INT_MOST, VISE_INT_MOST);
        vise_check_same(t, j.y[r * j.ldy + c], want, r, c);
    }
}

void vise_check_int_softmax(vise_checker *t)
{
    const job j = job_new(t, vise_check_pick(t, 3) ? 1 << 20 : VISE_INT_SUM);
    const size_t npad = (j.n + 3) / 4 * 4 + 4 * vise_check_pick(t, 9);
    const size_t ldq = npad + vise_check_pick(t, 5);
    const uint8_t flip = vise_check_pick(t, 2) ? 0x80 : 0;
    vise_int_softmax s = {.n = 2 + vise_check_pick(t, VISE_INT_TABLE_MOST - 1)};
    s.step = 1 + ((int32_t)vise_check_pick(t, VISE_INT_STEP_MOST) >> vise_check_pick(t, 19));
    s.table = integers(t, s.n, 0, VISE_INT_PROB);
    uint8_t *q = vise_check_out(t, (j.rows - 1) * ldq + npad, 1);
    int32_t *sum = vise_check_out(t, j.rows * sizeof *sum, sizeof *sum);
    vise_check_seal(t);
    t->kern->fixed.softmax(q, ldq, npad, sum, j.x, j.ldx, j.rows, j.n, &s, flip);
    vise_check_edges(t);
    vise_check_gaps(t, q, npad, ldq, j.rows);
    for (size_t r = 0; r < j.rows; r++) {
        long double max = -VISE_INT_SUM;
        long all = 0;
        for (size_t c = 0; c < j.n; c++)
            max = fmaxl(max, meant(j.x[r * j.ldx + c], VISE_INT_SUM));
        for (size_t c = 0; c < npad; c++) {
            const long double d = c < j.n ? max - meant(j.x[r * j.ldx + c], VISE_INT_SUM) : 0;
            const long double i = half_up(ldexpl(d * s.step, -VISE_INT_STEP_BITS));
            const int32_t e = s.table[i < (long double)s.n ? (size_t)i : s.n - 1];
            vise_check_code(t, (int8_t)(q[r * ldq + c] ^ flip), c < j.n ? e - 127 : 0, r, c);
            all += c < j.n ? e : 0;
        }
        vise_check_code(t, sum[r], all, r, npad);
    }
}

/* r and bits of the rule, from floating point that is put right. */
static long double unit(long double d, int64_t v)
{
    uint64_t x = v > 0 ? (uint64_t)v : 1, root;
    int times = 0;
    while (x < (uint64_t)1 << 60) {
        x *= 4;
        times++;
    }
    root = (uint64_t)sqrtl((long double)x);
    while (root * root > x)
        root--;
    while ((root + 1) * (root + 1) <= x)
        root++;
    const uint64_t r = (((uint64_t)1 << 61) - 1) / root;
    return half_up(ldexpl(d * (long double)r, times - 41));
}

void vise_check_int_layernorm(vise_checker *t)
{
    const job j = job_new(t, VISE_INT_MOST >> vise_check_pick(t, 20));
    vise_int_layernorm p = {.eps = (int64_t)vise_check_pick(t, (size_t)1 << 50),
                            .shift = 16 + (int32_t)vise_check_pick(t, 25)};
    p.eps = vise_check_pick(t, 3) ? p.eps >> vise_check_pick(t, 50) : 0;
    p.w = integers(t, j.n, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    p.b = integers(t, j.n, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    bounds(t, &p.lo, &p.hi);
    if (!vise_check_pick(t, 8)) // a row of one number
        for (size_t c = 0; c < j.n; c++)
            j.x[c] = j.x[0];
    vise_check_seal(t);
    t->kern->fixed.layernorm(j.y, j.ldy, j.x, j.ldx, j.rows, j.n, &p);
    job_end(t, &j);
    for (size_t r = 0; r < j.rows; r++) {
        const float *x = j.x + r * j.ldx;
        long double sum = 0;
        int64_t v = p.eps;
        for (size_t c = 0; c < j.n; c++)
            sum += meant(x[c], VISE_INT_MOST);
        const long double mean = floorl((2 * sum + (long double)j.n) / (2 * (long double)j.n));
        for (size_t c = 0; c < j.n; c++) {
            const int64_t d = (int64_t)(meant(x[c], VISE_INT_MOST) - mean);
            v += d * d;
        }
        for (size_t c = 0; c < j.n; c++) {
            const long double u = unit(meant(x[c], VISE_INT_MOST) - mean, v);
            const long double y = u * p.w[c] + ldexpl(p.b[c], p.shift - VISE_INT_BIAS_BITS);
            vise_check_same(t, j.y[r * j.ldy + c],
                            clamped(half_up(ldexpl(y, -p.shift)), p.lo, p.hi), r, c);
        }
    }
}
